//! Exact nearest rows of a matrix in eight bits: a scan reads every row once. Owns the rows and their order by score. Must not know
//! nodes, kinds and tokens: callers pass bit masks of rows.
//!
//! # Determinism
//! A score is an exact sum of integers ([`score`]). So it depends neither on the other rows and queries of the scan nor on the
//! processor. Equal scores are ordered by a number that the caller gives each row.

mod rank_count;
mod score;
mod top_k;

use std::ops::Range;

use hedgerow_storage::{CancelToken, Error};
use rayon::prelude::*;

pub(crate) use crate::query::scan::rank_count::RankCount;
pub(crate) use crate::query::scan::score::Queries;
pub(crate) use crate::query::scan::top_k::{Bounds, TopK};

use crate::linalg::rounded_rows::{RoundedRow, round};
use crate::linalg::shared_rows::{ROWS_PER_BLOCK, SharedRows};

/// Rows of a block: their mask is one word, and they stay in the first-level cache while they are scored.
pub(crate) const BLOCK: usize = ROWS_PER_BLOCK;
/// Rows of a task.
const ROWS_PER_TASK: usize = 128 * BLOCK;

/// A row and its score.
pub(crate) type Hit = (u32, f32);

/// A request to a scan: everything but the query.
pub(crate) struct ScanRequest<'a> {
    /// Most answers.
    pub(crate) k: usize,
    /// A number for each row that is added to its score.
    pub(crate) bias: Option<&'a [f32]>,
    /// A bit for each of the 64 rows from this one on that may be answers; the lowest bit is the first row.
    pub(crate) mask: &'a (dyn Fn(usize) -> u64 + Sync),
    /// The order of rows with equal scores, smallest first. No two rows have the same number.
    pub(crate) order: &'a (dyn Fn(u32) -> u64 + Sync),
    /// The sum of a score is multiplied by this number, above 0.
    pub(crate) scale: f32,
    /// The scores that answers may have.
    pub(crate) bounds: Bounds,
}

impl<'a> ScanRequest<'a> {
    /// A request for the `k` best rows by their products with the query alone.
    pub(crate) fn new(
        k: usize,
        mask: &'a (dyn Fn(usize) -> u64 + Sync),
        order: &'a (dyn Fn(u32) -> u64 + Sync),
    ) -> Self {
        Self { k, bias: None, mask, order, scale: 1.0, bounds: Bounds::default() }
    }
}

/// Rows that queries are scored by. Size: that of [`SharedRows`].
#[derive(Clone, Default)]
pub(crate) struct Scan {
    rows: SharedRows,
}

impl Scan {
    pub(crate) fn new(rows: impl Into<SharedRows>) -> Self {
        Self { rows: rows.into() }
    }

    pub(crate) fn dim(&self) -> usize {
        self.rows.dim()
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.rows()
    }

    /// The numbers of a row. Shape: (D).
    pub(crate) fn numbers(&self, row: usize) -> Vec<f32> {
        self.rows.numbers(row)
    }

