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
    use ndarray::Array2;

    use super::{QUERIES_PER_BAND, ROWS_PER_TASK, held_out_recall};
    use crate::linalg::buffer_pool::BufferPool;
    use crate::linalg::matrix::product_by_transposed;
    use crate::linalg::rows::normalize_rows;
    use crate::network::minibatch::Example;

    /// More rows than a block has, and more queries than a band. The scores of the definition are one product, sorted.
    #[test]
    fn the_recall_is_that_of_the_sorted_scores_of_all_rows() {
        let rows = 2 * ROWS_PER_TASK + 77;
        let number = |at: usize| (at * 7919 % 1009) as f32 / 504.0 - 1.0;
        let mut vectors = Array2::from_shape_fn((rows, 7), |(row, column)| number(row * 7 + column));
        normalize_rows(&mut vectors);
        let bias: Vec<f32> = (0..rows).map(|row| 0.01 * number(row + 3)).collect();
        let influence: Vec<f32> = (0..rows).map(|row| 1.5 + number(row + 5)).collect();
        let mut examples = Vec::new();
        for at in 0..QUERIES_PER_BAND as u32 + 50 {
            let query: Vec<u32> = (0..=at % 3).map(|by| at * 17 + by).collect();
            let related: Vec<u32> = (0..5).map(|by| (at * 31 + by * 400) % rows as u32).collect();
            examples.push((query, related));
        }
        let mut queries = Array2::zeros((examples.len(), 7));
        for (mut sum, (query, _)) in queries.outer_iter_mut().zip(&examples) {
            for &row in query {
                sum.scaled_add(influence[row as usize], &vectors.row(row as usize));
            }
        }
        normalize_rows(&mut queries);
        let scores = product_by_transposed(&queries.view(), &vectors.view(), &mut BufferPool::default());
        // Every second positive is among the best 17, the others are not among the best 24. Ranks beside 20 may be swapped by rounding.
        let (mut found, mut positives) = (0, Vec::new());
        for (at, (query, related)) in examples.into_iter().enumerate() {
            let score = |row: u32| scores[[at, row as usize]] + bias[row as usize];
            let mut ranked: Vec<u32> =
                (0..rows as u32).filter(|row| !query.contains(row) && !related.contains(row)).collect();
            ranked.sort_by(|one, other| score(*other).total_cmp(&score(*one)));
            let positive = if at % 2 == 0 { ranked[at % 17] } else { ranked[24 + at % 17] };
            found += usize::from(at % 2 == 0);
            let related = related.into_iter().chain([positive]).collect();
            positives.push(Example { query, positive, related, hard_negatives: Vec::new() });
        }
        let recall = held_out_recall(&vectors.view(), &bias, &influence, &positives);
        assert_eq!(recall, found as f32 / positives.len() as f32);
    }

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
