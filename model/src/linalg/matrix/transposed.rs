//! The product of a transposed matrix. Gradients of weights have this form: few rows and columns, long sums.
#![expect(clippy::inline_always, reason = "compiled anew inside each processor-specific caller")]

use ndarray::{ArrayView2, ArrayViewMut2};
use rayon::prelude::*;

use crate::linalg::matrix::panels::{NARROW, WIDE};
use crate::linalg::matrix::tile::{ROWS, add_step, load, store};
use crate::linalg::simd;
use crate::linalg::simd::{Kernel, Lanes};

/// Steps per block. Both factors' parts of a block stay in the second-level cache.
const DEPTH: usize = 256;

/// `into += a^T b`. Shapes: (N, I), (N, O) -> (I, O).
///
/// Determinism: as for all products here; threads divide the rows of the result, never a sum. Cost: 2 N I O
/// operations, parallel over I.
pub(crate) fn add_transposed_product(
    into: &mut ArrayViewMut2<'_, f32>,
    a: &ArrayView2<'_, f32>,
    b: &ArrayView2<'_, f32>,
) {
    let (rows, outer) = (a.ncols(), b.ncols());
    assert_eq!(a.nrows(), b.nrows(), "the inner dimensions of a product must agree");
    assert_eq!(into.dim(), (rows, outer), "a product is added to a matrix of its shape");
    if rows == 0 || outer == 0 {
        return;
    }
    let (a, b) = (a.as_standard_layout(), b.as_standard_layout());
    let (a, b) = (
        a.as_slice().expect("standard layout is contiguous"),
        b.as_slice().expect("standard layout is contiguous"),
    );
    // Each thread copies all of `b`, so there are at most as many bands as threads.
    let band = rows.div_ceil(rayon::current_num_threads()).next_multiple_of(ROWS);
    let out = into.as_slice_mut().expect("a matrix in standard layout, or rows of one");
    out.par_chunks_mut(band * outer).enumerate().for_each(|(at, out)| {
        simd::run(Strip { a, inner: rows, first: at * band, b, outer, out });
    });
}

/// The kernel for the rows of the result from `first` on that fit into `out`.
pub(super) struct Strip<'a> {
    pub(super) a: &'a [f32],
    /// Columns of `a`.
    pub(super) inner: usize,
    pub(super) first: usize,
    pub(super) b: &'a [f32],
    pub(super) outer: usize,
    pub(super) out: &'a mut [f32],
}

impl Kernel for Strip<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { a, inner, first, b, outer, out } = self;
        let rows = out.len() / outer;
        let width = if L::REGISTERS == 32 { WIDE } else { NARROW };
        let mut left = vec![0.0; rows.next_multiple_of(ROWS) * DEPTH];
        let mut right = vec![0.0; outer.next_multiple_of(width) * DEPTH];
        for (a, b) in a.chunks(DEPTH * inner).zip(b.chunks(DEPTH * outer)) {
            let depth = a.len() / inner;
            gather::<ROWS>(a, inner, first, rows, depth, &mut left);
            if width == WIDE {
                gather::<WIDE>(b, outer, 0, outer, depth, &mut right);
            } else {
                gather::<NARROW>(b, outer, 0, outer, depth, &mut right);
            }
            for column in (0..outer).step_by(width) {
                let right = &right[column * depth..][..width * depth];
                for row in (0..rows).step_by(ROWS) {
                    let left = &left[row * depth..][..ROWS * depth];
                    let out = &mut out[row * outer + column..];
                    let stored = (ROWS.min(rows - row), width.min(outer - column));
                    if L::REGISTERS == 32 {
                        sums::<L, 4>(lanes, left, right, out, outer, stored);
                    } else {
                        sums::<L, 2>(lanes, left, right, out, outer, stored);
                    }
                }
            }
        }
    }
}

/// Copies `taken` columns from `first` on into groups of `W` columns, in which steps follow each other. The missing
/// columns of the last group keep old numbers; their sums are not used.
#[inline(always)]
fn gather<const W: usize>(
    from: &[f32],
    columns: usize,
    first: usize,
    taken: usize,
    depth: usize,
    into: &mut [f32],
) {
    for start in (0..taken).step_by(W) {
        let (group, _) = into[start * depth..].as_chunks_mut::<W>();
        let steps = group[..depth].iter_mut().zip(from.chunks_exact(columns));
        if taken - start >= W {
            for (into, from) in steps {
                *into = *from[first + start..].first_chunk().expect("a whole group lies within the row");
            }
        } else {
            for (into, from) in steps {
                into[..taken - start].copy_from_slice(&from[first + start..][..taken - start]);
            }
        }
    }
}

/// The sums of a tile of [`ROWS`] by `C` vectors; `rows` by `columns` of its numbers are stored.
#[inline(always)]
fn sums<L: Lanes, const C: usize>(
    lanes: L,
    left: &[f32],
    right: &[f32],
    out: &mut [f32],
    outer: usize,
    (rows, columns): (usize, usize),
) {
    let width = C * L::WIDTH;
    if rows == ROWS && columns == width {
        return chains::<L, C>(lanes, left, right, out, outer);
    }
    let mut padded = [0.0f32; ROWS * WIDE];
    for row in 0..rows {
        padded[row * width..][..columns].copy_from_slice(&out[row * outer..][..columns]);
    }
    chains::<L, C>(lanes, left, right, &mut padded, width);
    for row in 0..rows {
        out[row * outer..][..columns].copy_from_slice(&padded[row * width..][..columns]);
    }
}

#[inline(always)]
fn chains<L: Lanes, const C: usize>(lanes: L, left: &[f32], right: &[f32], out: &mut [f32], outer: usize) {
    let mut sums = load::<L, ROWS, C>(lanes, out, outer);
    let (left, _) = left.as_chunks::<ROWS>();
    for (factors, step) in left.iter().zip(right.chunks_exact(C * L::WIDTH)) {
        add_step(lanes, &mut sums, |row| factors[row], step);
    }
    store(lanes, &sums, out, outer);
}
