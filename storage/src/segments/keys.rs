//! The file `keys`: the key of each node, a table from stable id to node, and the nodes of each kind in order of key.
//! The table is a hash table on stable ids, not an fst: a hash table is needed anyway to detect two keys with one id.
//! It takes 4 to 8 bytes a node and one or two reads, and leaves the sorted order a plain array.

use std::ops::Range;

use rayon::prelude::*;

use crate::fs::disk::Target;
use crate::fs::header::Fingerprint;
use crate::fs::mmap::SharedNumbers;
use crate::fs::prefetch::prefetch;
use crate::fs::section::SectionFile;
use crate::fs::section_stream::SectionStream;
use crate::types::cancel::CancelToken;
use crate::types::error::Error;
use crate::types::ids::{KindIx, NodeIx, StableId};

use crate::segments::check_offsets;

const KIND: [u8; 4] = *b"KEYS";
const VERSION: u32 = 1;
pub(crate) const FREE: u32 = u32::MAX;
/// The number of nodes by which a slot is prefetched: with 15 million nodes an insertion takes 18 ns instead of 75.
const AHEAD: u32 = 16;
/// Bytes of a key that are compared at once.
const CHUNK: usize = 8;

/// The keys of all nodes.
#[derive(Debug)]
pub(crate) struct Keys {
    offsets: SharedNumbers<u64>,
    bytes: SharedNumbers<u8>,
    /// The hash table: linear probing from the top bits of the stable id; a power of two of slots, at most two thirds
    /// full.
    slots: SharedNumbers<u32>,
    /// All nodes by kind, then by key.
    sorted: SharedNumbers<u32>,
}

pub(crate) fn slot_count(bound: u32) -> usize {
    (bound as usize * 3 / 2 + 2).next_power_of_two()
}

/// Inserts nodes into slots, each into the first free slot from its home on.
///
/// # Errors
/// The first node for which `is_same` holds with a node on its way, and that node.
pub(crate) fn insert_nodes(
    slots: &mut [u32],
    nodes: Range<u32>,
    id: impl Fn(u32) -> StableId,
    is_same: impl Fn(u32, u32) -> bool,
) -> Result<(), (u32, u32)> {
    let count = slots.len();
    for node in nodes.clone() {
        if nodes.end - node > AHEAD {
            prefetch(slots, home(id(node + AHEAD), count));
        }
        let mut slot = home(id(node), count);
        while slots[slot] != FREE {
            if is_same(node, slots[slot]) {
                return Err((node, slots[slot]));
            }
            slot = (slot + 1) & (count - 1);
        }
        slots[slot] = node;
    }
    Ok(())
}

/// The first slot in which a node is looked up.
pub(crate) fn home(id: StableId, slots: usize) -> usize {
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
            return Err(damaged(
                "section 'offsets'",
                "a number of nodes that differs from the file of nodes",
            ));
        }
        if file.was_verified() {
            return Ok(keys);
        }
        check_offsets(&keys.offsets, keys.bytes.len()).map_err(|what| damaged("section 'offsets'", what))?;
        let text = std::str::from_utf8(&keys.bytes)
            .map_err(|_| damaged("section 'bytes'", "keys that are not UTF-8"))?;
        if keys.offsets.iter().any(|&at| !text.is_char_boundary(at as usize)) {
            return Err(damaged("section 'offsets'", "a key that ends inside a character"));
        }
        let occupied = keys.slots.iter().filter(|&&node| node != FREE);
        if keys.slots.len() != slot_count(bound)
            || occupied.clone().count() != bound as usize
            || occupied.clone().any(|&node| node >= bound)
        {
            return Err(damaged("section 'slots'", "it does not hold each node once"));
        }
        if keys.sorted.len() != bound as usize || keys.sorted.iter().any(|&node| node >= bound) {
            return Err(damaged("section 'sorted'", "it does not hold each node once"));
        }
        Ok(keys)
    }

    /// The key of a node.
    pub(crate) fn key(&self, node: NodeIx) -> &str {
        let (start, end) = (self.offsets[node.index()] as usize, self.offsets[node.index() + 1] as usize);
        std::str::from_utf8(&self.bytes[start..end]).expect("keys are checked when the file is opened")
    }

    /// The nodes that may have this stable id: those from its home slot up to the first free slot.
    pub(crate) fn candidates(&self, id: StableId) -> impl Iterator<Item = NodeIx> {
        let last = self.slots.len() - 1;
        let start = home(id, self.slots.len());
        let slots = (0..=last).map(move |step| self.slots[(start + step) & last]);
        slots.take_while(|&node| node != FREE).map(NodeIx::new)
    }

    /// The nodes of a kind whose keys begin with `prefix`, in order of key.
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
    /// 20 bytes of memory a node, and a sort of the keys. The sort reads each key once for every 8 bytes that do not
    /// yet distinguish it from all others.
    pub(crate) fn write<'a>(
        to: Target<'_>,
        bound: u32,
        what: impl Fn(NodeIx) -> (KindIx, StableId, &'a str) + Sync,
        cancel: &CancelToken,
    ) -> Result<Fingerprint, Error> {
        let mut stream = SectionStream::create(to, KIND, VERSION, 4)?;
        let nodes = || (0..bound).map(NodeIx::new);
        // Building the table and the order takes about as long as writing the keys.
        let stage = cancel.stage("keys", 4 * u64::from(bound));
        // The ends of the keys, and their bytes.
        stream.begin(*b"offsets\0")?;
        let mut end = 0_u64;
        stream.write(&end.to_le_bytes())?;
        for node in nodes() {
            stage.advance(1)?;
            end += what(node).2.len() as u64;
            stream.write(&end.to_le_bytes())?;
        }
        stream.begin(*b"bytes\0\0\0")?;
        for node in nodes() {
            stage.advance(1)?;
            stream.write(what(node).2.as_bytes())?;
        }
        // The hash table.
        let mut slots = vec![FREE; slot_count(bound)];
        let id = |node| what(NodeIx::new(node)).1;
        insert_nodes(&mut slots, 0..bound, id, |_, _| false).expect("two nodes are never the same");
        stream.begin(*b"slots\0\0\0")?;
        stream.write(bytemuck::cast_slice(&slots))?;
        drop(slots);
        stage.advance(u64::from(bound))?;
        // The order by kind, then by key.
        let mut sorted: Vec<u32> = (0..bound).collect();
        sorted.sort_by_key(|&node| what(NodeIx::new(node)).0);
        for kind in sorted.chunk_by_mut(|&one, &other| what(NodeIx::new(one)).0 == what(NodeIx::new(other)).0)
        {
            sort_by_key_bytes(kind, |node| what(NodeIx::new(node)).2.as_bytes());
            stage.advance(kind.len() as u64)?;
        }
        stream.begin(*b"sorted\0\0")?;
        stream.write(bytemuck::cast_slice(&sorted))?;
        stage.end();
        stream.finish()
    }
}

