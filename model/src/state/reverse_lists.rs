//! The rows that have a row in their neighborhood: kept as lists, or searched for by a process that asks few times.

use rayon::prelude::*;

use crate::state::neighborhood_lists::NeighborhoodLists;
use crate::state::row_set::RowSet;

/// Searches after which lists are made. Making them takes as long as some 20 searches.
const MOST_SEARCHES: u32 = 32;

/// For each row, the rows that have it in their neighborhood. Size: 24 bytes a row and 4 for each neighbor, if they are kept.
#[derive(Clone, Default)]
pub(crate) struct ReverseLists {
    /// Ascending. `None` if they are searched for.
    lists: Option<Vec<Vec<u32>>>,
    searches: u32,
}

impl ReverseLists {
    /// The lists of all rows. Cost: a write to a random place for each neighbor.
    pub(crate) fn of(neighborhoods: &NeighborhoodLists) -> Self {
        let mut sizes = vec![0u32; neighborhoods.rows()];
        for &neighbor in neighborhoods.iter().flat_map(|neighborhood| neighborhood.rows) {
            sizes[neighbor as usize] += 1;
        }
        let mut lists: Vec<Vec<u32>> =
            sizes.into_iter().map(|size| Vec::with_capacity(size as usize)).collect();
        for (row, neighborhood) in neighborhoods.iter().enumerate() {
            for &neighbor in neighborhood.rows {
                lists[neighbor as usize].push(row as u32);
            }
        }
        Self { lists: Some(lists), searches: 0 }
    }

    pub(crate) fn bytes(&self) -> usize {
        let lists = self.lists.iter().flatten();
        lists.map(|list| size_of_val(list) + list.capacity() * size_of::<u32>()).sum()
    }

    pub(crate) fn add_row(&mut self) {
        if let Some(lists) = &mut self.lists {
            lists.push(Vec::new());
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
        for neighbor in old_rows.iter().filter(|neighbor| new_rows.binary_search(neighbor).is_err()) {
            let list = &mut lists[*neighbor as usize];
            if let Ok(found) = list.binary_search(&row) {
                list.remove(found);
            }
        }
        for neighbor in new_rows.iter().filter(|neighbor| old_rows.binary_search(neighbor).is_err()) {
            let list = &mut lists[*neighbor as usize];
            if let Err(place) = list.binary_search(&row) {
                list.insert(place, row);
            }
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
            return rows.iter().flat_map(|row| &lists[row as usize]).copied().collect();
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
        const ROWS: u32 = 70;
        let mut rng = StdRng::seed_from_u64(4);
        let mut neighborhood = || -> Vec<Visited> {
            let mut rows: Vec<u32> = (0..rng.random_range(0..6)).map(|_| rng.random_range(0..ROWS)).collect();
            rows.sort_unstable();
            rows.dedup();
            rows.into_iter().map(|row| (row, 1)).collect()
        };
        let mut neighborhoods = NeighborhoodLists::of((0..ROWS).map(|_| neighborhood()));
        let (mut kept, mut searched) = (ReverseLists::of(&neighborhoods), ReverseLists::default());
        for step in 0..2 * MOST_SEARCHES {
            let row = step * 11 % ROWS;
            let new = neighborhood();
            let new_rows: Vec<u32> = new.iter().map(|&(row, _)| row).collect();
            kept.replace(row, neighborhoods.get(row).rows, &new_rows);
            searched.replace(row, neighborhoods.get(row).rows, &new_rows);
            neighborhoods.set(row, &new);
            let asked: RowSet = [step % ROWS, step * 7 % ROWS, 3].into_iter().collect();
            let readers = |lists: &mut ReverseLists| -> RowSet {
                lists.readers_of(&asked, &neighborhoods).into_iter().collect()
            };
            assert_eq!(readers(&mut searched), readers(&mut kept), "step {step}");
        }
        assert!(searched.lists.is_some(), "after many searches lists are kept");
        assert_eq!(searched.lists, ReverseLists::of(&neighborhoods).lists);
    }
}
