//! Rows in eight bits, and which of them a query must look at in full.
#![expect(clippy::inline_always, reason = "compiled anew inside each processor-specific caller")]

use std::ops::Range;

use crate::linalg::huge_matrix::HugeMatrix;
use crate::linalg::simd;
use crate::linalg::simd::{GROUP, Kernel, Lanes};
use crate::query::scan::{BLOCK, ScanRequest, blocks};

/// Numbers of four bytes behind a row's: its unit, and its length off the row in full.
const BEHIND: usize = 2;
/// Of the widest vectors.
const MOST_LANES: usize = 16;
/// Largest number of a query, and of a row.
const QUERY_LEVELS: f32 = 16_383.0;
const ROW_LEVELS: f32 = 127.0;
/// What rounding may take or add, of a query's length: of the sums in floats of both scores, of those of lanes, and of the bounds.
const SLACK: f32 = 1e-5;
/// Candidates that may come before the ones so far are sorted out.
const ROOM: usize = 256;

/// A row is a row of eight-bit numbers times a unit, and a rest of known length. D + 8 bytes a row, D filled up to 32.
#[derive(Clone, Default)]
pub(super) struct QuantizedRows {
    dim: usize,
    rows: HugeMatrix,
}

/// A row that may be an answer, and between what its score lies.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) row: u32,
    low: f32,
    high: f32,
}

/// A query in fifteen bits.
pub(super) struct Asked {
    numbers: Vec<i16>,
    unit: f32,
    /// Its length, and the length of what is lost of it.
    length: f32,
    lost: f32,
}

impl Asked {
    pub(super) fn new(query: &[f32]) -> Self {
        let largest = query.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        // The sum of all products must stay below 2^31.
        let levels = QUERY_LEVELS.min(2e9 / ROW_LEVELS / query.len().max(1) as f32).floor();
        let unit = if largest > 0.0 { largest / levels } else { 1.0 };
        let mut numbers = vec![0; query.len().next_multiple_of(GROUP)];
        let mut lost = 0.0;
        for (number, value) in numbers.iter_mut().zip(query) {
            *number = (value / unit).round() as i16;
            lost += (value - f32::from(*number) * unit).powi(2);
        }
        let length = query.iter().map(|value| value * value).sum::<f32>().sqrt();
        Self { numbers, unit, length, lost: lost.sqrt() }
    }

    /// How far a score in few bits may be off, for a row of that length in full whose rest has that length: the row's rest may
    /// lie along the query, and the query's along the row.
    #[inline(always)]
    fn doubt(&self, rest: f32) -> f32 {
        (self.length * rest + self.lost * (1.0 + rest)) * (1.0 + SLACK) + self.length * SLACK
    }
}

impl QuantizedRows {
    pub(super) fn of(full: &HugeMatrix) -> Self {
        let mut rough = Self { dim: full.width(), rows: HugeMatrix::default() };
        rough.rows = HugeMatrix::zeros(full.rows(), rough.width());
        let (width, dim) = (rough.width(), rough.dim);
        rough.rows.fill_bands(|first, rows| {
            let full = full.values()[first * dim..].chunks_exact(dim.max(1));
            rows.chunks_exact_mut(width).zip(full).for_each(|(rough, full)| coarsen(full, rough));
        });
        rough
    }

    /// Of a row, in numbers of four bytes.
    fn width(&self) -> usize {
        self.dim.next_multiple_of(GROUP) / 4 + BEHIND
    }

    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    pub(super) fn grow(&mut self, rows: usize) {
        self.rows.grow(rows);
    }

    pub(super) fn set(&mut self, row: usize, full: &[f32]) {
        coarsen(full, self.rows.row_mut(row));
    }

    /// The wanted ones among some rows that may be among the `k` best of them.
    pub(super) fn candidates(
        &self,
        asked: &Asked,
        wish: &ScanRequest<'_>,
        rows: Range<usize>,
    ) -> Vec<Candidate> {
        let width = self.width();
        let mut found =
            Found { k: wish.k, all: Vec::new(), least: f32::NEG_INFINITY, enough: 2 * wish.k + ROOM };
        let (mut low, mut high) = ([0.0; BLOCK], [0.0; BLOCK]);
        for block in blocks(rows, wish.wanted) {
            let rows = &self.rows.values()[block.first * width..];
            let bias = wish.bias.map(|bias| &bias[block.first..]);
            let places = block.places();
            simd::run(Bounds { asked, rows, width, bias, places, low: &mut low, high: &mut high });
            for ((place, low), high) in places.iter().zip(low).zip(high) {
                let row = (block.first + usize::from(*place)) as u32;
                found.offer(Candidate { row, low, high });
            }
        }
        found.all
    }
}

