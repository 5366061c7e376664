//! The neighbor lists of one relation, for readers of many lists.
//! Finds the list of a node among checkpointed and changed lists.

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
/// One read of the record finds a checkpointed list; a list that changed since the last checkpoint takes three or four
/// reads more.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    pub(crate) overlay: &'a Overlay,
    /// By node; nodes that came after the checkpoint have none.
    pub(crate) records: &'a [Packed],
    pub(crate) words: &'a [u32],
    /// The words of lists whose record is marked as copied: see [`FlattenedLists`](crate::FlattenedLists).
    pub(crate) copied_words: &'a [u32],
}

impl<'a> Lists<'a> {
    /// The list of a node; an empty one where it has no neighbors.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "a hop is a handful of these: with calls between them a sweep takes a sixth longer"
    )]
    pub fn get(&self, node: NodeIx) -> List<'a> {
        if self.overlay.is_empty() || !self.overlay.contains(node.get()) {
            let Some(&record) = self.records.get(node.index()) else { return List::empty() };
            let record = Record::from(record);
            // Without a branch: the target of a hop is not predictable.
            return List::new(
                record,
                select_unpredictable(record.is_copied(), self.copied_words, self.words),
            );
        }
        self.changed_list(node)
    }

    /// A function of its own, so that a loop over checkpointed lists keeps its values in registers: 2 of the 8 ns of a
    /// hop.
    #[inline(never)]
    fn changed_list(&self, node: NodeIx) -> List<'a> {
        let overlay: &'a Overlay = self.overlay;
        overlay.get(node.get()).map_or(List::empty(), ListBuilder::as_list)
    }

    /// True for a list whose block lies in `words` or `copied_words`.
    pub(crate) fn contains(&self, list: &List<'_>) -> bool {
        list.is_empty() || list.is_in(self.words) || list.is_in(self.copied_words)
    }

    /// Prefetches the first value that [`Self::get`] reads.
    #[inline]
    pub fn prefetch(&self, node: NodeIx) {
        prefetch(self.records, node.index());
    }
}
