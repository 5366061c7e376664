//! The slot table of a neighbor list: the slot of each neighbor in a table of `2^bits` slots.
//! A function of the neighbors' stable ids alone; knows nothing of the encoding of tables.
//!
//! Slots come in groups of 64; a smaller table is one smaller group. A neighbor's *home* is the slot given by the top
//! bits of its id. It requests slots in rounds. In round 0 it requests its home, then the other slots of its group, in
//! steps of an odd number derived from its id. The slots of the next groups follow, with wrap-around at the end. In
//! each round a free slot takes the neighbor with the smallest id of those that request it.
//!
//! One neighbor more or less moves some draws. As changed draws times degree, averaged over growth to 800, a simulation
//! gave: 1.8 just before a table is doubled and 2.4 just after, with tables at most half full. Just after, it is 2.6 if
//! at most 5/8 full and 2.7 if at most 3/4. Without doublings it is 1.2. A doubling moves 0.6 of all draws, and no
//! scheme can move less than half.
//!
//! Linear probing in order of id moves 2.5 if at most half full and 4 if at most 3/4. Growing by one slot at a time, as
//! `JumpBackHash` numbers slots, has no such moment but would move an estimated 3.5 to 4 all along: draws and neighbors
//! would each move alone, where a doubling moves half of them together.

use crate::types::ids::StableId;

/// The value of an unoccupied slot.
pub(crate) const FREE: u32 = u32::MAX;
/// The number of slots in a group, as a power of two.
pub(crate) const GROUP_BITS: u32 = 6;

/// The table size as a power of two: the smallest that is at least twice the degree; one neighbor has one slot.
pub(crate) fn slot_bits(degree: usize) -> u32 {
    if degree <= 1 { 0 } else { (2 * degree as u64).next_power_of_two().trailing_zeros() }
}

/// The number of groups with a stored rank; up to one group needs none.
#[inline]
pub(crate) fn groups(bits: u32) -> usize {
    // Without a branch: 1 is the only odd value to clear.
    (1_usize << bits >> GROUP_BITS) & !1
}

fn home(id: StableId, bits: u32) -> u64 {
    if bits == 0 { 0 } else { id.get() >> (64 - bits) }
}

/// The slot that `id` requests in a round; in `2^bits` rounds it requests each slot once.
pub(crate) fn slot(id: StableId, bits: u32, round: u64) -> usize {
    let inner = bits.min(GROUP_BITS);
    let (size, home) = (1_u64 << inner, home(id, bits));
    let within = home.wrapping_add(round.wrapping_mul(id.get() | 1)) % size;
    let group = ((home >> inner) + (round >> inner)) % (1 << (bits - inner));
    (group << inner | within) as usize
}

/// The round in which `id` requests a slot.
fn round_of(id: StableId, bits: u32, slot: usize) -> u64 {
    let inner = bits.min(GROUP_BITS);
    let (size, home, slot) = (1_u64 << inner, home(id, bits), slot as u64);
    let step = id.get() | 1;
    // An odd number is its own inverse in the lowest three bits; Newton's iteration makes it the lowest six.
    let inverse = step.wrapping_mul(2_u64.wrapping_sub(step.wrapping_mul(step)));
    let steps = slot.wrapping_sub(home).wrapping_mul(inverse) % size;
    let laps = (slot >> inner).wrapping_sub(home >> inner) % (1 << (bits - inner));
    laps << inner | steps
}

/// Builds tables, reusing its memory.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    table: Vec<u32>,
    unplaced: Vec<u32>,
}

impl Placement {
    /// Builds the table for neighbors with these ids, in any order; returns whether all ids differ. Of equal ids, the
    /// smaller index comes first, and each has a slot.
    ///
    /// # Cost
    /// Some two steps a neighbor, and a sort of those that do not get their home: at most three in ten.
    pub(crate) fn place(&mut self, ids: &[StableId], bits: u32) -> bool {
        let Self { table, unplaced } = self;
        table.clear();
        table.resize(1 << bits, FREE);
        unplaced.clear();
        let mut are_distinct = true;
        // Round 0: every slot is free, so any order of the ids finds the smallest id of each home. Without branches,
        // since a taken home is not predictable.
        unplaced.resize(ids.len(), 0);
        let mut refused = 0;
        for (at, &id) in (0..).zip(ids) {
            let target = &mut table[home(id, bits) as usize];
            let occupant = *target;
            let is_free = occupant == FREE;
            let other = ids[if is_free { at } else { occupant } as usize];
            let wins = is_free || id < other;
            are_distinct &= is_free || id != other;
            *target = if wins { at } else { occupant };
            unplaced[refused] = if wins { occupant } else { at };
            refused += usize::from(!is_free);
        }
        // The neighbors without their home, in order of id: the order of priority in all further rounds.
        unplaced.truncate(refused);
        unplaced.sort_unstable_by_key(|&at| (ids[at as usize], at));
        are_distinct &= unplaced.windows(2).all(|pair| ids[pair[0] as usize] != ids[pair[1] as usize]);
        // Further rounds: a free slot takes the first request.
        let mut round = 1;
        while !unplaced.is_empty() {
            unplaced.retain(|&at| {
                let target = &mut table[slot(ids[at as usize], bits, round)];
                let refused = *target != FREE;
                if !refused {
                    *target = at;
                }
                refused
            });
            round += 1;
        }
        are_distinct
    }

