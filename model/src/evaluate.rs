//! How good the embeddings are: every row ranked for every query.

use std::collections::HashSet;

use hedgerow_storage::{CancelToken, NodeIx, NodeName};
use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;

use crate::ask::Audience;
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::matrix::{Panels, by_panels};
use crate::minibatch::Example;
use crate::recommend::Recommender;
use crate::rows::{dot, normalize_rows};
use crate::spare::Spare;
use crate::sparse::Sparse;

/// Queries between two looks at the cancel token.
const QUERIES_AT_ONCE: usize = 1024;
/// Queries of one matrix product; their scores are in memory at once, 4 bytes for each row.
const QUERIES_PER_TASK: usize = 64;
/// Held-out recall looks at this many of the best.
const HELD_OUT_K: usize = 20;

/// Quality of recommendations; means over users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecommendQuality {
    /// Hits among the best k over the number of test items.
    pub recall: f64,
    /// Discounted cumulative gain of the best k over that of the best possible order.
    pub ndcg: f64,
    /// Users evaluated.
    pub users: u64,
}

/// Quality of related items; means over pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RelatedQuality {
    /// Share of pairs whose item ranks in the best 10.
    pub hr10: f64,
    /// In the best 100.
    pub hr100: f64,
    /// In the best 500.
    pub hr500: f64,
    /// Mean of 1 / rank.
    pub mrr: f64,
    /// Mean of 1 / (rank / 100, rounded up), as in the paper.
    pub mrr100: f64,
    /// Pairs evaluated.
    pub pairs: u64,
}

/// Recall@k and NDCG@k of what a recommender answers. Cost: users x rows x D operations.
pub(crate) fn recommend(
    recommender: &Recommender,
    users: &[(NodeName, Vec<NodeName>)],
    k: usize,
    cancel: &CancelToken,
) -> Result<RecommendQuality, Error> {
    let (mut recall, mut ndcg) = (0.0, 0.0);
    for users in users.chunks(QUERIES_AT_ONCE) {
        cancel.check()?;
        let audiences: Vec<Audience> = users.iter().map(|(user, _)| Audience::Node(user.clone())).collect();
        for (found, (_, items)) in recommender.nodes(&audiences)?.iter().zip(users) {
            let wanted: HashSet<NodeIx> = items.iter().filter_map(|item| recommender.lookup(item)).collect();
            let (r, n) = judge(found, &wanted, items.len(), k);
            recall += r;
            ndcg += n;
        }
    }
    let count = users.len().max(1) as f64;
    Ok(RecommendQuality { recall: recall / count, ndcg: ndcg / count, users: users.len() as u64 })
}

/// Of an answer and the items to find, some of which may not be known.
fn judge(answer: &[NodeIx], wanted: &HashSet<NodeIx>, items: usize, k: usize) -> (f64, f64) {
    let gain = |place: usize| 1.0 / ((place + 2) as f64).log2();
    let found: Vec<usize> = (0..answer.len()).filter(|&at| wanted.contains(&answer[at])).collect();
    let ideal: f64 = (0..k.min(items)).map(gain).sum();
    let reached: f64 = found.iter().map(|&at| gain(at)).sum();
    (found.len() as f64 / items.max(1) as f64, if ideal > 0.0 { reached / ideal } else { 0.0 })
}

