//! A neighbour list as it is read: a record of two words, and a block of words for what does not fit it.
//! Owns the encoding, byte for byte as in FORMAT.md; who sits where is the slot table's to say, and where the blocks lie
//! the caller's.

#![expect(
    clippy::inline_always,
    reason = "a hop is a handful of these: with calls between them a sweep takes a sixth longer"
)]

use bytemuck::{Pod, Zeroable};

use crate::prefetch::prefetch;
use crate::slots::{GROUP_BITS, groups, slot, slot_bits};
use crate::{NodeIx, StableId};

/// The largest degree.
pub const MAX_DEGREE: u32 = (1 << 30) - 1;
/// Two words of occupancy bits and one of rank for every 64 slots.
pub(crate) const GROUP: usize = 3;
pub(crate) const NO_TIME: i64 = i64::MIN;

/// Where in a hash the six bits stand that name a slot of up to 64, in the order of trying.
const BYTES: [u32; 8] = [58, 26, 42, 10, 50, 18, 34, 2];

/// What is known of a list before its block is read. All zeros is the empty list.
///
/// `head`, from the lowest bit: 6 bits slot bits, 1 weighted, 1 timed, 12 salt, 43 where the block starts in the words it lies in,
/// and 1 that only [`FlatLists`](crate::FlatLists) sets, for a block in words of its own.
/// `bits`: up to 64 slots, which of them are taken, each slot `64 / slots` bits wide; with more slots, the degree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Record {
    pub(crate) head: u64,
    pub(crate) bits: u64,
}

const SLOT_BITS: u64 = 63;
const WEIGHTED: u64 = 1 << 6;
const TIMED: u64 = 1 << 7;
const SALT: u64 = 0xf_ff00;
const START: u32 = 20;
/// Blocks start below it.
const MAX_START: u64 = 1 << (63 - START);
const APART: u64 = 1 << 63;

impl Record {
    pub(crate) fn new(owner: StableId, slot_bits: u32, is_weighted: bool, is_timed: bool, bits: u64) -> Self {
        let flags = if is_weighted { WEIGHTED } else { 0 } | if is_timed { TIMED } else { 0 };
        Self { head: u64::from(slot_bits) | flags | owner.get() >> 24 & SALT, bits }
    }

    /// The same list with its block elsewhere.
    pub(crate) fn at(self, start: u64) -> Self {
        assert!(start < MAX_START, "a relation's lists are shorter than 2^43 words");
        Self { head: self.head & ((1 << START) - 1) | start << START, ..self }
    }

    #[inline]
    pub(crate) fn start(self) -> usize {
        ((self.head & !APART) >> START) as usize
    }

    /// The same, marked as lying in words of its own.
    pub(crate) fn apart(self) -> Self {
        Self { head: self.head | APART, ..self }
    }

    #[inline]
    pub(crate) fn is_apart(self) -> bool {
        self.head & APART != 0
    }

    #[inline]
    fn slot_bits(self) -> u32 {
        (self.head & SLOT_BITS) as u32
    }

    #[inline(always)]
    fn degree(self) -> usize {
        let bits = self.slot_bits();
        let few = u64::from(self.bits.count_ones() >> (GROUP_BITS - bits.min(GROUP_BITS)));
        // Walks meet short and long lists in no order, so a branch would often be guessed wrong.
        std::hint::select_unpredictable(bits <= GROUP_BITS, few, self.bits) as usize
    }

    /// How many words its block has.
    pub(crate) fn words(self) -> usize {
        let degree = self.degree();
        let weights = if self.head & WEIGHTED == 0 { 0 } else { 1 + degree };
        let times = if self.head & TIMED == 0 { 0 } else { 2 * degree };
        GROUP * groups(self.slot_bits()) + degree + weights + times
    }
}

/// Where a neighbour stands, on its way from memory; or nowhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a>(Option<&'a u32>);

impl<'a> Place<'a> {
    /// A place in these words, which is fetched.
    #[inline(always)]
    pub(crate) fn new(words: &'a [u32], at: usize) -> Self {
        prefetch(words, at);
        Self(words.get(at))
    }

    /// The neighbour.
    #[inline(always)]
    pub fn neighbor(self) -> Option<NodeIx> {
        self.0.copied().map(NodeIx::new)
    }
}