    /// The table built last, as indices into the ids.
    pub(crate) fn table(&self) -> &[u32] {
        &self.table
    }
}

/// The occupied slots among up to 64, as bits; each slot is `width` bits wide.
pub(crate) fn occupied(slots: &[u32], width: usize) -> u64 {
    let ones = u64::MAX >> (64 - width);
    // Without branches, since the occupied slots are not predictable.
    let bits = |(slot, &at)| if at == FREE { 0 } else { ones << (slot * width) };
    slots.iter().enumerate().map(bits).fold(0, |one, other| one | other)
}

/// A table that [`insert`] and [`remove`] change by accessing few of its slots.
pub(crate) trait SlotTable {
    /// The number of slots, as a power of two.
    fn bits(&self) -> u32;
    /// The entry in a slot, or [`FREE`].
    fn at(&mut self, slot: usize) -> u32;
    /// Stores an entry, or [`FREE`], in a slot.
    fn put(&mut self, slot: usize, entry: u32);
    /// The stable id of an entry.
    fn id(&self, entry: u32) -> StableId;
}

/// A table in a slice, with a function for the ids of its entries.
pub(crate) struct SliceTable<'a, F> {
    pub(crate) slots: &'a mut [u32],
    pub(crate) id: F,
}

impl<F: Fn(u32) -> StableId> SlotTable for SliceTable<'_, F> {
    fn bits(&self) -> u32 {
        self.slots.len().trailing_zeros()
    }

    fn at(&mut self, slot: usize) -> u32 {
        self.slots[slot]
    }

    fn put(&mut self, slot: usize, entry: u32) {
        self.slots[slot] = entry;
    }

    fn id(&self, entry: u32) -> StableId {
        (self.id)(entry)
    }
}

/// Adds `newcomer` to a table with a free slot.
pub(crate) fn insert(table: &mut impl SlotTable, newcomer: u32) {
    let bits = table.bits();
    let (mut moving, mut round) = (newcomer, 0);
    loop {
        let target = slot(table.id(moving), bits, round);
        let occupant = table.at(target);
        if occupant == FREE {
            table.put(target, moving);
            return;
        }
        let occupant_round = round_of(table.id(occupant), bits, target);
        if (round, table.id(moving)) < (occupant_round, table.id(occupant)) {
            table.put(target, moving);
            (moving, round) = (occupant, occupant_round);
        }
        round += 1;
    }
}

