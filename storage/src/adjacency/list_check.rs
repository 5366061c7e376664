//! Validation of a list from a file: every property that readers rely on.
//! Knows the encoding as [`List`] reads it.

use crate::adjacency::list::List;
use crate::adjacency::list::{GROUP, MAX_DEGREE};
use crate::adjacency::record::Record;
use crate::adjacency::slot_table::{GROUP_BITS, groups, slot_bits};

impl List<'_> {
    /// Validates every property that readers rely on, for a list from a file.
    ///
    /// # Errors
    /// A description of the damage.
    pub(crate) fn check(record: Record, words: &[u32], bound: u32) -> Result<(), &'static str> {
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
        // Up to 64 slots: each slot's bits in the record are all set or all clear.
        let list = List::new(record, words);
        let mut rank = 0;
        if bits <= GROUP_BITS {
            let width = 1 << (GROUP_BITS - bits);
            let slots =
                (0..1_u32 << bits).map(|slot| record.bits >> (slot * width) & (u64::MAX >> (64 - width)));
            if slots.clone().any(|slot| slot != 0 && slot != u64::MAX >> (64 - width)) {
                return Err("a list with a partly occupied slot");
            }
            rank = degree;
        }
        // More slots: the ranks of the groups add up to the degree.
        let table = list.table();
        for group in words[table..table + GROUP * groups(bits)].chunks_exact(GROUP) {
            if group[2] as usize != rank {
                return Err("a list whose ranks do not add up");
            }
            rank += (group[0].count_ones() + group[1].count_ones()) as usize;
        }
        if rank != degree {
            return Err("a list whose number of occupied slots is not its degree");
        }
        // Only the largest is compared with the bound: comparing each takes three times as long.
        if list.columns().0.iter().max() >= Some(&bound) {
            return Err("a list with a neighbor that does not exist");
        }
        Ok(())
    }
}
