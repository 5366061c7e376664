//! Residual factors by alternating least squares: what the graph filter leaves over, as products of a list's and an item's factors.
//! Must not know how constants are chosen.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::config::graph_constants::{Exponents, diagonal};
use crate::factors::edge_sums::{Dampings, EdgeScores};
use crate::factors::item_lists::ItemLists;
use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::normal_equations::{Factor, NormalEquations, RANK, gram};
use crate::linalg::sparse::Sparse;

/// Rows of a task.
const ROWS_PER_TASK: usize = 64;
/// The largest number of a starting factor.
const START: f32 = 0.1;

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
/// sum over edges (1 - s0 - q.z)^2  +  a0 * sum over all pairs (s0 + q.z)^2  +  sum of lambda_row |row|^2
/// lambda_row = lambda (edges of the row + a0 * the number of columns);  s0 = s where there is no edge
/// ```
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
    /// `1 - s0 - a0 (s0 - s)` of each edge, in the order of `of_item` and of `of_list`.
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
        let edges = scores.with.iter().zip(&scores.without);
        let targets_of_item: Vec<f32> = edges
            .map(|(&with, &without)| edge_target(scale * with, scale * without, constants.unobserved))
            .collect();
        let targets_of_list = transposed(&lists.of_item, &lists.of_list, &targets_of_item);
        Self { lists, dampings, constants, scale, targets_of_item, targets_of_list }
    }

    /// Random factors of the items, by stable id.
    pub(crate) fn start(lists: &ItemLists, seed: u64) -> Vec<Factor> {
        let number = |id: u64, at: usize| {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&id.to_le_bytes());
            key[8..].copy_from_slice(&(at as u64).to_le_bytes());
            let hash = xxhash_rust::xxh3::xxh3_64_with_seed(&key, seed);
            START * ((hash >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
        };
        lists.item_ids.par_iter().map(|&id| std::array::from_fn(|at| number(id, at))).collect()
    }

    /// One sweep: the lists' factors from the items', then the items' from the lists'.
    ///
    /// Cost: for each row a decomposition of `RANK^3 / 6` operations, for each edge `RANK^2`.
    pub(crate) fn sweep(&self, z: &[Factor]) -> Vec<Factor> {
        let every: Vec<u32> = (0..self.lists.list_count() as u32).collect();
        let q = self.list_factors(z, &self.pulls(z), &every);
        let LossConstants { unobserved, regularization, .. } = self.constants;
        let (of_list, of_item) = (&self.lists.of_list, &self.lists.of_item);
        // (S' Q)_j = scale d_j^-c sum over the lists of j, d_v^-b sum over the items i of v, d_i^-a sum over the lists of i, q.
        let mut sums = multiply(of_item, &q);
        scale_rows(&mut sums, &self.dampings.history, 1.0);
        let mut sums = multiply(of_list, &sums);
        scale_rows(&mut sums, &self.dampings.list, 1.0);
        let mut filtered = multiply(of_item, &sums);
        scale_rows(&mut filtered, &self.dampings.item, self.scale);
        let gram = gram(&q);
        let lists = self.lists.list_count();
        let every: Vec<u32> = (0..self.lists.item_count() as u32).collect();
        solve_rows(&every, |equations, item| {
            let row = of_item.columns_of(item);
            let right = filtered[item].map(|sum| -unobserved * sum);
            equations.start(&gram, unobserved, diagonal(regularization, unobserved, row.len(), lists), right);
            equations.add(&q, row, &self.targets_of_item[of_item.range(item)]);
        })
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

    /// The factors of some lists, from the items' factors and their pulls.
    pub(crate) fn list_factors(&self, z: &[Factor], pulls: &[Factor], lists: &[u32]) -> Vec<Factor> {
        let LossConstants { unobserved, regularization, .. } = self.constants;
        let (of_list, items) = (&self.lists.of_list, self.lists.item_count());
        let gram = gram(z);
        solve_rows(lists, |equations, list| {
            let row = of_list.columns_of(list);
            let mut right = [0.0; RANK];
            for &item in row {
                right.iter_mut().zip(&pulls[item as usize]).for_each(|(to, pull)| *to -= unobserved * pull);
            }
            equations.start(&gram, unobserved, diagonal(regularization, unobserved, row.len(), items), right);
            equations.add(z, row, &self.targets_of_list[of_list.range(list)]);
        })
    }
}

/// The target of an edge's factors. With it the squares over edges and over all pairs are one square:
/// `1 - s0 - a0 (s0 - s)`.
pub(crate) fn edge_target(with: f32, without: f32, unobserved: f32) -> f32 {
    1.0 - without - unobserved * (without - with)
}

fn solve_rows(rows: &[u32], equations_of: impl Fn(&mut NormalEquations, usize) + Sync) -> Vec<Factor> {
    let tasks = rows.par_chunks(ROWS_PER_TASK).map(|rows| {
        let mut equations = NormalEquations::new();
        let solved = rows.iter().map(|&row| {
            equations_of(&mut equations, row as usize);
            equations.solve()
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
