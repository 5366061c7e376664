//! Validation of a list from a file: every property that readers rely on.
//! Knows the encoding as [`List`] reads it.

use crate::adjacency::list::List;
use crate::adjacency::list::{GROUP, MAX_DEGREE};
use crate::adjacency::record::Record;
use crate::adjacency::slot_table::{GROUP_BITS, groups, slot_bits};
use crate::types::weights::relation_options::HalfLife;

/// The damage of a list whose neighbors are not all below the bound.
pub(crate) const UNKNOWN_NEIGHBOR: &str = "a list with a neighbor that does not exist";

/// For each table of up to 64 slots, by the power of two of their number: a bit in the lowest place of each slot.
const LOWEST_BITS: [u64; 7] = [
    1,
    0x0000_0001_0000_0001,
    0x0001_0001_0001_0001,
    0x0101_0101_0101_0101,
    0x1111_1111_1111_1111,
    0x5555_5555_5555_5555,
    u64::MAX,
];

impl List<'_> {
    /// Validates every property that readers rely on, for a list from a file.
    ///
    /// # Errors
    /// A description of the damage.
    #[cfg(test)]
    pub(crate) fn check(record: Record, words: &[u32], bound: u32) -> Result<(), &'static str> {
        Self::check_shape(record, words, List::new(record, words).half_life())?;
        if !record.is_empty() && !are_below(List::new(record, words).columns().0, bound) {
            return Err(UNKNOWN_NEIGHBOR);
        }
        Ok(())
    }

    /// Validates every property that readers rely on but the neighbors' numbers, for a list from a file.
    ///
    /// # Errors
    /// A description of the damage.
    pub(crate) fn check_shape(
        record: Record,
        words: &[u32],
        half_life: Option<HalfLife>,
    ) -> Result<(), &'static str> {
        let (bits, degree) = (record.slot_bits(), record.degree());
        // An empty list has an empty record.
        if degree == 0 {
            return if record.bits == 0 { Ok(()) } else { Err("an empty list with occupied slots") };
        }
        // Degree, table size and block length agree.
        if degree > MAX_DEGREE as usize || bits != slot_bits(degree) {
            return Err("a list whose table size does not match its degree");
        }
        if record.is_copied()
            || record.start().checked_add(record.words()).is_none_or(|end| end > words.len())
        {
            return Err("a list that continues after the last word");
        }
        // The weights of all lists of a relation fade alike.
        let has_columns = record.is_weighted() && record.is_timed();
        if record.is_fading() != half_life.is_some()
            || record.is_fading() && !has_columns
            || List::new(record, words).half_life() != half_life
        {
            return Err("a list whose half-life is not that of its relation");
        }
        // Up to 64 slots: each slot's bits in the record are all set or all clear.
        if bits <= GROUP_BITS {
            let lowest = record.bits & LOWEST_BITS[bits as usize];
            let slot = u64::MAX >> (64 - (1 << (GROUP_BITS - bits)));
            let is_whole = lowest * slot == record.bits;
            return if is_whole { Ok(()) } else { Err("a list with a partly occupied slot") };
        }
        // More slots: the ranks of the groups add up to the degree.
        let (mut rank, table) = (0, List::new(record, words).table());
        for group in words[table..table + GROUP * groups(bits)].chunks_exact(GROUP) {
            if group[2] as usize != rank {
                return Err("a list whose ranks do not add up");
            }
            rank += (group[0].count_ones() + group[1].count_ones()) as usize;
        }
        if rank != degree {
            return Err("a list whose number of occupied slots is not its degree");
        }
        Ok(())
    }
}

/// True if every neighbor is a node below the bound.
///
/// # Cost
/// Without an early end, so that the compiler compares many at once.
pub(crate) fn are_below(neighbors: &[u32], bound: u32) -> bool {
    neighbors.is_empty() || neighbors.iter().copied().fold(0, u32::max) < bound
}
