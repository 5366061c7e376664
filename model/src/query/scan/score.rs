//! Scores of rows: the definition, and the loop that computes it for several rows and queries at once.
#![expect(clippy::inline_always, reason = "compiled anew inside each processor-specific caller")]

use crate::linalg::rounded_rows::{RoundedRow, RoundedRowsView};
use crate::linalg::shared_rows::{ROWS_PER_BLOCK, SharedRows};
use crate::linalg::simd;
use crate::linalg::simd::{GROUP, Kernel, Lanes};

/// Sums of one query that are added up together.
const TOGETHER: usize = 16;
/// Rows whose sums stay in registers, for each of four queries, or of two where there are few registers.
const ROWS: usize = 4;
/// The largest integer of a query.
const LARGEST: f32 = 16_383.0;

/// Queries in fifteen bits: of each the integers, zeros up to a multiple of 32, and a unit that makes the largest integer 16,383.
///
/// The score of a row is the sum of the products of both integers, exact and then rounded to an `f32`, times the product of both
/// units. An integer of a query is off by half a unit, a 32,766th of its largest number. A query that is itself a row is not
/// rounded again, because 16,383 is 129 times 127.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queries {
    groups: usize,
    integers: Vec<[i16; GROUP]>,
    units: Vec<f32>,
}

impl Queries {
    /// Rounds queries of `dim` numbers each.
    pub(super) fn new<'q>(dim: usize, queries: impl IntoIterator<Item = &'q [f32]>) -> Self {
        let mut rounded = Self { groups: dim.div_ceil(GROUP), ..Self::default() };
        // The sum of all products must stay below 2^31.
        let levels = LARGEST.min(2e9 / 127.0 / dim.max(1) as f32).floor();
        for query in queries {
            debug_assert_eq!(query.len(), dim, "a query has as many numbers as a row");
            let largest = query.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            let inverse = if largest > f32::MIN_POSITIVE * levels { levels / largest } else { 0.0 };
            let integer = |value: &f32| (value * inverse).round_ties_even() as i16;
            rounded.units.push(largest / levels);
            for group in 0..rounded.groups {
                let values = &query[group * GROUP..dim.min((group + 1) * GROUP)];
                let mut integers = [0; GROUP];
                integers.iter_mut().zip(values).for_each(|(to, value)| *to = integer(value));
                rounded.integers.push(integers);
            }
        }
        rounded
    }

    /// The numbers of the first query after rounding. Shape: (D, zeros up to a multiple of 32).
    pub(crate) fn numbers(&self) -> Vec<f32> {
        let integers = self.integers[..self.groups].as_flattened().iter();
        integers.map(|integer| f32::from(*integer) * self.units[0]).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.units.len()
    }
}

/// The score of the rows `first + offset` for each query: query by query, offset by offset. The rows are of one block.
pub(super) fn scores(queries: &Queries, rows: &SharedRows, first: usize, offsets: &[u8], out: &mut [f32]) {
    if rows.dim() == 0 || offsets.is_empty() {
        return out.fill(0.0);
    }
    let in_block = first % ROWS_PER_BLOCK;
    simd::run(Scores { queries, rows: rows.block(first - in_block), first: in_block, offsets, out });
}

struct Scores<'a> {
    queries: &'a Queries,
    rows: RoundedRowsView<'a>,
    first: usize,
    offsets: &'a [u8],
    out: &'a mut [f32],
}

impl Kernel for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        if L::REGISTERS == 32 { self.by_tiles::<L, 4>(lanes) } else { self.by_tiles::<L, 2>(lanes) }
    }
}