/// Writes a row in eight bits, its unit and the length of its rest. In fixed lanes and without a call, since a refresh does it for
/// all that it changed while readers wait: with `f32::round` for every number one edge took half as long again.
fn coarsen(full: &[f32], rough: &mut [f32]) {
    const LANES: usize = 8;
    /// Added to a small number, it leaves the nearest whole one in the lowest bits.
    const SHIFT: f32 = 12_582_912.0;
    let (numbers, behind) = rough.split_at_mut(rough.len() - BEHIND);
    let numbers: &mut [i8] = bytemuck::cast_slice_mut(numbers);
    let (whole, left) = full.as_chunks::<LANES>();
    let mut last = [0.0; LANES];
    last[..left.len()].copy_from_slice(left);
    let mut largest = [0.0f32; LANES];
    for values in whole.iter().chain([&last]) {
        for (largest, value) in largest.iter_mut().zip(values) {
            *largest = if value.abs() > *largest { value.abs() } else { *largest };
        }
    }
    let largest = largest.into_iter().fold(0.0, f32::max);
    let unit = if largest > f32::MIN_POSITIVE * ROW_LEVELS { largest / ROW_LEVELS } else { 1.0 };
    let (each, mut rest) = (1.0 / unit, [0.0f32; LANES]);
    for (numbers, values) in numbers.as_chunks_mut::<LANES>().0.iter_mut().zip(whole.iter().chain([&last])) {
        for ((number, value), rest) in numbers.iter_mut().zip(values).zip(&mut rest) {
            let shifted = value * each + SHIFT;
            *number = shifted.to_bits() as i8;
            let off = value - (shifted - SHIFT) * unit;
            *rest += off * off;
        }
    }
    let rest: f32 = rest.iter().sum();
    behind.copy_from_slice(&[unit, rest.sqrt() * (1.0 + SLACK)]);
}

/// Candidates so far.
struct Found {
    k: usize,
    all: Vec<Candidate>,
    /// So high is the score of `k` of them at least.
    least: f32,
    /// With so many it is worth sorting out those that can be none of the best.
    enough: usize,
}

impl Found {
    #[inline(always)]
    fn offer(&mut self, candidate: Candidate) {
        if candidate.high >= self.least {
            self.all.push(candidate);
            if self.all.len() >= self.enough {
                self.least = settle(&mut self.all, self.k);
                // Where most stay, there is no use in looking again soon.
                self.enough = self.enough.max(2 * self.all.len());
            }
        }
    }
}

/// Leaves only candidates that may be among the `k` best; says what score those have at least.
pub(super) fn settle(all: &mut Vec<Candidate>, k: usize) -> f32 {
    if k == 0 || all.len() < k {
        return f32::NEG_INFINITY;
    }
    let mut lows: Vec<f32> = all.iter().map(|candidate| candidate.low).collect();
    let (_, least, _) = lows.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    let least = *least;
    all.retain(|candidate| candidate.high >= least);
    least
}

/// Between what the scores of some rows lie.
struct Bounds<'a> {
    asked: &'a Asked,
    /// `width` numbers of four bytes each, and the biases of the same rows.
    rows: &'a [f32],
    width: usize,
    bias: Option<&'a [f32]>,
    /// Which of them; their bounds go to the first places of the two others.
    places: &'a [u8],
    low: &'a mut [f32; BLOCK],
    high: &'a mut [f32; BLOCK],
}

impl Kernel for Bounds<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { asked, rows, width, bias, places, low, high } = self;
        let mut products = [lanes.splat(0.0); MOST_LANES];
        let [mut sums, mut units, mut rests, mut biases] = [[0.0f32; MOST_LANES]; 4];
        let (low, high) = (low.chunks_exact_mut(L::WIDTH), high.chunks_exact_mut(L::WIDTH));
        for ((places, low), high) in places.chunks(L::WIDTH).zip(low).zip(high) {
            for (at, place) in places.iter().enumerate() {
                let place = usize::from(*place);
                let (row, behind) = rows[place * width..(place + 1) * width].split_at(width - BEHIND);
                products[at] = lanes.products(bytemuck::cast_slice(row), &asked.numbers);
                (units[at], rests[at]) = (behind[0], behind[1]);
                biases[at] = bias.map_or(0.0, |bias| bias[place]);
            }
            lanes.store(lanes.sums(&products), &mut sums);
            for at in 0..L::WIDTH {
                let score = asked.unit * units[at] * sums[at] + biases[at];
                let doubt = asked.doubt(rests[at]) + score.abs() * SLACK;
                (low[at], high[at]) = (score - doubt, score + doubt);
            }
        }
    }
}
