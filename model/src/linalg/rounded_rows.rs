//! Rows in eight bits, and the rounding that makes them. Knows nothing of what rows mean.
#![expect(clippy::inline_always, reason = "compiled anew inside each processor-specific caller")]

use std::ops::Range;

use crate::linalg::huge_matrix::HugeMatrix;
use crate::linalg::simd;
use crate::linalg::simd::{GROUP, Kernel, Lanes};

/// The largest integer of a row.
const LARGEST: f32 = 127.0;
/// Numbers of four bytes behind the integers of a row: its unit.
const TRAILER: usize = 1;

/// Rows of D integers from -127 to 127. Number d of a row is integer d times the row's unit, rounded to an `f32`.
///
/// Size: D + 4 bytes a row, D rounded up to a multiple of 32. A row lies in numbers of four bytes, as files have them: first
/// the integers, zeros behind the last of them, then the unit.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoundedRows {
    dim: usize,
    stored: HugeMatrix,
}

/// The rows of [`RoundedRows`] as they lie in memory.
#[derive(Clone, Copy)]
pub(crate) struct RoundedRowsView<'a> {
    stored: &'a [f32],
    width: usize,
    /// The rows that the view is of, if they may be those of a file.
    #[cfg(debug_assertions)]
    matrix: Option<&'a HugeMatrix>,
}

/// A row of [`RoundedRows`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundedRow<'a> {
    /// The integers, and zeros up to a multiple of 32.
    pub(crate) integers: &'a [i8],
    pub(crate) unit: f32,
}

impl RoundedRow<'_> {
    pub(crate) fn numbers(&self) -> impl Iterator<Item = f32> + '_ {
        self.integers.iter().map(|integer| f32::from(*integer) * self.unit)
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.integers.iter().all(|integer| *integer == 0)
    }
}

/// A way to write numbers into a row: [`round`] or [`round_to_unit_length`].
pub(crate) type Round = fn(&[f32], &mut [f32]);

/// The width of a row in numbers of four bytes.
pub(crate) fn stored_width(dim: usize) -> usize {
    if dim == 0 { 0 } else { dim.next_multiple_of(GROUP) / 4 + TRAILER }
}

impl RoundedRows {
    /// Rows of zeros.
    pub(crate) fn zeros(rows: usize, dim: usize) -> Self {
        Self { dim, stored: HugeMatrix::zeros(rows, stored_width(dim)) }
    }

    /// The rounded rows of a row-major matrix, in parallel. Shape: (rows, `dim`).
    pub(crate) fn of(values: &[f32], dim: usize) -> Self {
        let row = |row: usize| &values[row * dim..][..dim];
        Self::filled(values.len() / dim.max(1), dim, |at, numbers| numbers.copy_from_slice(row(at)))
    }

    /// Rows whose numbers `fill` writes one by one, in parallel. It is given the row and a buffer.
    pub(crate) fn filled(rows: usize, dim: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        Self::filled_by_bands(rows, dim, |first, band| {
            band.chunks_exact_mut(dim).enumerate().for_each(|(at, numbers)| fill(first + at, numbers));
        })
    }

    /// Rows whose numbers `fill` writes in bands, in parallel. It is given the first row of a band and zeros.
    pub(crate) fn filled_by_bands(rows: usize, dim: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        let mut rounded = Self::zeros(rows, dim);
        let width = stored_width(dim);
        rounded.stored.fill_bands(|first, stored| {
            let mut numbers = vec![0.0; stored.len() / width * dim];
            fill(first, &mut numbers);
            let rows = stored.chunks_exact_mut(width).zip(numbers.chunks_exact(dim));
            rows.for_each(|(stored, numbers)| round(numbers, stored));
        });
        rounded
    }

    /// Rows as files have them. `None` if their width is another.
    pub(crate) fn from_stored(dim: usize, stored: HugeMatrix) -> Option<Self> {
        (stored.width() == stored_width(dim)).then_some(Self { dim, stored })
    }

    /// Rows as files have them.
    pub(crate) fn stored(&self) -> &HugeMatrix {
        &self.stored
    }

