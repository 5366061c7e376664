//! The slot table of a neighbour list: where in a table of `2^bits` slots each neighbour sits.
//! A function of the neighbours' stable ids alone; knows nothing of how tables are encoded.
//!
//! Slots come in groups of 64 (one smaller group where there are fewer). A neighbour's *home* is the slot that the top bits
//! of its id name. It asks for slots in rounds: in round 0 for its home, then for the others of its group in steps of an odd
//! number that is its own, then for those of the next group, going round at the end. In each round a free slot takes
//! the neighbour with the smallest id of those who ask for it.
//!
//! What one neighbour more or less moves, as changed draws times degree and averaged over growth to 800, was simulated: 1.8
//! just before a table is doubled and 2.4 just after, with tables that are at most half full; 2.6 just after if at most 5/8,
//! 2.7 if at most 3/4. Without doublings it is 1.2. A doubling moves 0.6 of all draws, and cannot move less than half.
//! Linear probing in order of id moves 2.5 if at most half full and 4 if at most 3/4. Growing a slot at a time, as
//! `JumpBackHash` numbers slots, has no such moment, but would move 3.5 to 4 all along, by estimate: draws and
//! neighbours would go to new slots each on its own, where a doubling takes half of them along together.

use crate::types::ids::StableId;

/// An unoccupied slot of a table under construction.
pub(crate) const FREE: u32 = u32::MAX;
/// Slots of a group, as a power of two.
pub(crate) const GROUP_BITS: u32 = 6;

/// Slots are the smallest power of two that is at least twice the degree; one neighbour has one.
pub(crate) fn slot_bits(degree: usize) -> u32 {
    if degree <= 1 { 0 } else { (2 * degree as u64).next_power_of_two().trailing_zeros() }
}

/// How many groups have a rank of their own; one group or less needs none.
#[inline]
pub(crate) fn groups(bits: u32) -> usize {
    // Without a branch: one group would be the only odd number.
    (1_usize << bits >> GROUP_BITS) & !1
}

fn home(id: StableId, bits: u32) -> u64 {
    if bits == 0 { 0 } else { id.get() >> (64 - bits) }
}

/// The slot that `id` asks for in a round; in `2^bits` rounds it asks for each slot once.
pub(crate) fn slot(id: StableId, bits: u32, round: u64) -> usize {
    let inner = bits.min(GROUP_BITS);
    let (size, home) = (1_u64 << inner, home(id, bits));
    let within = home.wrapping_add(round.wrapping_mul(id.get() | 1)) % size;
    let group = ((home >> inner) + (round >> inner)) % (1 << (bits - inner));
    (group << inner | within) as usize
}

/// The round in which `id` asks for a slot.
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

/// Makes tables one after another in the same memory.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    table: Vec<u32>,
    waiting: Vec<u32>,
}

impl Placement {
    /// Makes the table for neighbours with these ids, in whatever order; returns whether all of them differ.
    /// Where they do not, those with the smaller index come first, and the table has a place for each.
    ///
    /// # Cost
    /// Some two steps a neighbour, and a sort of those who do not get their home: three in ten at most.
    pub(crate) fn place(&mut self, ids: &[StableId], bits: u32) -> bool {
        let Self { table, waiting } = self;
        table.clear();
        table.resize(1 << bits, FREE);
        waiting.clear();
        let mut are_distinct = true;
        // In round 0 every slot is free, so the smallest id of each home is found in any order. Without branches, since
        // who finds its home taken is not to be predicted.
        waiting.resize(ids.len(), 0);
        let mut refused = 0;
        for (at, &id) in (0..).zip(ids) {
            let asked = &mut table[home(id, bits) as usize];
            let sitting = *asked;
            let is_free = sitting == FREE;
            let other = ids[if is_free { at } else { sitting } as usize];
            let wins = is_free || id < other;
            are_distinct &= is_free || id != other;
            *asked = if wins { at } else { sitting };
            waiting[refused] = if wins { sitting } else { at };
            refused += usize::from(!is_free);
        }
        waiting.truncate(refused);
        waiting.sort_unstable_by_key(|&at| (ids[at as usize], at));
        are_distinct &= waiting.windows(2).all(|pair| ids[pair[0] as usize] != ids[pair[1] as usize]);
        let mut round = 1;
        while !waiting.is_empty() {
            waiting.retain(|&at| {
                let asked = &mut table[slot(ids[at as usize], bits, round)];
                let refused = *asked != FREE;
                if !refused {
                    *asked = at;
                }
                refused
            });
            round += 1;
        }
        are_distinct
    }

    /// The table that was made last, as indices into the ids.
    pub(crate) fn table(&self) -> &[u32] {
        &self.table
    }
}

