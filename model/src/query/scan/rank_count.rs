//! The rank of a row: the number of rows with higher scores, counted without sorting.

use crate::query::scan::Scan;
use crate::query::scan::score::Queries;

/// The number of other rows with a higher score, and with the same score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RankCount {
    pub(crate) higher: u64,
    pub(crate) equal: u64,
}

impl RankCount {
    /// 1 + the rows that score higher + half of the ties.
    pub(crate) fn rank(self) -> f64 {
        1.0 + self.higher as f64 + self.equal as f64 / 2.0
    }
}

impl Scan {
    /// For each query, the masked rows whose score `query . row + bias` is higher than a level, and those with that score. `mask`
    /// has a bit for each of the 64 rows from one on.
    ///
    /// Cost: `2 D` operations for each row and query, in parallel over rows. Each row is read once for all queries.
    pub(crate) fn rank_counts(
        &self,
        questions: &[(&[f32], f32)],
        bias: &[f32],
        mask: &(dyn Fn(usize) -> u64 + Sync),
    ) -> Vec<RankCount> {
        let queries = Queries::new(self.dim(), questions.iter().map(|(query, _)| *query));
        let count = |from: usize, end: usize| {
            let mut counts = vec![RankCount::default(); questions.len()];
            self.scored(
                &queries,
                &vec![None; questions.len()],
                Some(bias),
                mask,
                from..end,
                |_, query, scores| {
                    // Counting without a branch is faster.
                    let (mut higher, mut equal, level) = (0u32, 0u32, questions[query].1);
                    for score in scores.iter() {
                        higher += u32::from(*score > level);
                        equal += u32::from(*score == level);
                    }
                    counts[query].higher += u64::from(higher);
                    counts[query].equal += u64::from(equal);
                },
            );
            counts
        };
        let mut all = vec![RankCount::default(); questions.len()];
        for task in self.tasks(count) {
            for (all, task) in all.iter_mut().zip(task) {
                all.higher += task.higher;
                all.equal += task.equal;
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::rounded_rows::RoundedRows;

    fn number(at: usize) -> f32 {
        ((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Rows in several tasks, every third a copy of the row before it, four of five masked in.
    #[test]
    fn counts_are_those_of_scoring_row_by_row() {
        const ROWS: usize = 9_000;
        const DIM: usize = 5;
        let values: Vec<f32> =
            (0..ROWS * DIM).map(|at| number(at - if at / DIM % 3 == 2 { DIM } else { 0 })).collect();
        let bias: Vec<f32> = (0..ROWS).map(|row| number(row / 3)).collect();
        let scan = Scan::new(RoundedRows::of(&values, DIM));
        let is_masked = |row: usize| row % 5 != 1;
        let mask = |first: usize| (0..64).fold(0, |word, at| word | u64::from(is_masked(first + at)) << at);
        let score = |query: usize, row: usize| scan.score(&scan.query(&scan.numbers(query)), row) + bias[row];
        let pairs = [(0, 1), (4, 5), (17, 8_999), (8_998, 64)];
        let queries = pairs.map(|(query, _)| scan.numbers(query));
        let questions =
            std::array::from_fn::<_, 4, _>(|at| (&queries[at][..], score(pairs[at].0, pairs[at].1)));
        let found = scan.rank_counts(&questions, &bias, &mask);
        for ((query, row), found) in pairs.into_iter().zip(found) {
            let level = score(query, row);
            let count = |fits: &dyn Fn(f32) -> bool| {
                (0..ROWS).filter(|&row| is_masked(row) && fits(score(query, row))).count() as u64
            };
            let expected =
                RankCount { higher: count(&|score| score > level), equal: count(&|score| score == level) };
            assert_eq!(found, expected, "{query} {row}");
        }
        assert!(scan.rank_counts(&[], &bias, &mask).is_empty());
    }
}
