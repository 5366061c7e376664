//! The importances from which minibatches sample: of whole neighborhoods, or without the visits of some walks. Knows nothing of walks.

use std::borrow::Cow;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::linalg::simd;
use crate::linalg::sparse::Sparse;

/// The share of an entry that is left whole.
pub(crate) const WHOLE_SHARE: u8 = u8::MAX;

/// The importances of all rows. The values of a row sum to 1. Shape: (rows, rows).
#[derive(Clone, Copy)]
pub(crate) struct Importances<'a> {
    all: &'a Sparse,
    /// The part of each entry that is left, in units of 1 / 255. `None`: all of it.
    shares: Option<&'a [u8]>,
}

impl<'a> Importances<'a> {
    /// The importances of whole neighborhoods.
    pub(crate) fn of(all: &'a Sparse) -> Self {
        Self { all, shares: None }
    }

    /// A share of each entry, in units of 1 / 255.
    pub(crate) fn with_shares(all: &'a Sparse, shares: &'a [u8]) -> Self {
        debug_assert_eq!(shares.len(), all.columns().len(), "a share for each entry");
        Self { all, shares: Some(shares) }
    }

    /// The number of rows.
    pub(crate) fn rows(self) -> usize {
        self.all.rows()
    }

    /// An empty matrix with `width` columns and the same kind of product.
    pub(crate) fn empty_like(self, width: usize) -> Sparse {
        self.all.empty_like(width)
    }

    /// All importances.
    pub(crate) fn to_matrix(self) -> Cow<'a, Sparse> {
        let Some(shares) = self.shares else { return Cow::Borrowed(self.all) };
        let mut matrix = self.empty_like(self.all.width());
        for row in 0..self.rows() {
            matrix.push_normalized(rest(self.all, shares, row));
        }
        Cow::Owned(matrix)
    }

    /// Fetches the memory that [`Importances::sample_row`] reads for `row`, and before it the place of that for `later`.
    pub(crate) fn prefetch(self, row: usize, later: usize) {
        self.all.prefetch_row(row, later);
        if let Some(shares) = self.shares {
            simd::prefetch(shares, self.all.range(row).start);
        }
    }

    /// Appends a random sample of a row's entries: at most `count` of them, drawn in proportion to their values, with new values that
    /// sum to 1. In the mean over many samples a product with the sample is that with the row. A row with no more entries is appended
    /// whole, and so is any row of a matrix whose product takes maxima.
    ///
    /// Cost: reads the whole row.
    pub(crate) fn sample_row(self, row: usize, count: usize, rng: &mut StdRng, sample: &mut Vec<(u32, f32)>) {
        let count = if self.all.is_max() { usize::MAX } else { count };
        match self.shares {
            None => sample_entries(self.all.row(row), count, rng, sample),
            Some(shares) => sample_entries(rest(self.all, shares, row), count, rng, sample),
        }
    }
}

/// The entries of a row of which a share is left.
fn rest(all: &Sparse, shares: &[u8], row: usize) -> impl Iterator<Item = (u32, f32)> + Clone {
    let entries = all.row(row).zip(&shares[all.range(row)]);
    entries
        .filter(|(_, share)| **share > 0)
        .map(|((column, value), &share)| (column, value * f32::from(share)))
}

