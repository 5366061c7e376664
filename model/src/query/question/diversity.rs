//! Maximal marginal relevance: answers that are good and differ from the better ones.
//! Must not know names and how relevance is found.

use hedgerow_storage::{CancelToken, StableId};

use crate::config::error::Error;
use crate::query::scan::{Queries, Scan};

/// The smallest pool that answers are chosen from.
const SMALLEST_POOL: usize = 100;
/// Members of the pool for each answer.
const POOL_PER_ANSWER: usize = 5;

/// The number of best answers that `k` different ones are chosen from.
pub(crate) fn pool_size(k: usize) -> usize {
    k.saturating_mul(POOL_PER_ANSWER).max(SMALLEST_POOL)
}

/// An answer that may be chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolMember {
    /// `None` without an embedding; its similarity to all others is 0.
    pub(crate) row: Option<u32>,
    pub(crate) score: f32,
    pub(crate) id: StableId,
}

/// The places in a pool of at most `k` chosen members, in the order of their choice. `pool` has the best answers, best first.
///
/// The first is the best answer. Each further one has the largest `(1 - diverse) relevance - diverse similarity`, ties by stable id. The
/// relevance is the score, scaled so that the pool has 0 to 1. The similarity is the largest cosine with a member that was chosen
/// before. `vectors` has the embeddings, of length 1 or zeros.
///
/// # Determinism
/// A function of scores, embeddings and ids: a cosine is an exact sum of integers.
/// # Cost
/// A cosine for each chosen member and each other one.
/// # Source
/// Carbonell and Goldstein, The Use of MMR (SIGIR 1998), section 2; `diverse` is 1 - lambda.
pub(crate) fn choose(
    pool: &[PoolMember],
    k: usize,
    diverse: f32,
    vectors: &Scan,
    cancel: &CancelToken,
) -> Result<Vec<usize>, Error> {
    let scores = pool.iter().map(|member| member.score);
    let (lowest, highest) = scores
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), score| (low.min(score), high.max(score)));
    let range = highest - lowest;
    let relevance = |score: f32| if range > 0.0 { (score - lowest) / range } else { 1.0 };
    let relevance: Vec<f32> = pool.iter().map(|member| relevance(member.score)).collect();

    let mut chosen = Vec::new();
    // `None` before the first choice.
    let mut similarity: Vec<Option<f32>> = vec![None; pool.len()];
    let mut left: Vec<usize> = (0..pool.len()).collect();
    while chosen.len() < k && !left.is_empty() {
        cancel.check()?;
        let value = |at: usize| (1.0 - diverse) * relevance[at] - diverse * similarity[at].unwrap_or(0.0);
        let better = |a: usize, b: usize| {
            let order = value(b).total_cmp(&value(a)).then_with(|| pool[a].id.cmp(&pool[b].id));
            if order.is_lt() { a } else { b }
        };
        // The best answer comes first, even if relevance does not count.
        let next = if chosen.is_empty() { 0 } else { left.iter().copied().reduce(better).unwrap_or(0) };
        left.retain(|&at| at != next);
        chosen.push(next);
        let query = pool[next].row.map(|row| vectors.query(&vectors.numbers(row as usize)));
        for &at in &left {
            let cosine = cosine(query.as_ref(), pool[at].row, vectors);
            similarity[at] = Some(similarity[at].map_or(cosine, |largest| largest.max(cosine)));
        }
    }
    Ok(chosen)
}

fn cosine(query: Option<&Queries>, row: Option<u32>, vectors: &Scan) -> f32 {
    query.zip(row).map_or(0.0, |(query, row)| vectors.score(query, row as usize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::rounded_rows::RoundedRows;

    fn chosen(pool: &[(Option<u32>, f32, u64)], k: usize, diverse: f32, vectors: &[f32]) -> Vec<usize> {
        let vectors = Scan::new(RoundedRows::of(vectors, 2));
        let member =
            |&(row, score, id): &(Option<u32>, f32, u64)| PoolMember { row, score, id: StableId::new(id) };
        let pool: Vec<PoolMember> = pool.iter().map(member).collect();
        choose(&pool, k, diverse, &vectors, &CancelToken::new()).expect("nobody cancels")
    }

    /// Relevance 1, .8, .5, 0. With a half, after the first: .4 - .5 = -.1, .25 - 0 = .25, 0 + .5 = .5.
    /// Then, from the first and the last: .4 - .5 = -.1, .25 - 0 = .25.
    #[test]
    fn choices_are_the_hand_worked_ones() {
        let vectors = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, -1.0, 0.0];
        let pool = [(Some(0), 9.0, 7), (Some(1), 7.0, 6), (Some(2), 4.0, 5), (Some(3), -1.0, 4)];
        assert_eq!(chosen(&pool, 4, 0.5, &vectors), [0, 3, 2, 1]);
        assert_eq!(chosen(&pool, 2, 0.5, &vectors), [0, 3]);
        assert_eq!(chosen(&pool, 4, 0.1, &vectors), [0, 1, 2, 3]);
        assert_eq!(chosen(&pool, 4, 1.0, &vectors), [0, 3, 2, 1]);
        assert_eq!(chosen(&pool, 9, 0.0, &vectors), [0, 1, 2, 3]);
    }

    #[test]
    fn members_without_embeddings_are_similar_to_none_and_ties_go_by_id() {
        let vectors = [1.0, 0.0, 1.0, 0.0];
        let pool = [(Some(0), 1.0, 3), (Some(1), 1.0, 1), (None, 1.0, 4), (None, 1.0, 2)];
        assert_eq!(chosen(&pool, 4, 0.5, &vectors), [0, 3, 2, 1]);
        assert!(chosen(&[], 3, 0.5, &vectors).is_empty());
    }
}
