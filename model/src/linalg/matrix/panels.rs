//! The right factor of a product, in the memory order in which tiles read it.

use std::borrow::Cow;

use ndarray::ArrayView2;

use crate::linalg::matrix::tile::Band;
use crate::linalg::simd;
use crate::linalg::simd::Width;

/// Columns of a wide panel.
pub(crate) const WIDE: usize = 64;
/// Columns of the narrowest panel. The last panel is padded to this width with zeros.
pub(crate) const NARROW: usize = 16;
/// The number of rows from which copying the factor pays. A copy costs about as much as multiplying three rows.
const COPIED_FROM: usize = 24;
/// Columns and steps per block of a transposition.
const SQUARE: usize = 16;

/// A right factor (I, O) in panels: as many of 64 columns as fit, then one of 32, then of 16. In a panel, steps (rows
/// of the factor) follow each other with their columns side by side.
pub(crate) struct Panels<'a> {
    depth: usize,
    columns: usize,
    full: FullPanels<'a>,
    /// The last panel, padded, if the number of columns is no multiple of 16.
    last: Vec<f32>,
}

/// The panels without padding.
enum FullPanels<'a> {
    /// The factor in its own layout, for products of few rows.
    Borrowed(Cow<'a, [f32]>),
    Copied(Vec<f32>),
}

/// A panel, with `stride` numbers from step to step.
pub(super) struct Panel<'a> {
    pub(super) steps: &'a [f32],
    pub(super) stride: usize,
    pub(super) first: usize,
    pub(super) width: usize,
}

impl<'a> Panels<'a> {
    /// The factor `b`, prepared for products with `rows` rows. Shape: (I, O).
    pub(crate) fn new(b: &ArrayView2<'a, f32>, rows: usize) -> Self {
        let (depth, columns) = b.dim();
        let values = b.to_slice().map_or_else(|| Cow::Owned(b.iter().copied().collect()), Cow::Borrowed);
        let copied = |first: usize, width: usize, into: &mut Vec<f32>| {
            let taken = width.min(columns - first);
            for step in values.chunks_exact(columns) {
                into.extend_from_slice(&step[first..first + taken]);
                into.extend(std::iter::repeat_n(0.0, width - taken));
            }
        };
        let mut last = Vec::new();
        if !columns.is_multiple_of(NARROW) {
            last.reserve_exact(depth * NARROW);
            copied(full_columns(columns), NARROW, &mut last);
        }
        if rows < COPIED_FROM {
            return Self { depth, columns, full: FullPanels::Borrowed(values), last };
        }
        let mut full = Vec::with_capacity(depth * full_columns(columns));
        for (first, width) in full_panels(full_columns(columns)) {
            copied(first, width, &mut full);
        }
        Self { depth, columns, full: FullPanels::Copied(full), last }
    }

    /// The transpose of `b` as a factor. Shape of `b`: (O, I).
    pub(crate) fn transposed(b: &ArrayView2<'_, f32>) -> Panels<'static> {
        let b = b.as_standard_layout();
        let (columns, depth) = b.dim();
        let values = b.as_slice().expect("standard layout is contiguous");
        let mut full = vec![0.0; depth * full_columns(columns)];
        for (first, width) in full_panels(full_columns(columns)) {
            transpose(&values[first * depth..], depth, width, width, &mut full[first * depth..]);
        }
        let mut last = Vec::new();
        if !columns.is_multiple_of(NARROW) {
            last.resize(depth * NARROW, 0.0);
            transpose(
                &values[full_columns(columns) * depth..],
                depth,
                columns - full_columns(columns),
                NARROW,
                &mut last,
            );
        }
        Panels { depth, columns, full: FullPanels::Copied(full), last }
    }

    /// I, the number of steps.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// O, the number of columns.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// `rows x self + bias` on the calling thread. `rows` and `out` are row-major.
    pub(crate) fn multiply(&self, rows: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
        self.multiply_parts(&[(rows, self.depth)], bias, out);
    }

    /// `[a | b] x self + bias` without joining the parts. Each part comes with its width.
    pub(crate) fn multiply_parts(&self, parts: &[(&[f32], usize)], bias: Option<&[f32]>, out: &mut [f32]) {
        self.multiply_within(Width::Sixteen, parts, bias, out);
    }

    /// As [`Panels::multiply_parts`], with vectors of at most this width.
    pub(super) fn multiply_within(
        &self,
        widest: Width,
        parts: &[(&[f32], usize)],
        bias: Option<&[f32]>,
        out: &mut [f32],
    ) {
        let widths: usize = parts.iter().map(|(_, width)| width).sum();
        assert_eq!(widths, self.depth, "the inner dimensions of a product must agree");
        if self.columns == 0 {
            return;
        }
        for row in out.chunks_exact_mut(self.columns) {
            match bias {
                Some(bias) => row.copy_from_slice(bias),
                None => row.fill(0.0),
            }
        }
        let mut first = 0;
        for &(left, inner) in parts {
            simd::run_within(widest, Band { left, inner, right: self, first, out: &mut *out });
            first += inner;
        }
    }

    pub(super) fn each(&self) -> impl Iterator<Item = Panel<'_>> {
        let full = full_columns(self.columns);
        let panels = full_panels(full).map(move |(first, width)| match &self.full {
            FullPanels::Copied(values) => Panel {
                steps: &values[first * self.depth..][..width * self.depth],
                stride: width,
                first,
                width,
            },
            FullPanels::Borrowed(values) => {
                let steps = values.get(first..).unwrap_or_default();
                Panel { steps, stride: self.columns, first, width }
            }
        });
        let last = (full < self.columns).then(|| Panel {
            steps: &self.last,
            stride: NARROW,
            first: full,
            width: self.columns - full,
        });
        panels.chain(last)
    }
}

/// The number of columns in panels without padding.
fn full_columns(columns: usize) -> usize {
    columns - columns % NARROW
}

/// First column and width of each panel without padding.
fn full_panels(full: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let left = full - first;
        let width = [WIDE, WIDE / 2, NARROW].into_iter().find(|width| *width <= left)?;
        first += width;
        Some((first - width, width))
    })
}

/// Transposes: `columns` rows of `depth` numbers become columns of a panel of this width.
fn transpose(rows: &[f32], depth: usize, columns: usize, width: usize, panel: &mut [f32]) {
    for first in (0..columns).step_by(SQUARE) {
        for start in (0..depth).step_by(SQUARE) {
            let (high, wide) = (SQUARE.min(depth - start), SQUARE.min(columns - first));
            for column in first..first + wide {
                let row = &rows[column * depth + start..][..high];
                for (step, value) in row.iter().enumerate() {
                    panel[(start + step) * width + column] = *value;
                }
            }
        }
    }
}
