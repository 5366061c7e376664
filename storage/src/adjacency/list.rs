//! A neighbor list for reading: its record, and a block of words for the rest.
//! Owns the encoding of the block, byte for byte as in FORMAT.md; of a list whose weights fade, `weight_classes` does. The slot table decides
//! the order of neighbors, and callers decide where blocks lie.

#![expect(
    clippy::inline_always,
    reason = "a hop is a handful of these: with calls between them a sweep takes a sixth longer"
)]

use std::borrow::Cow;

use crate::adjacency::chunked_list::ChunkedList;
use crate::adjacency::classed_list::ClassedList;
use crate::adjacency::record::Record;
use crate::adjacency::slot_table::{GROUP_BITS, groups, slot};
use crate::adjacency::weight_classes::{Classes, WeightClasses};
use crate::fs::prefetch::prefetch;
use crate::types::ids::{NodeIx, StableId};
use crate::types::weights::fading;
use crate::types::weights::fading::LogWeight;
use crate::types::weights::relation_options::HalfLife;

/// The largest degree.
pub const MAX_DEGREE: u32 = (1 << 30) - 1;
/// The words of a group of 64 slots: two of occupancy bits and one of rank.
pub(crate) const GROUP: usize = 3;
pub(crate) const NO_TIME: i64 = i64::MIN;

/// The shifts by which a hash names slots of a table of up to 64 slots, six bits each, in order of trial.
const BYTES: [u32; 8] = [58, 26, 42, 10, 50, 18, 34, 2];

/// A prefetched reference to a neighbor; may refer to none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a>(Option<&'a u32>);

impl<'a> Place<'a> {
    /// Prefetches and references a word.
    #[inline(always)]
    pub(crate) fn new(words: &'a [u32], at: usize) -> Self {
        prefetch(words, at);
        Self(words.get(at))
    }

    /// The neighbor, read from memory.
    #[inline(always)]
    pub fn neighbor(self) -> Option<NodeIx> {
        self.0.copied().map(NodeIx::new)
    }
}

/// The neighbors of one node in one relation, borrowed.
///
/// Neighbors occupy slots of a table of `2^slot_bits` slots, a quarter to a half of them. *Positions* number the
/// occupied slots from 0 to the degree. Where weights fade, each [`WeightClass`](crate::WeightClass) has a table, and positions go on from
/// newer to older classes.
///
/// # Determinism
/// The slot of a neighbor depends on the stable ids of the set alone. So positions are the same in every store with the
/// same edges, though the [`NodeIx`] at a position may differ.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    record: Record,
    block: Block<'a>,
}

