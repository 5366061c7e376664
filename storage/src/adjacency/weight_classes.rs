//! The weight classes of a list whose weights fade: a list for each power of two.
//! Owns the encoding of their directory, byte for byte as in FORMAT.md. The class of an edge never changes, whatever time it is.

use crate::adjacency::classed_list::{ClassedList, Part};
use crate::adjacency::list::List;
use crate::adjacency::record::Record;
use crate::adjacency::slot_table::{GROUP_BITS, slot_bits};
use crate::types::weights::fading::LogWeight;
use crate::types::weights::relation_options::HalfLife;

/// The words before the directory: the half-life, low word first, and the number of classes.
pub(crate) const HEADER: usize = 3;
/// The words of a class in the directory: exponent, stop, end and columns, start.
pub(crate) const ENTRY: usize = 4;
/// The words of the occupied slots of a table of 4 to 64 slots.
pub(crate) const OCCUPIED: usize = 2;
/// Above the end of a class: it has weights, it has times.
const WEIGHTED: u32 = 1 << 30;
const TIMED: u32 = 1 << 31;

/// The edges of a list with weights above `2^(exponent - 1)` and at most `2^exponent`. An edge of weight w and time t counts as
/// `w * 2^(t / half-life)` here.
#[derive(Clone, Copy, Debug)]
pub struct WeightClass<'a> {
    classes: WeightClasses<'a>,
    exponent: i32,
    stop: u32,
    first: usize,
    list: List<'a>,
}

/// The weight classes of a list, newest first.
#[derive(Clone, Copy, Debug)]
pub struct WeightClasses<'a>(pub(crate) Classes<'a>);

/// The memory that holds the classes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Classes<'a> {
    /// In the block that starts at this word.
    Encoded {
        words: &'a [u32],
        block: usize,
    },
    Changed(&'a ClassedList),
}

impl<'a> WeightClasses<'a> {
    /// The number of classes; each has an edge.
    #[inline]
    pub fn len(&self) -> usize {
        match self.0 {
            Classes::Encoded { words, block } => words[block + 2] as usize,
            Classes::Changed(list) => list.parts().len(),
        }
    }

    /// False: a list without edges is empty and does not fade.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class at an index.
    ///
    /// # Panics
    /// When the index is not below [`Self::len`].
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a call copies the class: a draw takes a tenth longer")]
    pub fn get(&self, at: usize) -> WeightClass<'a> {
        match self.0 {
            Classes::Encoded { words, block } => {
                let entry = &words[block + HEADER + ENTRY * at..][..ENTRY];
                let first = if at == 0 { 0 } else { end(words[block + HEADER + ENTRY * at - 2]) };
                let list = List::new(class_record(words, block, (entry[2], entry[3]), first), words);
                WeightClass { classes: *self, exponent: entry[0] as i32, stop: entry[1], first, list }
            }
            Classes::Changed(list) => {
                let part = &list.parts()[at];
                let Part { exponent, stop, first, .. } = *part;
                WeightClass { classes: *self, exponent, stop, first, list: part.list.as_list() }
            }
        }
    }

    /// Exponent and stop of the class at an index; cheaper than the class.
    ///
    /// # Panics
    /// When the index is not below [`Self::len`].
    #[inline]
    pub fn exponent_and_stop(&self, at: usize) -> (i32, u32) {
        match self.0 {
            Classes::Encoded { words, block } => {
                let entry = &words[block + HEADER + ENTRY * at..][..2];
                (entry[0] as i32, entry[1])
            }
            Classes::Changed(list) => {
                let part = &list.parts()[at];
                (part.exponent, part.stop)
            }
        }
    }

    /// The classes, newest first.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = WeightClass<'a>> + Clone + use<'a> {
        let classes = *self;
        (0..classes.len()).map(move |at| classes.get(at))
    }

    /// The class that contains a position of the whole list.
    pub(crate) fn at_position(&self, position: usize) -> WeightClass<'a> {
        let ends_before = |at: usize| match self.0 {
            Classes::Encoded { words, block } => end(words[block + HEADER + ENTRY * at + 2]) <= position,
            Classes::Changed(list) => {
                let part = &list.parts()[at];
                part.first + part.list.as_list().degree() <= position
            }
        };
        // The first class that does not end before the position.
        let (mut from, mut to) = (0, self.len() - 1);
        while from < to {
            let middle = usize::midpoint(from, to);
            if ends_before(middle) { from = middle + 1 } else { to = middle }
        }
        self.get(from)
    }

    /// The half-life of the weights.
    pub(crate) fn half_life(&self) -> HalfLife {
        match self.0 {
            Classes::Encoded { words, block } => half_life(&words[block..]),
            Classes::Changed(list) => list.half_life(),
        }
    }
}

