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
/// `head`, from the lowest bit: 6 bits slot bits, 1 weighted, 1 timed, 12 salt, 42 the start of the block in its words,
/// 1 for weights that fade, and 1 that only [`FlattenedLists`](crate::FlattenedLists) sets, for a block in copied words. `bits`: up to 64 slots,
/// the occupied ones, each slot `64 / slots` bits wide; with more slots, the degree.
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
const MAX_START: u64 = 1 << (62 - START);
/// Set only with weights and times.
const FADING: u64 = 1 << 62;
const COPIED: u64 = 1 << 63;

/// The words of a half-life, at the end of a block.
pub(crate) const HALF_LIFE: usize = 2;

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
        assert!(start < MAX_START, "a relation's lists are shorter than 2^42 words");
        Self { head: self.head & (((1 << START) - 1) | FADING) | start << START, ..self }
    }

    #[inline]
    pub(crate) fn start(self) -> usize {
        ((self.head & !(COPIED | FADING)) >> START) as usize
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

    /// The same record, of weights that fade if `fades` is set.
    pub(crate) fn fading(self, fades: bool) -> Self {
        Self { head: self.head | if fades { FADING } else { 0 }, ..self }
    }

    #[inline(always)]
    pub(crate) fn is_fading(self) -> bool {
        self.head & FADING != 0
    }

    #[inline(always)]
    pub(crate) fn slot_bits(self) -> u32 {
        (self.head & SLOT_BITS) as u32
    }

    #[inline(always)]
    pub(crate) fn degree(self) -> usize {
        let bits = self.slot_bits();
        let few = u64::from(self.bits.count_ones() >> (GROUP_BITS - bits.min(GROUP_BITS)));
        // Walks read short and long lists in no order, so a branch would often be mispredicted.
        std::hint::select_unpredictable(bits <= GROUP_BITS, few, self.bits) as usize
    }

    /// The number of words of its block.
    pub(crate) fn words(self) -> usize {
        let degree = self.degree();
        let weights = if self.is_weighted() { 1 + degree } else { 0 };
        let times = if self.is_timed() { 2 * degree } else { 0 };
        let half_life = if self.is_fading() { HALF_LIFE } else { 0 };
        GROUP * groups(self.slot_bits()) + degree + weights + times + half_life
    }
}
