//! The innermost loop of a product: a tile of sums that stay in registers over the inner dimension.
#![expect(clippy::inline_always, reason = "compiled anew inside each processor-specific caller")]

use crate::linalg::matrix::panels::{NARROW, Panels, WIDE};
use crate::linalg::simd::{Kernel, Lanes};

/// Rows of a full tile. With 64 columns its sums take 24 of the 32 registers of AVX-512, with 16 columns 12 of the 16
/// of AVX2. The other registers hold a step of the panel and a factor. Tiles of 12 x 32 and 8 x 48 are as fast, but
/// 64 divides the usual widths.
pub(super) const ROWS: usize = 6;
/// Steps of a panel that serve all rows of a band before the next steps do: 32 KiB, which stay in the first-level
/// cache.
pub(super) const DEPTH: usize = 128;
/// Steps per bounds check.
const STEPS: usize = 4;

/// The kernel `out += left x right` for consecutive rows; `first` is the first step of `right` to use.
pub(super) struct Band<'a> {
    pub(super) left: &'a [f32],
    /// Numbers in a row of `left`.
    pub(super) inner: usize,
    pub(super) right: &'a Panels<'a>,
    pub(super) first: usize,
    pub(super) out: &'a mut [f32],
}

impl Kernel for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { left, inner, right, first, out } = self;
        let outer = right.columns();
        let rows = out.len() / outer;
        for start in (0..inner).step_by(DEPTH) {
            let depth = DEPTH.min(inner - start);
            for panel in right.each() {
                let steps = &panel.steps[(first + start) * panel.stride..];
                let mut row = 0;
                while row < rows {
                    let left = &left[row * inner + start..];
                    let tile = Tile { lanes, left, inner, depth, steps, stride: panel.stride };
                    let out = &mut out[row * outer + panel.first..];
                    row += match rows - row {
                        ROWS.. => tile.columns::<ROWS>(panel.width, out, outer),
                        3.. => tile.columns::<3>(panel.width, out, outer),
                        _ => tile.columns::<1>(panel.width, out, outer),
                    };
                }
            }
        }
    }
}

/// The input of a tile: rows of `left` are `inner` numbers apart, steps `stride` numbers apart.
#[derive(Clone, Copy)]
struct Tile<'a, L> {
    lanes: L,
    left: &'a [f32],
    inner: usize,
    depth: usize,
    steps: &'a [f32],
    stride: usize,
}

impl<L: Lanes> Tile<'_, L> {
    /// Computes all `width` columns of `R` rows, as many at a time as there are registers. Returns `R`.
    #[inline(always)]
    fn columns<const R: usize>(self, width: usize, out: &mut [f32], outer: usize) -> usize {
        const HALF: usize = WIDE / 2;
        match width {
            WIDE if L::REGISTERS == 32 => self.sums::<R, 4>(out, outer),
            HALF if L::REGISTERS == 32 => self.sums::<R, 2>(out, outer),
            ..NARROW => self.edge::<R>(width, out, outer),
            _ => {
                for first in (0..width).step_by(NARROW) {
                    Self { steps: &self.steps[first..], ..self }.narrow::<R>(&mut out[first..], outer);
                }
            }
        }
        R
    }

    #[inline(always)]
    fn narrow<const R: usize>(self, out: &mut [f32], outer: usize) {
        if L::WIDTH == NARROW { self.sums::<R, 1>(out, outer) } else { self.sums::<R, 2>(out, outer) }
    }

    /// Columns of a padded panel: the tile works on a padded copy of the output.
    #[inline(always)]
    fn edge<const R: usize>(self, width: usize, out: &mut [f32], outer: usize) {
        let mut padded = [0.0; ROWS * NARROW];
        for row in 0..R {
            padded[row * NARROW..][..width].copy_from_slice(&out[row * outer..][..width]);
        }
        self.narrow::<R>(&mut padded, NARROW);
        for row in 0..R {
            out[row * outer..][..width].copy_from_slice(&padded[row * NARROW..][..width]);
        }
    }

    /// Continues the sums in `out`: `R` rows by `C` vectors.
    #[inline(always)]
    fn sums<const R: usize, const C: usize>(self, out: &mut [f32], outer: usize) {
        let Self { lanes, left, inner, depth, steps, stride } = self;
        let mut sums = load::<L, R, C>(lanes, out, outer);
        let mut at = 0;
        while at + STEPS <= depth {
            let mut factors: [&[f32; STEPS]; R] = [&[0.0; STEPS]; R];
            for (row, factors) in factors.iter_mut().enumerate() {
                *factors = left[row * inner + at..].first_chunk().expect("a row is as long as a chain");
            }
            for step in 0..STEPS {
                add_step(lanes, &mut sums, |row| factors[row][step], &steps[(at + step) * stride..]);
            }
            at += STEPS;
        }
        while at < depth {
            add_step(lanes, &mut sums, |row| left[row * inner + at], &steps[at * stride..]);
            at += 1;
        }
        store(lanes, &sums, out, outer);
    }
}

/// Loads the sums of `R` rows, which are `outer` numbers apart.
#[inline(always)]
pub(super) fn load<L: Lanes, const R: usize, const C: usize>(
    lanes: L,
    from: &[f32],
    outer: usize,
) -> [[L::Vector; C]; R] {
    let mut sums = [[lanes.splat(0.0); C]; R];
    for (row, sums) in sums.iter_mut().enumerate() {
        let from = &from[row * outer..][..C * L::WIDTH];
        for (at, sum) in sums.iter_mut().enumerate() {
            *sum = lanes.load(&from[at * L::WIDTH..]);
        }
    }
    sums
}

/// Stores the sums of `R` rows, which are `outer` numbers apart.
#[inline(always)]
pub(super) fn store<L: Lanes, const R: usize, const C: usize>(
    lanes: L,
    sums: &[[L::Vector; C]; R],
    to: &mut [f32],
    outer: usize,
) {
    for (row, sums) in sums.iter().enumerate() {
        let to = &mut to[row * outer..][..C * L::WIDTH];
        for (at, sum) in sums.iter().enumerate() {
            lanes.store(*sum, &mut to[at * L::WIDTH..]);
        }
    }
}

/// Adds the products of one step to all sums of a tile.
#[inline(always)]
pub(super) fn add_step<L: Lanes, const R: usize, const C: usize>(
    lanes: L,
    sums: &mut [[L::Vector; C]; R],
    factor: impl Fn(usize) -> f32,
    step: &[f32],
) {
    let step = &step[..C * L::WIDTH];
    let mut values = [lanes.splat(0.0); C];
    for (at, values) in values.iter_mut().enumerate() {
        *values = lanes.load(&step[at * L::WIDTH..]);
    }
    for (row, sums) in sums.iter_mut().enumerate() {
        let factor = lanes.splat(factor(row));
        for (sum, values) in sums.iter_mut().zip(&values) {
            *sum = lanes.mul_add(factor, *values, *sum);
        }
    }
}
