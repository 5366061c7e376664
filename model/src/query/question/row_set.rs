//! A set of rows, as a scan reads it: 64 rows at a time.

use crate::query::scan::BLOCK;

/// Rows, ascending, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowSet(Vec<u32>);

impl RowSet {
    /// A bit for each row of the set among the 64 rows from `first` on.
    pub(crate) fn mask(&self, first: usize) -> u64 {
        let from = self.0.partition_point(|&row| (row as usize) < first);
        let here = self.0[from..].iter().map(|&row| row as usize - first);
        here.take_while(|&at| at < BLOCK).fold(0, |mask, at| mask | 1 << at)
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn contains(&self, row: u32) -> bool {
        self.0.binary_search(&row).is_ok()
    }
}

impl FromIterator<u32> for RowSet {
    fn from_iter<T: IntoIterator<Item = u32>>(rows: T) -> Self {
        let mut rows: Vec<u32> = rows.into_iter().collect();
        rows.sort_unstable();
        rows.dedup();
        Self(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_the_rows_of_its_block() {
        let rows: RowSet = [200, 3, 64, 127, 3, 63].into_iter().collect();
        assert_eq!(
            [0, 64, 128, 192].map(|first| rows.mask(first)),
            [1 << 3 | 1 << 63, 1 | 1 << 63, 0, 1 << 8]
        );
        assert!(rows.contains(127) && !rows.contains(126));
    }
}
