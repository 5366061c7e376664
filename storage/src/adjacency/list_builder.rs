//! A list that owns its words: builds one from entries or from changes to another.
//! Writes the encoding that [`List`] reads.

use std::borrow::Cow;
use std::sync::Arc;

use crate::adjacency::chunked_list::ChunkedList;
use crate::adjacency::classed_list::{ClassEncoder, ClassedList};
use crate::adjacency::list::{DividedList, List};
use crate::adjacency::list::{MAX_DEGREE, NO_TIME};
use crate::adjacency::record::Record;
use crate::adjacency::slot_table;
use crate::adjacency::slot_table::{FREE, GROUP_BITS, Placement, SliceTable, occupied, slot_bits};
use crate::types::ids::{NodeIx, StableId};
use crate::types::weights::relation_options::HalfLife;

/// Tables of at least this many slots, as a power of two, are chunked: a change rewrites one chunk. Shorter lists are
/// rewritten in full.
///
/// A commit takes the same either way at 250 neighbors. Chunked, it takes 29 instead of 42 microseconds at 500
/// neighbors, and 33 instead of 176 at 4000. Lists below stay contiguous, which readers prefer.
const CHUNKED_BITS: u32 = if cfg!(test) { 8 } else { 11 };
/// The number of neighbors that are rewritten in the time of one change to a chunked list: 3 to 7 microseconds.
const REWRITE_FACTOR: usize = 64;

/// The weight and the time of an edge.
pub(crate) type WeightTime = (f32, Option<i64>);
/// A neighbor with the weight and the time of its edge.
pub(crate) type Neighbor = (NodeIx, f32, Option<i64>);
/// A neighbor, its stable id, and the new values of its edge; `None` removes the edge.
pub(crate) type Change = (NodeIx, StableId, Option<WeightTime>);

/// A neighbor with the values of its edge: the input of [`ListBuilder::build`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ListEntry {
    /// The neighbor.
    pub node: NodeIx,
    /// Its stable id, which decides its slot.
    pub id: StableId,
    /// The edge's weight, finite and above 0.
    pub weight: f32,
    /// The edge's time; `i64::MIN` is not a time.
    pub time: Option<i64>,
}

/// An owned list; clones share the block.
#[derive(Clone, Debug)]
pub struct ListBuilder {
    record: Record,
    block: Block,
}

#[derive(Clone, Debug)]
enum Block {
    Contiguous(Arc<[u32]>),
    Divided(Arc<DividedList>),
}

impl PartialEq for ListBuilder {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record && self.as_list().words() == other.as_list().words()
    }
}

impl Eq for ListBuilder {}

impl ListBuilder {
    /// Encodes the list of the node with stable id `owner`; the order of `entries` does not matter.
    ///
    /// # Panics
    /// When there are more entries than [`MAX_DEGREE`]; a store refuses such a batch earlier.
    ///
    /// # Cost
    /// Some four steps an entry, and a sort of three in ten entries.
    pub fn build(owner: StableId, entries: Vec<ListEntry>) -> Self {
        Self::build_fading(owner, entries, None)
    }

    /// As [`Self::build`]; with a half-life, the weights fade.
    pub(crate) fn build_fading(
        owner: StableId,
        mut entries: Vec<ListEntry>,
        half_life: Option<HalfLife>,
    ) -> Self {
        assert!(entries.len() <= MAX_DEGREE as usize, "a commit refuses degrees over the limit");
        if let Some(half_life) = half_life {
            let entry = |at: usize| {
                let ListEntry { node, id, weight, time } = entries[at];
                (id, (node, weight, time))
            };
            let mut words = Vec::new();
            let record = ClassEncoder::default().encode(&mut words, (owner, half_life), entries.len(), entry);
            return Self { record, block: Block::Contiguous(words.into()) };
        }
        let bits = slot_bits(entries.len());
        let mut placement = Placement::default();
        let mut place = |entries: &[ListEntry]| {
            let ids: Vec<StableId> = entries.iter().map(|entry| entry.id).collect();
            placement.place(&ids, bits)
        };
        if !place(&entries) {
            // In a store all ids differ; for equal ids, the node numbers decide.
            entries.sort_by_key(|entry| (entry.id, entry.node));
            place(&entries);
        }
        let value = |at: usize| (entries[at].node, entries[at].weight, entries[at].time);
        Self::encode(owner, placement.table(), value)
    }

