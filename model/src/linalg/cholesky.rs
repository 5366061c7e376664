//! The solution of linear equations with a symmetric positive definite matrix, by its Cholesky factor.
//!
//! An element of the factor is one chain of fused multiply-adds over the columns before its own, ascending. So the block size and the
//! width of vectors do not change a bit.
#![expect(clippy::inline_always, reason = "the loops are compiled for the widest vectors of the processor")]

use crate::linalg::simd::{Kernel, Lanes, run};

/// Columns of the factor that are subtracted from the rest of the matrix at once. Each number of the rest is then read and written once
/// for eight columns.
const BLOCK: usize = 8;
/// Loops over columns begin at a multiple of this, so that nearly all of them are whole vectors of any width.
const ALIGN: usize = 16;

/// Solves A x = b in place for a symmetric positive definite A (n x n, row major, lower triangle read).
///
/// The factor replaces the lower triangle, numbers without a meaning replace the upper one, and x replaces b. Without a positive definite
/// A some of x is not a number.
///
/// # Panics
/// If A does not have the size of b.
pub(crate) fn solve(a: &mut [f32], b: &mut [f32]) {
    assert_eq!(a.len(), b.len() * b.len(), "a square matrix with a row for each number of b");
    run(Solve { a, b });
}

struct Solve<'a> {
    a: &'a mut [f32],
    b: &'a mut [f32],
}

impl Kernel for Solve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { a, b } = self;
        let n = b.len();
        // The columns of a block as rows: number j of row k is the element of row j and column first + k. The last row of the matrix is b.
        let width = (n + 1).next_multiple_of(ALIGN);
        let mut columns = vec![0.0; BLOCK * width];
        for first in (0..n).step_by(BLOCK) {
            let size = BLOCK.min(n - first);
            for j in first..n {
                for k in 0..size {
                    columns[k * width + j] = a[j * n + first + k];
                }
            }
            for k in 0..size {
                columns[k * width + n] = b[first + k];
            }
            // Within the block, scale a column, and subtract it from the columns behind it. What this does to numbers above the diagonal
            // has no meaning.
            let start = first - first % ALIGN;
            for k in 0..size {
                let (done, behind) = columns.split_at_mut((k + 1) * width);
                let column = &mut done[k * width..];
                let root = column[first + k].sqrt();
                column[start..].iter_mut().for_each(|value| *value /= root);
                for (at, other) in (first + k + 1..).zip(behind.chunks_exact_mut(width).take(size - k - 1)) {
                    subtract(lanes, column[at], &column[start..], &mut other[start..]);
                }
            }
            // Keep the columns of the factor, and what b has become.
            for j in first..n {
                for k in 0..size.min(j - first + 1) {
                    a[j * n + first + k] = columns[k * width + j];
                }
            }
            for k in 0..size {
                b[first + k] = columns[k * width + n];
            }
            // Subtract the block from the rows below it. Only the last block is smaller, and no row is below that. Zeros keep the part of
            // the factor that lies in the same vectors.
            let rest = first + size;
            if size == BLOCK {
                columns.chunks_exact_mut(width).for_each(|column| column[start..rest].fill(0.0));
                for k in 0..BLOCK {
                    subtract(lanes, b[first + k], &columns[k * width + rest..][..n - rest], &mut b[rest..]);
                }
                subtract_block(lanes, &columns, width, first, n, a);
            }
        }
        // Backward substitution: row k of the factor is column k of its transpose.
        for k in (0..n).rev() {
            b[k] /= a[k * n + k];
            subtract(lanes, b[k], &a[k * n..k * n + k], &mut b[..k]);
        }
    }
}