/// Which of up to 64 slots are taken, each by so many bits.
pub(crate) fn taken(slots: &[u32], width: usize) -> u64 {
    let ones = u64::MAX >> (64 - width);
    // Without branches, since which slot is taken is not to be predicted.
    let bits = |(slot, &at)| if at == FREE { 0 } else { ones << (slot * width) };
    slots.iter().enumerate().map(bits).fold(0, |one, other| one | other)
}

/// A table under change, of which [`insert`] and [`remove`] look at few slots.
pub(crate) trait SlotTable {
    /// Its slots, as a power of two.
    fn bits(&self) -> u32;
    /// Who sits at a slot, or [`FREE`].
    fn at(&mut self, slot: usize) -> u32;
    /// Puts somebody, or [`FREE`], at a slot.
    fn put(&mut self, slot: usize, who: u32);
    /// The stable id of one who sits.
    fn id(&self, who: u32) -> StableId;
}

/// A table that lies there as a whole, and who knows the ids.
pub(crate) struct Table<'a, F> {
    pub(crate) slots: &'a mut [u32],
    pub(crate) id: F,
}

impl<F: Fn(u32) -> StableId> SlotTable for Table<'_, F> {
    fn bits(&self) -> u32 {
        self.slots.len().trailing_zeros()
    }

    fn at(&mut self, slot: usize) -> u32 {
        self.slots[slot]
    }

    fn put(&mut self, slot: usize, who: u32) {
        self.slots[slot] = who;
    }

    fn id(&self, who: u32) -> StableId {
        (self.id)(who)
    }
}

/// Adds `newcomer` to a table with a free slot.
pub(crate) fn insert(table: &mut impl SlotTable, newcomer: u32) {
    let bits = table.bits();
    let (mut moving, mut round) = (newcomer, 0);
    loop {
        let asked = slot(table.id(moving), bits, round);
        let sitting = table.at(asked);
        if sitting == FREE {
            table.put(asked, moving);
            return;
        }
        let since = round_of(table.id(sitting), bits, asked);
        if (round, table.id(moving)) < (since, table.id(sitting)) {
            table.put(asked, moving);
            (moving, round) = (sitting, since);
        }
        round += 1;
    }
}

/// Empties a slot, and lets those move up who asked for it earlier than for theirs. Each slot prefers the earlier round and
/// then the smaller id, as each neighbour prefers the earlier round; so there is one stable table, the one of [`Placement`].
///
/// # Cost
/// The ids of a group, and of the next ones where it was full, for each that moves.
pub(crate) fn remove(table: &mut impl SlotTable, gone: usize) {
    let bits = table.bits();
    let (len, size) = (1 << bits, 1 << bits.min(GROUP_BITS));
    let mut hole = gone;
    loop {
        table.put(hole, FREE);
        let mut best: Option<(u64, StableId, usize)> = None;
        let first = hole & !(size - 1);
        for step in 0..len / size {
            let start = (first + step * size) % len;
            let mut is_full = true;
            for at in start..start + size {
                let sitting = table.at(at);
                if sitting == FREE {
                    is_full &= at == hole;
                    continue;
                }
                let sitting = table.id(sitting);
                let asks = round_of(sitting, bits, hole);
                if asks < round_of(sitting, bits, at)
                    && best.is_none_or(|(round, smallest, _)| (asks, sitting) < (round, smallest))
                {
                    best = Some((asks, sitting, at));
                }
            }
            // Only a full group has sent somebody on to the next.
            if !is_full {
                break;
            }
        }
        let Some((.., from)) = best else { return };
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
    fn every_slot_is_asked_for_once_and_the_round_is_told_back() {
        let mut random = Random::new(3);
        for bits in [0, 1, 2, 5, 6, 7, 9] {
            for _ in 0..20 {
                let id = StableId::new(random.next());
                let mut asked = vec![false; 1 << bits];
                for round in 0..1 << bits {
                    let slot = slot(id, bits, round);
                    assert!(!std::mem::replace(&mut asked[slot], true), "{bits} bits, round {round}");
                    assert_eq!(round_of(id, bits, slot), round);
                }
            }
        }
    }

    /// Ids crowded into a few homes fill groups, so that neighbours go on to the next ones and round the end.
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
                    remove(&mut Table { slots: &mut table, id }, slot);
                } else if inside.len() < room {
                    inside.insert(at);
                    insert(&mut Table { slots: &mut table, id }, at);
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

    /// The rounds as the documentation of this module tells them, ids in ascending order.
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
            let mut waiting = ids.clone();
            for round in 0.. {
                waiting.retain(|&id| {
                    let asked: &mut Option<StableId> = &mut plain[slot(id, bits, round)];
                    let refused = asked.is_some();
                    asked.get_or_insert(id);
                    refused
                });
                if waiting.is_empty() {
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