impl Scores<'_> {
    /// Computes all scores, of `Q` queries together while as many are left.
    #[inline(always)]
    fn by_tiles<L: Lanes, const Q: usize>(self, lanes: L) {
        let Self { queries, rows, first, offsets, out } = self;
        let (query_count, row_count) = (queries.count(), offsets.len());
        let (sums, units) = ([lanes.zeros(); TOGETHER], [0.0; TOGETHER]);
        let mut tile = Tile { lanes, queries, rows, first, offsets, sums, units };
        let mut query = 0;
        while query < query_count {
            let (many, out) = (query_count - query >= Q, &mut out[query * row_count..]);
            if many {
                for row in (0..row_count).step_by(ROWS) {
                    tile.add::<Q, ROWS>(query, row, 0);
                    tile.write::<Q, ROWS>(query, row, &mut out[row..]);
                }
            } else {
                for row in (0..row_count).step_by(TOGETHER) {
                    for at in 0..TOGETHER.min(row_count - row) {
                        tile.add::<1, 1>(query, row + at, at);
                    }
                    tile.write::<1, TOGETHER>(query, row, &mut out[row..]);
                }
            }
            query += if many { Q } else { 1 };
        }
    }
}

/// The scores that are summed together.
struct Tile<'a, L: Lanes> {
    lanes: L,
    queries: &'a Queries,
    rows: RoundedRowsView<'a>,
    first: usize,
    offsets: &'a [u8],
    /// The sums, query by query, row by row.
    sums: [L::Integers; TOGETHER],
    /// The unit of each row. They are read with the integers: memory foresees reads of one row after the other only.
    units: [f32; TOGETHER],
}

