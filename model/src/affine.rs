//! Dense row-times-matrix products whose result for a row never depends on the batch it is in.
//! This is the arithmetic that refresh and rebuild must agree on, to the bit.

use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;

use crate::simd::{self, Kernel};

/// Rows computed together, so that a loaded weight serves several rows.
const ROWS: usize = 4;
/// Columns kept in registers while the inner dimension is walked.
const COLUMNS: usize = 16;
/// Rows of one parallel task.
const ROWS_PER_TASK: usize = 64;

/// `x W + b`. Shapes: (R, I) x (I, O) + (O) -> (R, O).
///
/// Determinism: every output element is `((b + x0 w0) + x1 w1) + ...`, one multiplication and one addition at
/// a time (no fused multiply-add, no reassociation), so its bits depend on its own row and column only: not
/// on the number of rows, of threads, or on the width of the processor's vectors.
/// Cost: 2 R I O operations, parallel over rows.
pub(crate) fn affine(x: &ArrayView2<'_, f32>, w: &ArrayView2<'_, f32>, b: &Array1<f32>) -> Array2<f32> {
    let (inner, outer) = w.dim();
    assert_eq!(x.ncols(), inner, "the inner dimensions of a product must agree");
    assert_eq!(b.len(), outer, "one bias per output column");
    let mut out = Array2::zeros((x.nrows(), outer));
    if outer == 0 || x.nrows() == 0 {
        return out;
    }
    let x = x.as_standard_layout();
    let w = w.as_standard_layout();
    let b = b.as_standard_layout();
    let (x, w, b) = (
        x.as_slice().expect("standard layout is contiguous"),
        w.as_slice().expect("standard layout is contiguous"),
        b.as_slice().expect("standard layout is contiguous"),
    );
    out.as_slice_mut()
        .expect("a fresh matrix is contiguous")
        .par_chunks_mut(ROWS_PER_TASK * outer)
        .enumerate()
        .for_each(|(task, out)| {
            let rows = out.len() / outer;
            let x = &x[task * ROWS_PER_TASK * inner..][..rows * inner];
            let mut row = 0;
            while row + ROWS <= rows {
                let (x, out) = (&x[row * inner..], &mut out[row * outer..]);
                simd::run(Block::<'_, ROWS> { x, w, b, out, inner, outer });
                row += ROWS;
            }
            while row < rows {
                let (x, out) = (&x[row * inner..], &mut out[row * outer..]);
                simd::run(Block::<'_, 1> { x, w, b, out, inner, outer });
                row += 1;
            }
        });
    out
}

/// The product for `R` rows at once; the order of additions is the same for every `R`.
struct Block<'a, const R: usize> {
    x: &'a [f32],
    w: &'a [f32],
    b: &'a [f32],
    out: &'a mut [f32],
    inner: usize,
    outer: usize,
}

impl<const R: usize> Kernel for Block<'_, R> {
    type Output = ();

    #[expect(
        clippy::inline_always,
        reason = "it must be compiled anew inside each processor-specific caller"
    )]
    #[inline(always)]
    fn run(self) {
        let Self { x, w, b, out, inner, outer } = self;
        let whole = outer - outer % COLUMNS;
        for column in (0..whole).step_by(COLUMNS) {
            let mut sums = [[0.0f32; COLUMNS]; R];
            for sum in &mut sums {
                sum.copy_from_slice(&b[column..column + COLUMNS]);
            }
            for at in 0..inner {
                let weights: &[f32; COLUMNS] =
                    w[at * outer + column..][..COLUMNS].try_into().expect("the slice has that length");
                for (row, sum) in sums.iter_mut().enumerate() {
                    let factor = x[row * inner + at];
                    for (s, weight) in sum.iter_mut().zip(weights) {
                        *s += factor * weight;
                    }
                }
            }
            for (row, sum) in sums.iter().enumerate() {
                out[row * outer + column..][..COLUMNS].copy_from_slice(sum);
            }
        }
        for column in whole..outer {
            for row in 0..R {
                let mut sum = b[column];
                for at in 0..inner {
                    sum += x[row * inner + at] * w[at * outer + column];
                }
                out[row * outer + column] = sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::affine;
    use ndarray::{Array1, Array2, s};

    fn numbers(rows: usize, columns: usize, seed: u32) -> Array2<f32> {
        Array2::from_shape_fn((rows, columns), |(r, c)| {
            let mixed = (r as u32 * 7919 + c as u32 * 104_729 + seed).wrapping_mul(2_654_435_761);
            (mixed >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
    }

    /// Refresh computes a handful of rows, a rebuild all of them: the bits must agree.
    #[test]
    fn a_row_has_the_same_bits_in_every_batch() {
        for outer in [1, 15, 16, 17, 64, 100] {
            let (x, w) = (numbers(150, 37, 1), numbers(37, outer, 2));
            let b = Array1::from_shape_fn(outer, |at| at as f32 * 0.01);
            let whole = affine(&x.view(), &w.view(), &b);
            for rows in 1..=x.nrows() {
                for start in [0, x.nrows() - rows] {
                    let part = affine(&x.slice(s![start..start + rows, ..]), &w.view(), &b);
                    assert_eq!(part, whole.slice(s![start..start + rows, ..]), "{rows} rows from {start}");
                }
            }
        }
    }

    #[test]
    fn the_product_is_the_textbook_one() {
        let (x, w) = (numbers(5, 3, 3), numbers(3, 20, 4));
        let b = Array1::from_elem(20, 0.25);
        let expected = x.dot(&w) + &b;
        let got = affine(&x.view(), &w.view(), &b);
        assert!((got - expected).iter().all(|gap| gap.abs() < 1e-6));
    }
}
