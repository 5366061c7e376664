//! The nodes of a kind laid out so that many queries are ranked at once. Owns how the best are found without looking at each score
//! twice; what is asked for and why is not its business.

use hedgerow_storage::KindIx;
use rayon::prelude::*;

use crate::embeddings::{Embeddings, Hit};
use crate::matrix::Panels;
use crate::rows::{dot, gather};
use crate::state::ABSENT;

/// Queries of one matrix product.
const QUERIES_PER_TASK: usize = 64;
/// Candidates of one matrix product; with as many queries their scores, 1 MB, stay in the second-level cache.
const BLOCK: usize = 4096;
/// Scores that are compared at once.
const AT_ONCE: usize = 32;

/// What is asked of a slate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    /// A unit vector, or zeros.
    pub(crate) query: &'a [f32],
    /// Rows to leave out, of whatever kind.
    pub(crate) left_out: &'a [u32],
}

/// The living rows of one kind. Size: as their vectors, and twelve bytes for each.
pub(crate) struct Slate {
    candidates: Vec<u32>,
    /// By row, its place among the candidates.
    place: Vec<u32>,
    blocks: Vec<Panels<'static>>,
    bias: Vec<f32>,
    /// Within so much of each other two scores may be the other way round in another order of additions.
    slack: f32,
}

impl Slate {
    /// With `cosine` the popularity coordinate counts nothing.
    pub(crate) fn new(embeddings: &Embeddings, kind: KindIx, cosine: bool) -> Self {
        let rows = 0..embeddings.rows() as u32;
        let candidates: Vec<u32> =
            rows.filter(|&row| embeddings.is_alive(row) && embeddings.kind(row) == kind).collect();
        let mut place = vec![ABSENT; embeddings.rows()];
        for (at, &row) in candidates.iter().enumerate() {
            place[row as usize] = at as u32;
        }
        let panels = |rows: &[u32]| Panels::transposed(&gather(&embeddings.vectors.view(), rows).view());
        let blocks = candidates.chunks(BLOCK).map(panels).collect();
        let bias = |&row: &u32| if cosine { 0.0 } else { embeddings.bias[row as usize] };
        let bias: Vec<f32> = candidates.iter().map(bias).collect();
        let largest = bias.iter().fold(0.0f32, |most, bias| most.max(bias.abs()));
        // Each of two sums of D products of unit vectors is off by D half-units of rounding at most, and its sum with the bias by
        // one of that size; twice that, since a score may be too low and the one beside it too high, and twice for good measure.
        let slack = 4.0 * (embeddings.vectors.width() + 4) as f32 * f32::EPSILON * (1.0 + largest);
        Self { candidates, place, blocks, bias, slack }
    }

