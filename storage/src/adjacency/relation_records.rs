//! The records of all lists of one relation: by node, or by owner where few nodes have a list.
//! Knows where records lie; knows nothing of the words of lists.

use crate::adjacency::owners::OwnerIndex;
use crate::adjacency::record::{Packed, Record};
use crate::fs::mmap::SharedNumbers;
use crate::fs::prefetch::prefetch;

/// The records of the lists of a relation.
#[derive(Debug)]
pub(crate) enum RelationRecords {
    /// One for each node, with a list or without.
    ByNode(SharedNumbers<Packed>),
    ByOwner(OwnerRecords),
}

impl RelationRecords {
    /// The records by node and those by owner: one of both is empty.
    #[inline]
    pub(crate) fn parts(&self) -> (&[Packed], Option<&OwnerRecords>) {
        match self {
            Self::ByNode(records) => (records, None),
            Self::ByOwner(records) => (&[], Some(records)),
        }
    }
}

/// The records of the nodes that have a list.
#[derive(Debug)]
pub(crate) struct OwnerRecords {
    nodes: SharedNumbers<u32>,
    records: SharedNumbers<Packed>,
    index: OwnerIndex,
}

impl OwnerRecords {
    /// The records of `nodes`, in their order; the index is theirs.
    pub(crate) fn new(nodes: SharedNumbers<u32>, records: SharedNumbers<Packed>, index: OwnerIndex) -> Self {
        assert_eq!(nodes.len(), records.len(), "each owner has one record");
        Self { nodes, records, index }
    }

    /// The record of a node, if it has a list.
    pub(crate) fn get(&self, node: u32) -> Option<Record> {
        self.index.find(&self.nodes, node).map(|at| Record::from(self.records[at]))
    }

    /// All nodes with their records, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Packed)> + '_ {
        self.nodes.iter().copied().zip(self.records.iter().copied())
    }

    /// Prefetches the first value that [`Self::get`] reads.
    pub(crate) fn prefetch(&self, node: u32) {
        let (values, at) = self.index.first_read(node);
        prefetch(values, at);
    }
}