/// Appends at most `count` of the entries, with values that sum to 1.
fn sample_entries(
    entries: impl Iterator<Item = (u32, f32)> + Clone,
    count: usize,
    rng: &mut StdRng,
    sample: &mut Vec<(u32, f32)>,
) {
    let (number, sum) = entries.clone().fold((0, 0.0), |(number, sum), (_, value)| (number + 1, sum + value));
    if number <= count {
        return sample.extend(entries.map(|(column, value)| (column, value / sum)));
    }
    // Systematic sampling: marks at equal distances on the line on which each entry is as long as its value.
    let distance = sum / count as f32;
    let mut mark = distance * rng.random::<f32>();
    let mut end = 0.0;
    for (column, value) in entries {
        end += value;
        if mark < end {
            let mut marks = 0.0;
            while mark < end {
                marks += 1.0;
                mark += distance;
            }
            sample.push((column, marks / count as f32));
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::Importances;
    use crate::linalg::sparse::Sparse;

    const SAMPLES: usize = 20_000;

    /// Forty entries in the first row, of which the shares leave the whole, nothing or a fifth in turn. Two in the second, none in the third.
    fn example() -> (Sparse, Vec<u8>) {
        let mut matrix = Sparse::new(40);
        matrix.push_normalized((0..40).map(|column| (column, 1.0 + column as f32)));
        matrix.push_row([(3, 0.75), (7, 0.25)]);
        matrix.push_row([]);
        let shares = (0..40).map(|at| [255, 0, 51][at % 3]).chain([0, 255]).collect();
        (matrix, shares)
    }

    fn row(importances: Importances<'_>, row: usize) -> Vec<(u32, f32)> {
        importances.to_matrix().row(row).collect()
    }

    #[test]
    fn the_mean_of_many_samples_of_a_row_is_the_row() {
        let (matrix, shares) = example();
        for importances in [Importances::of(&matrix), Importances::with_shares(&matrix, &shares)] {
            let (expected, mut rng) = (row(importances, 0), StdRng::seed_from_u64(8));
            for count in [1, 3, 10] {
                let mut means = [0.0f64; 40];
                for _ in 0..SAMPLES {
                    let mut sample = Vec::new();
                    importances.sample_row(0, count, &mut rng, &mut sample);
                    assert!((1..=count).contains(&sample.len()), "{sample:?}");
                    assert!(sample.is_sorted_by(|a, b| a.0 < b.0), "{sample:?}");
                    let sum: f32 = sample.iter().map(|(_, value)| value).sum();
                    // Rounding may move the last mark over the end of the row.
                    let least = 1.0 - 1.0 / count as f32;
                    assert!((least - 1e-5..1.0 + 1e-5).contains(&sum), "{sum}");
                    for (column, value) in sample {
                        means[column as usize] += f64::from(value) / SAMPLES as f64;
                    }
                }
                for (column, value) in &expected {
                    let (mean, expected) = (means[*column as usize], f64::from(*value));
                    let error = (expected / count as f64 / SAMPLES as f64).sqrt();
                    assert!((mean - expected).abs() < 5.0 * error, "{count} {column}: {mean} {expected}");
                }
                assert!((means.iter().sum::<f64>() - 1.0).abs() < 1e-3);
            }
        }
    }

    #[test]
    fn shares_take_away_parts_of_entries() {
        let (matrix, shares) = example();
        let importances = Importances::with_shares(&matrix, &shares);
        let rest = row(importances, 0);
        assert_eq!(rest.len(), 27);
        let sum: f32 = (0..40).map(|at| (1 + at) as f32 * [1.0, 0.0, 0.2][at % 3]).sum();
        for (column, value) in rest {
            let expected = (1 + column) as f32 * [1.0, 0.0, 0.2][column as usize % 3] / sum;
            assert!((value - expected).abs() < 1e-6, "{column}");
        }
        assert_eq!(row(importances, 1), [(7, 1.0)]);
        assert_eq!(row(importances, 2), []);
        assert_eq!(row(Importances::of(&matrix), 1), [(3, 0.75), (7, 0.25)]);
    }

    #[test]
    fn short_rows_and_rows_of_maxima_are_whole() {
        let (matrix, _) = example();
        let (largest, mut rng) = (matrix.clone().with_max(true), StdRng::seed_from_u64(8));
        let mut whole = Vec::new();
        Importances::of(&matrix).sample_row(1, 2, &mut rng, &mut whole);
        Importances::of(&largest).sample_row(0, 10, &mut rng, &mut whole);
        let expected: Vec<(u32, f32)> = matrix.row(1).chain(matrix.row(0)).collect();
        assert_eq!(whole.len(), expected.len());
        for (found, expected) in whole.iter().zip(expected) {
            assert!(found.0 == expected.0 && (found.1 - expected.1).abs() < 1e-6, "{found:?} {expected:?}");
        }
    }
}