    /// For each question what [`Embeddings::nearest`] answers, bit for bit: the best `k`, ties by stable id.
    ///
    /// Cost: questions x candidates x D operations, parallel over questions; 64 x 4096 scores for a thread, whatever their numbers.
    pub(crate) fn best(
        &self,
        embeddings: &Embeddings,
        questions: &[Question<'_>],
        k: usize,
    ) -> Vec<Vec<Hit>> {
        let ranked = |questions: &[Question<'_>]| self.best_of_some(embeddings, questions, k);
        questions.par_chunks(QUERIES_PER_TASK).flat_map_iter(ranked).collect()
    }

    fn best_of_some(&self, embeddings: &Embeddings, questions: &[Question<'_>], k: usize) -> Vec<Vec<Hit>> {
        let mut found: Vec<Best> = questions.iter().map(|_| Best::new(k, self.slack)).collect();
        let queries: Vec<f32> = questions.iter().flat_map(|question| question.query).copied().collect();
        let mut scores = Vec::new();
        for (block, panels) in self.blocks.iter().enumerate() {
            let first = block * BLOCK;
            let columns = panels.columns();
            scores.resize(questions.len() * columns, 0.0);
            panels.multiply(&queries, None, &mut scores);
            let of_questions = scores.chunks_exact_mut(columns).zip(questions).zip(&mut found);
            for ((scores, question), best) in of_questions {
                for &row in question.left_out {
                    let place = (self.place[row as usize] as usize).wrapping_sub(first);
                    if let Some(score) = scores.get_mut(place) {
                        *score = f32::NEG_INFINITY;
                    }
                }
                best.look_at(first, scores, &self.bias[first..][..columns]);
            }
        }
        let exact = |(best, question): (Best, &Question<'_>)| {
            let score = |(place, _): (u32, f32)| {
                let row = self.candidates[place as usize];
                (row, dot(question.query, embeddings.vector(row)) + self.bias[place as usize])
            };
            let mut hits: Vec<Hit> = best.close().into_iter().map(score).collect();
            embeddings.keep_best(&mut hits, k);
            hits
        };
        found.into_iter().zip(questions).map(exact).collect()
    }
}

/// The best of the scores seen so far, and whatever may be among them when they are computed again.
struct Best {
    k: usize,
    slack: f32,
    floor: f32,
    /// Places and scores.
    kept: Vec<(u32, f32)>,
    room: usize,
}

impl Best {
    fn new(k: usize, slack: f32) -> Self {
        Self { k, slack, floor: f32::NEG_INFINITY, kept: Vec::new(), room: room(k) }
    }

    fn look_at(&mut self, first: usize, scores: &[f32], bias: &[f32]) {
        if self.k == 0 {
            return;
        }
        for (chunk, (scores, bias)) in scores.chunks(AT_ONCE).zip(bias.chunks(AT_ONCE)).enumerate() {
            let floor = self.floor;
            // Counted and not sought, so that they are compared side by side.
            let reach = scores.iter().zip(bias).filter(|(score, bias)| *score + *bias >= floor).count();
            if reach == 0 {
                continue;
            }
            for (at, (score, bias)) in scores.iter().zip(bias).enumerate() {
                let score = score + bias;
                if score >= self.floor && score > f32::NEG_INFINITY {
                    self.kept.push(((first + chunk * AT_ONCE + at) as u32, score));
                }
            }
            if self.kept.len() >= self.room {
                self.prune();
            }
        }
    }

    fn prune(&mut self) {
        if self.kept.len() <= self.k {
            return;
        }
        let (.., worst, _) = self.kept.select_nth_unstable_by(self.k - 1, |a, b| b.1.total_cmp(&a.1));
        self.floor = worst.1 - self.slack;
        let floor = self.floor;
        self.kept.retain(|kept| kept.1 >= floor);
        self.room = room(self.kept.len());
    }

    fn close(mut self) -> Vec<(u32, f32)> {
        if self.k > 0 {
            self.prune();
        }
        self.kept
    }
}

/// So many scores are gathered before the best of them are picked out.
fn room(kept: usize) -> usize {
    2 * kept + 4 * AT_ONCE
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ndarray::Array2;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::ask::Query;
    use crate::rows::normalize_rows;

    /// More rows than a block, many of them the same, and differences that rounding makes; left out are the best of each.
    #[test]
    fn many_questions_get_the_answers_of_each_by_itself_to_the_bit() {
        let mut rng = StdRng::seed_from_u64(4);
        let few: Array2<f32> = Array2::from_shape_fn((700, 19), |_| rng.random_range(-1.0..1.0));
        let mut vectors = Array2::from_shape_fn((BLOCK + 333, 19), |(row, axis)| few[(row * 7 % 700, axis)]);
        for value in vectors.iter_mut().step_by(101) {
            *value *= 1.0 + f32::EPSILON;
        }
        normalize_rows(&mut vectors);
        let bias = (0..vectors.nrows()).map(|row| (row % 3) as f32 * 0.25).collect();
        let embeddings = Embeddings::example(&vectors, bias);
        for (k, cosine) in [(0, false), (1, false), (20, false), (20, true), (10_000, true)] {
            let slate = Slate::new(&embeddings, KindIx::new(0), cosine);
            let options = Query { k, cosine, ..Query::default() };
            let nearest = |query: &[f32], left_out: &[u32]| {
                let left_out: HashSet<u32> = left_out.iter().copied().collect();
                embeddings.nearest(query, &options, None, &left_out)
            };
            let left_out: Vec<Vec<u32>> = (0..70u32)
                .map(|row| nearest(embeddings.vector(row), &[]).iter().step_by(2).map(|hit| hit.0).collect())
                .collect();
            let questions: Vec<Question<'_>> = (0..70u32)
                .map(|row| Question { query: embeddings.vector(row), left_out: &left_out[row as usize] })
                .collect();
            for (question, found) in questions.iter().zip(slate.best(&embeddings, &questions, k)) {
                assert!(found == nearest(question.query, question.left_out), "k {k}, cosine {cosine}");
            }
        }
    }
}
