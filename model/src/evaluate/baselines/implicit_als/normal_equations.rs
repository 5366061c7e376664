//! The normal equations of one vector, given all vectors of the other side.
#![expect(clippy::inline_always, reason = "the loop is compiled for the widest vectors of the processor")]

use ndarray::{ArrayView2, ArrayViewMut2};

use crate::evaluate::baselines::implicit_als::{DIM, Settings};
use crate::linalg::cholesky;
use crate::linalg::matrix::add_transposed_product;
use crate::linalg::simd::{Kernel, Lanes, run};

/// Vectors whose products are added at once. Each number of the matrix is then read and written once for eight of them.
const BLOCK: usize = 8;

/// `(Z'Z a0 + sum of z z' + lambda (d + a0 N) I) q = sum of z` over the d vectors z that the row is linked to, of N vectors Z.
pub(super) struct NormalEquations {
    lambda: f32,
    /// The matrix of a row without links.
    base: Vec<f32>,
}

/// The memory of a task.
pub(super) struct Scratch {
    matrix: Vec<f32>,
    block: Vec<f32>,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self { matrix: vec![0.0; DIM * DIM], block: vec![0.0; BLOCK * DIM] }
    }
}

impl NormalEquations {
    pub(super) fn new(vectors: &[f32], Settings { a0, lambda }: Settings) -> Self {
        let count = vectors.len() / DIM;
        let mut base = vec![0.0; DIM * DIM];
        let all = ArrayView2::from_shape((count, DIM), vectors).expect("whole vectors");
        let mut products = ArrayViewMut2::from_shape((DIM, DIM), &mut base).expect("a square matrix");
        add_transposed_product(&mut products, &all, &all);
        for value in &mut base {
            *value *= a0;
        }
        for value in base.iter_mut().step_by(DIM + 1) {
            *value += lambda * a0 * count as f32;
        }
        Self { lambda, base }
    }

    /// The vector of a row with these links to the same vectors; zeros without links.
    pub(super) fn solve(&self, vectors: &[f32], links: &[u32], scratch: &mut Scratch, solution: &mut [f32]) {
        solution.fill(0.0);
        if links.is_empty() {
            return;
        }
        let Scratch { matrix, block } = scratch;
        matrix.copy_from_slice(&self.base);
        matrix.iter_mut().step_by(DIM + 1).for_each(|value| *value += self.lambda * links.len() as f32);
        for links in links.chunks(BLOCK) {
            // Zeros in the place of missing vectors add nothing.
            block[links.len() * DIM..].fill(0.0);
            for (copy, &link) in block.chunks_exact_mut(DIM).zip(links) {
                let vector = &vectors[link as usize * DIM..][..DIM];
                copy.copy_from_slice(vector);
                solution.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
            }
            run(AddProducts { block, matrix });
        }
        cholesky::solve(matrix, solution);
    }
}

/// Adds the product of each vector of a block with itself to the lower triangle.
struct AddProducts<'a> {
    block: &'a [f32],
    matrix: &'a mut [f32],
}

impl Kernel for AddProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let block: &[f32; BLOCK * DIM] = self.block.first_chunk().expect("a block");
        for from in (0..DIM).step_by(L::WIDTH) {
            let mut vectors = [lanes.splat(0.0); BLOCK];
            for (at, vector) in vectors.iter_mut().enumerate() {
                *vector = lanes.load(&block[at * DIM + from..]);
            }
            for (row, sums) in self.matrix.chunks_exact_mut(DIM).enumerate().skip(from) {
                let mut sum = lanes.load(&sums[from..]);
                for (at, vector) in vectors.iter().enumerate() {
                    sum = lanes.mul_add(lanes.splat(block[at * DIM + row]), *vector, sum);
                }
                lanes.store(sum, &mut sums[from..]);
            }
        }
    }
}
