//! The neighbour lists of one relation, for readers that ask for many of them.
//! Finds the list of a node among the settled ones and those that differ.

use std::hint::select_unpredictable;

use crate::adjacency::list::List;
use crate::adjacency::list_builder::ListBuilder;
use crate::adjacency::overlay::Overlay;
use crate::adjacency::record::{Packed, Record};
use crate::fs::prefetch::prefetch;
use crate::types::ids::NodeIx;

/// The lists of one relation in one snapshot.
///
/// # Cost
/// A list is found with one read of its record where it is settled, and three or four reads more where it changed since the
/// last checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    pub(crate) overlay: &'a Overlay,
    /// By node; nodes that came later have none.
    pub(crate) records: &'a [Packed],
    pub(crate) words: &'a [u32],
    /// What records count in that are marked as lying apart.
    pub(crate) copied_words: &'a [u32],
}

impl<'a> Lists<'a> {
    /// The list of a node; an empty one where it has no neighbours.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "a hop is a handful of these: with calls between them a sweep takes a sixth longer"
    )]
    pub fn get(&self, node: NodeIx) -> List<'a> {
        if self.overlay.is_empty() || !self.overlay.contains(node.get()) {
            let Some(&record) = self.records.get(node.index()) else { return List::empty() };
            let record = Record::from(record);
            // Without a branch: where a hop leads is not to be predicted.
            return List::new(record, select_unpredictable(record.is_copied(), self.copied_words, self.words));
        }
        self.changed_list(node)
    }

    /// Apart, so that a loop over settled lists keeps its values in registers: 2 of 8 ns of a hop.
    #[inline(never)]
    fn changed_list(&self, node: NodeIx) -> List<'a> {
        let overlay: &'a Overlay = self.overlay;
        overlay.get(node.get()).map_or(List::empty(), ListBuilder::as_list)
    }

    /// Whether a list of them lies where settled and flat lists lie.
    pub(crate) fn contains(&self, list: &List<'_>) -> bool {
        list.is_empty() || list.is_in(self.words) || list.is_in(self.copied_words)
    }

    /// Fetches what [`Self::get`] reads first.
    #[inline]
    pub fn prefetch(&self, node: NodeIx) {
        prefetch(self.records, node.index());
    }
}
