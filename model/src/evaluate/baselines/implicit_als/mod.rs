//! Implicit ALS: a vector for each list and each item, by alternating least squares over all pairs of a list and an item. A pair with an
//! edge has the target 1; every pair has the target 0 with a small weight.
//!
//! Source: Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets" (ICDM 2008), in the form of Rendle et al.,
//! "Revisiting the performance of `iALS` on item recommendation benchmarks" (`RecSys` 2022) with its exponent nu of 1.

mod settings_search;

use hedgerow_storage::{CancelToken, StableId, Stage};
use ndarray::ArrayView2;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::config::error::Error;
use crate::evaluate::baselines::Task;
use crate::evaluate::baselines::held_out_edges::HeldOutEdges;
use crate::evaluate::baselines::implicit_als::settings_search::{FIT_SWEEPS, MOST_TRAININGS};
use crate::evaluate::baselines::incidence::{Incidence, Rows};
use crate::linalg::matrix::Panels;
use crate::linalg::normal_equations::{NormalEquations, RANK as DIM, RowEquations, gram};
use crate::linalg::rows::normalize;

/// Sweeps of a training; a sweep solves for all lists, then for all items.
const SWEEPS: usize = 8;
/// The standard deviation of the first vectors' numbers. Their length is about .1.
const DEVIATION: f32 = 0.0125;
const SEED: u64 = 0x0061_6c73;
/// Rows that a task solves for.
const ROWS_PER_TASK: usize = 64;

/// The weights of the loss: `sum over edges (1 - q z)^2 + a0 * sum over all pairs (q z)^2 + lambda * sum over lists (d + a0 N) |q|^2 +
/// lambda * sum over items (d + a0 U) |z|^2`, for U lists with vectors q and N items with vectors z; d is the degree.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Settings {
    a0: f32,
    lambda: f32,
}

/// The vectors of items, ready to rank them.
pub(super) struct ImplicitAls {
    pub(super) incidence: Incidence,
    task: Task,
    vectors: Vec<f32>,
    /// The common part of the equations of lists.
    sums: Sums,
    /// The vectors, for related items of length 1, as the right factor of a product.
    panels: Panels<'static>,
}

impl ImplicitAls {
    /// With the settings that rank the items of held-out edges best.
    pub(super) fn fitted(incidence: Incidence, task: Task, cancel: &CancelToken) -> Result<Self, Error> {
        let stage = cancel.stage("implicit_als", (MOST_TRAININGS * FIT_SWEEPS + SWEEPS) as u64);
        let settings = settings_search::best(&HeldOutEdges::new(&incidence, task), task, &stage)?;
        let als = Self::trained(incidence, task, settings, SWEEPS, &stage)?;
        stage.end();
        Ok(als)
    }

    fn trained(
        incidence: Incidence,
        task: Task,
        settings: Settings,
        sweeps: usize,
        stage: &Stage<'_>,
    ) -> Result<Self, Error> {
        let mut vectors = first_vectors(&incidence.item_ids);
        let mut of_lists = vec![0.0; incidence.of_lists.len() * DIM];
        for _ in 0..sweeps {
            half_sweep(&incidence.of_lists, &vectors, settings, &mut of_lists);
            half_sweep(&incidence.of_items, &of_lists, settings, &mut vectors);
            stage.advance(1)?;
        }
        let mut ranked = vectors.clone();
        if task == Task::Related {
            ranked.par_chunks_mut(DIM).for_each(|vector| _ = normalize(vector));
        }
        let ranked = ArrayView2::from_shape((incidence.items.len(), DIM), &ranked).expect("whole vectors");
        let (panels, sums) = (Panels::transposed(&ranked), Sums::new(&vectors, settings));
        Ok(Self { incidence, task, vectors, sums, panels })
    }

