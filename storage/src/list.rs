//! A neighbour list: one block of words with a slot table, the same on disk, in memory and in the overlay.
//! Owns the encoding, byte for byte as in FORMAT.md; knows nothing of where the blocks lie.

use std::sync::Arc;

use crate::{NodeIx, StableId};

/// A degree has 30 bits: the two above say which sections follow.
pub const MAX_DEGREE: u32 = (1 << 30) - 1;
const WEIGHTED: u32 = 1 << 30;
const TIMED: u32 = 1 << 31;
/// Degree and flags, then the owner's stable id as two words.
const HEAD: usize = 3;
/// Two words of occupancy bits and one of rank for every 64 slots.
const GROUP: usize = 3;
const NO_TIME: i64 = i64::MIN;
/// An unoccupied slot of a table under construction.
const FREE: u32 = u32::MAX;
const NOBODY: &[u32] = &[0; HEAD];

/// What an edge carries: its weight and its time.
type Carried = (f32, Option<i64>);

/// A neighbour with what its edge carries: the input of [`ListBuf::build`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// The neighbour.
    pub node: NodeIx,
    /// Its stable id, which decides its slot.
    pub id: StableId,
    /// The edge's weight, finite and above 0.
    pub weight: f32,
    /// The edge's time; `i64::MIN` is not a time.
    pub time: Option<i64>,
}

/// The neighbours of one node in one relation, borrowed from wherever they lie.
///
/// Neighbours sit in a table of `2^slot_bits` slots, at most half full; `at_slot` says who sits where. *Positions*
/// number the occupied slots from 0 to the degree.
///
/// # Determinism
/// Which slot a neighbour has depends on the stable ids of the set alone: placed in order of stable id, each at the first
/// free slot from its home (the top `slot_bits` bits of its id) on, going round at the end. Positions are therefore the
/// same in every store that holds the same edges, though the [`NodeIx`] found there may differ.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    words: &'a [u32],
    degree: u32,
    slot_bits: u32,
    /// Where the slot table starts in `words`.
    table: u32,
    /// Where the neighbours start in `words`.
    first: u32,
}

/// Slots are the smallest power of two that is at least twice the degree.
fn slot_bits(degree: u32) -> u32 {
    if degree == 0 { 0 } else { (2 * degree).next_power_of_two().trailing_zeros() }
}

fn groups(degree: u32) -> usize {
    if degree == 0 { 0 } else { (1_usize << slot_bits(degree)).div_ceil(64) }
}

/// How many words a block has whose first word is `head`.
fn block_words(head: u32) -> usize {
    let degree = (head & MAX_DEGREE) as usize;
    let weights = if head & WEIGHTED == 0 { 0 } else { 1 + degree };
    let times = if head & TIMED == 0 { 0 } else { 2 * degree };
    HEAD + GROUP * groups(degree as u32) + degree + weights + times
}

impl<'a> List<'a> {
    /// A view of a block that was built here or has passed [`Self::check`]; no words at all are the empty list.
    #[inline]
    pub(crate) fn new(words: &'a [u32]) -> Self {
        let words = if words.is_empty() { NOBODY } else { words };
        let degree = words[0] & MAX_DEGREE;
        let table = HEAD as u32 + u32::from(words[0] & WEIGHTED != 0);
        let first = table + (GROUP * groups(degree)) as u32;
        Self { words, degree, slot_bits: slot_bits(degree), table, first }
    }

