//! The rows that have a row in their neighborhood: kept as lists, or searched for by a process that asks few times.

use std::ops::Range;

use rayon::prelude::*;

use crate::state::neighborhood_lists::NeighborhoodLists;
use crate::state::row_set::RowSet;

/// Searches after which lists are made. Making them takes as long as some 20 searches.
const MOST_SEARCHES: u32 = 32;

/// Rows whose lists share an allocation. A change moves the lists behind it.
const ROWS_TOGETHER: usize = 64;
/// An allocation that is full grows by one part in this many, so that little of it is unused.
const GROWTH: usize = 16;

/// For each row, the rows that have it in their neighborhood. Size: 9 bytes a row and 4 for each neighbor, if they are kept.
#[derive(Clone, Default)]
pub(crate) struct ReverseLists {
    /// `None` if they are searched for.
    lists: Option<Vec<ListGroup>>,
    searches: u32,
}

/// The lists of consecutive rows.
#[derive(Clone, Debug, PartialEq)]
struct ListGroup {
    /// The end of each list.
    ends: [u64; ROWS_TOGETHER],
    /// The lists, each ascending.
    readers: Vec<u32>,
}

impl ListGroup {
    /// Space for lists of these lengths. Each end is at the start of its list until the list is filled.
    fn with_lengths(lengths: &[u32]) -> Self {
        let (mut ends, mut total) = ([0; ROWS_TOGETHER], 0);
        for (end, &length) in ends.iter_mut().zip(lengths) {
            *end = total;
            total += u64::from(length);
        }
        ends[lengths.len()..].fill(total);
        Self { ends, readers: vec![0; total as usize] }
    }

    /// Fills the next place of a list.
    fn fill(&mut self, list: usize, reader: u32) {
        self.readers[self.ends[list] as usize] = reader;
        self.ends[list] += 1;
    }

    fn range(&self, list: usize) -> Range<usize> {
        let start = if list == 0 { 0 } else { self.ends[list - 1] };
        start as usize..self.ends[list] as usize
    }

    fn get(&self, list: usize) -> &[u32] {
        &self.readers[self.range(list)]
    }

    fn insert(&mut self, list: usize, reader: u32) {
        let Err(place) = self.get(list).binary_search(&reader) else { return };
        if self.readers.len() == self.readers.capacity() {
            self.readers.reserve_exact(self.readers.len() / GROWTH + 1);
        }
        self.readers.insert(self.range(list).start + place, reader);
        self.ends[list..].iter_mut().for_each(|end| *end += 1);
    }

    fn remove(&mut self, list: usize, reader: u32) {
        if let Ok(place) = self.get(list).binary_search(&reader) {
            self.readers.remove(self.range(list).start + place);
            self.ends[list..].iter_mut().for_each(|end| *end -= 1);
        }
    }
}

/// The group of a row, and its list in the group.
fn place(row: u32) -> (usize, usize) {
    (row as usize / ROWS_TOGETHER, row as usize % ROWS_TOGETHER)
}

impl ReverseLists {
    /// The lists of all rows. Cost: a write to a random place for each neighbor.
    pub(crate) fn of(neighborhoods: &NeighborhoodLists) -> Self {
        let mut lengths = vec![0u32; neighborhoods.rows()];
        for &neighbor in neighborhoods.iter().flat_map(|neighborhood| neighborhood.rows) {
            lengths[neighbor as usize] += 1;
        }
        let mut lists: Vec<ListGroup> = lengths.chunks(ROWS_TOGETHER).map(ListGroup::with_lengths).collect();
        for (row, neighborhood) in (0..).zip(neighborhoods.iter()) {
            for &neighbor in neighborhood.rows {
                let (group, list) = place(neighbor);
                lists[group].fill(list, row);
            }
        }
        Self { lists: Some(lists), searches: 0 }
    }

    pub(crate) fn bytes(&self) -> usize {
        let lists = self.lists.iter().flatten();
        lists.map(|group| size_of_val(group) + group.readers.capacity() * size_of::<u32>()).sum()
    }