    /// The scores of all items for each history; zeros for an empty one. A history is the list of a new user; for related items it
    /// is a node, and scores are cosines.
    pub(super) fn scores(&self, histories: &[&[u32]]) -> Vec<f32> {
        let mut queries = vec![0.0; histories.len() * DIM];
        let rows = queries.chunks_exact_mut(DIM).zip(histories);
        match self.task {
            Task::Recommend => {
                let mut memory = NormalEquations::new();
                rows.for_each(|(query, history)| {
                    self.sums.solve(&self.vectors, history, &mut memory, query);
                });
            }
            Task::Related => {
                for (query, item) in rows.filter_map(|(query, history)| Some((query, history.first()?))) {
                    query.copy_from_slice(&self.vectors[*item as usize * DIM..][..DIM]);
                    normalize(query);
                }
            }
        }
        let mut scores = vec![0.0; histories.len() * self.incidence.items.len()];
        self.panels.multiply(&queries, None, &mut scores);
        scores
    }
}

/// Numbers of a bell-shaped distribution, by the items' stable ids.
fn first_vectors(items: &[StableId]) -> Vec<f32> {
    let mut vectors = vec![0.0; items.len() * DIM];
    vectors.par_chunks_mut(DIM).zip(items).for_each(|(vector, item)| {
        for (at, number) in vector.iter_mut().enumerate() {
            let hash = xxh3_64_with_seed(&item.get().to_le_bytes(), SEED + at as u64);
            // Four numbers from -1/2 to 1/2 have a sum of variance 1/3.
            let parts = hash.to_le_bytes();
            let parts = parts
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&part| f32::from(u16::from_le_bytes(part)) / 65_536.0 - 0.5);
            *number = parts.sum::<f32>() * 3.0f32.sqrt() * DEVIATION;
        }
    });
    vectors
}

/// Solves for all vectors of one side, given those of the other.
fn half_sweep(links: &Rows, others: &[f32], settings: Settings, vectors: &mut [f32]) {
    let sums = Sums::new(others, settings);
    let tasks = vectors.par_chunks_mut(DIM * ROWS_PER_TASK).enumerate();
    tasks.for_each_init(NormalEquations::new, |memory, (task, vectors)| {
        for (at, vector) in vectors.chunks_exact_mut(DIM).enumerate() {
            sums.solve(others, links.row(task * ROWS_PER_TASK + at), memory, vector);
        }
    });
}

/// `(Z'Z a0 + sum of z z' + lambda (d + a0 N) I) q = sum of z` over the d vectors z that a row is linked to, of N vectors Z.
struct Sums {
    settings: Settings,
    gram: Vec<f32>,
    count: usize,
}

impl Sums {
    fn new(vectors: &[f32], settings: Settings) -> Self {
        let vectors = vectors.as_chunks::<DIM>().0;
        Self { settings, gram: gram(vectors), count: vectors.len() }
    }