/// Empties a slot and moves up the entries that requested it in an earlier round than their own slot. Each slot prefers
/// the earlier round and then the smaller id, and each neighbor prefers the earlier round. So there is one stable
/// table, the one that [`Placement`] builds.
///
/// # Cost
/// The ids of a group, and of the next groups while they were full, for each entry that moves.
pub(crate) fn remove(table: &mut impl SlotTable, vacated: usize) {
    let bits = table.bits();
    let (len, size) = (1 << bits, 1 << bits.min(GROUP_BITS));
    let mut hole = vacated;
    loop {
        table.put(hole, FREE);
        // The best entry for the hole: the earliest round, then the smallest id.
        let mut best: Option<(u64, StableId, usize)> = None;
        let first = hole & !(size - 1);
        for step in 0..len / size {
            let start = (first + step * size) % len;
            let mut is_full = true;
            for at in start..start + size {
                let occupant = table.at(at);
                if occupant == FREE {
                    is_full &= at == hole;
                    continue;
                }
                let id = table.id(occupant);
                let round = round_of(id, bits, hole);
                if round < round_of(id, bits, at)
                    && best.is_none_or(|(earliest, smallest, _)| (round, id) < (earliest, smallest))
                {
                    best = Some((round, id, at));
                }
            }
            // Only a full group passes entries on to the next group.
            if !is_full {
                break;
            }
        }
        let Some((.., from)) = best else { return };
        // That entry fills the hole and leaves the next one.
        let moving = table.at(from);
        table.put(hole, moving);
        hole = from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hedgerow_test_support::Random;

    #[test]
    fn every_slot_is_requested_once_and_the_round_is_found_back() {
        let mut random = Random::new(3);
        for bits in [0, 1, 2, 5, 6, 7, 9] {
            for _ in 0..20 {
                let id = StableId::new(random.next());
                let mut requested = vec![false; 1 << bits];
                for round in 0..1 << bits {
                    let slot = slot(id, bits, round);
                    assert!(!std::mem::replace(&mut requested[slot], true), "{bits} bits, round {round}");
                    assert_eq!(round_of(id, bits, slot), round);
                }
            }
        }
    }

    /// Ids crowded into a few homes fill groups, so that neighbors overflow into the next groups and wrap around.
    #[test]
    fn a_table_that_was_changed_is_the_one_that_is_placed_anew() {
        let mut random = Random::new(5);
        let mut placement = Placement::default();
        for round in 0..300 {
            let crowd = if round % 3 == 0 { 0xf800_0000_0000_0000 } else { 0 };
            let bits = [1, 3, 6, 7, 8][round % 5];
            let room = if bits == 1 { 2 } else { 3 << (bits - 2) };
            let all: Vec<StableId> = (0..room * 2).map(|_| StableId::new(random.next() | crowd)).collect();
            let mut table = vec![FREE; 1 << bits];
            let mut inside = std::collections::BTreeSet::new();
            for _ in 0..200 {
                let at = (random.next() % all.len() as u64) as u32;
                let id = |at: u32| all[at as usize];
                if inside.remove(&at) {
                    let slot = table.iter().position(|&other| other == at).expect("it sits somewhere");
                    remove(&mut SliceTable { slots: &mut table, id }, slot);
                } else if inside.len() < room {
                    inside.insert(at);
                    insert(&mut SliceTable { slots: &mut table, id }, at);
                }
                let order: Vec<u32> = inside.iter().copied().collect();
                let ids: Vec<StableId> = order.iter().map(|&at| id(at)).collect();
                assert!(placement.place(&ids, bits));
                let anew = placement.table().iter();
                let anew: Vec<u32> =
                    anew.map(|&at| if at == FREE { FREE } else { order[at as usize] }).collect();
                assert_eq!(table, anew, "round {round}");
            }
        }
    }

    /// The rounds as the documentation of this module describes them, ids in ascending order.
    #[test]
    fn a_table_is_the_same_for_ids_in_any_order_and_repeated_ids_are_seen() {
        let mut random = Random::new(19);
        let mut placement = Placement::default();
        for round in 0..400 {
            let crowd = if round % 3 == 0 { 0xff00_0000_0000_0000 } else { 0 };
            let degree = 2 + random.next() as usize % 200;
            let mut ids: Vec<StableId> = (0..degree).map(|_| StableId::new(random.next() | crowd)).collect();
            let bits = slot_bits(degree);
            assert!(placement.place(&ids, bits), "round {round}");
            let seated = |placement: &Placement, ids: &[StableId]| -> Vec<Option<StableId>> {
                placement.table().iter().map(|&at| ids.get(at as usize).copied()).collect()
            };
            let found = seated(&placement, &ids);
            ids.sort_unstable();
            let mut plain = vec![None; 1 << bits];
            let mut unplaced = ids.clone();
            for round in 0.. {
                unplaced.retain(|&id| {
                    let target: &mut Option<StableId> = &mut plain[slot(id, bits, round)];
                    let refused = target.is_some();
                    target.get_or_insert(id);
                    refused
                });
                if unplaced.is_empty() {
                    break;
                }
            }
            assert_eq!(found, plain, "round {round}");
            let (one, other) = (random.next() as usize % degree, random.next() as usize % degree);
            ids[one] = ids[other];
            assert_eq!(placement.place(&ids, bits), one == other, "round {round}");
        }
    }

    #[test]
    fn tables_are_a_quarter_to_a_half_full() {
        let bits = [0, 1, 2, 3, 4, 5, 16, 17, 32, 33, 64, 65].map(slot_bits);
        assert_eq!(bits, [0, 0, 2, 3, 3, 4, 5, 6, 6, 7, 7, 8]);
    }
}
