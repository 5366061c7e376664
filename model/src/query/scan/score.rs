//! Scores of rows in full: the definition, and the loop that computes it for several rows and queries at once.
#![expect(clippy::inline_always, reason = "compiled anew inside each processor-specific caller")]

use crate::linalg::simd;
use crate::linalg::simd::{Kernel, Lanes};

/// The lanes of a score. Lane l sums the products of the numbers l, l + 16, .. of both rows, each by a fused multiply-add. The
/// lanes are then added by halves: l and l + 8, then l and l + 4, and so on.
const LANES: usize = 16;
/// Scores whose sums stay in registers: sixteen rows of one query, or four rows of each of four queries.
const TOGETHER: usize = 16;
const QUERIES: usize = 4;
const ROWS: usize = TOGETHER / QUERIES;

/// Queries and rows, `dim` numbers each, and the offsets of the rows that are scored.
#[derive(Clone, Copy)]
pub(super) struct ScoreInput<'a> {
    pub(super) queries: &'a [f32],
    pub(super) rows: &'a [f32],
    pub(super) dim: usize,
    pub(super) offsets: &'a [u8],
}

/// The score of each row at an offset for each query: query by query, offset by offset.
pub(super) fn scores(input: ScoreInput<'_>, out: &mut [f32]) {
    if input.dim == 0 || input.offsets.is_empty() {
        return out.fill(0.0);
    }
    simd::run(Scores { input, out });
}

struct Scores<'a> {
    input: ScoreInput<'a>,
    out: &'a mut [f32],
}

impl Kernel for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        if L::WIDTH == LANES { self.by_vectors::<L, 1>(lanes) } else { self.by_vectors::<L, 2>(lanes) }
    }
}

impl Scores<'_> {
    /// Computes all scores. `V` vectors hold the lanes of a score.
    #[inline(always)]
    fn by_vectors<L: Lanes, const V: usize>(self, lanes: L) {
        let Self { input, out } = self;
        let (query_count, row_count) = (input.queries.len() / input.dim, input.offsets.len());
        let mut tile = Tile::<L, V> { lanes, input, sums: [[lanes.splat(0.0); V]; TOGETHER] };
        let mut query = 0;
        while query < query_count {
            let (many, out) = (query_count - query >= QUERIES, &mut out[query * row_count..]);
            if many {
                for row in (0..row_count).step_by(ROWS) {
                    tile.add::<QUERIES, ROWS>(query, row, 0);
                    tile.write::<ROWS>(&mut out[row..], row_count, row_count - row);
                }
            } else {
                for row in (0..row_count).step_by(TOGETHER) {
                    for at in 0..TOGETHER.min(row_count - row) {
                        tile.add::<1, 1>(query, row + at, at);
                    }
                    tile.write::<TOGETHER>(&mut out[row..], row_count, row_count - row);
                }
            }
            query += if many { QUERIES } else { 1 };
        }
    }
}

/// The scores that are summed together.
struct Tile<'a, L: Lanes, const V: usize> {
    lanes: L,
    input: ScoreInput<'a>,
    /// The sums, query by query, row by row.
    sums: [[L::Vector; V]; TOGETHER],
}

