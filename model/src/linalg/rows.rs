//! Operations on the rows of dense matrices. Each row is computed from itself alone.

use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;

const ROWS_PER_TASK: usize = 256;
const NUMBERS_PER_TASK: usize = 1 << 15;

/// The number of partial sums. They are added in a fixed order, which gives the same bits on every processor.
const LANES: usize = 8;

/// The dot product of two rows of equal length.
///
/// Determinism: the order of additions is fixed.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    debug_assert_eq!(a.len(), b.len(), "a dot product needs rows of one length");
    let mut lanes = [0.0f32; LANES];
    let (a_whole, a_rest) = a.as_chunks::<LANES>();
    let (b_whole, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_whole.iter().zip(b_whole) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    for (lane, (x, y)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane += x * y;
    }
    lanes.iter().sum()
}

/// Scales a row to length 1, and returns its former length. A row of zeros stays. A row whose length is not finite
/// becomes NaN: divided by infinity it would be zeros, which look like a sound row.
pub(crate) fn normalize(row: &mut [f32]) -> f32 {
    let length = dot(row, row).sqrt();
    if !length.is_finite() {
        row.fill(f32::NAN);
    } else if length > 0.0 {
        for value in row.iter_mut() {
            *value /= length;
        }
    }
    length
}

/// Scales every row to length 1, and returns the former lengths.
pub(crate) fn normalize_rows(matrix: &mut Array2<f32>) -> Array1<f32> {
    let mut lengths = Array1::zeros(matrix.nrows());
    let dim = matrix.ncols();
    if dim > 0 {
        each_row_mut(matrix)
            .zip(lengths.as_slice_mut().expect("a fresh vector is contiguous"))
            .for_each(|(row, length)| *length = normalize(row));
    }
    lengths
}

/// The backward pass of [`normalize_rows`], in place: `dx = (dy - y (y . dy)) / length`. Shapes: y and dy (R, D),
/// lengths (R).
pub(crate) fn normalize_rows_backward(y: &ArrayView2<'_, f32>, lengths: &Array1<f32>, dy: &mut Array2<f32>) {
    let dim = y.ncols();
    if dim == 0 {
        return;
    }
    let y = y.as_slice().expect("activations are contiguous");
    let lengths = lengths.as_slice().expect("a vector of lengths is contiguous");
    each_row_mut(dy).enumerate().for_each(|(at, gradient)| {
        let (row, length) = (&y[at * dim..][..dim], lengths[at]);
        if length > 0.0 {
            let along = dot(row, gradient);
            for (g, value) in gradient.iter_mut().zip(row) {
                *g = (*g - value * along) / length;
            }
        } else {
            gradient.fill(0.0);
        }
    });
}

/// `max(0, x)` in place. NaN stays NaN, so that the check of the result finds it; `f32::max` alone would make it 0.
pub(crate) fn relu(values: &mut [f32]) {
    for value in values {
        *value = if value.is_nan() { *value } else { value.max(0.0) };
    }
}

/// The backward pass of [`relu`], in place, from its result `y`. It has no branch: signs are almost random, and
/// mispredicted branches took a tenth of training time.
pub(crate) fn relu_backward(y: &ArrayView2<'_, f32>, dy: &mut Array2<f32>) {
    let y = y.as_slice().expect("activations are contiguous");
    let dy = dy.as_slice_mut().expect("matrices here are made in standard layout");
    dy.par_chunks_mut(NUMBERS_PER_TASK).zip(y.par_chunks(NUMBERS_PER_TASK)).for_each(|(dy, y)| {
        for (gradient, value) in dy.iter_mut().zip(y) {
            *gradient = if *value > 0.0 { *gradient } else { 0.0 };
        }
    });
}

/// True if no number is infinite or NaN. It has no early end, so that it runs in vectors.
pub(crate) fn is_finite(values: &[f32]) -> bool {
    values.iter().fold(true, |all, value| all & value.is_finite())
}

/// A copy of the listed rows of a matrix, in the order of the list. Shape: (listed rows, D).
pub(crate) fn gather(matrix: &ArrayView2<'_, f32>, rows: &[u32]) -> Array2<f32> {
    let dim = matrix.ncols();
    let mut out = Array2::zeros((rows.len(), dim));
    if dim > 0 {
        each_row_mut(&mut out).zip(rows).for_each(|(to, &from)| {
            for (t, f) in to.iter_mut().zip(matrix.row(from as usize)) {
                *t = *f;
            }
        });
    }
    out
}

fn each_row_mut(matrix: &mut Array2<f32>) -> impl IndexedParallelIterator<Item = &mut [f32]> {
    let dim = matrix.ncols();
    matrix
        .as_slice_mut()
        .expect("matrices here are made in standard layout")
        .par_chunks_exact_mut(dim)
        .with_min_len(ROWS_PER_TASK)
}

#[cfg(test)]
mod tests {
    use super::{dot, is_finite, normalize, relu};

    #[test]
    fn a_dot_product_covers_every_element() {
        let a: Vec<f32> = (0..19).map(|at| at as f32).collect();
        assert_eq!(dot(&a, &a), (0..19).map(|at| (at * at) as f32).sum::<f32>());
    }

    #[test]
    fn a_row_of_zeros_stays_a_row_of_zeros() {
        let mut row = [0.0; 4];
        assert_eq!(normalize(&mut row), 0.0);
        assert_eq!(row, [0.0; 4]);
    }

    /// The squares of large numbers overflowed, the row was divided by infinity, and a model of zeros was published.
    /// A `relu` made NaN zero with the same end. What is not finite must stay so up to the check of the rows.
    #[test]
    fn a_row_that_overflows_is_not_a_row_of_zeros() {
        for bad in [3e38, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let mut row = [1.0, bad, 0.0];
            assert!(!normalize(&mut row).is_finite(), "{bad}");
            assert!(row.iter().all(|value| value.is_nan()), "{bad}");
        }
        let mut values = [f32::NAN, f32::INFINITY, -1.0, 2.0];
        relu(&mut values);
        assert!(values[0].is_nan() && values[1..] == [f32::INFINITY, 0.0, 2.0], "{values:?}");
        assert!(is_finite(&[0.0, f32::MAX]) && !is_finite(&values[..1]) && !is_finite(&values[1..2]));
    }
}
