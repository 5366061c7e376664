//! The neighborhoods of all rows, one after another in memory or in a mapped file, and those that changed since. Knows nothing of
//! walks.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use hedgerow_storage::SharedNumbers;

/// The lists are written one after another again when one in this many of them changed. Until then an old list takes memory beside the
/// new one.
const LARGEST_SHARE: usize = 4;

/// A row in a neighborhood, and its visits.
pub(crate) type Visited = (u32, u32);

/// The neighborhood of a row: rows by descending visits, then by stable id, and their visits.
#[derive(Clone, Copy)]
pub(crate) struct Neighborhood<'a> {
    pub(crate) rows: &'a [u32],
    counts: Counts<'a>,
}

/// The visits of the rows of a neighborhood.
#[derive(Clone, Copy)]
enum Counts<'a> {
    /// From `first` on among the counts of packed lists.
    Packed {
        lists: &'a PackedLists,
        first: usize,
    },
    Changed(&'a [u32]),
}

impl<'a> Neighborhood<'a> {
    pub(crate) fn len(self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Visited> + 'a {
        self.rows.iter().copied().zip(self.counts())
    }

    pub(crate) fn counts(self) -> impl Iterator<Item = u32> + 'a {
        let Self { rows, counts } = self;
        (0..rows.len()).map(move |at| match counts {
            Counts::Packed { lists, first } => lists.count(first + at),
            Counts::Changed(counts) => counts[at],
        })
    }
}

/// The neighborhoods of all rows. Size: 5 bytes for each neighbor and 8 for each row. Of a mapped file the system evicts what is not
/// read; changed lists are in memory.
#[derive(Clone, Default)]
pub(crate) struct NeighborhoodLists {
    packed: PackedLists,
    /// The lists that changed, and those of rows behind the packed ones: rows, then as many counts.
    changed: HashMap<u32, Box<[u32]>>,
    /// A bit for each row whose list is among the changed ones.
    is_changed: Vec<u64>,
    rows: usize,
}

/// Lists one after another.
#[derive(Clone, Default)]
pub(crate) struct PackedLists {
    /// The start of each list, and the end of the last.
    offsets: Numbers<u64>,
    rows: Numbers<u32>,
    /// [`LARGE`] for a count that does not fit a byte.
    counts: Numbers<u8>,
    /// The places of such counts among all, ascending, and the counts.
    large: (Numbers<u64>, Numbers<u32>),
}

/// Lists one after another as files have them.
pub(crate) struct StoredLists {
    pub(crate) offsets: SharedNumbers<u64>,
    pub(crate) rows: SharedNumbers<u32>,
    pub(crate) counts: SharedNumbers<u8>,
    pub(crate) large_places: SharedNumbers<u64>,
    pub(crate) large_counts: SharedNumbers<u32>,
}

/// The byte of a count above 255: there is no count of 0.
const LARGE: u8 = 0;

/// A count as a byte.
pub(crate) fn count_byte(count: u32) -> u8 {
    u8::try_from(count).unwrap_or(LARGE)
}

/// Builds packed lists, row by row.
pub(crate) struct ListsBuilder {
    offsets: Vec<u64>,
    rows: Vec<u32>,
    counts: Vec<u8>,
    large: (Vec<u64>, Vec<u32>),
}

impl Default for ListsBuilder {
    fn default() -> Self {
        Self { offsets: vec![0], rows: Vec::new(), counts: Vec::new(), large: Default::default() }
    }
}

impl ListsBuilder {
    /// Adds the list of the next row.
    pub(crate) fn push(&mut self, list: impl IntoIterator<Item = Visited>) {
        for (row, count) in list {
            let byte = count_byte(count);
            if byte == LARGE {
                self.large.0.push(self.rows.len() as u64);
                self.large.1.push(count);
            }
            self.rows.push(row);
            self.counts.push(byte);
        }
        self.offsets.push(self.rows.len() as u64);
    }

    pub(crate) fn finish(self) -> NeighborhoodLists {
        let (places, counts) = self.large;
        NeighborhoodLists::new(PackedLists {
            offsets: Numbers::Own(self.offsets),
            rows: Numbers::Own(self.rows),
            counts: Numbers::Own(self.counts),
            large: (Numbers::Own(places), Numbers::Own(counts)),
        })
    }
}

/// Numbers of a file, or of this process.
#[derive(Clone)]
enum Numbers<T> {
    File(Arc<SharedNumbers<T>>),
    Own(Vec<T>),
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl<T> Deref for Numbers<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::File(numbers) => numbers,
            Self::Own(numbers) => numbers,
        }
    }
}

