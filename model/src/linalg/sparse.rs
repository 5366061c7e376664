//! A sparse matrix in row form, and its products with dense rows. Neighborhood pooling, token sums and query means
//! are all this operation. Must not know what its rows mean.
#![expect(clippy::inline_always, reason = "compiled anew inside each processor-specific caller")]

use std::ops::Range;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::rounded_rows::{RoundedRow, RoundedRows, RoundedRowsView};
use crate::linalg::simd;
use crate::linalg::simd::{Kernel, Lanes};

/// Stored entries per parallel task, about.
const ENTRIES_PER_TASK: usize = 1 << 13;
/// Entries of a product that are added while the row of a later one arrives.
const ENTRIES_AHEAD: usize = 16;

/// A sparse matrix: for each row its `(column, value)` entries, in the order in which they were pushed.
///
/// Determinism: a product adds the entries of a row in their order, each by a fused multiply-add. So a row of the
/// result depends on that row alone, not on other rows, on the number of threads or on the width of vectors.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sparse {
    offsets: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
    width: usize,
    /// The product takes the maximum over a row's entries, column by column, instead of their sum. Values are then
    /// ignored.
    is_max: bool,
}

impl Sparse {
    /// An empty matrix with `width` columns and no rows yet.
    pub(crate) fn new(width: usize) -> Self {
        Self { offsets: vec![0], columns: Vec::new(), values: Vec::new(), width, is_max: false }
    }

    /// The same matrix with a product that takes the maximum if `is_max`.
    pub(crate) fn with_max(mut self, is_max: bool) -> Self {
        self.is_max = is_max;
        self
    }

    /// An empty matrix with `width` columns and the same kind of product.
    pub(crate) fn empty_like(&self, width: usize) -> Self {
        Self::new(width).with_max(self.is_max)
    }

    pub(crate) fn with_capacity(width: usize, rows: usize, entries: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        let (columns, values) = (Vec::with_capacity(entries), Vec::with_capacity(entries));
        Self { offsets, columns, values, width, is_max: false }
    }

    /// Appends a row.
    pub(crate) fn push_row(&mut self, entries: impl IntoIterator<Item = (u32, f32)>) {
        for (column, value) in entries {
            debug_assert!((column as usize) < self.width, "a column beyond the matrix");
            self.columns.push(column);
            self.values.push(value);
        }
        self.offsets.push(self.columns.len());
    }

