//! All lists of a relation with nothing in between: for those who will read most of them.
//! Knows where lists lie; how they are encoded is theirs to know.

use std::sync::Arc;

use crate::adjacency::lists::Lists;
use crate::adjacency::overlay::Overlay;
use crate::adjacency::record::Packed;
use crate::fs::mmap::{Map, Slice};
use crate::graph::snapshot::Snapshot;
use crate::types::error::Error;
use crate::types::ids::RelationIx;

/// A copy of the records of all lists, and of the blocks of those that changed since the last checkpoint.
///
/// A changed list takes three or four reads more to be found, and lies by itself on a small page; walks over them take five
/// times as long. Here they cost what settled ones do.
#[derive(Debug)]
pub struct FlattenedLists {
    records: Slice<Packed>,
    apart: Slice<u32>,
    /// What the overlay of flat lists holds.
    nothing: Overlay,
}

impl FlattenedLists {
    /// The lists of a relation, flat; `None` where they are already.
    ///
    /// # Errors
    /// [`Error::Memory`] where the system gives none.
    ///
    /// # Panics
    /// When memory from the system is not aligned: a broken invariant of this crate.
    ///
    /// # Cost
    /// 16 bytes a node, and the size of the lists that changed.
    pub fn of(snapshot: &Snapshot, relation: RelationIx) -> Result<Option<Self>, Error> {
        let lists = snapshot.lists(relation);
        if lists.overlay.is_empty() {
            return Ok(None);
        }
        let mut words = 0;
        lists.overlay.for_each(&mut |_, list| words += list.as_list().record().words());
        let filled = |bytes: usize, fill: &mut dyn FnMut(&mut [u8])| {
            Map::filled(bytes.max(1), fill).map(Arc::new).map_err(|source| Error::Memory { bytes, source })
        };
        let bound = snapshot.bound() as usize;
        let record_bytes = bound * size_of::<Packed>();
        let mut heads = Vec::new();
        let apart = filled(4 * words, &mut |bytes| {
            let apart: &mut [u32] = bytemuck::cast_slice_mut(&mut bytes[..4 * words]);
            let mut start = 0;
            lists.overlay.for_each(&mut |node, list| {
                let list = list.as_list();
                let (record, end) = (list.record(), start + list.record().words());
                list.copy_words(&mut apart[start..end]);
                heads.push((node, if start == end { record } else { record.at(start as u64).apart() }));
                start = end;
            });
        })?;
        let records = filled(record_bytes, &mut |bytes| {
            let records: &mut [Packed] = bytemuck::cast_slice_mut(&mut bytes[..record_bytes]);
            records[..lists.records.len()].copy_from_slice(lists.records);
            for &(node, record) in &heads {
                records[node as usize] = record.into();
            }
        })?;
        let whole = "a map is aligned and as long as asked for";
        Ok(Some(Self {
            records: Slice::new(&records, 0..record_bytes).expect(whole),
            apart: Slice::new(&apart, 0..4 * words).expect(whole),
            nothing: Overlay::default(),
        }))
    }

    /// The lists, as those of the snapshot that they were made from.
    pub fn lists<'a>(&'a self, snapshot: &'a Snapshot, relation: RelationIx) -> Lists<'a> {
        Lists {
            overlay: &self.nothing,
            records: &self.records,
            apart: &self.apart,
            ..snapshot.lists(relation)
        }
    }
}