    /// The list of a node without neighbours.
    pub fn empty() -> List<'static> {
        List::new(NOBODY)
    }

    /// Checks everything that reading relies on, for blocks that come from a file.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn check(words: &[u32], bound: u32) -> Result<(), &'static str> {
        let Some(&head) = words.first() else { return Ok(()) };
        if head & MAX_DEGREE == 0 || words.len() != block_words(head) {
            return Err("a list whose length does not fit its degree");
        }
        let list = List::new(words);
        let mut rank = 0;
        for group in words[list.table as usize..list.first as usize].chunks_exact(GROUP) {
            if group[2] != rank {
                return Err("a list whose ranks do not add up");
            }
            rank += group[0].count_ones() + group[1].count_ones();
        }
        let slots = 1_u32 << list.slot_bits;
        let beyond = if slots < 64 { list.bits(0) >> slots } else { 0 };
        if rank != list.degree || beyond != 0 {
            return Err("a list whose slots do not hold its degree");
        }
        if list.neighbors().iter().any(|&n| n >= bound) {
            return Err("a list with a neighbor that does not exist");
        }
        Ok(())
    }

    /// How many neighbours there are.
    #[inline]
    pub fn degree(&self) -> usize {
        self.degree as usize
    }

    /// Whether there are no neighbours.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.degree == 0
    }

    /// The stable id of the node whose list this is; 0 for an empty list.
    #[inline]
    pub fn owner(&self) -> u64 {
        u64::from(self.words[1]) | u64::from(self.words[2]) << 32
    }

    /// The slot table has two to this power slots; 0 for an empty list.
    #[inline]
    pub fn slot_bits(&self) -> u32 {
        self.slot_bits
    }

    #[inline]
    fn bits(&self, group: usize) -> u64 {
        let at = self.table as usize + GROUP * group;
        u64::from(self.words[at]) | u64::from(self.words[at + 1]) << 32
    }

    /// The position of the neighbour that sits at `slot`, if one does.
    ///
    /// # Panics
    /// When `slot` is not below `2^slot_bits`, rounded up to 64.
    ///
    /// # Cost
    /// Constant: one group of three words is read.
    #[inline]
    pub fn at_slot(&self, slot: usize) -> Option<usize> {
        let group = slot / 64;
        let bits = self.bits(group);
        let bit = 1_u64 << (slot % 64);
        if bits & bit == 0 {
            return None;
        }
        let rank = self.words[self.table as usize + GROUP * group + 2];
        Some(rank as usize + (bits & (bit - 1)).count_ones() as usize)
    }

    /// The neighbour at a position.
    #[inline]
    pub fn neighbor(&self, position: usize) -> NodeIx {
        NodeIx::new(self.neighbors()[position])
    }

    /// The neighbours' numbers in order of position.
    #[inline]
    pub fn neighbors(&self) -> &'a [u32] {
        &self.words[self.first as usize..self.first as usize + self.degree as usize]
    }

    /// Whether some weight differs from 1.
    #[inline]
    pub fn is_weighted(&self) -> bool {
        self.words[0] & WEIGHTED != 0
    }

    /// Whether some edge has a time.
    #[inline]
    pub fn is_timed(&self) -> bool {
        self.words[0] & TIMED != 0
    }

    /// The weight of the edge at a position; 1 where none is stored.
    ///
    /// # Panics
    /// When the position is not below the degree.
    #[inline]
    pub fn weight(&self, position: usize) -> f32 {
        assert!(position < self.degree as usize, "a position is below the degree");
        if self.is_weighted() {
            f32::from_bits(self.words[(self.first + self.degree) as usize + position])
        } else {
            1.0
        }
    }

    /// The largest weight is at most two to this power, and above half of it; 0 when unweighted.
    #[inline]
    pub fn max_weight_exponent(&self) -> i32 {
        if self.is_weighted() { self.words[HEAD] as i32 } else { 0 }
    }

    /// The time of the edge at a position, if it has one.
    ///
    /// # Panics
    /// When the position is not below the degree.
    #[inline]
    pub fn time(&self, position: usize) -> Option<i64> {
        assert!(position < self.degree as usize, "a position is below the degree");
        if !self.is_timed() {
            return None;
        }
        let degree = self.degree as usize;
        let weights = if self.is_weighted() { degree } else { 0 };
        let at = self.first as usize + degree + weights + 2 * position;
        let time = (u64::from(self.words[at]) | u64::from(self.words[at + 1]) << 32) as i64;
        (time != NO_TIME).then_some(time)
    }

    /// The position of a neighbour, given its stable id too.
    ///
    /// # Cost
    /// Constant on average: the slots from its home on to the first free one are looked at.
    pub fn position(&self, node: NodeIx, id: StableId) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let last = (1_usize << self.slot_bits) - 1;
        let mut slot = (id.get() >> (64 - self.slot_bits)) as usize;
        // At most half of the slots are taken, so a free one ends the search.
        while let Some(position) = self.at_slot(slot) {
            if self.neighbor(position) == node {
                return Some(position);
            }
            slot = (slot + 1) & last;
        }
        None
    }

    /// All neighbours with weight and time, in order of position.
    pub fn iter(&self) -> impl Iterator<Item = (NodeIx, f32, Option<i64>)> + use<'a> {
        let list = *self;
        (0..list.degree()).map(move |at| (list.neighbor(at), list.weight(at), list.time(at)))
    }

    /// The words of the block.
    pub(crate) fn words(&self) -> &'a [u32] {
        self.words
    }
}

/// An owned list; clones share the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListBuf(Arc<[u32]>);