/// The neighbours of one node in one relation, borrowed from wherever they lie.
///
/// Neighbours sit in a table of `2^slot_bits` slots, a quarter to a half of them taken. *Positions* number the taken slots
/// from 0 to the degree.
///
/// # Determinism
/// Which slot a neighbour has depends on the stable ids of the set alone. Positions are therefore the same in every
/// store that holds the same edges, though the [`NodeIx`] found there may differ.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    record: Record,
    /// What the record's start counts in.
    words: &'a [u32],
}

impl<'a> List<'a> {
    /// A list that was built here or has passed [`Self::check`].
    #[inline]
    pub(crate) fn new(record: Record, words: &'a [u32]) -> Self {
        Self { record, words }
    }

    /// The list of a node without neighbours.
    pub fn empty() -> List<'static> {
        List { record: Record::default(), words: &[] }
    }

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
        if record.is_apart() || record.start().checked_add(record.words()).is_none_or(|end| end > words.len())
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
        if list.neighbors().iter().max() >= Some(&bound) {
            return Err("a list with a neighbor that does not exist");
        }
        Ok(())
    }

    /// How many neighbours there are.
    #[inline]
    pub fn degree(&self) -> usize {
        self.record.degree()
    }

    /// Whether there are no neighbours.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.record.bits == 0
    }

    /// Twelve bits of the stable id of the node whose list this is; 0 for an empty list.
    #[inline(always)]
    pub fn salt(&self) -> u64 {
        self.record.head & SALT
    }

    /// The slot table has two to this power slots; 0 for an empty list and for a single neighbour.
    #[inline]
    pub fn slot_bits(&self) -> u32 {
        self.record.slot_bits()
    }

    /// Where the groups start in `words`.
    #[inline(always)]
    fn table(&self) -> usize {
        self.record.start() + usize::from(self.is_weighted())
    }

    /// Where the neighbours start in `words`.
    #[inline(always)]
    fn first(&self) -> usize {
        self.table() + GROUP * groups(self.slot_bits())
    }

    #[inline(always)]
    fn group(&self, group: usize) -> (u64, usize) {
        let words = &self.words[self.table() + GROUP * group..][..GROUP];
        (u64::from(words[0]) | u64::from(words[1]) << 32, words[2] as usize)
    }

    /// The position of the neighbour that sits at `slot`, if one does.
    ///
    /// # Panics
    /// When `slot` is not below `2^slot_bits`.
    ///
    /// # Cost
    /// Constant: up to 64 slots nothing but the record is read, else one group of three words.
    #[inline(always)]
    pub fn at_slot(&self, slot: usize) -> Option<usize> {
        let bits = self.slot_bits();
        if bits <= GROUP_BITS {
            let width = GROUP_BITS - bits;
            let below = slot << width;
            let is_taken = self.record.bits >> below & 1 == 1;
            return is_taken.then(|| ((self.record.bits & !(!0 << below)).count_ones() >> width) as usize);
        }
        let (taken, rank) = self.group(slot >> GROUP_BITS);
        let bit = 1_u64 << (slot % 64);
        (taken & bit != 0).then(|| rank + (taken & (bit - 1)).count_ones() as usize)
    }

    /// The position that a hash draws: of the slots that it names one after another, the first that is taken.
    ///
    /// A hash names eight slots by a byte each, four by 16 bits, or two by 32 bits, whichever is enough for the table. Each is
    /// uniform and independent of the others, so every neighbour is as likely. When a table is doubled, the slots that are
    /// named stay inside the ones that were: the first and third quarter of a hash come before the others, and of
    /// those the first halves.
    ///
    /// Nothing is drawn from an empty list, nor where all of them are free: in 10 of 100 cases at most up to 64 slots, in 32
    /// up to 65,536, in 56 above.
    ///
    /// # Cost
    /// The record, and above 64 slots a group for each slot that is looked at: 2.9 on average.
    #[inline(always)]
    pub fn at_hash(&self, hash: u64) -> Option<usize> {
        let bits = self.slot_bits();
        if bits <= GROUP_BITS {
            let taken = self.record.bits;
            // All at once: which of them hits is not to be predicted, and a wrong guess costs more than eight shifts.
            let mut hits = 0;
            for (nth, shift) in BYTES.into_iter().enumerate() {
                hits |= (taken >> (hash >> shift & 63) & 1) << nth;
            }
            if hits == 0 {
                return None;
            }
            let width = GROUP_BITS - bits;
            let drawn = hash >> BYTES[hits.trailing_zeros() as usize & 7] & 63;
            let below = drawn >> width << width;
            return Some(((taken & !(!0 << below)).count_ones() >> width) as usize);
        }
        let named: &[u32] = if bits <= 16 { &[0, 32, 16, 48] } else { &[0, 32] };
        named.iter().find_map(|shift| self.at_slot((hash << shift >> (64 - bits)) as usize))
    }

    /// Fetches what [`Self::at_hash`] reads first for a hash.
    #[inline(always)]
    pub fn prefetch_hash(&self, hash: u64) {
        let bits = self.slot_bits();
        if bits > GROUP_BITS {
            let group = (hash >> (64 - bits)) as usize >> GROUP_BITS;
            prefetch(self.words, self.table() + GROUP * group);
        }
    }

    /// Where the neighbour at a position stands, which is fetched.
    #[inline(always)]
    pub fn place(&self, position: usize) -> Place<'a> {
        Place::new(self.words, self.first() + position)
    }

    /// The neighbour at a position.
    ///
    /// # Panics
    /// Perhaps, when the position is not below the degree.
    #[inline]
    pub fn neighbor(&self, position: usize) -> NodeIx {
        NodeIx::new(self.words[self.first() + position])
    }

    /// The neighbours' numbers in order of position.
    #[inline]
    pub fn neighbors(&self) -> &'a [u32] {
        let first = self.first();
        &self.words[first..first + self.degree()]
    }

    /// Whether some weight differs from 1.
    #[inline]
    pub fn is_weighted(&self) -> bool {
        self.record.head & WEIGHTED != 0
    }

    /// Whether some edge has a time.
    #[inline]
    pub fn is_timed(&self) -> bool {
        self.record.head & TIMED != 0
    }

    /// The weight of the edge at a position; 1 where none is stored.
    ///
    /// # Panics
    /// When the position is not below the degree.
    #[inline]
    pub fn weight(&self, position: usize) -> f32 {
        let degree = self.degree();
        assert!(position < degree, "a position is below the degree");
        if self.is_weighted() { f32::from_bits(self.words[self.first() + degree + position]) } else { 1.0 }
    }

    /// The largest weight is at most two to this power, and above half of it; 0 when unweighted.
    #[inline]
    pub fn max_weight_exponent(&self) -> i32 {
        if self.is_weighted() { self.words[self.record.start()] as i32 } else { 0 }
    }

    /// The time of the edge at a position, if it has one.
    ///
    /// # Panics
    /// When the position is not below the degree.
    #[inline]
    pub fn time(&self, position: usize) -> Option<i64> {
        let degree = self.degree();
        assert!(position < degree, "a position is below the degree");
        if !self.is_timed() {
            return None;
        }
        let weights = if self.is_weighted() { degree } else { 0 };
        let at = self.first() + degree + weights + 2 * position;
        let time = (u64::from(self.words[at]) | u64::from(self.words[at + 1]) << 32) as i64;
        (time != NO_TIME).then_some(time)
    }

    /// The position of a neighbour, given its stable id too.
    ///
    /// # Cost
    /// Constant on average: the slots that it asks for are looked at, up to the first free one.
    pub fn position(&self, node: NodeIx, id: StableId) -> Option<usize> {
        let bits = self.slot_bits();
        for round in 0..1 << bits {
            let position = self.at_slot(slot(id, bits, round))?;
            if self.neighbor(position) == node {
                return Some(position);
            }
        }
        None
    }

    /// All neighbours with weight and time, in order of position.
    pub fn iter(&self) -> impl Iterator<Item = (NodeIx, f32, Option<i64>)> + use<'a> {
        let list = *self;
        (0..list.degree()).map(move |at| (list.neighbor(at), list.weight(at), list.time(at)))
    }

    /// Whether both have the same slots, neighbours, weights and times, wherever they lie.
    pub(crate) fn is_same(&self, other: &List<'_>) -> bool {
        let ((one, words), (another, others)) = (self.parts(), other.parts());
        one.at(0) == another.at(0) && words == others
    }

    /// Where the neighbours start, and whether in words apart.
    pub(crate) fn start(&self) -> (usize, bool) {
        (self.first(), self.record.is_apart())
    }

    /// Whether it counts in these words.
    pub(crate) fn lies_in(&self, words: &[u32]) -> bool {
        std::ptr::eq(self.words, words)
    }

    /// The record, and the words of the block.
    pub(crate) fn parts(&self) -> (Record, &'a [u32]) {
        let start = self.record.start();
        (self.record, &self.words[start..start + self.record.words()])
    }
}