    /// Appends a row whose values are divided by their sum.
    pub(crate) fn push_normalized(&mut self, entries: impl IntoIterator<Item = (u32, f32)>) {
        let first = self.values.len();
        self.push_row(entries);
        let values = &mut self.values[first..];
        let sum: f32 = values.iter().sum();
        for value in values {
            *value /= sum;
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = (u32, f32)> + Clone + '_ {
        let range = self.offsets[row]..self.offsets[row + 1];
        self.columns[range.clone()].iter().copied().zip(self.values[range].iter().copied())
    }

    /// Fetches the first entries of `row`, and the place of those of `later`.
    pub(crate) fn prefetch_row(&self, row: usize, later: usize) {
        let start = self.offsets[row];
        simd::prefetch(&self.columns, start);
        simd::prefetch(&self.values, start);
        simd::prefetch(&self.offsets, later);
    }

    /// True if the product takes the maximum over a row's entries.
    pub(crate) fn is_max(&self) -> bool {
        self.is_max
    }

    /// The number of columns.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The columns of all entries, row after row.
    pub(crate) fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// The values of all entries, row after row.
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// The columns of a row.
    pub(crate) fn columns_of(&self, row: usize) -> &[u32] {
        &self.columns[self.range(row)]
    }

    /// The values of a row, in the order of its columns.
    pub(crate) fn values_of(&self, row: usize) -> &[f32] {
        &self.values[self.range(row)]
    }

    /// The places of a row's entries among all entries.
    pub(crate) fn range(&self, row: usize) -> Range<usize> {
        self.offsets[row]..self.offsets[row + 1]
    }

    /// `self x dense`. Shapes: (R, W) x (W, D) -> (R, D).
    ///
    /// Determinism: see [`Sparse`]. Cost: entries x D multiply-adds, parallel over rows.
    pub(crate) fn multiply(&self, dense: &ArrayView2<'_, f32>, buffers: &mut BufferPool) -> Array2<f32> {
        assert_eq!(dense.nrows(), self.width, "a sparse product needs one dense row per column");
        let dim = dense.ncols();
        let mut out = buffers.matrix(self.rows(), dim);
        if dim == 0 || self.rows() == 0 {
            return out;
        }
        let dense = dense.as_standard_layout();
        let source = dense.as_slice().expect("standard layout is contiguous");
        let per_task = self.rows_per_task();
        out.as_slice_mut()
            .expect("a fresh matrix is contiguous")
            .par_chunks_mut(per_task * dim)
            .enumerate()
            .for_each(|(task, out)| {
                let source = FullRows { values: source, dim };
                simd::run(Product { sparse: self, first: task * per_task, source, dim, out });
            });
        out
    }

    /// A part of the product on the calling thread: the rows from `first` on that fit into `out`. `dense` and `out`
    /// are row-major with rows of `dim` numbers.
    pub(crate) fn multiply_into(&self, first: usize, dense: &[f32], dim: usize, out: &mut [f32]) {
        assert_eq!(dense.len(), self.width * dim, "a sparse product needs one dense row per column");
        if dim > 0 {
            let source = FullRows { values: dense, dim };
            simd::run(Product { sparse: self, first, source, dim, out });
        }
    }

    /// As [`Sparse::multiply_into`] with rounded rows: each value times the unit of its row, then times the row's integers.
    pub(crate) fn multiply_rounded_into(&self, first: usize, rows: &RoundedRows, out: &mut [f32]) {
        assert_eq!(rows.rows(), self.width, "a sparse product needs one row per column");
        if rows.dim() > 0 {
            simd::run(Product { sparse: self, first, source: rows.view(), dim: rows.dim(), out });
        }
    }

    /// The transposed matrix. The entries of its rows are in the order of the original rows.
    ///
    /// Cost: two passes over the entries.
    pub(crate) fn transpose(&self) -> Self {
        let mut offsets = vec![0usize; self.width + 1];
        for &column in &self.columns {
            offsets[column as usize + 1] += 1;
        }
        for at in 0..self.width {
            offsets[at + 1] += offsets[at];
        }
        let mut next = offsets.clone();
        let mut columns = vec![0; self.columns.len()];
        let mut values = vec![0.0; self.values.len()];
        for row in 0..self.rows() {
            for (column, value) in self.row(row) {
                let to = &mut next[column as usize];
                columns[*to] = row as u32;
                values[*to] = value;
                *to += 1;
            }
        }
        Self { offsets, columns, values, width: self.rows(), is_max: false }
    }

    /// The backward pass of [`Sparse::multiply`]: the gradient of `dense` from that of the product. `transposed` is
    /// the transposed matrix. With the maximum, the gradient goes to the first of equal numbers. Shapes: (R, D) ->
    /// (W, D).
    pub(crate) fn backward(
        &self,
        transposed: &Self,
        dense: &ArrayView2<'_, f32>,
        d_product: &Array2<f32>,
        buffers: &mut BufferPool,
    ) -> Array2<f32> {
        if !self.is_max {
            return transposed.multiply(&d_product.view(), buffers);
        }
        let mut d_dense = buffers.matrix(dense.nrows(), dense.ncols());
        d_dense.fill(0.0);
        for (row, by) in d_product.outer_iter().enumerate() {
            for (at, by) in by.iter().enumerate() {
                let mut best: Option<(u32, f32)> = None;
                for (column, _) in self.row(row) {
                    let value = dense[[column as usize, at]];
                    if best.is_none_or(|(_, most)| value > most) {
                        best = Some((column, value));
                    }
                }
                if let Some((column, _)) = best {
                    d_dense[[column as usize, at]] += by;
                }
            }
        }
        d_dense
    }

    /// The transposed matrix without its empty rows, and the numbers of the rows that it keeps.
    pub(crate) fn transpose_nonempty(&self) -> (Vec<u32>, Self) {
        let mut transposed = self.transpose();
        let used = (0..self.width as u32)
            .filter(|&row| transposed.offsets[row as usize] < transposed.offsets[row as usize + 1]);
        let used: Vec<u32> = used.collect();
        transposed.offsets =
            std::iter::once(0).chain(used.iter().map(|&row| transposed.offsets[row as usize + 1])).collect();
        (used, transposed)
    }

    fn rows_per_task(&self) -> usize {
        let mean = (self.columns.len() / self.rows()).max(1);
        (ENTRIES_PER_TASK / mean).max(1)
    }
}

/// The rows that a product reads.
trait Source: Copy {
    type Row: SourceRow;
    fn row(self, row: usize) -> Self::Row;
    /// Fetches the memory of a row.
    fn prefetch(self, row: usize);
}

/// Numbers of a row, each times the unit.
trait SourceRow: Copy {
    fn unit(self) -> f32;
    /// The part of `len` numbers from one on.
    fn part(self, start: usize, len: usize) -> Self;
    /// The numbers from one on, without the unit.
    fn vector<L: Lanes>(self, lanes: L, start: usize) -> L::Vector;
    /// The numbers one by one, without the unit.
    fn numbers(self) -> impl Iterator<Item = f32>;
}

/// A row-major matrix with rows of `dim` numbers.
#[derive(Clone, Copy)]
struct FullRows<'a> {
    values: &'a [f32],
    dim: usize,
}