impl<L: Lanes, const V: usize> Tile<'_, L, V> {
    /// Sums the products of `Q` queries and `R` rows into the sums from `first` on. If fewer rows are left, the last one is
    /// repeated.
    #[inline(always)]
    fn add<const Q: usize, const R: usize>(&mut self, query: usize, row: usize, first: usize) {
        let ScoreInput { queries, rows, dim, offsets } = self.input;
        let offset_of = |r: usize| usize::from(offsets[(row + r).min(offsets.len() - 1)]);
        let queries: [&[f32]; Q] = std::array::from_fn(|q| &queries[(query + q) * dim..][..dim]);
        let rows: [&[f32]; R] = std::array::from_fn(|r| &rows[offset_of(r) * dim..][..dim]);
        let mut sums = [[[self.lanes.splat(0.0); V]; R]; Q];
        // All have one known length, so that no step of the loop checks a bound.
        let (chunks, whole) = (dim / LANES, dim / LANES * LANES);
        let query_chunks = queries.map(|query| &query.as_chunks::<LANES>().0[..chunks]);
        let row_chunks = rows.map(|row| &row.as_chunks::<LANES>().0[..chunks]);
        for at in 0..chunks {
            self.step(
                &mut sums,
                query_chunks.map(|chunks| &chunks[at]),
                row_chunks.map(|chunks| &chunks[at]),
            );
        }
        if whole < dim {
            let padded = |from: &[f32]| {
                let mut to = [0.0; LANES];
                to[..dim - whole].copy_from_slice(&from[whole..]);
                to
            };
            let (queries, rows) = (queries.map(padded), rows.map(padded));
            self.step(&mut sums, queries.each_ref(), rows.each_ref());
        }
        // Copied one by one: an array copied at once would stay in memory, not in registers.
        for (at, sum) in sums.iter().flatten().enumerate() {
            for (to, vector) in self.sums[first + at].iter_mut().zip(sum) {
                *to = *vector;
            }
        }
    }

    /// Adds the products of the next lanes. Loops, because a closure would be compiled for the baseline processor only.
    #[inline(always)]
    fn step<const Q: usize, const R: usize>(
        &self,
        sums: &mut [[[L::Vector; V]; R]; Q],
        queries: [&[f32; LANES]; Q],
        rows: [&[f32; LANES]; R],
    ) {
        for vector in 0..V {
            let mut loaded = [self.lanes.splat(0.0); Q];
            for (to, query) in loaded.iter_mut().zip(queries) {
                *to = self.lanes.load(&query[vector * L::WIDTH..]);
            }
            for (r, row) in rows.into_iter().enumerate() {
                let row = self.lanes.load(&row[vector * L::WIDTH..]);
                for (sums, query) in sums.iter_mut().zip(loaded) {
                    sums[r][vector] = self.lanes.mul_add(query, row, sums[r][vector]);
                }
            }
        }
    }

    /// Writes the scores of `R` rows of each query, or of as many as are left. The scores of the next query start `stride` later.
    #[inline(always)]
    fn write<const R: usize>(&self, out: &mut [f32], stride: usize, rows: usize) {
        let lanes = self.lanes;
        let mut halves = [lanes.splat(0.0); TOGETHER];
        for (to, sum) in halves.iter_mut().zip(&self.sums) {
            *to = if V == 1 { sum[0] } else { lanes.add(sum[0], sum[V - 1]) };
        }
        let mut scores = [0.0; TOGETHER];
        for (vectors, to) in halves.chunks_exact(L::WIDTH).zip(scores.chunks_exact_mut(L::WIDTH)) {
            lanes.store(lanes.sums(vectors), to);
        }
        for (q, scores) in scores.chunks_exact(R).enumerate() {
            let out = &mut out[q * stride..];
            // A length that is mostly known at compile time: otherwise each copy is a call.
            if rows >= R {
                out[..R].copy_from_slice(&scores[..R]);
            } else {
                out[..rows].copy_from_slice(&scores[..rows]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::simd::Width;

    fn by_halves(numbers: [f32; LANES]) -> f32 {
        let eight: [f32; 8] = std::array::from_fn(|lane| numbers[lane] + numbers[lane + 8]);
        let four: [f32; 4] = std::array::from_fn(|lane| eight[lane] + eight[lane + 4]);
        (four[0] + four[2]) + (four[1] + four[3])
    }

    fn number(at: usize) -> f32 {
        ((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// The definition, number by number.
    fn defined(query: &[f32], row: &[f32]) -> f32 {
        let mut lanes = [0.0f32; LANES];
        for (at, (a, b)) in query.iter().zip(row).enumerate() {
            lanes[at % LANES] = a.mul_add(*b, lanes[at % LANES]);
        }
        by_halves(lanes)
    }

    #[test]
    fn a_score_has_the_same_bits_with_any_other_rows_and_any_width_of_vectors() {
        for dim in [1, 5, 16, 24, 33, 128] {
            for (query_count, row_count) in [(1, 1), (1, 64), (3, 7), (4, 4), (9, 66), (5, 2)] {
                let queries: Vec<f32> = (0..query_count * dim).map(number).collect();
                let rows: Vec<f32> = (0..row_count * dim).map(|at| number(at + 1000)).collect();
                let mut expected = Vec::new();
                for query in queries.chunks_exact(dim) {
                    expected.extend(rows.chunks_exact(dim).map(|row| defined(query, row).to_bits()));
                }
                for width in [Width::Portable, Width::Eight, Width::Sixteen] {
                    let mut out = vec![f32::NAN; query_count * row_count];
                    let offsets: Vec<u8> = (0..row_count as u8).collect();
                    let input = ScoreInput { queries: &queries, rows: &rows, dim, offsets: &offsets };
                    simd::run_within(width, Scores { input, out: &mut out });
                    let found: Vec<u32> = out.iter().map(|score| score.to_bits()).collect();
                    assert_eq!(found, expected, "{width:?} dim {dim} {query_count} x {row_count}");
                }
            }
        }
    }
}
