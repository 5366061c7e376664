//! The neighbor lists of one relation, for readers of many lists.
//! Finds the list of a node among checkpointed and changed lists.

use std::hint::select_unpredictable;

use crate::adjacency::list::List;
use crate::adjacency::list_builder::ListBuilder;
use crate::adjacency::overlay::Overlay;
use crate::adjacency::owners::Owners;
use crate::adjacency::record::{Packed, Record};
use crate::adjacency::relation_records::OwnerRecords;
use crate::fs::prefetch::prefetch;
use crate::types::ids::NodeIx;

/// The lists of one relation in one snapshot.
///
/// # Cost
/// One read of the record finds a checkpointed list. Where fewer than one node in eight has a list, two reads come before it. A list
/// that changed since the last checkpoint takes three or four reads more.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    pub(crate) overlay: &'a Overlay,
    /// By node; nodes that came after the checkpoint have none. Empty where the records are by owner.
    pub(crate) records: &'a [Packed],
    /// `None` where the records are by node.
    pub(crate) owner_records: Option<&'a OwnerRecords>,
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
        if self.is_unchanged(node)
            && let Some(&record) = self.records.get(node.index())
        {
            return self.list_of(Record::from(record));
        }
        self.searched_list(node)
    }

    /// True if the node has the list that it had in the checkpoint.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as for `get`")]
    fn is_unchanged(&self, node: NodeIx) -> bool {
        self.overlay.is_empty() || !self.overlay.contains(node.get())
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as for `get`")]
    fn list_of(&self, record: Record) -> List<'a> {
        // Without a branch: the target of a hop is not predictable.
        List::new(record, select_unpredictable(record.is_copied(), self.copied_words, self.words))
    }

    /// A list that has no record by node: a changed one, or one among few.
    ///
    /// A function of its own, so that a loop over checkpointed lists keeps its values in registers: 2 of the 8 ns of a
    /// hop.
    #[inline(never)]
    fn searched_list(&self, node: NodeIx) -> List<'a> {
        let overlay: &'a Overlay = self.overlay;
        if !self.is_unchanged(node) {
            return overlay.get(node.get()).map_or(List::empty(), ListBuilder::as_list);
        }
        let record = self.owner_records.and_then(|records| records.get(node.get()));
        record.map_or(List::empty(), |record| self.list_of(record))
    }

    /// True for a list whose block lies in `words` or `copied_words`.
    pub(crate) fn contains(&self, list: &List<'_>) -> bool {
        list.is_empty() || list.is_in(self.words) || list.is_in(self.copied_words)
    }

    /// The nodes with a checkpointed list and its record, whether or not it changed; nodes ascending.
    pub(crate) fn checkpointed(&self) -> impl Iterator<Item = (u32, Packed)> + use<'a> {
        let by_node = (0..).zip(self.records.iter().copied());
        let by_node = by_node.filter(|&(_, record)| !Record::from(record).is_empty());
        by_node.chain(self.owner_records.into_iter().flat_map(OwnerRecords::iter))
    }

    /// The nodes whose records a file or a copy of these lists has, which knows the nodes below `bound`.
    pub(crate) fn owners(&self, bound: u32) -> Owners {
        let mut changed = Vec::new();
        self.overlay.for_each(&mut |node, list| {
            if !list.as_list().is_empty() {
                changed.push(node);
            }
        });
        let checkpointed = self.checkpointed().map(|(node, _)| node);
        let unchanged = checkpointed.filter(|&node| !self.overlay.contains(node));
        Owners::new(unchanged.chain(changed), bound)
    }

    /// Prefetches the first value that [`Self::get`] reads.
    #[inline]
    pub fn prefetch(&self, node: NodeIx) {
        match self.owner_records {
            None => prefetch(self.records, node.index()),
            Some(records) => records.prefetch(node.get()),
        }
    }
}
