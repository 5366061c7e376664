//! Held-out recall: the figure by which a training is watched and stopped.

use ndarray::{ArrayView2, Axis, Slice};
use rayon::prelude::*;

use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::matrix::Panels;
use crate::linalg::rows::{gather, normalize_rows};
use crate::linalg::sparse::Sparse;
use crate::network::minibatch::Example;

/// Rows of one task, and queries that are scored together: their scores take 256 KiB, which stay in the second-level cache.
const ROWS_PER_TASK: usize = 1024;
const QUERIES_PER_BAND: usize = 64;
/// The rank up to which a positive counts as found.
const HELD_OUT_K: u32 = 20;

/// The share of examples whose positive ranks among the best 20 for the query. All rows are ranked but the query and the other
/// positives of its group.
///
/// Shapes: vectors (N, D). Cost: N D multiply-adds for each example, parallel over rows.
pub(crate) fn held_out_recall(
    vectors: &ArrayView2<'_, f32>,
    bias: &[f32],
    influence: &[f32],
    examples: &[Example],
) -> f32 {
    let (rows, dim) = vectors.dim();
    let mut means = Sparse::new(rows);
    for example in examples {
        means.push_row(example.query.iter().map(|&row| (row, influence[row as usize])));
    }
    let mut queries = means.multiply(vectors, &mut BufferPool::default());
    normalize_rows(&mut queries);
    let queries = queries.as_slice().expect("a product is contiguous");
    // The score of each positive, and the rows that are at least as good but not ranked.
    let of_positive = |(at, example): (usize, &Example)| {
        let mut unranked: Vec<u32> = example.query.iter().chain(&example.related).copied().collect();
        unranked.sort_unstable();
        unranked.dedup();
        unranked.retain(|&row| row != example.positive);
        unranked.push(example.positive);
        let mut scores = vec![0.0; unranked.len()];
        let own = Panels::transposed(&gather(vectors, &unranked).view());
        own.multiply(&queries[at * dim..][..dim], None, &mut scores);
        scores.iter_mut().zip(&unranked).for_each(|(score, &row)| *score += bias[row as usize]);
        let (level, others) = scores.split_last().expect("at least the positive");
        (*level, count_from(others.iter().copied(), *level))
    };
    let positives: Vec<(f32, u32)> = examples.par_iter().enumerate().map(of_positive).collect();
    // All rows that are at least as good: a product gives the same bits for a row in any block.
    let at_least = (0..rows.div_ceil(ROWS_PER_TASK)).into_par_iter().map(|task| {
        let first = task * ROWS_PER_TASK;
        let end = (first + ROWS_PER_TASK).min(rows);
        let (block, bias) = (vectors.slice_axis(Axis(0), Slice::from(first..end)), &bias[first..end]);
        let block = Panels::transposed(&block);
        let mut scores = vec![0.0; QUERIES_PER_BAND * bias.len()];
        let mut counts = Vec::with_capacity(examples.len());
        let bands = queries.chunks(QUERIES_PER_BAND * dim).zip(positives.chunks(QUERIES_PER_BAND));
        for (queries, positives) in bands {
            let scores = &mut scores[..positives.len() * bias.len()];
            block.multiply(queries, None, scores);
            counts.extend(scores.chunks_exact(bias.len()).zip(positives).map(|(scores, (level, _))| {
                count_from(scores.iter().zip(bias).map(|(score, bias)| score + bias), *level)
            }));
        }
        counts
    });
    let added = |mut sums: Vec<u32>, counts: Vec<u32>| {
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        sums
    };
    let at_least = at_least.reduce(|| vec![0; examples.len()], added);
    // The positive itself is counted, so the difference is its rank.
    let is_found = |(at_least, (_, unranked)): &(&u32, &(f32, u32))| *at_least - unranked <= HELD_OUT_K;
    let hits = at_least.iter().zip(&positives).filter(is_found).count();
    hits as f32 / examples.len().max(1) as f32
}

/// The number of scores from `level` on.
fn count_from(scores: impl Iterator<Item = f32>, level: f32) -> u32 {
    scores.map(|score| u32::from(score >= level)).sum()
}

#[cfg(test)]
mod tests {
    use super::held_out_recall;
    use crate::network::minibatch::Example;

    #[test]
    fn a_held_out_positive_is_found_among_the_best_without_the_query() {
        // Thirty nodes nearer to node 0 than node 31 is.
        let angle = |row: usize| row as f32 * 0.04;
        let vectors = ndarray::Array2::from_shape_fn((32, 2), |(row, axis)| {
            if axis == 0 { angle(row).cos() } else { angle(row).sin() }
        });
        let bias = vec![0.0; 32];
        let recall = |query: Vec<u32>, positive| {
            let example = Example { query, positive, related: Vec::new(), hard_negatives: Vec::new() };
            held_out_recall(&vectors.view(), &bias, &[1.0; 32], &[example])
        };
        assert_eq!(recall(vec![0], 20), 1.0);
        assert_eq!(recall(vec![0], 21), 0.0);
        assert_eq!(recall(vec![0, 1, 2], 25), 0.0);
    }
}
