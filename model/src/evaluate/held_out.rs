//! Held-out recall: the figure by which a training is watched and stopped.

use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;

use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::matrix::{Panels, by_panels};
use crate::linalg::rows::normalize_rows;
use crate::linalg::sparse::Sparse;
use crate::network::minibatch::Example;

/// Queries of one matrix product. Their scores are in memory at once, 4 bytes for each row.
const QUERIES_PER_TASK: usize = 64;
/// The rank up to which a positive counts as found.
const HELD_OUT_K: usize = 20;

/// The share of examples whose positive ranks among the best 20 for the query. All rows are ranked but the query and the other
/// positives of its group.
pub(crate) fn held_out_recall(
    vectors: &ArrayView2<'_, f32>,
    bias: &[f32],
    influence: &[f32],
    examples: &[Example],
) -> f32 {
    let panels = Panels::transposed(vectors);
    let hits: usize = examples
        .par_chunks(QUERIES_PER_TASK)
        .map(|examples| {
            let mut means = Sparse::new(vectors.nrows());
            for example in examples {
                means.push_row(example.query.iter().map(|&row| (row, influence[row as usize])));
            }
            let mut queries = means.multiply(vectors, &mut BufferPool::default());
            normalize_rows(&mut queries);
            let scores = by_panels(&queries.view(), &panels, None, &mut BufferPool::default());
            examples
                .iter()
                .zip(scores.outer_iter())
                .filter(|(example, scores)| is_found(example, scores, bias))
                .count()
        })
        .sum();
    hits as f32 / examples.len().max(1) as f32
}

fn is_found(example: &Example, scores: &ArrayView1<'_, f32>, bias: &[f32]) -> bool {
    let score = |row: u32| scores[row as usize] + bias[row as usize];
    let level = score(example.positive);
    let at_least = scores.iter().zip(bias).filter(|(score, bias)| *score + *bias >= level).count();
    let mut unranked: Vec<u32> = example.query.iter().chain(&example.related).copied().collect();
    unranked.sort_unstable();
    unranked.dedup();
    let not_ranked = unranked.iter().filter(|&&row| row != example.positive && score(row) >= level).count();
    // The positive itself is counted, so this is its rank.
    at_least - not_ranked <= HELD_OUT_K
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