impl<L: Lanes> Tile<'_, L> {
    /// Sums the products of `Q` queries and `R` rows into the sums from `to` on. If fewer rows are left, the last one is repeated.
    #[inline(always)]
    fn add<const Q: usize, const R: usize>(&mut self, query: usize, row: usize, to: usize) {
        let (lanes, groups) = (self.lanes, self.queries.groups);
        let rows: [RoundedRow<'_>; R] = std::array::from_fn(|r| {
            let offset = self.offsets[(row + r).min(self.offsets.len() - 1)];
            self.rows.row(self.first + usize::from(offset))
        });
        // All have one known length, so that no step of the loop checks a bound.
        let queries: [&[[i16; GROUP]]; Q] =
            std::array::from_fn(|q| &self.queries.integers[(query + q) * groups..][..groups]);
        let integers = rows.map(|row| &row.integers.as_chunks().0[..groups]);
        let mut sums = [[lanes.zeros(); R]; Q];
        for at in 0..groups {
            // Loops, because a closure would be compiled for the baseline processor only.
            let mut loaded = [lanes.query_group(&queries[0][at]); Q];
            for (to, query) in loaded.iter_mut().zip(&queries).skip(1) {
                *to = lanes.query_group(&query[at]);
            }
            for (r, row) in integers.iter().enumerate() {
                let row = lanes.row_group(&row[at]);
                for (sums, query) in sums.iter_mut().zip(loaded) {
                    sums[r] = lanes.add_products(row, query, sums[r]);
                }
            }
        }
        // Copied one by one: an array copied at once would stay in memory, not in registers.
        for (at, sum) in sums.iter().flatten().enumerate() {
            self.sums[to + at] = *sum;
        }
        for (unit, row) in self.units[to..].iter_mut().zip(&rows) {
            *unit = row.unit;
        }
    }

    /// Writes the scores of `R` rows of each of `Q` queries, or of as many rows as are left.
    #[inline(always)]
    fn write<const Q: usize, const R: usize>(&self, query: usize, row: usize, out: &mut [f32]) {
        let mut sums = [0.0; TOGETHER];
        let whole = self.sums[..Q * R].chunks_exact(L::WIDTH);
        for (vectors, to) in whole.zip(sums.chunks_exact_mut(L::WIDTH)) {
            self.lanes.store(self.lanes.integer_sums(vectors), to);
        }
        let stride = self.offsets.len();
        let left = R.min(stride - row);
        for (q, sums) in sums[..Q * R].chunks_exact(R).enumerate() {
            let unit = self.queries.units[query + q];
            let out = &mut out[q * stride..][..left];
            for ((to, sum), row_unit) in out.iter_mut().zip(sums).zip(&self.units) {
                *to = unit * row_unit * sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::rounded_rows::RoundedRows;
    use crate::linalg::simd::Width;

    /// The definition, integer by integer.
    fn defined_score(queries: &Queries, query: usize, row: RoundedRow<'_>) -> f32 {
        let integers = queries.integers[query * queries.groups..][..queries.groups].as_flattened();
        let products = integers.iter().zip(row.integers).map(|(a, b)| i32::from(*a) * i32::from(*b));
        queries.units[query] * row.unit * products.sum::<i32>() as f32
    }

    fn number(at: usize) -> f32 {
        ((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    #[test]
    fn a_score_has_the_same_bits_with_any_other_rows_and_any_width_of_vectors() {
        for dim in [1, 5, 16, 24, 33, 128] {
            for (query_count, row_count) in [(1, 1), (1, 64), (3, 7), (4, 4), (9, 63), (5, 2)] {
                let queries: Vec<f32> = (0..query_count * dim).map(number).collect();
                let queries = Queries::new(dim, queries.chunks_exact(dim));
                let rows: Vec<f32> = (0..(row_count + 1) * dim).map(|at| number(at + 1000)).collect();
                let rows = RoundedRows::of(&rows, dim);
                let mut expected = Vec::new();
                for query in 0..query_count {
                    let score = |row| defined_score(&queries, query, rows.row(row + 1)).to_bits();
                    expected.extend((0..row_count).map(score));
                }
                for width in [Width::Portable, Width::Eight, Width::Sixteen] {
                    let mut out = vec![f32::NAN; query_count * row_count];
                    let offsets: Vec<u8> = (0..row_count as u8).collect();
                    let offsets = &offsets;
                    let rows = rows.view();
                    let kernel = Scores { queries: &queries, rows, first: 1, offsets, out: &mut out };
                    simd::run_within(width, kernel);
                    let found: Vec<u32> = out.iter().map(|score| score.to_bits()).collect();
                    assert_eq!(found, expected, "{width:?} dim {dim} {query_count} x {row_count}");
                }
            }
        }
    }

    #[test]
    fn a_score_is_the_product_of_both_vectors() {
        for dim in [1, 40, 128, 1024, 4096] {
            let values: Vec<f32> = (0..2 * dim).map(number).collect();
            let rows = SharedRows::from(RoundedRows::of(&values, dim));
            let query: Vec<f32> = (0..dim).map(|at| 3.0 * number(at + 77)).collect();
            let queries = Queries::new(dim, [&query[..]]);
            let mut out = [0.0; 2];
            scores(&queries, &rows, 0, &[0, 1], &mut out);
            for (row, found) in out.into_iter().enumerate() {
                let numbers = rows.numbers(row);
                let exact =
                    query.iter().zip(&numbers).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
                let size = (dim as f64).sqrt() * 3.0;
                assert!((f64::from(found) - exact).abs() < size * 2e-4, "{dim}: {found} {exact}");
            }
        }
    }

    /// Every query that is a row would otherwise be rounded twice.
    #[test]
    fn a_row_as_a_query_is_not_rounded_again() {
        let dim = 100;
        let rows = RoundedRows::of(&(0..dim).map(number).collect::<Vec<f32>>(), dim);
        let queries = Queries::new(dim, [&rows.numbers(0)[..]]);
        let integers = queries.integers.as_flattened();
        for (query, row) in integers.iter().zip(rows.row(0).integers) {
            assert_eq!(*query, i16::from(*row) * 129);
        }
    }

    #[test]
    fn queries_of_zeros_and_of_tiny_numbers_score_zero() {
        let rows = SharedRows::from(RoundedRows::of(&[1.0, 2.0], 2));
        for query in [[0.0, 0.0], [1e-40, 0.0]] {
            let mut out = [f32::NAN];
            scores(&Queries::new(2, [&query[..]]), &rows, 0, &[0], &mut out);
            assert!(out[0].abs() < 1e-30, "{out:?}");
        }
    }
}
