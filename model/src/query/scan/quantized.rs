//! Rows in eight bits, and the rows that a query must read in full.
#![expect(clippy::inline_always, reason = "compiled anew inside each processor-specific caller")]

use std::ops::Range;

use crate::linalg::huge_matrix::HugeMatrix;
use crate::linalg::simd;
use crate::linalg::simd::{GROUP, Kernel, Lanes};
use crate::query::scan::{BLOCK, ScanRequest, blocks};

/// Numbers of four bytes at the end of a row: its unit, and the length of its rest.
const TRAILER: usize = 2;
/// Lanes of the widest vectors.
const MOST_LANES: usize = 16;
/// The largest number of a query, and of a row.
const QUERY_LEVELS: f32 = 16_383.0;
const ROW_LEVELS: f32 = 127.0;
/// The largest error of rounding, as a share of the length of the query: of the float sums of both scores, of the sums of lanes,
/// and of the bounds.
const SLACK: f32 = 1e-5;
/// Candidates beyond two for each answer before they are pruned.
const ROOM: usize = 256;

/// Rows of eight-bit numbers, each times a unit, plus a rest of known length. Size: D + 8 bytes a row, D rounded up to 32.
#[derive(Clone, Default)]
pub(super) struct QuantizedRows {
    dim: usize,
    rows: HugeMatrix,
}

/// A row that may be an answer, and the bounds of its score.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) row: u32,
    low: f32,
    high: f32,
}

/// A query in fifteen bits.
pub(super) struct QuantizedQuery {
    numbers: Vec<i16>,
    unit: f32,
    length: f32,
    /// The length of the rest: the query less its numbers times the unit.
    rest: f32,
}

impl QuantizedQuery {
    pub(super) fn new(query: &[f32]) -> Self {
        let largest = query.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        // The sum of all products must stay below 2^31.
        let levels = QUERY_LEVELS.min(2e9 / ROW_LEVELS / query.len().max(1) as f32).floor();
        let unit = if largest > 0.0 { largest / levels } else { 1.0 };
        let mut numbers = vec![0; query.len().next_multiple_of(GROUP)];
        let mut rest = 0.0;
        for (number, value) in numbers.iter_mut().zip(query) {
            *number = (value / unit).round() as i16;
            rest += (value - f32::from(*number) * unit).powi(2);
        }
        let length = query.iter().map(|value| value * value).sum::<f32>().sqrt();
        Self { numbers, unit, length, rest: rest.sqrt() }
    }

    /// The largest error of a score in eight bits, for a row whose rest has this length. The row's rest may be parallel to the
    /// query, and the query's rest to the row.
    #[inline(always)]
    fn largest_error(&self, row_rest: f32) -> f32 {
        (self.length * row_rest + self.rest * (1.0 + row_rest)) * (1.0 + SLACK) + self.length * SLACK
    }
}

impl QuantizedRows {
    pub(super) fn of(full: &HugeMatrix) -> Self {
        let mut quantized = Self { dim: full.width(), rows: HugeMatrix::default() };
        quantized.rows = HugeMatrix::zeros(full.rows(), quantized.width());
        let (width, dim) = (quantized.width(), quantized.dim);
        quantized.rows.fill_bands(|first, rows| {
            let full = full.values()[first * dim..].chunks_exact(dim.max(1));
            rows.chunks_exact_mut(width).zip(full).for_each(|(quantized, full)| quantize(full, quantized));
        });
        quantized
    }

    /// The width of a row in numbers of four bytes.
    fn width(&self) -> usize {
        self.dim.next_multiple_of(GROUP) / 4 + TRAILER
    }

    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    pub(super) fn grow(&mut self, rows: usize) {
        self.rows.grow(rows);
    }

    pub(super) fn set(&mut self, row: usize, full: &[f32]) {
        quantize(full, self.rows.row_mut(row));
    }

    /// The masked rows of a range that may be among its `k` best.
    pub(super) fn candidates(
        &self,
        query: &QuantizedQuery,
        request: &ScanRequest<'_>,
        rows: Range<usize>,
    ) -> Vec<Candidate> {
        let width = self.width();
        let mut found = Candidates {
            k: request.k,
            all: Vec::new(),
            least: f32::NEG_INFINITY,
            limit: 2 * request.k + ROOM,
        };
        let (mut low, mut high) = ([0.0; BLOCK], [0.0; BLOCK]);
        for block in blocks(rows, request.mask) {
            let rows = &self.rows.values()[block.first * width..];
            let bias = request.bias.map(|bias| &bias[block.first..]);
            let offsets = block.offsets();
            simd::run(Bounds { query, rows, width, bias, offsets, low: &mut low, high: &mut high });
            for ((offset, low), high) in offsets.iter().zip(low).zip(high) {
                let row = (block.first + usize::from(*offset)) as u32;
                found.offer(Candidate { row, low, high });
            }
        }
        found.all
    }
}

