//! The neighbour lists of one relation, for readers that ask for many of them.
//! Finds the list of a node among the settled ones and those that differ.

use crate::list::Record;
use crate::overlay::Overlay;
use crate::prefetch::prefetch;
use crate::{List, NodeIx};

/// The lists of one relation in one snapshot.
///
/// # Cost
/// A list is found with one read of its record where it is settled, and three or four reads more where it changed since the
/// last checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    pub(crate) overlay: &'a Overlay,
    /// By node; nodes that came later have none.
    pub(crate) records: &'a [Record],
    pub(crate) words: &'a [u32],
}

impl<'a> Lists<'a> {
    /// The list of a node; an empty one where it has no neighbours.
    #[inline]
    pub fn get(&self, node: NodeIx) -> List<'a> {
        if !self.overlay.is_empty()
            && let Some(list) = self.overlay.get(node.get())
        {
            return list.as_list();
        }
        match self.records.get(node.index()) {
            Some(&record) => List::new(record, self.words),
            None => List::empty(),
        }
    }

    /// Fetches what [`Self::get`] reads first.
    #[inline]
    pub fn prefetch(&self, node: NodeIx) {
        prefetch(self.records, node.index());
    }
}
