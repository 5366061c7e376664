//! Scores of rows, in full: the definition, and the loop that computes it for some rows and queries at once.
#![expect(clippy::inline_always, reason = "compiled anew inside each processor-specific caller")]

use crate::simd::{self, Kernel, Lanes};

/// A score is summed in so many lanes: lane l takes the numbers l, l + 16, .. of both rows, each by a fused multiply-add to the sum
/// before it, and in the end lanes are added by halves: l and l + 8, then l and l + 4, and so on.
const LANES: usize = 16;
/// Rows and queries whose sums stay in registers.
const ROWS: usize = 4;
const QUERIES: usize = 4;

/// The score of each of some rows for each of some queries, `dim` numbers each: query by query, row by row.
pub(super) fn scores(queries: &[f32], rows: &[f32], dim: usize, out: &mut [f32]) {
    if dim == 0 {
        return out.fill(0.0);
    }
    simd::run(Scores { queries, rows, dim, out });
}

struct Scores<'a> {
    queries: &'a [f32],
    rows: &'a [f32],
    dim: usize,
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
    /// `V` vectors make the lanes of a score.
    #[inline(always)]
    fn by_vectors<L: Lanes, const V: usize>(self, lanes: L) {
        let Self { queries, rows, dim, out } = self;
        let (query_count, row_count) = (queries.len() / dim, rows.len() / dim);
        for query in (0..query_count).step_by(QUERIES) {
            let many = query_count - query >= QUERIES;
            for row in (0..row_count).step_by(ROWS) {
                let tile = Tile { lanes, queries: &queries[query * dim..], rows: &rows[row * dim..], dim };
                let some = (row_count - row).min(ROWS);
                let mut place =
                    |q: usize, r: usize, score: f32| out[(query + q) * row_count + row + r] = score;
                match (many, some) {
                    (true, ROWS) => tile.sums::<V, QUERIES, ROWS>(&mut place),
                    (false, ROWS) => {
                        for q in 0..query_count - query {
                            tile.at(q, 0).sums::<V, 1, ROWS>(&mut |_, r, score| place(q, r, score));
                        }
                    }
                    _ => {
                        for q in 0..(query_count - query).min(QUERIES) {
                            for r in 0..some {
                                tile.at(q, r).sums::<V, 1, 1>(&mut |_, _, score| place(q, r, score));
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Queries and rows from one on.
#[derive(Clone, Copy)]
struct Tile<'a, L> {
    lanes: L,
    queries: &'a [f32],
    rows: &'a [f32],
    dim: usize,
}

impl<L: Lanes> Tile<'_, L> {
    #[inline(always)]
    fn at(self, query: usize, row: usize) -> Self {
        Self { queries: &self.queries[query * self.dim..], rows: &self.rows[row * self.dim..], ..self }
    }

    /// The scores of the first `R` rows for the first `Q` queries.
    #[inline(always)]
    fn sums<const V: usize, const Q: usize, const R: usize>(self, place: &mut impl FnMut(usize, usize, f32)) {
        let Self { lanes, queries, rows, dim } = self;
        let queries: [&[f32]; Q] = std::array::from_fn(|q| &queries[q * dim..][..dim]);
        let rows: [&[f32]; R] = std::array::from_fn(|r| &rows[r * dim..][..dim]);
        let mut sums = [[[lanes.splat(0.0); V]; R]; Q];
        // Of one known length each, so that no step of the loop has to look.
        let (chunks, whole) = (dim / LANES, dim / LANES * LANES);
        let query_chunks = queries.map(|query| &query.as_chunks::<LANES>().0[..chunks]);
        let row_chunks = rows.map(|row| &row.as_chunks::<LANES>().0[..chunks]);
        for at in 0..chunks {
            self.add(&mut sums, query_chunks.map(|chunks| &chunks[at]), row_chunks.map(|chunks| &chunks[at]));
        }
        if whole < dim {
            let padded = |from: &[f32]| {
                let mut to = [0.0; LANES];
                to[..dim - whole].copy_from_slice(&from[whole..]);
                to
            };
            let (queries, rows) = (queries.map(padded), rows.map(padded));
            self.add(&mut sums, queries.each_ref(), rows.each_ref());
        }
        for (q, sums) in sums.iter().enumerate() {
            for (r, sum) in sums.iter().enumerate() {
                let mut numbers = [0.0; LANES];
                for (vector, sum) in sum.iter().enumerate() {
                    lanes.store(*sum, &mut numbers[vector * L::WIDTH..]);
                }
                place(q, r, by_halves(numbers));
            }
        }
    }

    /// Adds the products of the next lanes. In loops, since a closure would be compiled for the baseline only.
    #[inline(always)]
    fn add<const V: usize, const Q: usize, const R: usize>(
        self,
        sums: &mut [[[L::Vector; V]; R]; Q],
        queries: [&[f32; LANES]; Q],
        rows: [&[f32; LANES]; R],
    ) {
        for vector in 0..V {
            let mut loaded = [self.lanes.splat(0.0); R];
            for (to, row) in loaded.iter_mut().zip(rows) {
                *to = self.lanes.load(&row[vector * L::WIDTH..]);
            }
            for (sums, query) in sums.iter_mut().zip(queries) {
                let query = self.lanes.load(&query[vector * L::WIDTH..]);
                for (sum, row) in sums.iter_mut().zip(loaded) {
                    sum[vector] = self.lanes.mul_add(query, row, sum[vector]);
                }
            }
        }
    }
}

#[inline(always)]
fn by_halves(numbers: [f32; LANES]) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|lane| numbers[lane] + numbers[lane + 8]);
    let four: [f32; 4] = std::array::from_fn(|lane| eight[lane] + eight[lane + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Width;

    fn number(at: usize) -> f32 {
        ((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// By the definition, number by number.
    fn plain(query: &[f32], row: &[f32]) -> f32 {
        let mut lanes = [0.0f32; LANES];
        for (at, (a, b)) in query.iter().zip(row).enumerate() {
            lanes[at % LANES] = a.mul_add(*b, lanes[at % LANES]);
        }
        by_halves(lanes)
    }

    #[test]
    fn a_score_has_the_same_bits_whatever_is_scored_beside_it_and_however_wide_vectors_are() {
        for dim in [1, 5, 16, 24, 33, 128] {
            for (query_count, row_count) in [(1, 1), (1, 64), (3, 7), (4, 4), (9, 66), (5, 2)] {
                let queries: Vec<f32> = (0..query_count * dim).map(number).collect();
                let rows: Vec<f32> = (0..row_count * dim).map(|at| number(at + 1000)).collect();
                let mut expected = Vec::new();
                for query in queries.chunks_exact(dim) {
                    expected.extend(rows.chunks_exact(dim).map(|row| plain(query, row).to_bits()));
                }
                for width in [Width::Portable, Width::Eight, Width::Sixteen] {
                    let mut out = vec![f32::NAN; query_count * row_count];
                    let (queries, rows, out_of) = (&queries[..], &rows[..], &mut out[..]);
                    simd::run_within(width, Scores { queries, rows, dim, out: out_of });
                    let found: Vec<u32> = out.iter().map(|score| score.to_bits()).collect();
                    assert_eq!(found, expected, "{width:?} dim {dim} {query_count} x {row_count}");
                }
            }
        }
    }
}