impl ListBuf {
    /// Encodes the list of the node with stable id `owner`; the order of `entries` does not matter.
    ///
    /// # Panics
    /// When there are more entries than [`MAX_DEGREE`]; a store refuses the batch before it comes to that.
    ///
    /// # Cost
    /// A sort that is linear on entries that come from another list, and one pass.
    pub fn build(owner: StableId, mut entries: Vec<Entry>) -> Self {
        if entries.is_empty() {
            return Self(Arc::from(NOBODY));
        }
        assert!(entries.len() <= MAX_DEGREE as usize, "a commit refuses degrees over the limit");
        // Positions of an older list are almost in this order, and a stable sort makes use of runs.
        entries.sort_by_key(|entry| (entry.id, entry.node));
        let bits = slot_bits(entries.len() as u32);
        let slots = 1_usize << bits;
        let mut table = vec![FREE; slots];
        let (mut next, mut wrapped) = (0, 0);
        for (at, entry) in (0..).zip(&entries) {
            let home = (entry.id.get() >> (64 - bits)) as usize;
            // Ids ascend, so the slots from `home` to `next` are taken, and once one neighbour
            // goes round the end all later ones do, to the free slots from the front on.
            let slot = if home.max(next) < slots {
                home.max(next)
            } else {
                while table[wrapped] != FREE {
                    wrapped += 1;
                }
                wrapped
            };
            next = next.max(slot + 1);
            table[slot] = at;
        }
        Self::encode(owner, &table, |at| (entries[at].node, entries[at].weight, entries[at].time))
    }

    /// The list `old` after changes: each a neighbour, its id, and its new weight and time or none.
    ///
    /// The same block as [`Self::build`] makes of the result. While the table keeps its size, the ids of neighbours are asked
    /// only where a change has to pass them, two on average: looking up all was 30 % of a commit, in cache misses.
    pub(crate) fn edit(
        owner: StableId,
        old: List<'_>,
        changes: &[(NodeIx, StableId, Option<Carried>)],
        id_of: impl Fn(NodeIx) -> StableId,
    ) -> Self {
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
        let mut values: Vec<(NodeIx, f32, Option<i64>)> = old.iter().collect();
        assert!(degree <= MAX_DEGREE as usize, "a commit refuses degrees over the limit");
        if old.is_empty() || slot_bits(degree as u32) != old.slot_bits {
            let mut gone = vec![false; values.len()];
            positions.iter().flatten().for_each(|&at| gone[at] = true);
            let kept = values.iter().zip(gone).filter(|(_, gone)| !gone).map(|(value, _)| *value);
            let mut entries: Vec<Entry> =
                kept.map(|(node, weight, time)| Entry { node, id: id_of(node), weight, time }).collect();
            entries.extend(
                changes.iter().filter_map(|&(node, id, new)| {
                    new.map(|(weight, time)| Entry { node, id, weight, time })
                }),
            );
            return Self::build(owner, entries);
        }
        let mut table = vec![FREE; 1 << old.slot_bits];
        for (slot, place) in table.iter_mut().enumerate() {
            *place = old.at_slot(slot).map_or(FREE, |at| at as u32);
        }
        let last = table.len() - 1;
        let id = |value: &(NodeIx, f32, Option<i64>)| id_of(value.0).get();
        let home = |id: u64| (id >> (64 - old.slot_bits)) as usize;
        // Removals come first, so that the table is never more than half full.
        for (&(_, removed, new), &position) in changes.iter().zip(&positions) {
            match (position, new) {
                (Some(at), Some((weight, time))) => (values[at].1, values[at].2) = (weight, time),
                (Some(at), None) => {
                    let mut hole = home(removed.get());
                    while table[hole] != at as u32 {
                        hole = (hole + 1) & last;
                    }
                    // Knuth's algorithm R. Of those that may move into the hole the first has the smallest id, since it lies
                    // on the way of the others; so the layout stays the canonical one.
                    let mut slot = (hole + 1) & last;
                    while table[slot] != FREE {
                        let way = slot.wrapping_sub(home(id(&values[table[slot] as usize]))) & last;
                        if way >= slot.wrapping_sub(hole) & last {
                            table[hole] = table[slot];
                            hole = slot;
                        }
                        slot = (slot + 1) & last;
                    }
                    table[hole] = FREE;
                }
                (None, _) => {}
            }
        }
        for (&(node, id_of_new, new), position) in changes.iter().zip(&positions) {
            let (Some((weight, time)), None) = (new, position) else { continue };
            let (mut moving, mut moving_id) = (values.len() as u32, id_of_new.get());
            values.push((node, weight, time));
            let mut slot = home(moving_id);
            while table[slot] != FREE {
                let sitting = id(&values[table[slot] as usize]);
                if moving_id < sitting {
                    std::mem::swap(&mut moving, &mut table[slot]);
                    moving_id = sitting;
                }
                slot = (slot + 1) & last;
            }
            table[slot] = moving;
        }
        Self::encode(owner, &table, |at| values[at])
    }