impl PackedLists {
    /// The lists of a file. `None` if its sections do not fit each other.
    pub(crate) fn of_file(stored: StoredLists) -> Option<Self> {
        let StoredLists { offsets, rows, counts, large_places, large_counts } = stored;
        let is_ascending = offsets.is_sorted();
        let ends = offsets.first().copied().zip(offsets.last().copied());
        let is_whole = ends.is_some_and(|(first, last)| first == 0 && last == rows.len() as u64);
        let is_large = |&place: &u64| counts.get(place as usize) == Some(&LARGE);
        let large: usize = counts.iter().map(|&count| usize::from(count == LARGE)).sum();
        let are_large_known = large_places.len() == large
            && large_counts.len() == large
            && large_places.is_sorted_by(|a, b| a < b)
            && large_places.iter().all(is_large);
        (is_ascending && is_whole && rows.len() == counts.len() && are_large_known).then(|| Self {
            offsets: Numbers::File(Arc::new(offsets)),
            rows: Numbers::File(Arc::new(rows)),
            counts: Numbers::File(Arc::new(counts)),
            large: (Numbers::File(Arc::new(large_places)), Numbers::File(Arc::new(large_counts))),
        })
    }

    /// The number of lists.
    fn lists(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    fn get(&self, row: usize) -> Neighborhood<'_> {
        let range = self.offsets[row] as usize..self.offsets[row + 1] as usize;
        let counts = Counts::Packed { lists: self, first: range.start };
        Neighborhood { rows: &self.rows[range], counts }
    }

    /// The count at a place among all.
    fn count(&self, place: usize) -> u32 {
        match self.counts[place] {
            LARGE => self.large_count(place),
            count => u32::from(count),
        }
    }

    #[cold]
    fn large_count(&self, place: usize) -> u32 {
        let (places, counts) = &self.large;
        places.binary_search(&(place as u64)).map_or(0, |at| counts[at])
    }

    fn bytes(&self) -> usize {
        let Self { offsets, rows, counts, large: (places, large) } = self;
        let lists = size_of_val(&**offsets) + size_of_val(&**rows) + size_of_val(&**counts);
        lists + size_of_val(&**places) + size_of_val(&**large)
    }
}

impl NeighborhoodLists {
    pub(crate) fn new(packed: PackedLists) -> Self {
        let rows = packed.lists();
        Self { packed, changed: HashMap::new(), is_changed: vec![0; rows.div_ceil(64)], rows }
    }

    /// Lists from an iterator that gives the list of every row in their order.
    pub(crate) fn of<I: IntoIterator<Item = Visited>>(lists: impl IntoIterator<Item = I>) -> Self {
        let mut builder = ListsBuilder::default();
        lists.into_iter().for_each(|list| builder.push(list));
        builder.finish()
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes in memory, or of the mapped file.
    pub(crate) fn bytes(&self) -> usize {
        let changed: usize = self.changed.values().map(|list| size_of_val(&**list) + size_of_val(list)).sum();
        self.packed.bytes() + changed
    }

    pub(crate) fn get(&self, row: u32) -> Neighborhood<'_> {
        let at = row as usize;
        if self.is_changed[at / 64] >> (at % 64) & 1 == 0 {
            return self.packed.get(at);
        }
        let list = &self.changed[&row];
        let (rows, counts) = list.split_at(list.len() / 2);
        Neighborhood { rows, counts: Counts::Changed(counts) }
    }

    /// The list of every row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Neighborhood<'_>> {
        (0..self.rows as u32).map(|row| self.get(row))
    }

    /// Appends a row with an empty list.
    pub(crate) fn push_empty(&mut self) {
        self.rows += 1;
        self.is_changed.resize(self.rows.div_ceil(64), 0);
        self.insert(self.rows as u32 - 1, Box::default());
    }

    /// Replaces a list. Cost: that list; now and then all lists.
    pub(crate) fn set(&mut self, row: u32, list: &[Visited]) {
        let rows = list.iter().map(|&(row, _)| row);
        self.insert(row, rows.chain(list.iter().map(|&(_, count)| count)).collect());
        if self.changed.len() > self.rows / LARGEST_SHARE && self.changed.len() >= 1024 {
            *self = Self::of(self.iter().map(Neighborhood::iter));
        }
    }

    fn insert(&mut self, row: u32, list: Box<[u32]>) {
        self.is_changed[row as usize / 64] |= 1 << (row % 64);
        self.changed.insert(row, list);
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn lists_are_those_of_a_plain_table_while_they_change_and_rows_are_added() {
        let mut rng = StdRng::seed_from_u64(5);
        let list = |rng: &mut StdRng| -> Vec<Visited> {
            (0..rng.random_range(0..5))
                .map(|_| (rng.random_range(0..3000), rng.random_range(1..300)))
                .collect()
        };
        let mut plain: Vec<Vec<Visited>> = (0..3000).map(|_| list(&mut rng)).collect();
        let mut lists = NeighborhoodLists::of(plain.iter().map(|list| list.iter().copied()));
        let mut was_packed_again = false;
        for _ in 0..6000 {
            if rng.random_bool(0.05) {
                plain.push(Vec::new());
                lists.push_empty();
            }
            let row = rng.random_range(0..plain.len());
            plain[row] = list(&mut rng);
            let before = lists.changed.len();
            lists.set(row as u32, &plain[row]);
            was_packed_again |= lists.changed.len() < before;
        }
        assert!(was_packed_again);
        assert_eq!(lists.rows(), plain.len());
        for (found, expected) in lists.iter().zip(&plain) {
            assert_eq!(found.iter().collect::<Vec<_>>(), *expected);
            assert_eq!((found.len(), found.is_empty()), (expected.len(), expected.is_empty()));
        }
    }
}
