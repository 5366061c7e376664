//! A neighbour list as it is read: its record, and a block of words for what does not fit it.
//! Owns the encoding of the block, byte for byte as in FORMAT.md; who sits where is the slot table's to say, and where the blocks lie
//! the caller's.

#![expect(
    clippy::inline_always,
    reason = "a hop is a handful of these: with calls between them a sweep takes a sixth longer"
)]

use std::borrow::Cow;

use crate::adjacency::chunked_list::ChunkedList;
use crate::adjacency::record::Record;
use crate::adjacency::slot_table::{GROUP_BITS, groups, slot};
use crate::fs::prefetch::prefetch;
use crate::types::ids::{NodeIx, StableId};

/// The largest degree.
pub const MAX_DEGREE: u32 = (1 << 30) - 1;
/// Two words of occupancy bits and one of rank for every 64 slots.
pub(crate) const GROUP: usize = 3;
pub(crate) const NO_TIME: i64 = i64::MIN;

/// Where in a hash the six bits stand that name a slot of up to 64, in the order of trying.
const BYTES: [u32; 8] = [58, 26, 42, 10, 50, 18, 34, 2];

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
    block: Block<'a>,
}

/// Where the block of a list lies. No larger than a slice: with a list of 40 bytes in place of 32 walks took 5 % longer.
#[derive(Clone, Copy, Debug)]
enum Block<'a> {
    /// In these words, in which the record's start counts.
    Contiguous(&'a [u32]),
    Chunked(&'a ChunkedList),
}

impl<'a> List<'a> {
    /// A list that was built here or has passed [`Self::check`].
    #[inline]
    pub(crate) fn new(record: Record, words: &'a [u32]) -> Self {
        Self { record, block: Block::Contiguous(words) }
    }

    /// A list in pieces.
    pub(crate) fn chunked(record: Record, chunks: &'a ChunkedList) -> Self {
        Self { record, block: Block::Chunked(chunks) }
    }

    /// The pieces, if it lies in some.
    pub(crate) fn chunks(&self) -> Option<&'a ChunkedList> {
        match self.block {
            Block::Contiguous(_) => None,
            Block::Chunked(chunks) => Some(chunks),
        }
    }

    /// The words it lies in as a whole; none where it lies in pieces.
    #[inline(always)]
    fn contiguous_words(&self) -> &'a [u32] {
        match self.block {
            Block::Contiguous(words) => words,
            Block::Chunked(_) => &[],
        }
    }

    /// The list of a node without neighbours.
    pub fn empty() -> List<'static> {
        List::new(Record::default(), &[])
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
        self.record.salt()
    }

    /// The slot table has two to this power slots; 0 for an empty list and for a single neighbour.
    #[inline]
    pub fn slot_bits(&self) -> u32 {
        self.record.slot_bits()
    }

    /// Where the groups start in `words`.
    #[inline(always)]
    pub(crate) fn table(&self) -> usize {
        self.record.start() + usize::from(self.is_weighted())
    }

    /// Where the neighbours start in `words`.
    #[inline(always)]
    fn first(&self) -> usize {
        self.table() + GROUP * groups(self.slot_bits())
    }

    #[inline(always)]
    fn group(&self, group: usize) -> (u64, usize) {
        let words = &self.contiguous_words()[self.table() + GROUP * group..][..GROUP];
        (u64::from(words[0]) | u64::from(words[1]) << 32, words[2] as usize)
    }

    /// Which slots of a group of a list that lies as a whole are taken, and by how many the groups before; of an empty list
    /// it has any group.
    pub(crate) fn group_or_none(&self, group: usize) -> (u64, usize) {
        if self.is_empty() { (0, 0) } else { self.group(group) }
    }

    /// The neighbours, and the words of the weights and times, where there are any, of a list that lies as a whole.
    pub(crate) fn columns(&self) -> (&'a [u32], Option<&'a [u32]>, Option<&'a [u32]>) {
        let (first, degree) = (self.first(), self.degree());
        let (nodes, rest) = self.contiguous_words()[first..].split_at(degree);
        let (weights, rest) = rest.split_at(if self.is_weighted() { degree } else { 0 });
        let times = self.is_timed().then(|| &rest[..2 * degree]);
        (nodes, self.is_weighted().then_some(weights), times)
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
        if let Block::Chunked(chunks) = self.block {
            return chunks.at_slot(slot);
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
            // Nothing is fetched of pieces: with a call here, hops over other lists are slower.
            prefetch(self.contiguous_words(), self.table() + GROUP * group);
        }
    }

    /// Where the neighbour at a position stands, which is fetched.
    #[inline(always)]
    pub fn place(&self, position: usize) -> Place<'a> {
        if let Block::Chunked(chunks) = self.block {
            return chunks.place(position);
        }
        Place::new(self.contiguous_words(), self.first() + position)
    }

    /// The neighbour at a position.
    ///
    /// # Panics
    /// Perhaps, when the position is not below the degree.
    #[inline]
    pub fn neighbor(&self, position: usize) -> NodeIx {
        if let Block::Chunked(chunks) = self.block {
            return chunks.neighbor(position);
        }
        NodeIx::new(self.contiguous_words()[self.first() + position])
    }

    /// The neighbours in order of position.
    #[inline]
    pub fn neighbors(&self) -> impl Iterator<Item = NodeIx> + use<'a> {
        self.runs().flatten().copied().map(NodeIx::new)
    }

    /// The neighbours' numbers in order of position, in as many runs as the list lies in: one but for long lists
    /// that changed.
    #[inline]
    pub fn runs(&self) -> impl Iterator<Item = &'a [u32]> + use<'a> {
        let (whole, chunks) = match self.block {
            Block::Contiguous(words) => {
                let first = self.first();
                (Some(&words[first..first + self.degree()]), None)
            }
            Block::Chunked(chunks) => (None, Some(chunks)),
        };
        let lists = chunks.into_iter().flat_map(ChunkedList::lists);
        whole.into_iter().chain(lists.map(|list| list.columns().0))
    }

    /// The lists that lie as a whole which together are this one.
    fn contiguous_lists(&self) -> impl Iterator<Item = List<'a>> + use<'a> {
        let whole = self.chunks().is_none().then_some(*self);
        whole.into_iter().chain(self.chunks().into_iter().flat_map(ChunkedList::lists))
    }

    /// Whether some weight differs from 1.
    #[inline]
    pub fn is_weighted(&self) -> bool {
        self.record.is_weighted()
    }

    /// Whether some edge has a time.
    #[inline]
    pub fn is_timed(&self) -> bool {
        self.record.is_timed()
    }

    /// The weight of the edge at a position; 1 where none is stored.
    ///
    /// # Panics
    /// When the position is not below the degree.
    #[inline]
    pub fn weight(&self, position: usize) -> f32 {
        let degree = self.degree();
        assert!(position < degree, "a position is below the degree");
        if let Block::Chunked(chunks) = self.block {
            return chunks.weight(position);
        }
        if self.is_weighted() {
            f32::from_bits(self.contiguous_words()[self.first() + degree + position])
        } else {
            1.0
        }
    }

    /// The largest weight is at most two to this power, and above half of it; 0 when unweighted.
    #[inline]
    pub fn max_weight_exponent(&self) -> i32 {
        match self.block {
            _ if !self.is_weighted() => 0,
            Block::Chunked(chunks) => chunks.max_weight_exponent(),
            Block::Contiguous(words) => words[self.record.start()] as i32,
        }
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
        if let Block::Chunked(chunks) = self.block {
            return chunks.time(position);
        }
        let weights = if self.is_weighted() { degree } else { 0 };
        let at = self.first() + degree + weights + 2 * position;
        let words = &self.contiguous_words()[at..at + 2];
        let time = (u64::from(words[0]) | u64::from(words[1]) << 32) as i64;
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
        self.contiguous_lists().flat_map(|list| {
            (0..list.degree()).map(move |at| (list.neighbor(at), list.weight(at), list.time(at)))
        })
    }

    /// Whether both have the same slots, neighbours, weights and times, wherever they lie.
    pub(crate) fn is_same(&self, other: &List<'_>) -> bool {
        self.record().at(0) == other.record().at(0) && self.words() == other.words()
    }

    /// Where the neighbours start, and whether in words apart.
    pub(crate) fn start(&self) -> (usize, bool) {
        (self.first(), self.record.is_copied())
    }

    /// Whether it counts in these words.
    pub(crate) fn is_in(&self, words: &[u32]) -> bool {
        matches!(self.block, Block::Contiguous(own) if std::ptr::eq(own, words))
    }

    /// The record as that of a list that lies as a whole.
    pub(crate) fn record(&self) -> Record {
        self.record
    }

    /// The words of the block: the same whether the list lies in pieces or not.
    ///
    /// # Cost
    /// A list in pieces is copied.
    pub(crate) fn words(&self) -> Cow<'a, [u32]> {
        let Block::Contiguous(words) = self.block else {
            let mut words = vec![0; self.record.words()];
            self.copy_words(&mut words);
            return Cow::Owned(words);
        };
        let start = self.record.start();
        Cow::Borrowed(&words[start..start + self.record.words()])
    }

    /// Writes the words of the block, which are as many as the record says.
    pub(crate) fn copy_words(&self, into: &mut [u32]) {
        match self.block {
            Block::Contiguous(words) => into.copy_from_slice(&words[self.record.start()..][..self.record.words()]),
            Block::Chunked(chunks) => chunks.fill(into, self.is_weighted(), self.is_timed()),
        }
    }

    /// The record, and the words of the block.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> (Record, Cow<'a, [u32]>) {
        (self.record, self.words())
    }
}