    pub(crate) fn row(&self, row: usize) -> RoundedRow<'_> {
        self.rows.row(row)
    }

    pub(crate) fn is_zero(&self, row: usize) -> bool {
        self.rows.row(row).is_zero()
    }

    /// A query, rounded as a scan rounds it.
    pub(crate) fn query(&self, query: &[f32]) -> Queries {
        Queries::new(self.dim(), [query])
    }

    /// `query . row`, bit for bit as in a scan.
    pub(crate) fn score(&self, query: &Queries, row: usize) -> f32 {
        let mut score = [0.0];
        score::scores(query, &self.rows, row, &[0], &mut score);
        score[0]
    }

    /// The scores of all rows, bit for bit as in a scan. Cost: reads all rows.
    pub(crate) fn scores(&self, query: &[f32]) -> Vec<f32> {
        let mut all = vec![0.0; self.rows()];
        self.scored(&self.query(query), &[None], None, &|_| u64::MAX, 0..self.rows(), |block, _, scores| {
            for (offset, score) in block.offsets().iter().zip(scores) {
                all[block.first + usize::from(*offset)] = *score;
            }
        });
        all
    }

    pub(crate) fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// Appends rows of zeros up to a number of rows.
    pub(crate) fn grow(&mut self, rows: usize) {
        self.rows.grow(rows);
    }

    /// Rounds numbers into a row, at the next [`Self::apply_changes`].
    pub(crate) fn set_later(&mut self, row: u32, values: &[f32]) {
        let mut stored = vec![0.0; self.rows.width()];
        round(values, &mut stored);
        self.rows.set_later(row, &stored);
    }

    /// Changes the rows that wait.
    pub(crate) fn apply_changes(&mut self) {
        self.rows.apply_changes();
    }

    /// Gives up the rows, so that others may change them in place; see [`SharedRows::release`].
    pub(crate) fn release(&mut self) {
        self.rows.release();
    }

    /// Becomes equal to rows that differ in the listed ones only, and perhaps has more; see [`SharedRows::follow`].
    pub(crate) fn follow(&mut self, rows: &SharedRows, changed: &[u32]) {
        self.rows.follow(rows, changed);
    }

    /// The rows of the mask with the highest `scale (query . row + bias)`, best first.
    ///
    /// # Errors
    /// A cancellation, which is found after some thousand rows.
    /// Cost: reads all rows once, in parallel. In a rayon task it stays on its thread: a thread that waits for parts of a scan would
    /// run other tasks in between.
    pub(crate) fn nearest(
        &self,
        query: &[f32],
        request: &ScanRequest<'_>,
        cancel: &CancelToken,
    ) -> Result<Vec<Hit>, Error> {
        let each = self.nearest_each(&[query], request, &|_, _| false, cancel)?;
        Ok(each.into_iter().next().unwrap_or_default())
    }

    /// The nearest rows for each of many queries. `is_excluded` is given the number of a query and a row.
    ///
    /// Cost: `2 D` operations for each row and query, in parallel over rows. Each row is read once for all queries.
    pub(crate) fn nearest_each(
        &self,
        queries: &[&[f32]],
        request: &ScanRequest<'_>,
        is_excluded: &(dyn Fn(usize, u32) -> bool + Sync),
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<Hit>>, Error> {
        self.nearest_each_with(queries, &vec![None; queries.len()], request, is_excluded, cancel)
    }

    /// As [`Scan::nearest_each`], with further scores that a query has: a number for each row.
    pub(crate) fn nearest_each_with(
        &self,
        queries: &[&[f32]],
        further: &[Option<&[f32]>],
        request: &ScanRequest<'_>,
        is_excluded: &(dyn Fn(usize, u32) -> bool + Sync),
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<Hit>>, Error> {
        let rounded = Queries::new(self.dim(), queries.iter().copied());
        let stage = cancel.stage("scan", self.rows() as u64);
        let tasks = self.tasks(|first, end| {
            cancel.check()?;
            let best = self.best_of(&rounded, further, request, is_excluded, first..end);
            stage.advance((end - first) as u64)?;
            Ok(best)
        });
        let mut best: Vec<TopK> = queries.iter().map(|_| TopK::new(request.k, request.bounds)).collect();
        for task in tasks {
            for (all, some) in best.iter_mut().zip(task?) {
                all.merge(some, request.order);
            }
        }
        stage.end();
        Ok(best.into_iter().map(|best| best.finish(request.order)).collect())
    }

    fn tasks<T: Send>(&self, work: impl Fn(usize, usize) -> T + Sync) -> Vec<T> {
        let rows = self.rows();
        let task = |at: usize| work(at * ROWS_PER_TASK, ((at + 1) * ROWS_PER_TASK).min(rows));
        let count = rows.div_ceil(ROWS_PER_TASK);
        if count < 2 || rayon::current_thread_index().is_some() {
            (0..count).map(task).collect()
        } else {
            (0..count).into_par_iter().map(task).collect()
        }
    }

    fn best_of(
        &self,
        queries: &Queries,
        further: &[Option<&[f32]>],
        request: &ScanRequest<'_>,
        is_excluded: &(dyn Fn(usize, u32) -> bool + Sync),
        rows: Range<usize>,
    ) -> Vec<TopK> {
        let mut best: Vec<TopK> = further.iter().map(|_| TopK::new(request.k, request.bounds)).collect();
        self.scored(queries, further, request.bias, request.mask, rows, |block, query, scores| {
            let best = &mut best[query];
            if request.scale != 1.0 {
                for score in scores.iter_mut() {
                    *score *= request.scale;
                }
            }
            // Mostly no score is high enough, and the maximum says so without a branch for each row.
            if best.may_take(largest(scores)) {
                for (offset, &mut score) in block.offsets().iter().zip(scores) {
                    let row = (block.first + usize::from(*offset)) as u32;
                    if best.may_take(score) && !is_excluded(query, row) {
                        best.offer((row, score), request.order);
                    }
                }
            }
        });
        best
    }

    /// Scores the masked rows of a range for each query, with their biases and the query's further scores, and passes on the scores
    /// of a block and a query at a time.
    fn scored(
        &self,
        queries: &Queries,
        further: &[Option<&[f32]>],
        bias: Option<&[f32]>,
        mask: &(dyn Fn(usize) -> u64 + Sync),
        rows: Range<usize>,
        mut each: impl FnMut(&Block, usize, &mut [f32]),
    ) {
        let count = further.len();
        let mut scores = vec![0.0f32; count * BLOCK];
        for block in blocks(rows, mask) {
            let offsets = block.offsets();
            let scores = &mut scores[..count * offsets.len()];
            score::scores(queries, &self.rows, block.first, offsets, scores);
            for (query, scores) in scores.chunks_exact_mut(offsets.len()).enumerate() {
                for numbers in bias.into_iter().chain(further[query]) {
                    block.add(numbers, scores);
                }
                each(&block, query, scores);
            }
        }
    }
}

/// The masked rows among up to [`BLOCK`] rows, as offsets from the first.
struct Block {
    first: usize,
    offsets: [u8; BLOCK],
    count: usize,
}

impl Block {
    fn offsets(&self) -> &[u8] {
        &self.offsets[..self.count]
    }

    /// Adds to each score the number of its row. A whole block is added without the offsets, which takes a third of the time.
    fn add(&self, numbers: &[f32], scores: &mut [f32]) {
        let numbers = &numbers[self.first..];
        if let (Some(numbers), Some(scores)) =
            (numbers.first_chunk::<BLOCK>(), scores.first_chunk_mut::<BLOCK>())
        {
            scores.iter_mut().zip(numbers).for_each(|(score, number)| *score += number);
        } else {
            let numbers = self.offsets().iter().map(|offset| numbers[usize::from(*offset)]);
            scores.iter_mut().zip(numbers).for_each(|(score, number)| *score += number);
        }
    }
}

/// The largest of the scores of a block. In lanes: one after the other would wait for each comparison.
fn largest(scores: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (whole, left) = scores.as_chunks::<LANES>();
    let mut largest = [f32::NEG_INFINITY; LANES];
    for scores in whole {
        for (largest, &score) in largest.iter_mut().zip(scores) {
            *largest = if score > *largest { score } else { *largest };
        }
    }
    largest.iter().chain(left).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The blocks of a range that have masked rows.
fn blocks(rows: Range<usize>, mask: &(dyn Fn(usize) -> u64 + Sync)) -> impl Iterator<Item = Block> + '_ {
    const ALL: [u8; BLOCK] = {
        let mut all = [0; BLOCK];
        let mut at = 0;
        while at < BLOCK {
            all[at] = at as u8;
            at += 1;
        }
        all
    };
    rows.clone().step_by(BLOCK).filter_map(move |first| {
        let count = (rows.end - first).min(BLOCK);
        let word = mask(first) & u64::MAX >> (BLOCK - count);
        let mut block = Block { first, offsets: ALL, count: word.count_ones() as usize };
        if block.count < BLOCK {
            for (offset, at) in block.offsets.iter_mut().zip(ones(word)) {
                *offset = at as u8;
            }
        }
        (block.count > 0).then_some(block)
    })
}

/// The positions of the set bits, ascending.
pub(crate) fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = word.trailing_zeros() as usize;
        word &= word.wrapping_sub(1);
        (at < 64).then_some(at)
    })
}

#[cfg(test)]
mod tests;
