//! The exact nearest rows of a matrix, read at the speed of memory: every row is looked at, in eight bits first and in full where
//! that leaves a doubt. Owns the rows and their order by score; knows nothing of nodes, kinds and tokens, whose wishes come as bits.
//!
//! # Determinism
//! A score is one sum with a fixed order ([`score`]), so it does not depend on which rows and queries are scored beside it, nor on
//! the processor; equal scores are ordered by a number of the row's that the caller gives.

mod quantized;
mod rank_count;
mod score;
mod top_k;

use std::ops::Range;

use rayon::prelude::*;

use crate::query::scan::quantized::{Asked, QuantizedRows};
pub(crate) use crate::query::scan::rank_count::RankCount;
use crate::query::scan::top_k::TopK;

use crate::linalg::huge_matrix::HugeMatrix;

/// Rows whose wishes are one word; they stay in the first cache while they are scored.
pub(crate) const BLOCK: usize = 64;
/// Rows of a task.
const ROWS_PER_TASK: usize = 128 * BLOCK;
/// With more answers than one in so many rows, doubts would be the rule.
const ROWS_PER_ANSWER: usize = 16;

/// A row and its score.
pub(crate) type Hit = (u32, f32);

/// What makes a row an answer, beside its vector.
pub(crate) struct ScanRequest<'a> {
    /// Answers at most.
    pub(crate) k: usize,
    /// Added to the scores of the rows.
    pub(crate) bias: Option<&'a [f32]>,
    /// Which of the 64 rows from this one on may be answers; the lowest bit is the first.
    pub(crate) wanted: &'a (dyn Fn(usize) -> u64 + Sync),
    /// Of rows with equal scores, the one with the smaller number comes first. No two rows have the same.
    pub(crate) order: &'a (dyn Fn(u32) -> u64 + Sync),
}

impl ScanRequest<'_> {
    fn bias(&self, row: usize) -> f32 {
        self.bias.map_or(0.0, |bias| bias[row])
    }
}

/// Rows, in full and in eight bits. Size: 5 D + 8 bytes a row.
#[derive(Clone, Default)]
pub(crate) struct Scan {
    full: HugeMatrix,
    rough: QuantizedRows,
}

impl Scan {
    /// Cost: reads and writes all rows once, in parallel.
    pub(crate) fn new(full: HugeMatrix) -> Self {
        let rough = QuantizedRows::of(&full);
        Self { full, rough }
    }

    pub(crate) fn dim(&self) -> usize {
        self.full.width()
    }

    pub(crate) fn rows(&self) -> usize {
        self.full.rows()
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        self.full.row(row)
    }

    /// `query . row`, with the bits that it has in a scan.
    pub(crate) fn score(&self, query: &[f32], row: usize) -> f32 {
        let mut score = [0.0];
        let rows = self.full.row(row);
        score::scores(score::Asked { queries: query, rows, dim: self.dim(), places: &[0] }, &mut score);
        score[0]
    }

    pub(crate) fn bytes(&self) -> usize {
        self.full.bytes() + self.rough.bytes()
    }

    /// Appends rows of zeros up to so many.
    pub(crate) fn grow(&mut self, rows: usize) {
        self.full.grow(rows);
        self.rough.grow(rows);
    }

    pub(crate) fn set(&mut self, row: usize, values: &[f32]) {
        self.full.row_mut(row).copy_from_slice(values);
        self.rough.set(row, values);
    }

    /// The wanted rows with the highest `query . row + bias`, best first.
    ///
    /// Exact: a row is left out only if its score in eight bits, with all that rounding can have taken from it, is below that of
    /// `k` others with all that it can have added. Cost: D + 8 bytes read for each row, and 4 D for those in doubt, some k.
    ///
    /// In a task of rayon's it stays on its thread: whoever waits for a part of it would take up other tasks meanwhile.
    pub(crate) fn nearest(&self, query: &[f32], wish: &ScanRequest<'_>) -> Vec<Hit> {
        if wish.k.saturating_mul(ROWS_PER_ANSWER) > self.rows() {
            return self.nearest_each(&[query], wish, &|_, _| false).pop().unwrap_or_default();
        }
        let asked = Asked::new(query);
        let tasks = self.tasks(|first, end| self.rough.candidates(&asked, wish, first..end));
        let mut all: Vec<quantized::Candidate> = tasks.into_iter().flatten().collect();
        quantized::settle(&mut all, wish.k);
        let mut best = TopK::new(wish.k);
        for candidate in all {
            let row = candidate.row as usize;
            best.offer((candidate.row, self.score(query, row) + wish.bias(row)), wish.order);
        }
        best.finish(wish.order)
    }