    /// Writes the block for a slot table that holds indices of values.
    fn encode(owner: StableId, table: &[u32], value: impl Fn(usize) -> (NodeIx, f32, Option<i64>)) -> Self {
        let (mut degree, mut weighted, mut timed, mut largest) = (0, false, false, 0.0_f32);
        for &at in table.iter().filter(|&&at| at != FREE) {
            let (_, weight, time) = value(at as usize);
            degree += 1;
            weighted |= weight.to_bits() != 1.0_f32.to_bits();
            timed |= time.is_some();
            largest = largest.max(weight);
        }
        if degree == 0 {
            return Self(Arc::from(NOBODY));
        }
        let head = degree | if weighted { WEIGHTED } else { 0 } | if timed { TIMED } else { 0 };
        let mut words = Vec::with_capacity(block_words(head));
        words.extend([head, owner.get() as u32, (owner.get() >> 32) as u32]);
        if weighted {
            words.push(exponent_above(largest) as u32);
        }
        let mut rank = 0;
        for group in table.chunks(64) {
            let taken = group.iter().enumerate().filter(|&(_, &at)| at != FREE);
            let bits = taken.fold(0_u64, |bits, (slot, _)| bits | 1 << slot);
            words.extend([bits as u32, (bits >> 32) as u32, rank]);
            rank += bits.count_ones();
        }
        let values = || table.iter().filter(|&&at| at != FREE).map(|&at| value(at as usize));
        words.extend(values().map(|(node, ..)| node.get()));
        if weighted {
            words.extend(values().map(|(_, weight, _)| weight.to_bits()));
        }
        if timed {
            let times = values().map(|(.., time)| time.unwrap_or(NO_TIME) as u64);
            words.extend(times.flat_map(|time| [time as u32, (time >> 32) as u32]));
        }
        Self(words.into())
    }

    /// The block itself, to be kept in a page.
    pub(crate) fn into_words(self) -> Arc<[u32]> {
        self.0
    }

    /// The list, borrowed.
    #[inline]
    pub fn as_list(&self) -> List<'_> {
        List::new(&self.0)
    }
}