    /// The vector of a row with these links to the same vectors; zeros without links.
    fn solve(&self, vectors: &[f32], links: &[u32], memory: &mut NormalEquations, solution: &mut [f32]) {
        if links.is_empty() {
            return solution.fill(0.0);
        }
        let Settings { a0, lambda } = self.settings;
        let equations = RowEquations {
            gram: &self.gram,
            weight: a0,
            diagonal: lambda * (links.len() as f32 + a0 * self.count as f32),
            right: [0.0; DIM],
            factors: vectors.as_chunks().0,
            rows: links,
            targets: &vec![1.0; links.len()],
            confidences: &[],
        };
        solution.copy_from_slice(&equations.solve(memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::baselines::incidence::{large_incidence, small_incidence};

    const SETTINGS: Settings = Settings { a0: 0.1, lambda: 0.01 };

    fn product(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    /// The loss over all pairs, by the definition.
    fn loss(graph: &Incidence, lists: &[f32], items: &[f32]) -> f64 {
        let (a0, lambda) = (f64::from(SETTINGS.a0), f64::from(SETTINGS.lambda));
        let regularization = |links: &Rows, vectors: &[f32], others: usize| {
            let rows = links.iter().zip(vectors.chunks_exact(DIM));
            rows.map(|(row, vector)| {
                lambda * (row.len() as f64 + a0 * others as f64) * product(vector, vector)
            })
            .sum::<f64>()
        };
        let mut sum = regularization(&graph.of_lists, lists, graph.items.len())
            + regularization(&graph.of_items, items, graph.of_lists.len());
        for (links, list) in graph.of_lists.iter().zip(lists.chunks_exact(DIM)) {
            for (item, vector) in items.chunks_exact(DIM).enumerate() {
                let score = product(list, vector);
                sum += a0 * score * score;
                sum += if links.contains(&(item as u32)) { (1.0 - score) * (1.0 - score) } else { 0.0 };
            }
        }
        sum
    }

    #[test]
    fn the_loss_falls_in_each_half_sweep() {
        let graph = large_incidence();
        let mut items = first_vectors(&graph.item_ids);
        let mut lists = vec![0.0; graph.of_lists.len() * DIM];
        let mut last = loss(&graph, &lists, &items);
        for sweep in 0..4 {
            half_sweep(&graph.of_lists, &items, SETTINGS, &mut lists);
            let after_lists = loss(&graph, &lists, &items);
            half_sweep(&graph.of_items, &lists, SETTINGS, &mut items);
            let after_items = loss(&graph, &lists, &items);
            assert!(
                after_items < after_lists && after_lists < last,
                "{last} {after_lists} {after_items}, {sweep}"
            );
            last = after_items;
        }
    }

    /// The gradient of the loss of a list's vector is zero at the solution: `a0 sum over all z (q z) z - sum over edges (1 - q z) z +
    /// lambda (d + a0 N) q`.
    #[test]
    fn a_vector_solves_the_equations_of_its_row() {
        let graph = large_incidence();
        let items = first_vectors(&graph.item_ids).iter().map(|number| number * 20.0).collect::<Vec<f32>>();
        let mut lists = vec![0.0; graph.of_lists.len() * DIM];
        half_sweep(&graph.of_lists, &items, SETTINGS, &mut lists);
        for (links, list) in graph.of_lists.iter().zip(lists.chunks_exact(DIM)) {
            let (a0, lambda) = (f64::from(SETTINGS.a0), f64::from(SETTINGS.lambda));
            let weight = lambda * (links.len() as f64 + a0 * graph.items.len() as f64);
            let mut gradient: Vec<f64> = list.iter().map(|number| weight * f64::from(*number)).collect();
            for (item, vector) in items.chunks_exact(DIM).enumerate() {
                let score = product(list, vector);
                let is_linked = links.contains(&(item as u32));
                let factor = a0 * score - if is_linked { 1.0 - score } else { 0.0 };
                gradient.iter_mut().zip(vector).for_each(|(sum, number)| *sum += factor * f64::from(*number));
            }
            assert!(gradient.iter().all(|slope| slope.abs() < 1e-4), "{gradient:?}");
        }
    }

    #[test]
    fn a_history_scores_as_the_list_with_its_items_and_threads_do_not_matter() {
        let trained = |threads: usize, task| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| {
                ImplicitAls::fitted(small_incidence(), task, &CancelToken::new()).expect("not cancelled")
            })
        };
        for task in [Task::Recommend, Task::Related] {
            let [one, four] = [1, 4].map(|threads| trained(threads, task));
            assert!(one.vectors == four.vectors, "the same bits");
            let histories: [&[u32]; 3] = [&[0, 1], &[3], &[]];
            let scores = one.scores(&histories);
            assert_eq!(scores, four.scores(&histories));
            let scores: Vec<&[f32]> = scores.chunks_exact(one.incidence.items.len()).collect();
            assert!(scores[2].iter().all(|score| *score == 0.0), "no history, no scores");
            assert_eq!(
                (scores[0][6], scores[1][6]),
                (0.0, 0.0),
                "an item without lists has a vector of zeros"
            );
            if task == Task::Related {
                assert!(
                    (scores[1][3] - 1.0).abs() < 1e-6,
                    "the cosine of an item with itself: {:?}",
                    scores[1]
                );
            }
        }
    }
}