/// Ranks of the second row of each pair for the first, among `candidates` without the first.
/// Rank = 1 + candidates scoring higher + half of the ties. Cost: pairs x rows x D operations.
pub(crate) fn related(
    embeddings: &Embeddings,
    pairs: &[(u32, u32)],
    candidates: &[u32],
    cancel: &CancelToken,
) -> Result<RelatedQuality, Error> {
    let mut quality = RelatedQuality::default();
    for pairs in pairs.chunks(QUERIES_AT_ONCE) {
        cancel.check()?;
        let ranks: Vec<f64> = pairs
            .par_iter()
            .map(|&(query, item)| {
                let vector = embeddings.vector(query);
                let score = |row: u32| dot(vector, embeddings.vector(row)) + embeddings.bias[row as usize];
                let wanted = score(item);
                let (mut higher, mut ties) = (0u64, 0u64);
                for &row in candidates.iter().filter(|&&row| row != query && row != item) {
                    let score = score(row);
                    higher += u64::from(score > wanted);
                    ties += u64::from(score.total_cmp(&wanted).is_eq());
                }
                1.0 + higher as f64 + ties as f64 / 2.0
            })
            .collect();
        for rank in ranks {
            quality.hr10 += f64::from(u8::from(rank <= 10.0));
            quality.hr100 += f64::from(u8::from(rank <= 100.0));
            quality.hr500 += f64::from(u8::from(rank <= 500.0));
            quality.mrr += 1.0 / rank;
            quality.mrr100 += 1.0 / (rank / 100.0).ceil();
        }
    }
    let count = pairs.len().max(1) as f64;
    for mean in
        [&mut quality.hr10, &mut quality.hr100, &mut quality.hr500, &mut quality.mrr, &mut quality.mrr100]
    {
        *mean /= count;
    }
    quality.pairs = pairs.len() as u64;
    Ok(quality)
}

/// Share of the examples whose positive is among the best for their query, all rows ranked but those that belong
/// together with it.
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
            let mut queries = means.multiply(vectors, &mut Spare::default());
            normalize_rows(&mut queries);
            let scores = by_panels(&queries.view(), &panels, None, &mut Spare::default());
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
    let wanted = score(example.positive);
    let at_least = scores.iter().zip(bias).filter(|(score, bias)| *score + *bias >= wanted).count();
    let mut apart: Vec<u32> = example.query.iter().chain(&example.together).copied().collect();
    apart.sort_unstable();
    apart.dedup();
    let above = apart.iter().filter(|&&row| row != example.positive && score(row) >= wanted).count();
    // The positive itself is among those counted.
    at_least - above <= HELD_OUT_K
}

#[cfg(test)]
mod tests {
    use super::{held_out_recall, judge, related};
    use crate::embeddings::Embeddings;
    use crate::minibatch::Example;
    use hedgerow_storage::{CancelToken, NodeIx};
    use ndarray::array;

    /// Five nodes on a fan; the larger the number, the farther from node 0.
    fn fan() -> Embeddings {
        let vectors = array![[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]];
        Embeddings::example(&vectors, vec![0.0; 5])
    }

    /// Answered are 1 and 2. Wanted are 2, 4 and an item that nobody knows; k = 2:
    ///   recall 1/3, DCG 1/log2(3), ideal DCG over min(2, 3) places 1 + 1/log2(3).
    #[test]
    fn recall_and_ndcg_are_the_hand_worked_numbers() {
        let nodes = |numbers: [u32; 2]| numbers.map(NodeIx::new);
        let (recall, ndcg) = judge(&nodes([1, 2]), &nodes([2, 4]).into_iter().collect(), 3, 2);
        let second = 1.0 / 3f64.log2();
        assert!((recall - 1.0 / 3.0).abs() < 1e-12);
        assert!((ndcg - second / (1.0 + second)).abs() < 1e-12);
    }

    /// From node 0: node 1 is first, node 3 third. With a bias node 4 ties with node 3: rank 3.5.
    #[test]
    fn ranks_count_half_of_the_ties() {
        let mut tied = fan();
        tied.bias[4] = 1.0;
        let quality =
            related(&tied, &[(0, 1), (0, 3)], &[0, 1, 2, 3, 4], &CancelToken::new()).expect("numbers");
        assert!((quality.mrr - f64::midpoint(1.0, 1.0 / 3.5)).abs() < 1e-12);
        assert_eq!((quality.hr10, quality.hr500, quality.mrr100, quality.pairs), (1.0, 1.0, 1.0, 2));
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
            let example = Example { query, positive, together: Vec::new(), hard: Vec::new() };
            held_out_recall(&vectors.view(), &bias, &[1.0; 32], &[example])
        };
        assert_eq!(recall(vec![0], 20), 1.0);
        assert_eq!(recall(vec![0], 21), 0.0);
        assert_eq!(recall(vec![0, 1, 2], 25), 0.0);
    }
}