/// The smallest `e` with `weight <= 2^e`, exactly, for a finite weight above 0.
fn exponent_above(weight: f32) -> i32 {
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

    /// A small generator, so that a failure names its seed.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) ^ (mixed >> 31)
    }

    /// Ordered linear probing as it is told: the smaller id keeps the slot, the larger moves on.
    fn brute_force(ids: &[u64], bits: u32) -> Vec<Option<u64>> {
        let mut table: Vec<Option<u64>> = vec![None; 1 << bits];
        for &id in ids {
            let mut moving = id;
            let mut slot = (moving >> (64 - bits)) as usize;
            loop {
                match table[slot] {
                    None => break,
                    Some(sitting) if precedes(moving, sitting) => {
                        table[slot] = Some(moving);
                        moving = sitting;
                    }
                    Some(_) => {}
                }
                slot = (slot + 1) % table.len();
            }
            table[slot] = Some(moving);
        }
        table
    }

    fn precedes(a: u64, b: u64) -> bool {
        a < b
    }

    fn entries(ids: &[u64]) -> Vec<Entry> {
        let entry = |(at, &id): (usize, &u64)| Entry {
            node: NodeIx::new(at as u32),
            id: StableId::new(id),
            weight: 1.0,
            time: None,
        };
        ids.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn the_layout_is_the_one_of_ordered_linear_probing_in_any_order() {
        let mut seed = 7;
        for round in 0..400 {
            let degree = 1 + next(&mut seed) as usize % 90;
            // Every third round crowds the ids at the end of the range, so that clusters go round.
            let crowd = if round % 3 == 0 { 0xff00_0000_0000_0000 } else { 0 };
            let ids: Vec<u64> = (0..degree).map(|_| next(&mut seed) | crowd).collect();
            let list = ListBuf::build(StableId::new(9), entries(&ids));
            assert_eq!(List::check(list.as_list().words(), degree as u32), Ok(()));
            let view = list.as_list();
            for _ in 0..5 {
                let mut order = ids.clone();
                for at in (1..order.len()).rev() {
                    order.swap(at, next(&mut seed) as usize % (at + 1));
                }
                let expected = brute_force(&order, view.slot_bits());
                for (slot, id) in expected.iter().enumerate() {
                    let found = view.at_slot(slot).map(|at| ids[view.neighbor(at).index()]);
                    assert_eq!(found, *id, "round {round}, slot {slot}");
                }
            }
            let mut backwards = entries(&ids);
            backwards.reverse();
            assert_eq!(ListBuf::build(StableId::new(9), backwards), list, "round {round}");
            for (at, &id) in ids.iter().enumerate() {
                let node = NodeIx::new(at as u32);
                let position = view.position(node, StableId::new(id)).expect("is in the list");
                assert_eq!(view.neighbor(position), node);
            }
            assert_eq!(view.position(NodeIx::new(degree as u32), StableId::new(ids[0])), None);
        }
    }

    #[test]
    fn an_edited_list_is_the_one_that_is_built_anew() {
        let mut seed = 11;
        for round in 0..300 {
            let crowd = if round % 3 == 0 { 0xff00_0000_0000_0000 } else { 0 };
            let ids: Vec<StableId> = (0..60).map(|_| StableId::new(next(&mut seed) | crowd)).collect();
            let mut model = std::collections::BTreeMap::new();
            let mut list = ListBuf::build(StableId::new(9), Vec::new());
            for step in 0..20 {
                let mut changes = std::collections::BTreeMap::new();
                for _ in 0..=next(&mut seed) % 8 {
                    let node = NodeIx::new((next(&mut seed) % 60) as u32);
                    let weight = if round % 2 == 0 { 1.0 } else { 1.0 + (next(&mut seed) % 2) as f32 };
                    let time = next(&mut seed).is_multiple_of(40).then_some(5);
                    let is_new = next(&mut seed).is_multiple_of(2);
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
                list = ListBuf::edit(StableId::new(9), list.as_list(), &changes, |node| ids[node.index()]);
                let entry = |(&node, &(weight, time)): (&NodeIx, &Carried)| Entry {
                    node,
                    id: ids[node.index()],
                    weight,
                    time,
                };
                let anew = ListBuf::build(StableId::new(9), model.iter().map(entry).collect());
                assert_eq!(list, anew, "round {round}, step {step}");
            }
        }
    }

    #[test]
    fn the_table_has_at_least_twice_the_degree() {
        let bits = [1, 2, 3, 4, 5, 32, 33].map(slot_bits);
        assert_eq!(bits, [1, 2, 3, 3, 4, 6, 7]);
    }

    #[test]
    fn weights_and_times_are_stored_only_where_needed() {
        let mut three = entries(&[5, 1 << 63, u64::MAX]);
        let plain = ListBuf::build(StableId::new(0x1_0000_0002), three.clone());
        assert_eq!(plain.as_list().words().len(), 3 + 3 + 3);
        assert_eq!(plain.as_list().owner(), 0x1_0000_0002);
        assert_eq!(plain.as_list().weight(2).to_bits(), 1.0_f32.to_bits());
        three[1].weight = 2.5;
        three[2].time = Some(-7);
        let full = ListBuf::build(StableId::new(1), three.clone());
        let view = full.as_list();
        assert_eq!(List::check(view.words(), 3), Ok(()));
        assert_eq!(view.max_weight_exponent(), 2);
        let mut read: Vec<Entry> = view
            .iter()
            .map(|(node, weight, time)| Entry { node, id: three[node.index()].id, weight, time })
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
        let ids: Vec<u64> = (0..40).map(|n| n << 58 | n).collect();
        let block = ListBuf::build(StableId::new(3), entries(&ids));
        let words = block.as_list().words().to_vec();
        for bit in 0..words.len() * 32 {
            let mut torn = words.clone();
            torn[bit / 32] ^= 1 << (bit % 32);
            if List::check(&torn, 40).is_ok() {
                assert_eq!(List::new(&torn).iter().count(), 40);
            }
        }
    }

    #[test]
    fn an_empty_list_has_nobody() {
        let list = ListBuf::build(StableId::new(3), Vec::new());
        for view in [list.as_list(), List::empty(), List::new(&[])] {
            assert!(view.is_empty() && view.iter().next().is_none());
            assert_eq!((view.owner(), view.slot_bits()), (0, 0));
            assert_eq!(view.position(NodeIx::new(0), StableId::new(0)), None);
        }
    }
}
