//! Dense matrix products. Each element of a result is independent of what else is computed with it. Must not know
//! what the numbers mean.
//!
//! # Determinism
//! Every element is one chain of fused multiply-adds, `sum = a_k b_k + sum`, for k ascending. The chain begins at the
//! bias, at zero, or at the number to which a product is added. So its bits depend only on its row of the left factor
//! and its column of the right factor. The number of rows or threads, the width of vectors and the blocking do not
//! matter: a block continues the sums that the previous block left in memory.

mod panels;
mod tile;
mod transposed;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::linalg::buffer_pool::BufferPool;

pub(crate) use crate::linalg::matrix::panels::Panels;
pub(crate) use crate::linalg::matrix::transposed::add_transposed_product;

/// Rows per parallel task. They stay in the second-level cache together with the panels in use.
pub(crate) const BAND: usize = 96;

/// `a b + bias`, or `a b` without a bias. Shapes: (R, I) x (I, O) + (O) -> (R, O).
///
/// Cost: 2 R I O operations, parallel over rows. With more than a few rows `b` is copied once.
pub(crate) fn product(
    a: &ArrayView2<'_, f32>,
    b: &ArrayView2<'_, f32>,
    bias: Option<&[f32]>,
    buffers: &mut BufferPool,
) -> Array2<f32> {
    by_panels(a, &Panels::new(b, a.nrows()), bias, buffers)
}

/// `a b^T`. Shapes: (R, I) x (O, I) -> (R, O). Cost: as for [`product`].
pub(crate) fn product_by_transposed(
    a: &ArrayView2<'_, f32>,
    b: &ArrayView2<'_, f32>,
    buffers: &mut BufferPool,
) -> Array2<f32> {
    by_panels(a, &Panels::transposed(b), None, buffers)
}

/// `a b + bias` with a right factor that is prepared for repeated use. Shapes and cost: as for [`product`].
pub(crate) fn by_panels(
    a: &ArrayView2<'_, f32>,
    b: &Panels<'_>,
    bias: Option<&[f32]>,
    buffers: &mut BufferPool,
) -> Array2<f32> {
    assert_eq!(a.ncols(), b.depth(), "the inner dimensions of a product must agree");
    let (rows, inner, outer) = (a.nrows(), b.depth(), b.columns());
    let mut out = buffers.matrix(rows, outer);
    if rows == 0 || outer == 0 {
        return out;
    }
    let a = a.as_standard_layout();
    let a = a.as_slice().expect("standard layout is contiguous");
    let out_slice = out.as_slice_mut().expect("a fresh matrix is contiguous");
    out_slice.par_chunks_mut(BAND * outer).enumerate().for_each(|(band, out)| {
        let rows = out.len() / outer;
        b.multiply(&a[band * BAND * inner..][..rows * inner], bias, out);
    });
    out
}

#[cfg(test)]
mod tests;