    pub(crate) fn stored_mut(&mut self) -> &mut HugeMatrix {
        &mut self.stored
    }

    pub(crate) fn rows(&self) -> usize {
        self.stored.rows()
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    pub(crate) fn bytes(&self) -> usize {
        self.stored.bytes()
    }

    /// Appends rows of zeros up to `rows` rows. Cost: see [`HugeMatrix::grow`].
    pub(crate) fn grow(&mut self, rows: usize) {
        self.stored.grow(rows);
    }

    /// All rows, for loops that read many.
    pub(crate) fn view(&self) -> RoundedRowsView<'_> {
        RoundedRowsView {
            stored: self.stored.unverified_values(),
            width: self.stored.width(),
            #[cfg(debug_assertions)]
            matrix: Some(&self.stored),
        }
    }

    /// The rows from `first` on, of rows that were all verified.
    pub(crate) fn view_from(&self, first: usize) -> RoundedRowsView<'_> {
        let width = self.stored.width();
        RoundedRowsView::of_stored(&self.stored.values()[first * width..], width)
    }

    pub(crate) fn row(&self, row: usize) -> RoundedRow<'_> {
        self.view().row(row)
    }

    /// The numbers of a row. Shape: (D).
    pub(crate) fn numbers(&self, row: usize) -> Vec<f32> {
        self.row(row).numbers().take(self.dim).collect()
    }

    /// The numbers of the listed rows, row-major. Shape: (listed, D).
    pub(crate) fn gather(&self, rows: &[u32]) -> Vec<f32> {
        self.numbers_of_all(rows.iter().map(|&row| row as usize))
    }

    /// The numbers of a range of rows, row-major.
    pub(crate) fn numbers_of(&self, rows: Range<usize>) -> Vec<f32> {
        self.numbers_of_all(rows)
    }

    fn numbers_of_all(&self, rows: impl ExactSizeIterator<Item = usize>) -> Vec<f32> {
        let mut numbers = vec![0.0; rows.len() * self.dim];
        if self.dim > 0 {
            simd::run(RowReading { rounded: self, rows, numbers: &mut numbers });
        }
        numbers
    }
}

impl<'a> RoundedRowsView<'a> {
    /// Rows as files have them.
    pub(crate) fn of_stored(stored: &'a [f32], width: usize) -> Self {
        Self {
            stored,
            width,
            #[cfg(debug_assertions)]
            matrix: None,
        }
    }

    #[inline(always)]
    pub(crate) fn row(self, row: usize) -> RoundedRow<'a> {
        #[cfg(debug_assertions)]
        if let Some(matrix) = self.matrix {
            matrix.debug_assert_verified(row);
        }
        let (integers, unit) = self.stored[row * self.width..][..self.width].split_at(self.width - TRAILER);
        RoundedRow { integers: bytemuck::cast_slice(integers), unit: unit[0] }
    }

    /// Fetches the memory of a row.
    #[inline(always)]
    pub(crate) fn prefetch(self, row: usize) {
        (0..self.width).step_by(16).for_each(|at| simd::prefetch(self.stored, row * self.width + at));
    }
}

/// Writes a row in eight bits. The unit makes the largest number 127. Others are rounded to the nearest integer, halves to
/// the even one. A row without a number above 1.5e-34 becomes zeros with unit 0. If a number is not finite, the unit is NaN,
/// and so is every number of the row.
///
/// With `f32::round` for every number the refresh after one edge took half as long again.
pub(crate) fn round(values: &[f32], stored: &mut [f32]) {
    simd::run(RowRounding { values, stored, has_unit_length: false });
}

/// Writes a row in eight bits whose unit makes its length 1, up to the rounding of the unit. A row of zeros stays, and so does NaN.
pub(crate) fn round_to_unit_length(values: &[f32], stored: &mut [f32]) {
    simd::run(RowRounding { values, stored, has_unit_length: true });
}

/// The rounding of a row. Loops over fixed lanes, which the compiler turns into vectors; every operation on a number is one of its own,
/// so the bits do not depend on their width.
struct RowRounding<'a> {
    values: &'a [f32],
    stored: &'a mut [f32],
    has_unit_length: bool,
}