/// Sorts nodes by the bytes of their keys, which all differ.
fn sort_by_key_bytes<'a>(nodes: &mut [u32], key: impl Fn(u32) -> &'a [u8] + Sync) {
    let mut items: Vec<Chunk> = nodes.iter().map(|&node| Chunk { bytes: 0, rest: 0, node }).collect();
    sort_chunks(&mut items, 0, &key);
    nodes.iter_mut().zip(items).for_each(|(node, item)| *node = item.node);
}

/// A node with the next bytes of its key, so that comparing two nodes reads no key.
struct Chunk {
    /// The next eight bytes, the first one highest; zeros after the end of the key.
    bytes: u64,
    /// The number of bytes left, capped at nine.
    rest: u8,
    node: u32,
}

fn sort_chunks<'a>(items: &mut [Chunk], depth: usize, key: &(impl Fn(u32) -> &'a [u8] + Sync)) {
    items.par_iter_mut().with_min_len(1024).for_each(|item| {
        let rest = &key(item.node)[depth..];
        let mut bytes = [0; CHUNK];
        let known = rest.len().min(CHUNK);
        bytes[..known].copy_from_slice(&rest[..known]);
        (item.bytes, item.rest) = (u64::from_be_bytes(bytes), rest.len().min(CHUNK + 1) as u8);
    });
    items.par_sort_unstable_by_key(|item| (item.bytes, item.rest));
    // Of keys with equal bytes, those that end here come first, shorter ones before longer ones; the others are
    // compared further.
    for equal in items.chunk_by_mut(|one, other| (one.bytes, one.rest) == (other.bytes, other.rest)) {
        if equal.len() > 1 && usize::from(equal[0].rest) > CHUNK {
            sort_chunks(equal, depth + CHUNK, key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_by_their_bytes_however_long_their_common_beginnings_are() {
        let mut seed = 5_u64;
        let mut next = move |bound: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % bound
        };
        let mut keys: Vec<String> = (0..3000)
            .map(|_| {
                let beginning = ["", "a", "a\0", "https://example.org/pins/", "\u{e9}"][next(5) as usize];
                let end: String =
                    (0..next(20)).map(|_| ['\0', 'a', 'b', '\u{ff}'][next(4) as usize]).collect();
                format!("{beginning}{end}")
            })
            .collect();
        keys.sort_by_key(|key| xxhash_rust::xxh3::xxh3_64(key.as_bytes()));
        keys.dedup();
        let mut nodes: Vec<u32> = (0..keys.len() as u32).collect();
        sort_by_key_bytes(&mut nodes, |node| keys[node as usize].as_bytes());
        let found: Vec<&String> = nodes.iter().map(|&node| &keys[node as usize]).collect();
        let mut expected: Vec<&String> = keys.iter().collect();
        expected.sort();
        assert_eq!(found, expected);
    }
}