/// Subtracts the products of the factor's columns from `first` on, and of their transpose, from the rows below them.
#[inline(always)]
fn subtract_block<L: Lanes>(lanes: L, columns: &[f32], width: usize, first: usize, n: usize, a: &mut [f32]) {
    let rest = first + BLOCK;
    for from in (rest - rest % ALIGN..n).step_by(L::WIDTH) {
        let below = a.chunks_exact_mut(n).skip(rest.max(from));
        if from + L::WIDTH <= n {
            let mut block = [lanes.splat(0.0); BLOCK];
            for (k, column) in block.iter_mut().enumerate() {
                *column = lanes.load(&columns[k * width + from..]);
            }
            for row in below {
                let factors: [f32; BLOCK] = *row[first..].first_chunk().expect("the columns of the block");
                let mut sum = lanes.load(&row[from..]);
                for (column, factor) in block.iter().zip(factors) {
                    sum = lanes.mul_add(lanes.splat(-factor), *column, sum);
                }
                lanes.store(sum, &mut row[from..]);
            }
        } else {
            for row in below {
                for at in from..n {
                    for k in 0..BLOCK {
                        row[at] = (-row[first + k]).mul_add(columns[k * width + at], row[at]);
                    }
                }
            }
        }
    }
}

/// Subtracts a multiple of a row from a row of the same length.
#[inline(always)]
fn subtract<L: Lanes>(lanes: L, factor: f32, row: &[f32], from: &mut [f32]) {
    let row = &row[..from.len()];
    let whole = from.len() - from.len() % L::WIDTH;
    let factors = lanes.splat(-factor);
    for at in (0..whole).step_by(L::WIDTH) {
        let sum = lanes.mul_add(factors, lanes.load(&row[at..]), lanes.load(&from[at..]));
        lanes.store(sum, &mut from[at..]);
    }
    for (value, other) in from[whole..].iter_mut().zip(&row[whole..]) {
        *value = (-factor).mul_add(*other, *value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::simd::{Width, limit};

    /// `M M' + I` and a right side, of whole numbers up to 7.
    fn equations(n: usize) -> (Vec<f32>, Vec<f32>) {
        let number = |at: usize| ((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61) as f32;
        let product = |i: usize, j: usize| (0..n).map(|k| number(i * n + k) * number(j * n + k)).sum::<f32>();
        let a = (0..n * n).map(|at| product(at / n, at % n) + f32::from(u8::from(at / n == at % n)));
        (a.collect(), (0..n).map(|at| number(n * n + at)).collect())
    }

    /// Gaussian elimination in f64, element by element.
    fn eliminate(a: &[f32], b: &[f32]) -> Vec<f64> {
        let n = b.len();
        let mut a: Vec<f64> = a.iter().copied().map(f64::from).collect();
        let mut x: Vec<f64> = b.iter().copied().map(f64::from).collect();
        for k in 0..n {
            for i in k + 1..n {
                let factor = a[i * n + k] / a[k * n + k];
                for j in k..n {
                    a[i * n + j] -= factor * a[k * n + j];
                }
                x[i] -= factor * x[k];
            }
        }
        for k in (0..n).rev() {
            for j in k + 1..n {
                x[k] -= a[k * n + j] * x[j];
            }
            x[k] /= a[k * n + k];
        }
        x
    }

    #[test]
    fn solutions_are_those_of_elimination_whatever_the_size_and_the_width_of_vectors() {
        for n in [0, 1, 2, 7, 8, 9, 24, 31, 64, 65] {
            let (a, b) = equations(n);
            let mut solutions = Vec::new();
            for width in [Width::Portable, Width::Eight, Width::Sixteen] {
                let (mut a, mut b) = (a.clone(), b.clone());
                // The upper triangle is not read.
                for (at, value) in a.iter_mut().enumerate().filter(|(at, _)| at % n > at / n) {
                    *value = at as f32;
                }
                limit::within(width, || solve(&mut a, &mut b));
                solutions.push(b);
            }
            assert!(solutions.iter().all(|other| *other == solutions[0]), "the same bits for n = {n}");
            // The residual in f64, because the condition of a matrix bounds how near its solutions are.
            let size = |x: &[f64]| x.iter().map(|value| value.abs()).fold(0.0, f64::max);
            let naive = eliminate(&a, &b);
            let difference: Vec<f64> =
                naive.iter().zip(&solutions[0]).map(|(naive, found)| naive - f64::from(*found)).collect();
            assert!(
                size(&difference) <= 2e-3 * size(&naive),
                "{} of {} for n = {n}",
                size(&difference),
                size(&naive)
            );
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_gives_no_number() {
        let (mut a, mut b) = (vec![1.0, 0.0, 2.0, 1.0], vec![1.0, 1.0]);
        solve(&mut a, &mut b);
        assert!(b.iter().any(|value| value.is_nan()), "{b:?}");
    }
}