impl<'a> Source for FullRows<'a> {
    type Row = &'a [f32];

    #[inline(always)]
    fn row(self, row: usize) -> &'a [f32] {
        &self.values[row * self.dim..][..self.dim]
    }

    #[inline(always)]
    fn prefetch(self, row: usize) {
        (0..self.dim).step_by(16).for_each(|at| simd::prefetch(self.values, row * self.dim + at));
    }
}

impl SourceRow for &[f32] {
    #[inline(always)]
    fn unit(self) -> f32 {
        1.0
    }

    #[inline(always)]
    fn part(self, start: usize, len: usize) -> Self {
        &self[start..start + len]
    }

    #[inline(always)]
    fn vector<L: Lanes>(self, lanes: L, start: usize) -> L::Vector {
        lanes.load(&self[start..])
    }

    #[inline(always)]
    fn numbers(self) -> impl Iterator<Item = f32> {
        self.iter().copied()
    }
}

impl<'a> Source for RoundedRowsView<'a> {
    type Row = RoundedRow<'a>;

    #[inline(always)]
    fn row(self, row: usize) -> RoundedRow<'a> {
        RoundedRowsView::row(self, row)
    }

    #[inline(always)]
    fn prefetch(self, row: usize) {
        RoundedRowsView::prefetch(self, row);
    }
}

impl SourceRow for RoundedRow<'_> {
    #[inline(always)]
    fn unit(self) -> f32 {
        self.unit
    }

    #[inline(always)]
    fn part(self, start: usize, len: usize) -> Self {
        Self { integers: &self.integers[start..start + len], unit: self.unit }
    }

    #[inline(always)]
    fn vector<L: Lanes>(self, lanes: L, start: usize) -> L::Vector {
        lanes.load_integers(&self.integers[start..])
    }

    #[inline(always)]
    fn numbers(self) -> impl Iterator<Item = f32> {
        self.integers.iter().map(|integer| f32::from(*integer))
    }
}

/// The rows of a product from `first` on that fit into `out`.
struct Product<'a, S> {
    sparse: &'a Sparse,
    first: usize,
    source: S,
    dim: usize,
    out: &'a mut [f32],
}

impl<S: Source> Kernel for Product<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { sparse, first, source, dim, out } = self;
        for (at, out) in out.chunks_exact_mut(dim).enumerate() {
            let range = sparse.offsets[first + at]..sparse.offsets[first + at + 1];
            let later = (range.start + ENTRIES_AHEAD).min(sparse.columns.len());
            let later = later..(range.end + ENTRIES_AHEAD).min(sparse.columns.len());
            sparse.columns[later].iter().for_each(|&column| source.prefetch(column as usize));
            let row =
                Row { lanes, source, columns: &sparse.columns[range.clone()], values: &sparse.values[range] };
            if sparse.is_max { row.max(out) } else { row.sum(out) }
        }
    }
}

/// The entries of a row, and the rows that they multiply.
#[derive(Clone, Copy)]
struct Row<'a, L, S> {
    lanes: L,
    source: S,
    columns: &'a [u32],
    values: &'a [f32],
}