    /// Makes room for a row at the end.
    pub(crate) fn add_row(&mut self, row: u32) {
        if let Some(lists) = &mut self.lists
            && place(row).0 == lists.len()
        {
            lists.push(ListGroup::with_lengths(&[]));
        }
    }

    /// Replaces the neighborhood of a row; both are rows.
    pub(crate) fn replace(&mut self, row: u32, old: &[u32], new: &[u32]) {
        let Some(lists) = &mut self.lists else { return };
        let sorted = |neighborhood: &[u32]| {
            let mut rows = neighborhood.to_vec();
            rows.sort_unstable();
            rows
        };
        // Only differences: most neighbors stay, and each list is a read from a random place.
        let (old_rows, new_rows) = (sorted(old), sorted(new));
        for &neighbor in old_rows.iter().filter(|neighbor| new_rows.binary_search(neighbor).is_err()) {
            let (group, list) = place(neighbor);
            lists[group].remove(list, row);
        }
        for &neighbor in new_rows.iter().filter(|neighbor| old_rows.binary_search(neighbor).is_err()) {
            let (group, list) = place(neighbor);
            lists[group].insert(list, row);
        }
    }

    /// The rows that have one of some rows in their neighborhood, perhaps repeated. Cost: as many steps as there are such rows. A
    /// search reads all neighborhoods, in parallel.
    pub(crate) fn readers_of(&mut self, rows: &RowSet, neighborhoods: &NeighborhoodLists) -> Vec<u32> {
        if rows.len() == 0 {
            return Vec::new();
        }
        if self.lists.is_none() && self.searches == MOST_SEARCHES {
            *self = Self::of(neighborhoods);
        }
        if let Some(lists) = &self.lists {
            let readers = |row: u32| {
                let (group, list) = place(row);
                lists[group].get(list)
            };
            return rows.iter().flat_map(readers).copied().collect();
        }
        self.searches += 1;
        let mut is_read = vec![0u64; neighborhoods.rows().div_ceil(64)];
        rows.iter().for_each(|row| is_read[row as usize / 64] |= 1 << (row % 64));
        let reads = |&neighbor: &u32| is_read[neighbor as usize / 64] >> (neighbor % 64) & 1 == 1;
        let all = (0..neighborhoods.rows() as u32).into_par_iter();
        all.filter(|&row| neighborhoods.get(row).rows.iter().any(reads)).collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::state::neighborhood_lists::Visited;

    #[test]
    fn a_search_finds_what_lists_hold_while_neighborhoods_change() {
        let mut rows = 2 * ROWS_TOGETHER as u32 - 3;
        let mut rng = StdRng::seed_from_u64(4);
        let mut neighborhood = |all: u32| -> Vec<Visited> {
            let mut rows: Vec<u32> = (0..rng.random_range(0..6)).map(|_| rng.random_range(0..all)).collect();
            rows.sort_unstable();
            rows.dedup();
            rows.into_iter().map(|row| (row, 1)).collect()
        };
        let mut neighborhoods = NeighborhoodLists::of((0..rows).map(|_| neighborhood(rows)));
        let (mut kept, mut searched) = (ReverseLists::of(&neighborhoods), ReverseLists::default());
        for step in 0..2 * MOST_SEARCHES {
            if step % 8 == 0 {
                neighborhoods.push_empty();
                kept.add_row(rows);
                searched.add_row(rows);
                rows += 1;
            }
            let row = step * 11 % rows;
            let new = neighborhood(rows);
            let new_rows: Vec<u32> = new.iter().map(|&(row, _)| row).collect();
            kept.replace(row, neighborhoods.get(row).rows, &new_rows);
            searched.replace(row, neighborhoods.get(row).rows, &new_rows);
            neighborhoods.set(row, &new);
            let asked: RowSet = [step % rows, step * 7 % rows, 3].into_iter().collect();
            let readers = |lists: &mut ReverseLists| -> RowSet {
                lists.readers_of(&asked, &neighborhoods).into_iter().collect()
            };
            assert_eq!(readers(&mut searched), readers(&mut kept), "step {step}");
        }
        assert!(searched.lists.is_some(), "after many searches lists are kept");
        assert_eq!(searched.lists, ReverseLists::of(&neighborhoods).lists);
    }
}
