//! The exact nearest rows of a matrix, read at the speed of memory: every row is looked at, in eight bits first and in full where
//! that leaves a doubt. Owns the rows and their order by score; knows nothing of nodes, kinds and tokens, whose wishes come as bits.
//!
//! # Determinism
//! A score is one sum with a fixed order ([`score`]), so it does not depend on which rows and queries are scored beside it, nor on
//! the processor; equal scores are ordered by a number of the row's that the caller gives.

mod above;
mod best;
mod rough;
mod score;

use rayon::prelude::*;

pub(crate) use above::Above;
use best::Best;
use rough::{Asked, Rough};

use crate::tall::Tall;

/// Rows whose wishes are one word; they stay in the first cache while they are scored.
pub(crate) const BLOCK: usize = 64;
/// Rows of a task.
const ROWS_PER_TASK: usize = 128 * BLOCK;
/// Below so many rows of the block a row is scored by itself.
const FEW: u32 = 12;
/// With more answers than one in so many rows, doubts would be the rule.
const ROWS_PER_ANSWER: usize = 16;

/// A row and its score.
pub(crate) type Hit = (u32, f32);

/// What makes a row an answer, beside its vector.
pub(crate) struct Wish<'a> {
    /// Answers at most.
    pub(crate) k: usize,
    /// Added to the scores of the rows.
    pub(crate) bias: Option<&'a [f32]>,
    /// Which of the 64 rows from this one on may be answers; the lowest bit is the first.
    pub(crate) wanted: &'a (dyn Fn(usize) -> u64 + Sync),
    /// Of rows with equal scores, the one with the smaller number comes first. No two rows have the same.
    pub(crate) order: &'a (dyn Fn(u32) -> u64 + Sync),
}

impl Wish<'_> {
    fn bias(&self, row: usize) -> f32 {
        self.bias.map_or(0.0, |bias| bias[row])
    }
}

/// Rows, in full and in eight bits. Size: 5 D + 8 bytes a row.
#[derive(Clone, Default)]
pub(crate) struct Scan {
    full: Tall,
    rough: Rough,
}

impl Scan {
    /// Cost: reads and writes all rows once, in parallel.
    pub(crate) fn new(full: Tall) -> Self {
        let rough = Rough::of(&full);
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
        score::scores(query, self.full.row(row), self.dim(), &mut score);
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
    pub(crate) fn nearest(&self, query: &[f32], wish: &Wish<'_>) -> Vec<Hit> {
        if wish.k.saturating_mul(ROWS_PER_ANSWER) > self.rows() {
            return self.nearest_each(&[query], wish, &|_, _| false).pop().unwrap_or_default();
        }
        let asked = Asked::new(query);
        let tasks = self.tasks(|first, end| self.rough.candidates(&asked, wish, first..end));
        let mut all: Vec<rough::Candidate> = tasks.into_iter().flatten().collect();
        rough::settle(&mut all, wish.k);
        let mut best = Best::new(wish.k);
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
        wish: &Wish<'_>,
        left_out: &(dyn Fn(usize, u32) -> bool + Sync),
    ) -> Vec<Vec<Hit>> {
        let flat: Vec<f32> = queries.concat();
        let tasks = self.tasks(|first, end| self.best_of(&flat, queries.len(), wish, left_out, first..end));
        let mut best: Vec<Best> = queries.iter().map(|_| Best::new(wish.k)).collect();
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
        wish: &Wish<'_>,
        left_out: &(dyn Fn(usize, u32) -> bool + Sync),
        rows: std::ops::Range<usize>,
    ) -> Vec<Best> {
        let dim = self.dim();
        let mut best: Vec<Best> = (0..count).map(|_| Best::new(wish.k)).collect();
        let mut scores = vec![0.0f32; count * BLOCK];
        for first in rows.clone().step_by(BLOCK) {
            let end = (first + BLOCK).min(rows.end);
            let word = (wish.wanted)(first);
            if word == 0 {
                continue;
            }
            let offer = |best: &mut [Best], query: usize, row: usize, score: f32| {
                let score = score + wish.bias(row);
                let best = &mut best[query];
                if best.may_take(score) && !left_out(query, row as u32) {
                    best.offer((row as u32, score), wish.order);
                }
            };
            let values = &self.full.values()[first * dim..end * dim];
            if word.count_ones() < FEW {
                for at in ones(word).take_while(|at| first + at < end) {
                    let scores = &mut scores[..count];
                    score::scores(queries, &values[at * dim..][..dim], dim, scores);
                    for (query, &score) in scores.iter().enumerate() {
                        offer(&mut best, query, first + at, score);
                    }
                }
                continue;
            }
            let rows = end - first;
            let scores = &mut scores[..count * rows];
            score::scores(queries, values, dim, scores);
            for (query, scores) in scores.chunks_exact(rows).enumerate() {
                let least = best[query].least();
                // Mostly none is as high; this is known without a branch a row.
                let is_high = |any, (at, score)| any | (score + wish.bias(first + at) >= least);
                if !scores.iter().enumerate().fold(false, is_high) {
                    continue;
                }
                for at in ones(word).take_while(|&at| at < rows) {
                    offer(&mut best, query, first + at, scores[at]);
                }
            }
        }
        best
    }
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