/// Writes a row in eight bits, its unit and the length of its rest.
///
/// It works in fixed lanes and without a call, because a refresh quantizes all changed rows while readers wait. With `f32::round`
/// for every number the refresh after one edge took half as long again.
fn quantize(full: &[f32], quantized: &mut [f32]) {
    const LANES: usize = 8;
    /// The sum of this and a small number has the nearest integer in its lowest bits.
    const SHIFT: f32 = 12_582_912.0;
    let (numbers, trailer) = quantized.split_at_mut(quantized.len() - TRAILER);
    let numbers: &mut [i8] = bytemuck::cast_slice_mut(numbers);
    let (whole, left) = full.as_chunks::<LANES>();
    let mut last = [0.0; LANES];
    last[..left.len()].copy_from_slice(left);
    // The unit makes the largest number 127.
    let mut largest = [0.0f32; LANES];
    for values in whole.iter().chain([&last]) {
        for (largest, value) in largest.iter_mut().zip(values) {
            *largest = if value.abs() > *largest { value.abs() } else { *largest };
        }
    }
    let largest = largest.into_iter().fold(0.0, f32::max);
    let unit = if largest > f32::MIN_POSITIVE * ROW_LEVELS { largest / ROW_LEVELS } else { 1.0 };
    // The numbers, and the square of what each of them is off.
    let (inverse, mut rest) = (1.0 / unit, [0.0f32; LANES]);
    for (numbers, values) in numbers.as_chunks_mut::<LANES>().0.iter_mut().zip(whole.iter().chain([&last])) {
        for ((number, value), rest) in numbers.iter_mut().zip(values).zip(&mut rest) {
            let shifted = value * inverse + SHIFT;
            *number = shifted.to_bits() as i8;
            let off = value - (shifted - SHIFT) * unit;
            *rest += off * off;
        }
    }
    let rest: f32 = rest.iter().sum();
    trailer.copy_from_slice(&[unit, rest.sqrt() * (1.0 + SLACK)]);
}

/// The candidates found so far.
struct Candidates {
    k: usize,
    all: Vec<Candidate>,
    /// A lower bound of the `k`-th best score.
    least: f32,
    /// The number of candidates at which they are pruned.
    limit: usize,
}

impl Candidates {
    #[inline(always)]
    fn offer(&mut self, candidate: Candidate) {
        if candidate.high >= self.least {
            self.all.push(candidate);
            if self.all.len() >= self.limit {
                self.least = prune(&mut self.all, self.k);
                // If most candidates stay, pruning again soon would gain nothing.
                self.limit = self.limit.max(2 * self.all.len());
            }
        }
    }
}

/// Keeps the candidates that may be among the `k` best. Returns a lower bound of the `k`-th best score.
pub(super) fn prune(all: &mut Vec<Candidate>, k: usize) -> f32 {
    if k == 0 || all.len() < k {
        return f32::NEG_INFINITY;
    }
    let mut lows: Vec<f32> = all.iter().map(|candidate| candidate.low).collect();
    let (_, least, _) = lows.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    let least = *least;
    all.retain(|candidate| candidate.high >= least);
    least
}

/// The computation of lower and upper bounds of the scores of a block.
struct Bounds<'a> {
    query: &'a QuantizedQuery,
    /// The rows, `width` numbers of four bytes each.
    rows: &'a [f32],
    width: usize,
    bias: Option<&'a [f32]>,
    /// The rows to bound. Their bounds are written from the start of `low` and `high`.
    offsets: &'a [u8],
    low: &'a mut [f32; BLOCK],
    high: &'a mut [f32; BLOCK],
}

impl Kernel for Bounds<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { query, rows, width, bias, offsets, low, high } = self;
        let mut products = [lanes.splat(0.0); MOST_LANES];
        let [mut sums, mut units, mut rests, mut biases] = [[0.0f32; MOST_LANES]; 4];
        let (low, high) = (low.chunks_exact_mut(L::WIDTH), high.chunks_exact_mut(L::WIDTH));
        for ((offsets, low), high) in offsets.chunks(L::WIDTH).zip(low).zip(high) {
            for (at, offset) in offsets.iter().enumerate() {
                let offset = usize::from(*offset);
                let (row, trailer) = rows[offset * width..(offset + 1) * width].split_at(width - TRAILER);
                products[at] = lanes.products(bytemuck::cast_slice(row), &query.numbers);
                (units[at], rests[at]) = (trailer[0], trailer[1]);
                biases[at] = bias.map_or(0.0, |bias| bias[offset]);
            }
            lanes.store(lanes.sums(&products), &mut sums);
            for at in 0..L::WIDTH {
                let score = query.unit * units[at] * sums[at] + biases[at];
                let error = query.largest_error(rests[at]) + score.abs() * SLACK;
                (low[at], high[at]) = (score - error, score + error);
            }
        }
    }
}
