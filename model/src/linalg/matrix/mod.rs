//! Dense matrix products whose result for an element never depends on what else is computed beside it.
//! It must never know what the numbers stand for.
//!
//! # Determinism
//! Every element of a product is one chain of fused multiply-adds: `sum = a_k b_k + sum`, rounded once a step, for k
//! ascending, from the bias, from zero, or from what was there where a product is added. Its bits depend on its row of
//! the left and its column of the right factor alone: not on the number of rows, of threads, on the width of the
//! processor's vectors, or on blocks, since a block goes on with the sum that the one before it left in memory.

mod panels;
mod tile;
mod transposed;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::linalg::buffer_pool::BufferPool;

pub(crate) use crate::linalg::matrix::panels::Panels;
pub(crate) use crate::linalg::matrix::transposed::add_transposed_product;

/// Rows of one parallel task: they and the panels in use stay in the second-level cache.
pub(crate) const BAND: usize = 96;

/// `a b + bias`, or without a bias `a b`. Shapes: (R, I) x (I, O) + (O) -> (R, O).
///
/// Cost: 2 R I O operations, parallel over rows; with more than a few rows `b` is copied once.
pub(crate) fn product(
    a: &ArrayView2<'_, f32>,
    b: &ArrayView2<'_, f32>,
    bias: Option<&[f32]>,
    buffers: &mut BufferPool,
) -> Array2<f32> {
    by_panels(a, &Panels::new(b, a.nrows()), bias, buffers)
}

/// `a b^T`. Shapes: (R, I) x (O, I) -> (R, O). Cost: as of [`product`].
pub(crate) fn product_by_transposed(
    a: &ArrayView2<'_, f32>,
    b: &ArrayView2<'_, f32>,
    buffers: &mut BufferPool,
) -> Array2<f32> {
    by_panels(a, &Panels::transposed(b), None, buffers)
}

/// The product by a right factor that serves more than once.
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
