//! The check of a list that comes from a file: all that readers rely on.
//! Knows the encoding as [`List`] reads it.

use crate::adjacency::list::List;
use crate::adjacency::list::{GROUP, MAX_DEGREE};
use crate::adjacency::record::Record;
use crate::adjacency::slot_table::{GROUP_BITS, groups, slot_bits};

impl List<'_> {
    /// Checks everything that reading relies on, for a list that comes from a file.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn check(record: Record, words: &[u32], bound: u32) -> Result<(), &'static str> {
        let (bits, degree) = (record.slot_bits(), record.degree());
        if degree == 0 {
            return if record.bits == 0 { Ok(()) } else { Err("a list of nobody with slots taken") };
        }
        if degree > MAX_DEGREE as usize || bits != slot_bits(degree) {
            return Err("a list whose table does not fit its degree");
        }
        if record.is_copied() || record.start().checked_add(record.words()).is_none_or(|end| end > words.len())
        {
            return Err("a list that goes on after the end");
        }
        let list = List::new(record, words);
        let mut rank = 0;
        if bits <= GROUP_BITS {
            let width = 1 << (GROUP_BITS - bits);
            let slots =
                (0..1_u32 << bits).map(|slot| record.bits >> (slot * width) & (u64::MAX >> (64 - width)));
            if slots.clone().any(|slot| slot != 0 && slot != u64::MAX >> (64 - width)) {
                return Err("a list with a slot that is taken in part");
            }
            rank = degree;
        }
        let table = list.table();
        for group in words[table..table + GROUP * groups(bits)].chunks_exact(GROUP) {
            if group[2] as usize != rank {
                return Err("a list whose ranks do not add up");
            }
            rank += (group[0].count_ones() + group[1].count_ones()) as usize;
        }
        if rank != degree {
            return Err("a list whose slots do not hold its degree");
        }
        // The largest, since a look at each by itself takes three times as long.
        if list.columns().0.iter().max() >= Some(&bound) {
            return Err("a list with a neighbor that does not exist");
        }
        Ok(())
    }
}