    /// The same for many queries, without those that are left out for one of them: told the query's number and the row. Each
    /// row is read once for all queries, in full.
    ///
    /// Cost: `2 D` operations for each row and query, in parallel over rows.
    pub(crate) fn nearest_each(
        &self,
        queries: &[&[f32]],
        wish: &ScanRequest<'_>,
        left_out: &(dyn Fn(usize, u32) -> bool + Sync),
    ) -> Vec<Vec<Hit>> {
        let flat: Vec<f32> = queries.concat();
        let tasks = self.tasks(|first, end| self.best_of(&flat, queries.len(), wish, left_out, first..end));
        let mut best: Vec<TopK> = queries.iter().map(|_| TopK::new(wish.k)).collect();
        for task in tasks {
            for (all, some) in best.iter_mut().zip(task) {
                all.merge(some, wish.order);
            }
        }
        best.into_iter().map(|best| best.finish(wish.order)).collect()
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
        queries: &[f32],
        count: usize,
        wish: &ScanRequest<'_>,
        left_out: &(dyn Fn(usize, u32) -> bool + Sync),
        rows: Range<usize>,
    ) -> Vec<TopK> {
        let mut best: Vec<TopK> = (0..count).map(|_| TopK::new(wish.k)).collect();
        self.scored(queries, count, wish.bias, wish.wanted, rows, |block, query, scores| {
            let best = &mut best[query];
            // Mostly none is as high; this is known without a branch a row.
            if best.may_take(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max)) {
                for (place, &score) in block.places().iter().zip(scores) {
                    let row = (block.first + usize::from(*place)) as u32;
                    if best.may_take(score) && !left_out(query, row) {
                        best.offer((row, score), wish.order);
                    }
                }
            }
        });
        best
    }

    /// Scores the wanted ones of some rows for each query, with their biases, and gives them out a block and a query at a time.
    fn scored(
        &self,
        queries: &[f32],
        count: usize,
        bias: Option<&[f32]>,
        wanted: &(dyn Fn(usize) -> u64 + Sync),
        rows: Range<usize>,
        mut each: impl FnMut(&Block, usize, &[f32]),
    ) {
        let dim = self.dim();
        let (mut scores, mut biases) = (vec![0.0f32; count * BLOCK], [0.0f32; BLOCK]);
        for block in blocks(rows, wanted) {
            let (rows, places) = (&self.full.values()[block.first * dim..], block.places());
            let scores = &mut scores[..count * places.len()];
            score::scores(score::Asked { queries, rows, dim, places }, scores);
            if let Some(bias) = bias {
                for (to, place) in biases.iter_mut().zip(places) {
                    *to = bias[block.first + usize::from(*place)];
                }
            }
            for (query, scores) in scores.chunks_exact_mut(places.len()).enumerate() {
                scores.iter_mut().zip(&biases).for_each(|(score, bias)| *score += bias);
                each(&block, query, scores);
            }
        }
    }
}

/// The wanted rows among up to [`BLOCK`] from one on.
struct Block {
    first: usize,
    places: [u8; BLOCK],
    count: usize,
}

impl Block {
    fn places(&self) -> &[u8] {
        &self.places[..self.count]
    }
}

/// The blocks of some rows that hold wanted ones.
fn blocks(rows: Range<usize>, wanted: &(dyn Fn(usize) -> u64 + Sync)) -> impl Iterator<Item = Block> + '_ {
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
        let there = (rows.end - first).min(BLOCK);
        let word = wanted(first) & u64::MAX >> (BLOCK - there);
        let mut block = Block { first, places: ALL, count: word.count_ones() as usize };
        if block.count < BLOCK {
            for (place, at) in block.places.iter_mut().zip(ones(word)) {
                *place = at as u8;
            }
        }
        (block.count > 0).then_some(block)
    })
}

/// The places of the bits that are set, ascending.
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = word.trailing_zeros() as usize;
        word &= word.wrapping_sub(1);
        (at < 64).then_some(at)
    })
}

#[cfg(test)]
mod tests;