impl Kernel for RowRounding<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        const LANES: usize = 16;
        /// The sum of this and a small number has the nearest integer in its lowest bits.
        const SHIFT: f32 = 12_582_912.0;
        let Self { values, stored, has_unit_length } = self;
        let (integers, unit) = stored.split_at_mut(stored.len() - TRAILER);
        let integers: &mut [i8] = bytemuck::cast_slice_mut(integers);
        let (whole, left) = values.as_chunks::<LANES>();
        let mut last = [0.0; LANES];
        last[..left.len()].copy_from_slice(left);
        // The largest number. The sum of zero times each number is 0, or NaN if one is not finite.
        let (mut largest, mut zeros) = ([0.0f32; LANES], [0.0f32; LANES]);
        for values in whole.iter().chain([&last]) {
            for lane in 0..LANES {
                let size = values[lane].abs();
                largest[lane] = if size > largest[lane] { size } else { largest[lane] };
                zeros[lane] += values[lane] * 0.0;
            }
        }
        let largest = largest.into_iter().fold(0.0, f32::max);
        if zeros.iter().any(|zero| zero.is_nan()) {
            integers.fill(0);
            unit[0] = f32::NAN;
            return;
        }
        if largest <= 100.0 * LARGEST * f32::MIN_POSITIVE {
            integers.fill(0);
            unit[0] = 0.0;
            return;
        }
        // The integers, and the sum of their squares.
        let (inverse, mut squares) = (LARGEST / largest, [0i32; LANES]);
        let (chunks, rest) = integers.as_chunks_mut::<LANES>();
        debug_assert!(rest.is_empty(), "a row has a multiple of 32 integers");
        let padded = whole.iter().chain([&last]).chain(std::iter::repeat(&[0.0; LANES]));
        for (integers, values) in chunks.iter_mut().zip(padded) {
            for lane in 0..LANES {
                let integer = (values[lane] * inverse + SHIFT).to_bits() as i8;
                integers[lane] = integer;
                squares[lane] += i32::from(integer) * i32::from(integer);
            }
        }
        let length = (squares.iter().sum::<i32>() as f32).sqrt();
        unit[0] = if has_unit_length { 1.0 / length } else { largest / LARGEST };
    }
}

/// The numbers of some rows.
struct RowReading<'a, I> {
    rounded: &'a RoundedRows,
    rows: I,
    numbers: &'a mut [f32],
}

impl<I: Iterator<Item = usize>> Kernel for RowReading<'_, I> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        let Self { rounded, rows, numbers } = self;
        let view = rounded.view();
        for (row, numbers) in rows.zip(numbers.chunks_exact_mut(rounded.dim)) {
            let row = view.row(row);
            for (number, integer) in numbers.iter_mut().zip(row.integers) {
                *number = f32::from(*integer) * row.unit;
            }
        }
    }
}

