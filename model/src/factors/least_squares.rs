//! Residual factors by alternating least squares: what the graph filter leaves over, as products of a list's and an item's factors.
//! Must not know how constants are chosen.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::config::graph_constants::{Exponents, diagonal};
use crate::factors::edge_sums::{Dampings, EdgeScores};
use crate::factors::item_lists::ItemLists;
use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::conjugate_gradients::improved;
use crate::linalg::normal_equations::{Factor, NormalEquations, RANK, RowEquations, gram};
use crate::linalg::sparse::Sparse;

/// Rows of a task.
const ROWS_PER_TASK: usize = 64;
/// The largest number of a starting factor.
const START: f32 = 0.1;
/// Steps of conjugate gradients for a row in [`ResidualLoss::improve`].
const STEPS: usize = 3;

/// The factors of lists and of items.
#[derive(Clone, Debug)]
pub(crate) struct Factors {
    pub(crate) q: Vec<Factor>,
    pub(crate) z: Vec<Factor>,
}

/// The way to solve the equations of a row.
#[derive(Clone, Copy)]
enum Method<'a> {
    Exact,
    /// Some steps from given rows towards the solution.
    From(&'a [Factor]),
}

/// The constants that decide the factors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LossConstants {
    pub(crate) exponents: Exponents,
    /// The mean score that the filter gets on edges; 1 is what the factors and it reach together.
    pub(crate) strength: f32,
    pub(crate) unobserved: f32,
    pub(crate) regularization: f32,
}

/// The loss of some lists, with what does not change from sweep to sweep.
///
/// With s the filter's score, s0 that without the edge itself, and q and z the factors of lists and items, the loss is
///
/// ```text
/// sum over edges c (1 - s0 - q.z)^2  +  a0 * sum over all pairs (s0 + q.z)^2  +  sum of lambda_row |row|^2
/// lambda_row = lambda (confidences of the row's edges + a0 * the number of columns);  s0 = s where there is no edge
/// ```
///
/// The confidence c of an edge is its strength.
///
/// Determinism: rows are in the order of stable ids and each sum has a fixed order, so the factors are the same bits for any number
/// of threads and any order of arrival.
/// Source: Hu et al., "Collaborative filtering for implicit feedback datasets" (ICDM 2008); the weights of the squares are those of
/// Rendle et al., "Revisiting the performance of iALS on item recommendation benchmarks" (`RecSys` 2022). The offset is ours.
pub(crate) struct ResidualLoss<'a> {
    lists: &'a ItemLists,
    dampings: &'a Dampings,
    constants: LossConstants,
    /// The weight of the filter's score.
    pub(crate) scale: f32,
    /// `1 - s0 - a0 (s0 - s) / c` of each edge, in the order of `of_item` and of `of_list`.
    targets_of_item: Vec<f32>,
    targets_of_list: Vec<f32>,
}

impl<'a> ResidualLoss<'a> {
    pub(crate) fn new(
        lists: &'a ItemLists,
        dampings: &'a Dampings,
        scores: &EdgeScores,
        constants: LossConstants,
    ) -> Self {
        let mean = scores.mean();
        let scale = if mean > 0.0 { (f64::from(constants.strength) / mean) as f32 } else { 0.0 };
        let edges = scores.with.iter().zip(&scores.without).zip(lists.of_item.values());
        let targets_of_item: Vec<f32> = edges
            .map(|((&with, &without), &confidence)| {
                edge_target(scale * with, scale * without, constants.unobserved, confidence)
            })
            .collect();
        let targets_of_list = transposed(&lists.of_item, &lists.of_list, &targets_of_item);
        Self { lists, dampings, constants, scale, targets_of_item, targets_of_list }
    }