impl<'a> WeightClass<'a> {
    /// The smallest e with every weight at most `2^e`.
    #[inline]
    pub fn exponent(&self) -> i32 {
        self.exponent
    }

    /// The probability that a draw which has come down to this class stays in it, as a share of 2^32, less one: the number of its edges times
    /// `2^exponent`, over the sum of the same for it and all older classes.
    #[inline]
    pub fn stop(&self) -> u32 {
        self.stop
    }

    /// The number of edges in newer classes: the position of its first edge in the whole list.
    #[inline]
    pub fn first_position(&self) -> usize {
        self.first
    }

    /// Its edges, with their own slot table and positions.
    #[inline]
    pub fn list(&self) -> List<'a> {
        self.list
    }

    /// The weight of an edge over `2^exponent`: above 1/2, and at most 1.
    ///
    /// # Panics
    /// When the position within the class is not below the degree.
    #[inline]
    pub fn share(&self, position: usize) -> f64 {
        let (weight, time) = (self.list.weight(position), self.list.time(position));
        LogWeight::faded(weight, time, self.classes.half_life()).over(i64::from(self.exponent))
    }

    /// True if `fraction / 2^32` is below the share of the edge at a position: so for as large a share of all fractions.
    ///
    /// # Panics
    /// When the position within the class is not below the degree.
    ///
    /// # Cost
    /// For half of the fractions, nothing is read. In one of 25 cases the share is computed.
    #[inline]
    pub fn accepts(&self, position: usize, fraction: u32) -> bool {
        fraction < 1 << 31 || self.share_is_above(position, fraction)
    }

    fn share_is_above(&self, position: usize, fraction: u32) -> bool {
        let (weight, time) = (self.list.weight(position), self.list.time(position));
        let half_life = self.classes.half_life().microseconds() as i64;
        // The share is 2^x for an x from -1 to 0: below the chord 1 + x/2, and above it less .0431. Both sides of the comparison are
        // multiplied by the half-life, which saves a division. A rounding error is far below a millionth.
        let since = time.unwrap_or(i64::MIN).wrapping_sub(i64::from(self.exponent).wrapping_mul(half_life));
        let (since, half_life) = (since as f64, half_life as f64);
        let fraction = f64::from(fraction) / 4_294_967_296.0;
        let below_chord =
            (1.0 + LogWeight::of(weight).approximate() / 2.0 - fraction) * half_life + since / 2.0;
        if below_chord < -1e-6 * half_life {
            return false;
        }
        below_chord > 0.0432 * half_life || fraction < self.share(position)
    }
}

/// The words of a class in the directory; `start` counts from that of the block.
pub(crate) fn directory_entry(
    exponent: i32,
    stop: u32,
    end: usize,
    record: Record,
    start: usize,
) -> [u32; ENTRY] {
    let columns = if record.is_weighted() { WEIGHTED } else { 0 } | if record.is_timed() { TIMED } else { 0 };
    // A commit refuses longer lists.
    let start = u32::try_from(start).expect("a list whose weights fade has fewer than 2^32 words");
    [exponent as u32, stop, end as u32 | columns, start]
}

/// The record of a class from its end and its start in the directory; `first` is the end of the class before.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as for `WeightClasses::get`")]
pub(crate) fn class_record(words: &[u32], block: usize, (last, start): (u32, u32), first: usize) -> Record {
    let degree = end(last) - first;
    let (bits, start) = (slot_bits(degree), block + start as usize);
    let has = |column: u32| last & column != 0;
    let (start, summary) = match bits {
        0 => (start, u64::MAX),
        1..=GROUP_BITS => (start + OCCUPIED, u64::from(words[start]) | u64::from(words[start + 1]) << 32),
        _ => (start, degree as u64),
    };
    Record::of_class(bits, has(WEIGHTED), has(TIMED), summary, start)
}

/// The end of a class, without its columns.
#[inline]
pub(crate) fn end(word: u32) -> usize {
    (word & (WEIGHTED - 1)) as usize
}

fn half_life(block: &[u32]) -> HalfLife {
    HalfLife::clamped(u64::from(block[0]) | u64::from(block[1]) << 32)
}
