//! A set of rows.

/// Rows in ascending order without repetition, so that results do not depend on the order in which rows were found.
/// Memory: four bytes for each member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowSet(Vec<u32>);

impl RowSet {
    /// All rows below `rows`.
    pub(crate) fn all(rows: usize) -> Self {
        Self((0..rows as u32).collect())
    }

    pub(crate) fn rows(&self) -> &[u32] {
        &self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn contains(&self, row: u32) -> bool {
        self.0.binary_search(&row).is_ok()
    }

    pub(crate) fn union(&self, others: impl IntoIterator<Item = u32>) -> Self {
        self.0.iter().copied().chain(others).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<u32> for RowSet {
    fn from_iter<I: IntoIterator<Item = u32>>(rows: I) -> Self {
        let mut rows: Vec<u32> = rows.into_iter().collect();
        rows.sort_unstable();
        rows.dedup();
        Self(rows)
    }
}
