//! The file `keys`: from a node to its key, from a stable id to a node, and the keys of a kind in order.
//! A slot table on the stable ids, not an fst, leads from name to node: it is needed anyway to see that two keys share
//! an id, takes 4 to 8 bytes a node and one or two reads, and makes the sorted order a plain array.

use std::path::Path;

use crate::map::Slice;
use crate::section::{SectionFile, SectionStream};
use crate::{CancelToken, Error, KindIx, NodeIx, StableId};

use super::check_offsets;

const KIND: [u8; 4] = *b"KEYS";
const VERSION: u32 = 1;
const FREE: u32 = u32::MAX;

/// The keys of all nodes.
#[derive(Debug)]
pub(crate) struct Keys {
    offsets: Slice<u64>,
    bytes: Slice<u8>,
    /// Linear probing from the top bits of the stable id on; a power of two, at most two thirds full.
    slots: Slice<u32>,
    /// All nodes by kind, then key.
    sorted: Slice<u32>,
}

fn slot_count(bound: u32) -> usize {
    (bound as usize * 3 / 2 + 2).next_power_of_two()
}

fn home(id: StableId, slots: usize) -> usize {
    (id.get() >> (64 - slots.trailing_zeros())) as usize
}

impl Keys {
    pub(crate) fn open(file: &SectionFile, bound: u32) -> Result<Self, Error> {
        file.require(KIND, VERSION)?;
        let keys = Self {
            offsets: file.slice(*b"offsets\0")?,
            bytes: file.slice(*b"bytes\0\0\0")?,
            slots: file.slice(*b"slots\0\0\0")?,
            sorted: file.slice(*b"sorted\0\0")?,
        };
        let damaged = |place: &str, what: &str| file.damaged(place, what);
        if keys.offsets.len() != bound as usize + 1 {
            return Err(damaged("section 'offsets'", "another number of nodes than in the file of nodes"));
        }
        check_offsets(&keys.offsets, keys.bytes.len()).map_err(|what| damaged("section 'offsets'", what))?;
        let text = std::str::from_utf8(&keys.bytes)
            .map_err(|_| damaged("section 'bytes'", "keys that are not UTF-8"))?;
        if keys.offsets.iter().any(|&at| !text.is_char_boundary(at as usize)) {
            return Err(damaged("section 'offsets'", "a key that ends inside a character"));
        }
        let taken = keys.slots.iter().filter(|&&node| node != FREE);
        if keys.slots.len() != slot_count(bound)
            || taken.clone().count() != bound as usize
            || taken.clone().any(|&node| node >= bound)
        {
            return Err(damaged("section 'slots'", "it does not hold every node once"));
        }
        if keys.sorted.len() != bound as usize || keys.sorted.iter().any(|&node| node >= bound) {
            return Err(damaged("section 'sorted'", "it does not hold every node once"));
        }
        Ok(keys)
    }

    /// The key of a node.
    pub(crate) fn key(&self, node: NodeIx) -> &str {
        let (start, end) = (self.offsets[node.index()] as usize, self.offsets[node.index() + 1] as usize);
        std::str::from_utf8(&self.bytes[start..end]).expect("keys are checked when the file is opened")
    }

    /// The nodes whose stable id may be this one: those from its home slot on.
    pub(crate) fn candidates(&self, id: StableId) -> impl Iterator<Item = NodeIx> {
        let last = self.slots.len() - 1;
        let start = home(id, self.slots.len());
        let slots = (0..=last).map(move |step| self.slots[(start + step) & last]);
        slots.take_while(|&node| node != FREE).map(NodeIx::new)
    }

    /// The nodes of a kind whose keys begin with `prefix`, by key.
    pub(crate) fn with_prefix(
        &self,
        kind: KindIx,
        prefix: &str,
        kind_of: impl Fn(NodeIx) -> KindIx + Copy,
    ) -> impl Iterator<Item = NodeIx> {
        let key = |node: u32| (kind_of(NodeIx::new(node)), self.key(NodeIx::new(node)));
        let start = self.sorted.partition_point(|&node| key(node) < (kind, prefix));
        self.sorted[start..]
            .iter()
            .map(|&node| NodeIx::new(node))
            .take_while(move |&node| kind_of(node) == kind && self.key(node).starts_with(prefix))
    }

    /// Writes the file for all nodes below `bound`.
    ///
    /// # Cost
    /// 16 bytes of memory a node, and a sort of the keys.
    pub(crate) fn write<'a>(
        path: &Path,
        bound: u32,
        what: impl Fn(NodeIx) -> (KindIx, StableId, &'a str),
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        let mut stream = SectionStream::create(path, KIND, VERSION, 4)?;
        let nodes = || (0..bound).map(NodeIx::new);
        stream.begin(*b"offsets\0")?;
        let mut end = 0_u64;
        stream.write(&end.to_le_bytes())?;
        for node in nodes() {
            end += what(node).2.len() as u64;
            stream.write(&end.to_le_bytes())?;
        }
        cancel.check()?;
        stream.begin(*b"bytes\0\0\0")?;
        for node in nodes() {
            stream.write(what(node).2.as_bytes())?;
        }
        cancel.check()?;
        let mut slots = vec![FREE; slot_count(bound)];
        for node in nodes() {
            let mut slot = home(what(node).1, slots.len());
            while slots[slot] != FREE {
                slot = (slot + 1) & (slots.len() - 1);
            }
            slots[slot] = node.get();
        }
        stream.begin(*b"slots\0\0\0")?;
        stream.write(bytemuck::cast_slice(&slots))?;
        drop(slots);
        cancel.check()?;
        let mut sorted: Vec<u32> = (0..bound).collect();
        sorted.sort_unstable_by_key(|&node| {
            let (kind, _, key) = what(NodeIx::new(node));
            (kind, key)
        });
        stream.begin(*b"sorted\0\0")?;
        stream.write(bytemuck::cast_slice(&sorted))?;
        cancel.check()?;
        stream.finish()
    }
}
