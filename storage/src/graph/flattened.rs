//! All lists of a relation without an overlay: for readers of most of them.
//! Knows where lists lie; knows nothing of their encoding.

use std::sync::Arc;

use crate::adjacency::lists::Lists;
use crate::adjacency::overlay::Overlay;
use crate::adjacency::owners::Owners;
use crate::adjacency::record::Packed;
use crate::adjacency::relation_records::{OwnerRecords, RelationRecords};
use crate::fs::mmap::{Map, SharedNumbers};
use crate::graph::snapshot::Snapshot;
use crate::types::error::Error;
use crate::types::ids::{NodeIx, RelationIx};

/// A copy of the records of all lists, and of the blocks of those that changed since the last checkpoint.
///
/// A changed list takes three or four more reads to find, and lies alone on a small page; walks over such lists take
/// five times as long. Flattened, they are as fast as checkpointed lists.
#[derive(Debug)]
pub struct FlattenedLists {
    records: RelationRecords,
    copied_words: SharedNumbers<u32>,
    /// The empty overlay of the flattened lists.
    empty_overlay: Overlay,
}

impl FlattenedLists {
    /// The flattened lists of a relation; `None` where no list changed.
    ///
    /// # Errors
    /// [`Error::Memory`] where the system has no memory to give.
    ///
    /// # Panics
    /// When memory from the system is not aligned: a broken invariant of this crate.
    ///
    /// # Cost
    /// 16 bytes a node, or 24 bytes a list where fewer than one node in eight has one; and the size of the changed lists.
    pub fn of(snapshot: &Snapshot, relation: RelationIx) -> Result<Option<Self>, Error> {
        let lists = snapshot.lists(relation);
        if lists.overlay.is_empty() {
            return Ok(None);
        }
        // The blocks of changed lists, one after another, and their records.
        let mut words = 0;
        lists.overlay.for_each(&mut |_, list| words += list.as_list().record().words());
        let allocate = |bytes: usize, fill: &mut dyn FnMut(&mut [u8])| {
            Map::allocate(bytes.max(1), fill).map(Arc::new).map_err(|source| Error::Memory { bytes, source })
        };
        let mut heads = Vec::new();
        let copied_words = allocate(4 * words, &mut |bytes| {
            let copied_words: &mut [u32] = bytemuck::cast_slice_mut(&mut bytes[..4 * words]);
            let mut start = 0;
            lists.overlay.for_each(&mut |node, list| {
                let list = list.as_list();
                let (record, end) = (list.record(), start + list.record().words());
                list.copy_words(&mut copied_words[start..end]);
                let record = if start == end { record } else { record.at(start as u64).copied() };
                heads.push((node, Packed::from(record)));
                start = end;
            });
        })?;
        // The records of all lists, with those of changed lists replaced.
        let owners = lists.owners(snapshot.bound());
        let record_bytes = owners.count() * size_of::<Packed>();
        let records = allocate(record_bytes, &mut |bytes| {
            let records: &mut [Packed] = bytemuck::cast_slice_mut(&mut bytes[..record_bytes]);
            match owners {
                // At once, where both stand by node.
                Owners::All(_) if lists.owner_records.is_none() => {
                    records[..lists.records.len()].copy_from_slice(lists.records);
                }
                Owners::All(_) | Owners::Few(..) => put(records, &owners, lists.checkpointed()),
            }
            put(records, &owners, heads.iter().copied());
        })?;
        let valid = "a map is aligned and as long as asked for";
        let records = SharedNumbers::new(&records, 0..record_bytes).expect(valid);
        let records = match owners {
            Owners::All(_) => RelationRecords::ByNode(records),
            Owners::Few(few, index) => {
                let nodes = allocate(4 * few.len(), &mut |bytes| {
                    bytes[..4 * few.len()].copy_from_slice(bytemuck::cast_slice(&few));
                })?;
                let nodes = SharedNumbers::new(&nodes, 0..4 * few.len()).expect(valid);
                RelationRecords::ByOwner(OwnerRecords::new(nodes, records, index))
            }
        };
        Ok(Some(Self {
            records,
            copied_words: SharedNumbers::new(&copied_words, 0..4 * words).expect(valid),
            empty_overlay: Overlay::default(),
        }))
    }

    /// The lists, as those of the snapshot that they were made from.
    pub fn lists<'a>(&'a self, snapshot: &'a Snapshot, relation: RelationIx) -> Lists<'a> {
        let (records, owner_records) = self.records.parts();
        Lists {
            overlay: &self.empty_overlay,
            records,
            owner_records,
            copied_words: &self.copied_words,
            ..snapshot.lists(relation)
        }
    }
}

/// Replaces the records of some owners; other nodes have none.
fn put(records: &mut [Packed], owners: &Owners, of_nodes: impl Iterator<Item = (u32, Packed)>) {
    for (node, record) in of_nodes {
        if let Some(at) = owners.record(NodeIx::new(node)) {
            records[at] = record;
        }
    }
}