/// Replaces each row of `dim` numbers by the numbers that it has once it is rounded to unit length.
pub(crate) fn round_all_to_unit_length(rows: &mut [f32], dim: usize) {
    let mut stored = vec![0.0; stored_width(dim)];
    for row in rows.chunks_exact_mut(dim.max(1)) {
        round_to_unit_length(row, &mut stored);
        let view = RoundedRowsView::of_stored(&stored, stored.len());
        let rounded = view.row(0);
        row.iter_mut().zip(rounded.numbers()).for_each(|(to, number)| *to = number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::simd::Width;

    /// Pseudorandom numbers in [-1, 1).
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        let number = |at: usize| {
            let mixed = ((at + seed * 7919) as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(number).collect()
    }

    #[test]
    fn a_number_is_off_by_half_a_unit_at_most_and_the_largest_is_127_units() {
        for dim in [1, 7, 8, 31, 32, 33, 100, 128] {
            for scale in [1e-30, 1e-3, 1.0, 1e30] {
                let values: Vec<f32> = numbers(dim, dim).iter().map(|value| value * scale).collect();
                let rounded = RoundedRows::of(&values, dim);
                let row = rounded.row(0);
                assert_eq!(row.integers.iter().map(|integer| integer.unsigned_abs()).max(), Some(127));
                assert!(row.integers[dim..].iter().all(|integer| *integer == 0));
                for (number, value) in rounded.numbers(0).iter().zip(&values) {
                    assert!((number - value).abs() <= row.unit * 0.50001, "{number} {value} {}", row.unit);
                }
            }
        }
    }

    #[test]
    fn halves_go_to_the_even_integer() {
        let mut values = vec![127.0, 0.5, 1.5, -0.5, -2.5, 3.5, -126.5];
        let rounded = RoundedRows::of(&values, values.len());
        values.copy_from_slice(&[127.0, 0.0, 2.0, 0.0, -2.0, 4.0, -126.0]);
        assert_eq!(rounded.numbers(0), values);
    }

    #[test]
    fn rows_of_zeros_and_of_tiny_numbers_are_zeros() {
        for values in [[0.0; 3], [-0.0, 0.0, 0.0], [1e-38, -1e-40, 0.0]] {
            let rounded = RoundedRows::of(&values, 3);
            assert!(rounded.row(0).is_zero());
            assert!(rounded.stored().values().iter().all(|value| value.to_bits() == 0));
            let mut of_unit_length = values;
            round_all_to_unit_length(&mut of_unit_length, 3);
            assert_eq!(of_unit_length, [0.0; 3]);
        }
    }

    /// A bad number must reach the check of the result: an integer has no NaN.
    #[test]
    fn a_number_that_is_not_finite_makes_the_whole_row_nan() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 9] {
                let mut values = [0.0; 10];
                values[at] = bad;
                assert!(RoundedRows::of(&values, 10).numbers(0).iter().all(|number| number.is_nan()));
                round_all_to_unit_length(&mut values, 10);
                assert!(values.iter().all(|number| number.is_nan()));
            }
        }
    }

    #[test]
    fn a_row_of_unit_length_keeps_its_direction_and_is_one_long() {
        for dim in [1, 24, 128, 1024] {
            let mut rounded = numbers(dim, 3);
            round_all_to_unit_length(&mut rounded, dim);
            let length = rounded.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            assert!((length - 1.0).abs() < 1e-6, "{dim}: {length}");
        }
    }

    #[test]
    fn rows_are_rounded_and_read_alike_with_any_width_of_vectors() {
        for dim in [1, 15, 16, 17, 64, 100] {
            let values = numbers(3 * dim, 9);
            let rounded = RoundedRows::of(&values, dim);
            for width in [Width::Portable, Width::Eight, Width::Sixteen] {
                let (mut stored, mut read) = (vec![7.0; stored_width(dim)], vec![0.0; 3 * dim]);
                for (row, values) in values.chunks_exact(dim).enumerate() {
                    simd::run_within(
                        width,
                        RowRounding { values, stored: &mut stored, has_unit_length: false },
                    );
                    let bits =
                        |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&stored), bits(rounded.stored().row(row)), "{width:?} {dim}");
                }
                simd::run_within(width, RowReading { rounded: &rounded, rows: 0..3, numbers: &mut read });
                assert_eq!(read, rounded.numbers_of(0..3));
                assert_eq!(read[dim..2 * dim], rounded.numbers(1));
            }
        }
    }

    #[test]
    fn rows_that_are_set_gathered_and_grown_are_those_of_rounding_all_at_once() {
        const DIM: usize = 40;
        let values = numbers(DIM * 5, 1);
        let all = RoundedRows::of(&values, DIM);
        let mut some = RoundedRows::zeros(2, DIM);
        some.grow(5);
        for (row, values) in values.chunks_exact(DIM).enumerate() {
            round(values, some.stored_mut().row_mut(row));
        }
        let bits = |rows: &RoundedRows| {
            rows.stored().values().iter().map(|value| value.to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(bits(&some), bits(&all));
        assert_eq!(all.gather(&[1, 3]), [all.numbers(1), all.numbers(3)].concat());
        assert_eq!(all.numbers_of(2..4), [all.numbers(2), all.numbers(3)].concat());
        assert!(RoundedRows::from_stored(65, all.stored().clone()).is_none());
    }
}