/// The location of a block. No larger than a slice: with a list of 40 bytes instead of 32, walks took 5 % longer.
#[derive(Clone, Copy, Debug)]
enum Block<'a> {
    /// In these words; the record's start counts in them.
    Contiguous(&'a [u32]),
    Divided(&'a DividedList),
}

/// A long list that changed: in parts that the states before and after share.
#[derive(Clone, Debug)]
pub(crate) enum DividedList {
    Chunked(ChunkedList),
    Classed(ClassedList),
}

impl<'a> List<'a> {
    /// A contiguous list that was built here or has passed [`Self::check`].
    #[inline]
    pub(crate) fn new(record: Record, words: &'a [u32]) -> Self {
        Self { record, block: Block::Contiguous(words) }
    }

    /// A list in parts.
    pub(crate) fn divided(record: Record, parts: &'a DividedList) -> Self {
        Self { record, block: Block::Divided(parts) }
    }

    /// The chunks, if the list is chunked.
    pub(crate) fn chunks(&self) -> Option<&'a ChunkedList> {
        match self.block {
            Block::Divided(DividedList::Chunked(chunks)) => Some(chunks),
            Block::Divided(DividedList::Classed(_)) | Block::Contiguous(_) => None,
        }
    }

    /// The classes, if the list is long, changed, and its weights fade.
    pub(crate) fn classed(&self) -> Option<&'a ClassedList> {
        match self.block {
            Block::Divided(DividedList::Classed(list)) => Some(list),
            Block::Divided(DividedList::Chunked(_)) | Block::Contiguous(_) => None,
        }
    }

    /// The words of a list in one block; none for one in parts.
    #[inline(always)]
    fn contiguous_words(&self) -> &'a [u32] {
        match self.block {
            Block::Contiguous(words) => words,
            Block::Divided(_) => &[],
        }
    }

    /// The weight classes, if the weights fade: then the list has no slot table of its own.
    #[inline]
    pub fn weight_classes(&self) -> Option<WeightClasses<'a>> {
        if !self.is_fading() {
            return None;
        }
        Some(WeightClasses(match self.block {
            Block::Contiguous(words) => Classes::Encoded { words, block: self.record.start() },
            Block::Divided(DividedList::Classed(list)) => Classes::Changed(list),
            Block::Divided(DividedList::Chunked(_)) => unreachable!("their weights do not fade"),
        }))
    }

    /// The part that contains a position, and the position within it.
    #[inline(never)]
    fn part_at(&self, position: usize) -> (List<'a>, usize) {
        let (list, at) = match self.weight_classes() {
            Some(classes) => {
                let class = classes.at_position(position);
                (class.list(), position - class.first_position())
            }
            None => (*self, position),
        };
        list.chunks().map_or((list, at), |chunks| chunks.find(at))
    }

    /// True if not all neighbors are adjacent.
    #[inline(always)]
    fn has_parts(&self) -> bool {
        self.record.is_fading() || matches!(self.block, Block::Divided(_))
    }

    /// The list of a node without neighbors.
    pub fn empty() -> List<'static> {
        List::new(Record::default(), &[])
    }

    /// The number of neighbors.
    #[inline]
    pub fn degree(&self) -> usize {
        self.record.degree()
    }

    /// True for a list without neighbors.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.record.is_empty()
    }

    /// Twelve bits of the owner's stable id; 0 for an empty list.
    #[inline(always)]
    pub fn salt(&self) -> u64 {
        self.record.salt()
    }

    /// The size of the slot table, as a power of two; 0 for an empty list, for a single neighbor, and where weights fade.
    #[inline]
    pub fn slot_bits(&self) -> u32 {
        if self.is_fading() { 0 } else { self.record.slot_bits() }
    }

    /// The start of the groups in `words`.
    #[inline(always)]
    pub(crate) fn table(&self) -> usize {
        self.record.start() + usize::from(self.is_weighted())
    }

    /// The start of the neighbors in `words`.
    #[inline(always)]
    fn first(&self) -> usize {
        self.table() + GROUP * groups(self.record.slot_bits())
    }

    #[inline(always)]
    fn group(&self, group: usize) -> (u64, usize) {
        let words = &self.contiguous_words()[self.table() + GROUP * group..][..GROUP];
        (u64::from(words[0]) | u64::from(words[1]) << 32, words[2] as usize)
    }

    /// The occupied slots of a group of a contiguous list, and the number of occupied slots before it. An empty list
    /// has no occupied slot in any group.
    pub(crate) fn group_or_none(&self, group: usize) -> (u64, usize) {
        if self.is_empty() { (0, 0) } else { self.group(group) }
    }

    /// The neighbors of a contiguous list, and the words of its weights and times, where it has any.
    pub(crate) fn columns(&self) -> (&'a [u32], Option<&'a [u32]>, Option<&'a [u32]>) {
        let (first, degree) = (self.first(), self.degree());
        let (nodes, rest) = self.contiguous_words()[first..].split_at(degree);
        let (weights, rest) = rest.split_at(if self.is_weighted() { degree } else { 0 });
        let times = self.is_timed().then(|| &rest[..2 * degree]);
        (nodes, self.is_weighted().then_some(weights), times)
    }

    /// The position of the neighbor in `slot`; `None` for a free slot, and where weights fade.
    ///
    /// # Panics
    /// When `slot` is not below `2^slot_bits`.
    ///
    /// # Cost
    /// Constant: up to 64 slots only the record is read, otherwise one group of three words.
    #[inline(always)]
    pub fn at_slot(&self, slot: usize) -> Option<usize> {
        let bits = self.record.slot_bits();
        if bits <= GROUP_BITS {
            let width = GROUP_BITS - bits;
            let below = slot << width;
            let is_occupied = self.record.bits >> below & 1 == 1;
            return is_occupied.then(|| ((self.record.bits & !(!0 << below)).count_ones() >> width) as usize);
        }
        if let Some(chunks) = self.chunks() {
            return chunks.at_slot(slot);
        }
        if self.is_fading() {
            return None;
        }
        let (occupied, rank) = self.group(slot >> GROUP_BITS);
        let bit = 1_u64 << (slot % 64);
        (occupied & bit != 0).then(|| rank + (occupied & (bit - 1)).count_ones() as usize)
    }

    /// The position that a hash draws: the first occupied slot of those that the hash names.
    ///
    /// A hash names eight slots by a byte each, four by 16 bits each, or two by 32 bits each: the narrowest that fits
    /// the table. Each name is uniform and independent of the others, so every neighbor is equally likely. The first
    /// and third quarter of a hash come before the others, and of those the first halves. So when a table is doubled,
    /// each name stays within the slot that it named before.
    ///
    /// Nothing is drawn from an empty list, nor where all named slots are free: at most 10 of 100 hashes up to 64
    /// slots, 32 up to 65,536 slots, 56 above. Nor from a list whose weights fade.
    ///
    /// # Cost
    /// The record, and above 64 slots one group for each slot tried: 2.9 on average.
    #[inline(always)]
    pub fn at_hash(&self, hash: u64) -> Option<usize> {
        let bits = self.record.slot_bits();
        if bits <= GROUP_BITS {
            let occupied = self.record.bits;
            // All eight at once: the first hit is not predictable, and a misprediction costs more than eight shifts.
            let mut hits = 0;
            for (nth, shift) in BYTES.into_iter().enumerate() {
                hits |= (occupied >> (hash >> shift & 63) & 1) << nth;
            }
            if hits == 0 {
                return None;
            }
            let width = GROUP_BITS - bits;
            let drawn = hash >> BYTES[hits.trailing_zeros() as usize & 7] & 63;
            let below = drawn >> width << width;
            return Some(((occupied & !(!0 << below)).count_ones() >> width) as usize);
        }
        let named: &[u32] = if bits <= 16 { &[0, 32, 16, 48] } else { &[0, 32] };
        named.iter().find_map(|shift| self.at_slot((hash << shift >> (64 - bits)) as usize))
    }

    /// Prefetches the first value that [`Self::at_hash`] reads for a hash.
    #[inline(always)]
    pub fn prefetch_hash(&self, hash: u64) {
        let bits = self.record.slot_bits();
        if bits > GROUP_BITS {
            let group = if self.is_fading() { 0 } else { (hash >> (64 - bits)) as usize >> GROUP_BITS };
            // Chunks are not prefetched: a call here would slow down hops over contiguous lists.
            prefetch(self.contiguous_words(), self.table() + GROUP * group);
        }
    }

    /// Prefetches the neighbor at a position and references it.
    #[inline(always)]
    pub fn place(&self, position: usize) -> Place<'a> {
        if self.has_parts() {
            let (part, at) = self.part_at(position);
            return Place::new(part.contiguous_words(), part.first() + at);
        }
        Place::new(self.contiguous_words(), self.first() + position)
    }

    /// The neighbor at a position.
    ///
    /// # Panics
    /// May panic when the position is not below the degree.
    #[inline]
    pub fn neighbor(&self, position: usize) -> NodeIx {
        if self.has_parts() {
            let (part, at) = self.part_at(position);
            return NodeIx::new(part.contiguous_words()[part.first() + at]);
        }
        NodeIx::new(self.contiguous_words()[self.first() + position])
    }

    /// The neighbors, by position.
    #[inline]
    pub fn neighbors(&self) -> impl Iterator<Item = NodeIx> + use<'a> {
        self.runs().flatten().copied().map(NodeIx::new)
    }

    /// The neighbors' numbers, by position, in contiguous runs: several for long lists that changed, otherwise one.
    #[inline]
    pub fn runs(&self) -> impl Iterator<Item = &'a [u32]> + use<'a> {
        let has_parts = self.has_parts();
        let whole = (!has_parts).then(|| {
            let first = self.first();
            &self.contiguous_words()[first..first + self.degree()]
        });
        let parts = has_parts.then_some(*self).into_iter().flat_map(|list| list.contiguous_lists());
        whole.into_iter().chain(parts.map(|list| list.columns().0))
    }

    /// The contiguous lists that together make up this one.
    fn contiguous_lists(&self) -> impl Iterator<Item = List<'a>> + use<'a> {
        let classes = self.weight_classes();
        let own = classes.is_none().then_some(*self);
        let classes = classes.into_iter().flat_map(|classes| classes.iter()).map(|class| class.list());
        own.into_iter().chain(classes).flat_map(|list| {
            let contiguous = list.chunks().is_none().then_some(list);
            contiguous.into_iter().chain(list.chunks().into_iter().flat_map(ChunkedList::lists))
        })
    }

    /// True if the weights fade.
    #[inline(always)]
    pub fn is_fading(&self) -> bool {
        self.record.is_fading()
    }

    /// True if some weight differs from 1, or the weights fade.
    #[inline]
    pub fn is_weighted(&self) -> bool {
        self.record.is_weighted()
    }

    /// True if some edge has a time.
    #[inline]
    pub fn is_timed(&self) -> bool {
        self.record.is_timed()
    }

    /// The weight of the edge at a position; 1 in a list without weights.
    ///
    /// # Panics
    /// When the position is not below the degree.
    #[inline]
    pub fn weight(&self, position: usize) -> f32 {
        let degree = self.degree();
        assert!(position < degree, "a position is below the degree");
        if self.has_parts() {
            let (part, at) = self.part_at(position);
            return part.weight(at);
        }
        if self.is_weighted() {
            f32::from_bits(self.contiguous_words()[self.first() + degree + position])
        } else {
            1.0
        }
    }

    /// The time in which the weights halve, if they fade.
    pub(crate) fn half_life(&self) -> Option<HalfLife> {
        self.weight_classes().map(|classes| classes.half_life())
    }

    /// The weight of the edge at a position over the smallest power of two that is at least the largest weight of the list: above 1/2 for
    /// the largest. Weights that fade count as of the same moment, whichever it is. It is 1 in a list without weights, and 0 for a weight
    /// that is 2^1022 times smaller than the largest.
    ///
    /// # Panics
    /// When the position is not below the degree.
    pub fn relative_weight(&self, position: usize) -> f64 {
        let (weight, exponent) = (self.weight(position), self.max_weight_exponent());
        match self.half_life() {
            Some(half_life) => {
                LogWeight::faded(weight, self.time(position), half_life).over(i64::from(exponent))
            }
            // A product by a power of two is exact.
            None => f64::from(weight) * 2f64.powi(-exponent),
        }
    }

    /// The weight of the edge at a position as of a moment: `weight * 2^((time - moment) / half-life)`, or the weight itself where
    /// weights do not fade. Units: the moment is in microseconds since 1970. From the smallest positive number to the largest.
    ///
    /// # Panics
    /// When the position is not below the degree.
    pub fn weight_at(&self, position: usize, moment: i64) -> f32 {
        match self.half_life() {
            Some(half_life) => {
                fading::weight_at(self.weight(position), self.time(position), moment, half_life)
            }
            None => self.weight(position),
        }
    }

    /// The exponent of the smallest power of two that is at least the largest weight; 0 when unweighted. Of weights that fade, those as of
    /// 1970.
    #[inline]
    pub fn max_weight_exponent(&self) -> i32 {
        if !self.is_weighted() {
            return 0;
        }
        match (self.weight_classes(), self.chunks()) {
            (Some(classes), _) => classes.get(0).exponent(),
            (None, Some(chunks)) => chunks.max_weight_exponent(),
            (None, None) => self.contiguous_words()[self.record.start()] as i32,
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
        if self.has_parts() {
            let (part, at) = self.part_at(position);
            return part.time(at);
        }
        let weights = if self.is_weighted() { degree } else { 0 };
        let at = self.first() + degree + weights + 2 * position;
        let words = &self.contiguous_words()[at..at + 2];
        let time = (u64::from(words[0]) | u64::from(words[1]) << 32) as i64;
        (time != NO_TIME).then_some(time)
    }

    /// The position of a neighbor, found by its stable id.
    ///
    /// # Cost
    /// Constant on average: the slots that it requests are read, up to the first free one. Where weights fade, in each class.
    pub fn position(&self, node: NodeIx, id: StableId) -> Option<usize> {
        if let Some(classes) = self.weight_classes() {
            return classes
                .iter()
                .find_map(|class| class.list().position(node, id).map(|at| class.first_position() + at));
        }
        let bits = self.slot_bits();
        for round in 0..1 << bits {
            let position = self.at_slot(slot(id, bits, round))?;
            if self.neighbor(position) == node {
                return Some(position);
            }
        }
        None
    }

    /// All neighbors with weight and time, by position.
    pub fn iter(&self) -> impl Iterator<Item = (NodeIx, f32, Option<i64>)> + use<'a> {
        self.contiguous_lists().flat_map(|list| {
            (0..list.degree()).map(move |at| (list.neighbor(at), list.weight(at), list.time(at)))
        })
    }

    /// True if both lists have the same slots, neighbors, weights and times.
    pub(crate) fn is_same(&self, other: &List<'_>) -> bool {
        self.record().at(0) == other.record().at(0) && self.words() == other.words()
    }

    /// The start of the neighbors, and whether they lie in copied words.
    pub(crate) fn start(&self) -> (usize, bool) {
        (self.first(), self.record.is_copied())
    }

    /// True if the list is contiguous and lies in these words.
    pub(crate) fn is_in(&self, words: &[u32]) -> bool {
        matches!(self.block, Block::Contiguous(own) if std::ptr::eq(own, words))
    }

    /// The record, as that of a contiguous list.
    pub(crate) fn record(&self) -> Record {
        self.record
    }

    /// The words of the block, the same for a chunked and a contiguous list.
    ///
    /// # Cost
    /// A chunked list is copied.
    pub(crate) fn words(&self) -> Cow<'a, [u32]> {
        let Block::Contiguous(words) = self.block else {
            let mut words = vec![0; self.record.words()];
            self.copy_words(&mut words);
            return Cow::Owned(words);
        };
        let start = self.record.start();
        Cow::Borrowed(&words[start..start + self.record.words()])
    }

    /// Writes the words of the block; `into` has the length given by the record.
    pub(crate) fn copy_words(&self, into: &mut [u32]) {
        match self.block {
            Block::Contiguous(words) => {
                into.copy_from_slice(&words[self.record.start()..][..self.record.words()]);
            }
            Block::Divided(DividedList::Chunked(chunks)) => {
                chunks.fill(into, self.is_weighted(), self.is_timed());
            }
            Block::Divided(DividedList::Classed(list)) => list.fill(into),
        }
    }

    /// The record and the words of the block.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> (Record, Cow<'a, [u32]>) {
        (self.record, self.words())
    }
}