    /// A list that lies in one block, copied.
    pub(crate) fn copy_of(list: &List<'_>) -> Self {
        Self { record: list.record().at(0), block: Block::Contiguous(list.words().into()) }
    }

    /// The list `old` of a relation with this half-life after changes.
    ///
    /// The result equals [`Self::build`] of the resulting entries. While the table keeps its size, only the ids of
    /// neighbors on the path of a change are read: reading all ids took 30 % of a commit, in cache misses.
    pub(crate) fn edit(
        owner: StableId,
        old: List<'_>,
        changes: &[Change],
        half_life: Option<HalfLife>,
        id_of: impl Fn(NodeIx) -> StableId + Copy,
    ) -> Self {
        if let Some(half_life) = half_life {
            return Self::edit_fading(owner, old, changes, half_life, id_of);
        }
        // The degree after the changes.
        let positions: Vec<Option<usize>> =
            changes.iter().map(|&(node, id, _)| old.position(node, id)).collect();
        let mut degree = old.degree();
        for ((.., new), position) in changes.iter().zip(&positions) {
            match (position, new) {
                (None, Some(_)) => degree += 1,
                (Some(_), None) => degree -= 1,
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
        assert!(degree <= MAX_DEGREE as usize, "a commit refuses degrees over the limit");
        // Short lists, and many changes at once: the list is rewritten.
        if old.slot_bits() < CHUNKED_BITS
            || slot_bits(degree) < CHUNKED_BITS
            || changes.len() * REWRITE_FACTOR > old.degree()
        {
            return Self::rewrite(owner, old, degree, (changes, &positions), id_of);
        }
        // Long lists: the chunks on the path of the changes are rewritten, all of them only when the table's size
        // changes.
        let old_chunks = old.chunks().map_or_else(|| Cow::Owned(ChunkedList::split(&old)), Cow::Borrowed);
        let chunks = old_chunks.edit(changes, degree, id_of).unwrap_or_else(|| {
            let rewritten = Self::rewrite(owner, old, degree, (changes, &positions), id_of);
            ChunkedList::split(&rewritten.as_list()).with_alternate(&old_chunks, changes, id_of)
        });
        Self::divided(chunks.record(owner), DividedList::Chunked(chunks))
    }

    /// As [`Self::edit`], where weights fade.
    fn edit_fading(
        owner: StableId,
        old: List<'_>,
        changes: &[Change],
        half_life: HalfLife,
        id_of: impl Fn(NodeIx) -> StableId + Copy,
    ) -> Self {
        let list = ClassedList::split(&old, half_life).edit(changes, id_of);
        let record = list.record(owner);
        if slot_bits(list.degree()) >= CHUNKED_BITS {
            return Self::divided(record, DividedList::Classed(list));
        }
        let mut words = vec![0; record.words()];
        list.fill(&mut words);
        Self { record, block: Block::Contiguous(words.into()) }
    }

    fn divided(record: Record, list: DividedList) -> Self {
        Self { record, block: Block::Divided(Arc::new(list)) }
    }

    /// Rewrites the list `old` with changes at these positions.
    fn rewrite(
        owner: StableId,
        old: List<'_>,
        degree: usize,
        (changes, positions): (&[Change], &[Option<usize>]),
        id_of: impl Fn(NodeIx) -> StableId,
    ) -> Self {
        // Another table size: the table is built from all entries.
        let mut values: Vec<Neighbor> = old.iter().collect();
        if old.is_empty() || slot_bits(degree) != old.slot_bits() {
            let mut removed = vec![false; values.len()];
            positions.iter().flatten().for_each(|&at| removed[at] = true);
            let remaining =
                values.iter().zip(removed).filter(|(_, removed)| !removed).map(|(value, _)| *value);
            let mut entries: Vec<ListEntry> = remaining
                .map(|(node, weight, time)| ListEntry { node, id: id_of(node), weight, time })
                .collect();
            entries.extend(changes.iter().filter_map(|&(node, id, new)| {
                new.map(|(weight, time)| ListEntry { node, id, weight, time })
            }));
            return Self::build(owner, entries);
        }
        // The same table size: the table is changed in place.
        let mut table: Vec<u32> =
            (0..1 << old.slot_bits()).map(|slot| old.at_slot(slot).map_or(FREE, |at| at as u32)).collect();
        // Removals come first, so that the table never overflows. Neighbors that stay keep their index.
        for (&(_, id, new), &position) in changes.iter().zip(positions) {
            match (position, new) {
                (Some(at), Some((weight, time))) => (values[at].1, values[at].2) = (weight, time),
                (Some(at), None) => {
                    let mut requested = (0..).map(|round| slot_table::slot(id, old.slot_bits(), round));
                    let slot =
                        requested.find(|&slot| table[slot] == at as u32).expect("it was not removed yet");
                    let id = |at: u32| id_of(values[at as usize].0);
                    slot_table::remove(&mut SliceTable { slots: &mut table, id }, slot);
                }
                (None, _) => {}
            }
        }
        for (&(node, _, new), position) in changes.iter().zip(positions) {
            let (Some((weight, time)), None) = (new, position) else { continue };
            values.push((node, weight, time));
            let id = |at: u32| id_of(values[at as usize].0);
            slot_table::insert(&mut SliceTable { slots: &mut table, id }, values.len() as u32 - 1);
        }
        Self::encode(owner, &table, |at| values[at])
    }

    fn encode(owner: StableId, table: &[u32], value: impl Fn(usize) -> Neighbor) -> Self {
        let mut words = Vec::new();
        let record = encode_into(&mut words, owner, table, value);
        Self { record, block: Block::Contiguous(words.into()) }
    }

    /// The list, borrowed.
    #[inline]
    pub fn as_list(&self) -> List<'_> {
        match &self.block {
            Block::Contiguous(words) => List::new(self.record, words),
            Block::Divided(parts) => List::divided(self.record, parts),
        }
    }
}

/// Appends the block for a slot table of indices, and returns its record with start 0.
pub(crate) fn encode_into(
    words: &mut Vec<u32>,
    owner: StableId,
    table: &[u32],
    value: impl Fn(usize) -> Neighbor,
) -> Record {
    // The shape of the block: degree, weights, times.
    let (mut degree, mut largest) = (0, 0.0_f32);
    let (mut is_weighted, mut is_timed) = (false, false);
    each_occupied(table, |at| {
        let (_, weight, time) = value(at);
        degree += 1;
        is_weighted |= weight.to_bits() != 1.0_f32.to_bits();
        is_timed |= time.is_some();
        largest = largest.max(weight);
    });
    if degree == 0 {
        return Record::default();
    }
    // The record: occupied slots of a small table, or the degree.
    let bits = table.len().trailing_zeros();
    let summary = if bits <= GROUP_BITS { occupied(table, 1 << (GROUP_BITS - bits)) } else { degree };
    let record = Record::new(owner, bits, is_weighted, is_timed, summary);
    words.reserve(record.words());
    // The block: exponent, groups, neighbors, weights, times.
    if is_weighted {
        words.push(exponent_above(largest) as u32);
    }
    if bits > GROUP_BITS {
        let mut rank = 0;
        for group in table.chunks_exact(1 << GROUP_BITS) {
            let bits = occupied(group, 1);
            words.extend([bits as u32, (bits >> 32) as u32, rank]);
            rank += bits.count_ones();
        }
    }
    each_occupied(table, |at| words.push(value(at).0.get()));
    if is_weighted {
        each_occupied(table, |at| words.push(value(at).1.to_bits()));
    }
    if is_timed {
        each_occupied(table, |at| {
            let time = value(at).2.unwrap_or(NO_TIME) as u64;
            words.extend([time as u32, (time >> 32) as u32]);
        });
    }
    record
}

/// Calls `visit` with the index in each occupied slot, in order.
fn each_occupied(table: &[u32], mut visit: impl FnMut(usize)) {
    for group in table.chunks(1 << GROUP_BITS) {
        let mut bits = occupied(group, 1);
        while bits != 0 {
            visit(group[bits.trailing_zeros() as usize] as usize);
            bits &= bits - 1;
        }
    }
}

/// The smallest `e` with `weight <= 2^e`, for a finite weight above 0; exact.
pub(crate) fn exponent_above(weight: f32) -> i32 {
    let (bits, shift) = if weight.is_normal() {
        (weight.to_bits(), 0)
    } else {
        // Scaling by a power of two is exact and makes a subnormal weight normal.
        ((weight * 16_777_216.0).to_bits(), 24)
    };
    let exponent = (bits >> 23) as i32 - 127 - shift;
    if bits.trailing_zeros() >= 23 { exponent } else { exponent + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adjacency::record::Packed;
    use hedgerow_test_support::Random;

    fn entries(ids: &[u64]) -> Vec<ListEntry> {
        let entry = |(at, &id): (usize, &u64)| ListEntry {
            node: NodeIx::new(at as u32),
            id: StableId::new(id),
            weight: 1.0,
            time: None,
        };
        ids.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn neighbors_are_found_and_in_any_order_the_block_is_the_same() {
        let mut random = Random::new(7);
        for round in 0..400 {
            let degree = 1 + random.next() as usize % 190;
            // Every third round crowds the ids at the end of the range, so that groups overflow and wrap around.
            let crowd = if round % 3 == 0 { 0xff00_0000_0000_0000 } else { 0 };
            let ids: Vec<u64> = (0..degree).map(|_| random.next() | crowd).collect();
            let list = ListBuilder::build(StableId::new(9), entries(&ids));
            let view = list.as_list();
            let (record, words) = view.parts();
            assert_eq!(List::check(record, &words, degree as u32), Ok(()));
            let mut backwards = entries(&ids);
            backwards.reverse();
            assert_eq!(ListBuilder::build(StableId::new(9), backwards), list, "round {round}");
            let occupied: Vec<usize> =
                (0..1 << view.slot_bits()).filter_map(|slot| view.at_slot(slot)).collect();
            assert_eq!(occupied, (0..degree).collect::<Vec<_>>(), "round {round}");
            for (at, &id) in ids.iter().enumerate() {
                let node = NodeIx::new(at as u32);
                let position = view.position(node, StableId::new(id)).expect("is in the list");
                assert_eq!(view.neighbor(position), node);
            }
            assert_eq!(view.position(NodeIx::new(degree as u32), StableId::new(ids[0])), None);
        }
    }

    /// The slots that a hash names, read one by one as documented.
    #[test]
    fn a_hash_draws_the_first_taken_slot_that_it_names() {
        let mut random = Random::new(13);
        for degree in [1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65, 500, 32_768, 32_769] {
            let ids: Vec<u64> = (0..degree).map(|_| random.next()).collect();
            let list = ListBuilder::build(StableId::new(9), entries(&ids));
            let view = list.as_list();
            let bits = view.slot_bits();
            let width = [8, 16, 32][usize::from(bits > 6) + usize::from(bits > 16)];
            let order: &[u32] = match width {
                8 => &[1, 5, 3, 7, 2, 6, 4, 8],
                16 => &[1, 3, 2, 4],
                _ => &[1, 2],
            };
            for _ in 0..200 {
                let hash = random.next();
                let named = order.iter().map(|nth| hash >> (64 - nth * width) & (u64::MAX >> (64 - width)));
                let mut slots = named.map(|chunk| chunk >> (width - bits));
                let expected = slots.find_map(|slot| view.at_slot(slot as usize));
                assert_eq!(view.at_hash(hash), expected, "degree {degree}");
            }
        }
        assert_eq!(List::empty().at_hash(u64::MAX), None);
    }

    #[test]
    fn an_edited_list_is_the_one_that_is_built_anew() {
        let mut random = Random::new(11);
        for round in 0..300 {
            let crowd = if round % 3 == 0 { 0xff00_0000_0000_0000 } else { 0 };
            let ids: Vec<StableId> = (0..120).map(|_| StableId::new(random.next() | crowd)).collect();
            let mut model = std::collections::BTreeMap::new();
            let mut list = ListBuilder::build(StableId::new(9), Vec::new());
            for step in 0..20 {
                let mut changes = std::collections::BTreeMap::new();
                for _ in 0..=random.next() % 24 {
                    let node = NodeIx::new((random.next() % 120) as u32);
                    let weight = if round % 2 == 0 { 1.0 } else { 1.0 + (random.next() % 2) as f32 };
                    let time = random.next().is_multiple_of(40).then_some(5);
                    let is_new = random.next().is_multiple_of(2);
                    changes.insert(node, is_new.then_some((weight, time)));
                }
                for (&node, &new) in &changes {
                    match new {
                        Some(new) => drop(model.insert(node, new)),
                        None => drop(model.remove(&node)),
                    }
                }
                let changes: Vec<_> =
                    changes.into_iter().map(|(node, new)| (node, ids[node.index()], new)).collect();
                list = ListBuilder::edit(StableId::new(9), list.as_list(), &changes, None, |node| {
                    ids[node.index()]
                });
                let entry = |(&node, &(weight, time)): (&NodeIx, &WeightTime)| ListEntry {
                    node,
                    id: ids[node.index()],
                    weight,
                    time,
                };
                let anew = ListBuilder::build(StableId::new(9), model.iter().map(entry).collect());
                assert_eq!(list, anew, "round {round}, step {step}");
            }
        }
    }

    #[test]
    fn weights_and_times_are_stored_only_where_needed() {
        let mut three = entries(&[5, 1 << 63, u64::MAX]);
        let plain = ListBuilder::build(StableId::new(0x1_0000_0002), three.clone());
        assert_eq!(plain.as_list().parts().1.len(), 3);
        assert_eq!(plain.as_list().weight(2).to_bits(), 1.0_f32.to_bits());
        three[1].weight = 2.5;
        three[2].time = Some(-7);
        let full = ListBuilder::build(StableId::new(1), three.clone());
        let view = full.as_list();
        let (record, words) = view.parts();
        assert_eq!(List::check(record, &words, 3), Ok(()));
        assert_eq!(view.max_weight_exponent(), 2);
        let mut read: Vec<ListEntry> = view
            .iter()
            .map(|(node, weight, time)| ListEntry { node, id: three[node.index()].id, weight, time })
            .collect();
        read.sort_by_key(|entry| entry.node);
        assert_eq!(read, three);
    }

    #[test]
    fn the_largest_weight_is_rounded_up_to_a_power_of_two() {
        let cases = [(1.0, 0), (1.5, 1), (2.0, 1), (0.75, 0), (0.5, -1), (f32::MAX, 128)];
        for (weight, exponent) in cases {
            assert_eq!(exponent_above(weight), exponent, "{weight}");
        }
        assert_eq!(exponent_above(f32::from_bits(1)), -149);
        assert_eq!(exponent_above(f32::from_bits(3)), -147);
    }

    #[test]
    fn every_flipped_bit_of_the_frame_is_refused_or_harmless_to_readers() {
        for degree in [3, 40, 60] {
            let ids: Vec<u64> = (0..degree).map(|n| n << 58 | n).collect();
            let block = ListBuilder::build(StableId::new(3), entries(&ids));
            let (record, words) = block.as_list().parts();
            let frame: Vec<u32> =
                bytemuck::cast_slice(&[Packed::from(record)]).iter().chain(&*words).copied().collect();
            for bit in 0..frame.len() * 32 {
                let mut torn = frame.clone();
                torn[bit / 32] ^= 1 << (bit % 32);
                let record: Packed = bytemuck::pod_read_unaligned(bytemuck::cast_slice(&torn[..4]));
                let record = Record::from(record);
                if List::check(record, &torn[4..], degree as u32).is_ok() {
                    let list = List::new(record, &torn[4..]);
                    assert_eq!(list.iter().count(), list.degree());
                }
            }
        }
    }

    #[test]
    fn an_empty_list_has_nobody() {
        let list = ListBuilder::build(StableId::new(3), Vec::new());
        for view in [list.as_list(), List::empty()] {
            assert!(view.is_empty() && view.iter().next().is_none());
            assert_eq!((view.salt(), view.slot_bits()), (0, 0));
            assert_eq!(view.position(NodeIx::new(0), StableId::new(0)), None);
        }
    }
}