impl<L: Lanes, S: Source> Row<'_, L, S> {
    /// The row's product, in blocks whose sums stay in registers while the entries are read. Zeros if there is no entry: then
    /// the source may have no row.
    #[inline(always)]
    fn sum(self, out: &mut [f32]) {
        if self.columns.is_empty() {
            return out.fill(0.0);
        }
        let (dim, mut start) = (out.len(), 0);
        while start < dim {
            let out = &mut out[start..];
            start += match dim - start {
                256.. if L::REGISTERS == 32 => self.vector_sums::<16>(start, out),
                128.. if L::REGISTERS == 32 => self.vector_sums::<8>(start, out),
                64.. if L::REGISTERS == 32 => self.vector_sums::<4>(start, out),
                64.. => self.vector_sums::<8>(start, out),
                left if left >= 2 * L::WIDTH => self.vector_sums::<2>(start, out),
                left if left >= L::WIDTH => self.vector_sums::<1>(start, out),
                _ => self.remainder_sums(start, out),
            };
        }
    }

    /// The maximum over the entries, column by column; zeros if there is no entry.
    #[inline(always)]
    fn max(self, out: &mut [f32]) {
        let Some((&first, others)) = self.columns.split_first() else { return out.fill(0.0) };
        let row = self.source.row(first as usize);
        out.iter_mut().zip(row.numbers()).for_each(|(most, number)| *most = row.unit() * number);
        for &column in others {
            let row = self.source.row(column as usize);
            for (most, number) in out.iter_mut().zip(row.numbers()) {
                let number = row.unit() * number;
                *most = if number > *most { number } else { *most };
            }
        }
    }

    /// The sums of `C` vectors. Returns the number of columns.
    #[inline(always)]
    fn vector_sums<const C: usize>(self, start: usize, out: &mut [f32]) -> usize {
        let Self { lanes, source, columns, values } = self;
        let width = C * L::WIDTH;
        let mut sums = [lanes.splat(0.0); C];
        for (&column, &value) in columns.iter().zip(values) {
            let from = source.row(column as usize).part(start, width);
            let value = lanes.splat(value * from.unit());
            for (at, sum) in sums.iter_mut().enumerate() {
                *sum = lanes.mul_add(value, from.vector(lanes, at * L::WIDTH), *sum);
            }
        }
        let out = &mut out[..width];
        for (at, sum) in sums.iter().enumerate() {
            lanes.store(*sum, &mut out[at * L::WIDTH..]);
        }
        width
    }

    /// The sums of the last columns, fewer than a vector.
    #[inline(always)]
    fn remainder_sums(self, start: usize, out: &mut [f32]) -> usize {
        out.fill(0.0);
        for (&column, &value) in self.columns.iter().zip(self.values) {
            let from = self.source.row(column as usize).part(start, out.len());
            let value = value * from.unit();
            for (sum, from) in out.iter_mut().zip(from.numbers()) {
                *sum = value.mul_add(from, *sum);
            }
        }
        out.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{BufferPool, FullRows, Product, RoundedRows, Sparse};
    use crate::linalg::simd;
    use crate::linalg::simd::Width;
    use ndarray::{Array2, array};

    fn example() -> Sparse {
        let mut sparse = Sparse::new(3);
        sparse.push_row([(0, 1.0), (2, 2.0)]);
        sparse.push_row([]);
        sparse.push_row([(1, -1.0)]);
        sparse
    }

    #[test]
    fn a_product_is_the_dense_product() {
        let dense = array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]];
        assert_eq!(
            example().multiply(&dense.view(), &mut BufferPool::with_nan()),
            array![[11.0, 14.0], [0.0, 0.0], [-3.0, -4.0]]
        );
    }

    /// The widest vectors, the baseline's and the definition give the same bits.
    #[test]
    fn a_product_has_the_same_bits_for_every_vector_width() {
        let mut sparse = Sparse::new(50);
        for row in 0..30u32 {
            sparse.push_row((0..row).map(|at| ((at * 7 + row) % 50, 1.0 / (at + row + 1) as f32)));
        }
        for dim in [1, 15, 31, 32, 33, 64, 70, 128, 256, 300, 455] {
            let dense =
                Array2::from_shape_fn((50, dim), |(r, c)| ((r * 31 + c * 17) % 101) as f32 / 7.0 - 6.0);
            let wide = sparse.multiply(&dense.view(), &mut BufferPool::with_nan());
            let chain = |row: usize, at: usize| {
                sparse
                    .row(row)
                    .fold(0.0f32, |sum, (column, value)| value.mul_add(dense[[column as usize, at]], sum))
            };
            assert_eq!(wide, Array2::from_shape_fn((30, dim), |(row, at)| chain(row, at)));
            for width in [Width::Portable, Width::Eight] {
                let mut narrow = Array2::zeros((30, dim));
                let out = narrow.as_slice_mut().expect("contiguous");
                let source = FullRows { values: dense.as_slice().expect("contiguous"), dim };
                simd::run_within(width, Product { sparse: &sparse, first: 0, source, dim, out });
                assert_eq!(wide, narrow, "{width:?}");
            }
        }
    }

    /// Each value times the unit of its row, rounded, then a chain of fused products with the integers.
    #[test]
    fn a_product_with_rounded_rows_has_the_same_bits_for_every_vector_width() {
        let mut sparse = Sparse::new(50);
        for row in 0..30u32 {
            sparse.push_row((0..row).map(|at| ((at * 7 + row) % 50, 1.0 / (at + row + 1) as f32)));
        }
        for dim in [1, 15, 31, 32, 33, 64, 70, 128, 256, 300, 455] {
            let numbers: Vec<f32> =
                (0..50 * dim).map(|at| ((at / dim * 31 + at % dim * 17) % 101) as f32 / 7.0 - 6.0).collect();
            let rows = RoundedRows::of(&numbers, dim);
            let chain = |row: usize, at: usize| {
                sparse.row(row).fold(0.0f32, |sum, (column, value)| {
                    let from = rows.row(column as usize);
                    (value * from.unit).mul_add(f32::from(from.integers[at]), sum)
                })
            };
            let expected: Vec<f32> = (0..30 * dim).map(|at| chain(at / dim, at % dim)).collect();
            let most = |row: usize, at: usize| {
                let numbers = sparse.row(row).map(|(column, _)| rows.numbers(column as usize)[at]);
                numbers.max_by(f32::total_cmp).unwrap_or(0.0)
            };
            let expected_max: Vec<f32> = (0..30 * dim).map(|at| most(at / dim, at % dim)).collect();
            for width in [Width::Portable, Width::Eight, Width::Sixteen] {
                let mut out = vec![f32::NAN; 30 * dim];
                let product = Product { sparse: &sparse, first: 0, source: rows.view(), dim, out: &mut out };
                simd::run_within(width, product);
                assert_eq!(out, expected, "{width:?} {dim}");
                let sparse = sparse.clone().with_max(true);
                let product = Product { sparse: &sparse, first: 0, source: rows.view(), dim, out: &mut out };
                simd::run_within(width, product);
                assert_eq!(out, expected_max, "{width:?} {dim}");
            }
        }
    }

    /// A table without trained rows has no numbers, and a product with it panicked for every width that needs a second
    /// block: 17 on all processors, 128 with AVX2. Rows without entries must be zeros, for every width and source.
    #[test]
    fn rows_without_entries_are_zeros_also_of_a_source_without_rows() {
        let (mut empty, mut mixed) = (Sparse::new(0), Sparse::new(2));
        empty.push_row([]);
        empty.push_row([]);
        mixed.push_row([]);
        mixed.push_row([(1, 2.0)]);
        for dim in 1..=1024 {
            let dense = Array2::from_shape_fn((2, dim), |(row, column)| (row + column) as f32);
            let source = dense.as_slice().expect("contiguous");
            for width in [Width::Portable, Width::Eight, Width::Sixteen] {
                for is_max in [false, true] {
                    let (empty, mixed) = (empty.clone().with_max(is_max), mixed.clone().with_max(is_max));
                    let mut out = vec![f32::NAN; 2 * dim];
                    let none = FullRows { values: &[], dim };
                    let product = Product { sparse: &empty, first: 0, source: none, dim, out: &mut out };
                    simd::run_within(width, product);
                    assert_eq!(out, vec![0.0; 2 * dim], "{width:?} {dim}");
                    let rows = FullRows { values: source, dim };
                    let product = Product { sparse: &mixed, first: 0, source: rows, dim, out: &mut out };
                    simd::run_within(width, product);
                    let factor = if is_max { 1.0 } else { 2.0 };
                    let (first, second) = out.split_at(dim);
                    assert!(first.iter().all(|value| *value == 0.0), "{width:?} {dim}");
                    assert!(second.iter().zip(&source[dim..]).all(|(to, from)| *to == factor * from));
                }
            }
        }
        assert_eq!(empty.multiply(&Array2::zeros((0, 300)).view(), &mut BufferPool::with_nan()).sum(), 0.0);
        assert_eq!(empty.transpose().rows(), 0);
    }

    #[test]
    fn the_largest_number_of_each_column_is_taken_and_its_gradient_goes_there() {
        let dense = array![[1.0, 9.0], [3.0, 4.0], [5.0, 6.0]];
        let sparse = example().with_max(true);
        assert_eq!(
            sparse.multiply(&dense.view(), &mut BufferPool::with_nan()),
            array![[5.0, 9.0], [0.0, 0.0], [3.0, 4.0]]
        );
        let by = array![[0.1, 0.2], [7.0, 7.0], [0.3, 0.4]];
        let transposed =
            sparse.backward(&sparse.transpose(), &dense.view(), &by, &mut BufferPool::with_nan());
        assert_eq!(transposed, array![[0.0, 0.2], [0.3, 0.4], [0.1, 0.0]]);
    }

    #[test]
    fn transposing_twice_changes_nothing() {
        let once = example().transpose();
        assert_eq!(once.rows(), 3);
        assert_eq!(once.row(2).collect::<Vec<_>>(), [(0, 2.0)]);
        assert_eq!(once.transpose(), example());
    }
}
