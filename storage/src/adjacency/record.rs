//! The record of a neighbor list: two words for its shape and the position of its block.
//! Owns their bits, as in FORMAT.md; of the block it knows only the length.

#![expect(
    clippy::inline_always,
    reason = "a hop is a handful of these: with calls between them a sweep takes a sixth longer"
)]

use crate::adjacency::list::GROUP;
use crate::adjacency::slot_table::{GROUP_BITS, groups};
use crate::types::ids::StableId;

/// The properties of a list that need no read of its block. All zeros is the empty list.
///
/// `head`, from the lowest bit: 6 bits slot bits, or 63 for weights that fade; 1 weighted, 1 timed, 12 salt, 43 the start of the block in its
/// words, and 1 that only [`FlattenedLists`](crate::FlattenedLists) sets, for a block in copied words. `bits`: up to 64 slots,
/// the occupied ones, each slot `64 / slots` bits wide; with more slots, the degree. Where weights fade, the degree in 30 bits, and the words of
/// the block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) head: u64,
    pub(crate) bits: u64,
}

const SLOT_BITS: u64 = 63;
const WEIGHTED: u64 = 1 << 6;
const TIMED: u64 = 1 << 7;
const SALT: u64 = 0xf_ff00;
const START: u32 = 20;
/// Every start is below it.
const MAX_START: u64 = 1 << (63 - START);
const COPIED: u64 = 1 << 63;
/// The slot bits of a list whose weights fade: it has no table of its own. Set only with weights and times.
const FADING: u32 = 63;
/// The bits of a degree beside the words of a block.
const DEGREE: u32 = 30;

/// A record as in files and flattened lists: `head`, then `bits`.
pub(crate) type Packed = [u64; 2];

impl From<Packed> for Record {
    #[inline(always)]
    fn from([head, bits]: Packed) -> Self {
        Self { head, bits }
    }
}

impl From<Record> for Packed {
    fn from(Record { head, bits }: Record) -> Self {
        [head, bits]
    }
}

impl Record {
    pub(crate) fn new(owner: StableId, slot_bits: u32, is_weighted: bool, is_timed: bool, bits: u64) -> Self {
        let flags = if is_weighted { WEIGHTED } else { 0 } | if is_timed { TIMED } else { 0 };
        Self { head: u64::from(slot_bits) | flags | owner.get() >> 24 & SALT, bits }
    }

    /// The same list with its block at another start.
    pub(crate) fn at(self, start: u64) -> Self {
        assert!(start < MAX_START, "a relation's lists are shorter than 2^43 words");
        Self { head: self.head & ((1 << START) - 1) | start << START, ..self }
    }

    #[inline]
    pub(crate) fn start(self) -> usize {
        ((self.head & !COPIED) >> START) as usize
    }

    /// The same record, marked as having its block in copied words.
    pub(crate) fn copied(self) -> Self {
        Self { head: self.head | COPIED, ..self }
    }

    #[inline]
    pub(crate) fn is_copied(self) -> bool {
        self.head & COPIED != 0
    }

    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// True if its block holds neighbors only.
    pub(crate) fn is_plain(self) -> bool {
        self.head & (WEIGHTED | TIMED) == 0 && self.slot_bits() <= GROUP_BITS
    }

    #[inline(always)]
    pub(crate) fn salt(self) -> u64 {
        self.head & SALT
    }

    #[inline(always)]
    pub(crate) fn is_weighted(self) -> bool {
        self.head & WEIGHTED != 0
    }

    #[inline(always)]
    pub(crate) fn is_timed(self) -> bool {
        self.head & TIMED != 0
    }

    /// The record of a list whose weights fade, with a block of this many words.
    pub(crate) fn fading(owner: StableId, degree: usize, words: usize) -> Self {
        Self::new(owner, FADING, true, true, degree as u64 | (words as u64) << DEGREE)
    }

    /// The record of a weight class, which lies in the block of its list. It has no salt.
    #[inline]
    pub(crate) fn of_class(
        slot_bits: u32,
        is_weighted: bool,
        is_timed: bool,
        bits: u64,
        start: usize,
    ) -> Self {
        let record = Self::new(StableId::new(0), slot_bits, is_weighted, is_timed, bits);
        Self { head: record.head | (start as u64) << START, ..record }
    }

    #[inline(always)]
    pub(crate) fn is_fading(self) -> bool {
        self.slot_bits() == FADING
    }

    /// The size of the slot table, as a power of two; 63 where weights fade.
    #[inline(always)]
    pub(crate) fn slot_bits(self) -> u32 {
        (self.head & SLOT_BITS) as u32
    }

    #[inline(always)]
    pub(crate) fn degree(self) -> usize {
        let bits = self.slot_bits();
        let few = u64::from(self.bits.count_ones() >> (GROUP_BITS - bits.min(GROUP_BITS)));
        let many = self.bits & ((1 << DEGREE) - 1);
        // Walks read short and long lists in no order, so a branch would often be mispredicted.
        std::hint::select_unpredictable(bits <= GROUP_BITS, few, many) as usize
    }

    /// The number of words of its block.
    pub(crate) fn words(self) -> usize {
        if self.is_fading() {
            return (self.bits >> DEGREE) as usize;
        }
        let degree = self.degree();
        let weights = if self.is_weighted() { 1 + degree } else { 0 };
        let times = if self.is_timed() { 2 * degree } else { 0 };
        GROUP * groups(self.slot_bits()) + degree + weights + times
    }
}
