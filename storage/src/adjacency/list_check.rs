//! Validation of a list from a file: every property that readers rely on.
//! Knows the encoding as [`List`] reads it.

use crate::adjacency::classed_list::Stops;
use crate::adjacency::list::List;
use crate::adjacency::list::{GROUP, MAX_DEGREE};
use crate::adjacency::record::Record;
use crate::adjacency::slot_table::{GROUP_BITS, groups, slot_bits};
use crate::adjacency::weight_classes::{ENTRY, HEADER, OCCUPIED, class_record, end};
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
        if !List::new(record, words).runs().all(|run| are_below(run, bound)) {
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
        let is_short = bits <= GROUP_BITS || record.is_fading() || record.bits == degree as u64;
        if degree > MAX_DEGREE as usize || !is_short {
            return Err("a list with too many neighbors");
        }
        if record.is_copied()
            || record.start().checked_add(record.words()).is_none_or(|end| end > words.len())
        {
            return Err("a list that continues after the last word");
        }
        // The weights of all lists of a relation fade alike.
        if record.is_fading() != half_life.is_some() {
            return Err("a list whose half-life is not that of its relation");
        }
        if let Some(half_life) = half_life {
            return check_classes(record, words, half_life);
        }
        // Degree and table size agree.
        if bits != slot_bits(degree) {
            return Err("a list whose table size does not match its degree");
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

/// Validates the weight classes of a list that lies within the words.
fn check_classes(record: Record, words: &[u32], half_life: HalfLife) -> Result<(), &'static str> {
    const DAMAGED: Result<(), &str> = Err("a list whose weight classes do not fill its block");
    let (first_word, last_word) = (record.start(), record.start() + record.words());
    let (words, block) = (&words[..last_word], &words[first_word..last_word]);
    if !record.is_weighted() || !record.is_timed() || block.len() < HEADER {
        return DAMAGED;
    }
    if u64::from(block[0]) | u64::from(block[1]) << 32 != half_life.microseconds() {
        return Err("a list whose half-life is not that of its relation");
    }
    let classes = block[2] as usize;
    if classes > record.degree() || HEADER + ENTRY * classes > block.len() {
        return DAMAGED;
    }
    // The classes, newest first, follow one another.
    let directory = &block[HEADER..HEADER + ENTRY * classes];
    let (mut first, mut start, mut newer) = (0, HEADER + directory.len(), None);
    for entry in directory.chunks_exact(ENTRY) {
        let (exponent, class_end) = (entry[0] as i32, end(entry[2]));
        if newer.is_some_and(|newer| newer <= exponent)
            || class_end <= first
            || entry[3] as usize != start
            || start + OCCUPIED > block.len()
        {
            return DAMAGED;
        }
        let class = class_record(words, first_word, (entry[2], entry[3]), first);
        List::check_shape(class, words, None)?;
        if class.degree() != class_end - first {
            return DAMAGED;
        }
        (first, start, newer) = (class_end, class.start() + class.words() - first_word, Some(exponent));
    }
    if first != record.degree() || start != block.len() {
        return DAMAGED;
    }
    // The stops are those of the degrees.
    let mut stops = Stops::default();
    for at in (0..classes).rev().map(|at| ENTRY * at) {
        let before = if at == 0 { 0 } else { end(directory[at - ENTRY + 2]) };
        if directory[at + 1] != stops.next(directory[at] as i32, end(directory[at + 2]) - before) {
            return Err("a list whose weight classes are not drawn in proportion");
        }
    }
    Ok(())
}

/// True if every neighbor is a node below the bound.
///
/// # Cost
/// Without an early end, so that the compiler compares many at once.
pub(crate) fn are_below(neighbors: &[u32], bound: u32) -> bool {
    neighbors.is_empty() || neighbors.iter().copied().fold(0, u32::max) < bound
}