    /// Random factors of the items, by stable id; zeros for the lists.
    pub(crate) fn start(lists: &ItemLists, seed: u64) -> Factors {
        let number = |id: u64, at: usize| {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&id.to_le_bytes());
            key[8..].copy_from_slice(&(at as u64).to_le_bytes());
            let hash = xxhash_rust::xxh3::xxh3_64_with_seed(&key, seed);
            START * ((hash >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
        };
        let z = lists.item_ids.par_iter().map(|&id| std::array::from_fn(|at| number(id, at))).collect();
        Factors { q: vec![[0.0; RANK]; lists.list_count()], z }
    }

    /// One sweep: the lists' factors from the items', then the items' from the lists'.
    ///
    /// Cost: for each row a decomposition of `RANK^3 / 6` operations, for each edge `RANK^2`.
    pub(crate) fn sweep(&self, factors: &Factors) -> Factors {
        let q = self.lists_of(&factors.z, &self.every_list(), Method::Exact);
        Factors { z: self.items_of(&q, Method::Exact), q }
    }

    /// A cheaper sweep, which goes a part of the way: after some of them the factors are those of [`ResidualLoss::sweep`].
    ///
    /// Cost: for each row [`STEPS`] times `RANK^2` operations, for each edge [`STEPS`] times `2 RANK`.
    pub(crate) fn improve(&self, factors: &Factors) -> Factors {
        let q = self.lists_of(&factors.z, &self.every_list(), Method::From(&factors.q));
        Factors { z: self.items_of(&q, Method::From(&factors.z)), q }
    }

    /// For each item i of a history, what the filter's scores of all items pull at its list's factors:
    /// `y_i = scale d_i^-a sum over j of G_ij d_j^-c z_j`. The sum over a history H is `sum over all j of s(H, j) z_j`.
    pub(crate) fn pulls(&self, z: &[Factor]) -> Vec<Factor> {
        let (of_list, of_item) = (&self.lists.of_list, &self.lists.of_item);
        let mut damped = z.to_vec();
        scale_rows(&mut damped, &self.dampings.item, 1.0);
        let mut sums = multiply(of_list, &damped);
        scale_rows(&mut sums, &self.dampings.list, 1.0);
        let mut pulls = multiply(of_item, &sums);
        scale_rows(&mut pulls, &self.dampings.history, self.scale);
        pulls
    }

    /// The factors of some lists, from the items' factors.
    pub(crate) fn list_factors(&self, z: &[Factor], lists: &[u32]) -> Vec<Factor> {
        self.lists_of(z, lists, Method::Exact)
    }

    fn every_list(&self) -> Vec<u32> {
        (0..self.lists.list_count() as u32).collect()
    }

    fn lists_of(&self, z: &[Factor], lists: &[u32], method: Method<'_>) -> Vec<Factor> {
        let LossConstants { unobserved, regularization, .. } = self.constants;
        let (of_list, items) = (&self.lists.of_list, self.lists.item_count());
        let (gram, pulls) = (gram(z), self.pulls(z));
        solve_rows(lists, method, |list| {
            let row = of_list.columns_of(list);
            let mut right = [0.0; RANK];
            for (item, strength) in of_list.row(list) {
                let by = unobserved * strength;
                right.iter_mut().zip(&pulls[item as usize]).for_each(|(to, pull)| *to -= by * pull);
            }
            RowEquations {
                gram: &gram,
                weight: unobserved,
                diagonal: diagonal(regularization, unobserved, sum(of_list.values_of(list)), items),
                right,
                factors: z,
                rows: row,
                targets: &self.targets_of_list[of_list.range(list)],
                confidences: self.lists.confidences(of_list, list),
            }
        })
    }

    fn items_of(&self, q: &[Factor], method: Method<'_>) -> Vec<Factor> {
        let LossConstants { unobserved, regularization, .. } = self.constants;
        let (of_list, of_item) = (&self.lists.of_list, &self.lists.of_item);
        // (S' Q)_j = scale d_j^-c sum over the lists of j, d_v^-b sum over the items i of v, d_i^-a sum over the lists of i, q.
        let mut sums = multiply(of_item, q);
        scale_rows(&mut sums, &self.dampings.history, 1.0);
        let mut sums = multiply(of_list, &sums);
        scale_rows(&mut sums, &self.dampings.list, 1.0);
        let mut filtered = multiply(of_item, &sums);
        scale_rows(&mut filtered, &self.dampings.item, self.scale);
        let gram = gram(q);
        let lists = self.lists.list_count();
        let every: Vec<u32> = (0..self.lists.item_count() as u32).collect();
        solve_rows(&every, method, |item| {
            let row = of_item.columns_of(item);
            RowEquations {
                gram: &gram,
                weight: unobserved,
                diagonal: diagonal(regularization, unobserved, sum(of_item.values_of(item)), lists),
                right: filtered[item].map(|sum| -unobserved * sum),
                factors: q,
                rows: row,
                targets: &self.targets_of_item[of_item.range(item)],
                confidences: self.lists.confidences(of_item, item),
            }
        })
    }
}

/// The target of an edge's factors. With it the squares over edges and over all pairs are one square:
/// `1 - s0 - a0 (s0 - s) / c`.
pub(crate) fn edge_target(with: f32, without: f32, unobserved: f32, confidence: f32) -> f32 {
    1.0 - without - unobserved * (without - with) / confidence
}

/// The sum of the confidences of a row's edges.
pub(crate) fn sum(confidences: &[f32]) -> f32 {
    confidences.iter().copied().map(f64::from).sum::<f64>() as f32
}

fn solve_rows<'a>(
    rows: &[u32],
    method: Method<'_>,
    equations_of: impl Fn(usize) -> RowEquations<'a> + Sync,
) -> Vec<Factor> {
    let tasks = rows.par_chunks(ROWS_PER_TASK).map(|rows| {
        let mut memory = NormalEquations::new();
        let solved = rows.iter().map(|&row| {
            let equations = equations_of(row as usize);
            match method {
                Method::Exact => equations.solve(&mut memory),
                Method::From(rows) => improved(&equations, &rows[row as usize], STEPS),
            }
        });
        solved.collect::<Vec<Factor>>()
    });
    tasks.collect::<Vec<_>>().concat()
}

fn multiply(matrix: &Sparse, factors: &[Factor]) -> Vec<Factor> {
    let rows = ArrayView2::from_shape((factors.len(), RANK), factors.as_flattened());
    let rows = rows.expect("a row of factors has RANK numbers");
    let product: Array2<f32> = matrix.multiply(&rows, &mut BufferPool::default());
    product.as_slice().expect("a product is contiguous").as_chunks::<RANK>().0.to_vec()
}

fn scale_rows(factors: &mut [Factor], by: &[f32], scale: f32) {
    for (row, &by) in factors.iter_mut().zip(by) {
        for value in row {
            *value *= scale * by;
        }
    }
}

/// The values of a matrix's entries in the order of the transposed matrix.
fn transposed(matrix: &Sparse, transposed: &Sparse, values: &[f32]) -> Vec<f32> {
    let mut next: Vec<usize> = (0..transposed.rows()).map(|row| transposed.range(row).start).collect();
    let mut moved = vec![0.0; values.len()];
    for (&column, &value) in matrix.columns().iter().zip(values) {
        let place = &mut next[column as usize];
        moved[*place] = value;
        *place += 1;
    }
    moved
}
