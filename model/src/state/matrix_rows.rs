//! Gathering and replacing rows of a matrix. Knows nothing of what the rows mean.

use std::borrow::Cow;

use hedgerow_storage::{Error as StoreError, Stage};
use rayon::prelude::*;

use crate::config::error::Error;
use crate::linalg::huge_matrix::HugeMatrix;
use crate::linalg::matrix::BAND;
use crate::state::row_set::RowSet;

/// A row-major view of a matrix.
#[derive(Clone, Copy)]
pub(super) struct MatrixRows<'a> {
    pub(super) values: &'a [f32],
    pub(super) width: usize,
}

impl<'a> MatrixRows<'a> {
    pub(super) fn of(matrix: &'a HugeMatrix) -> Self {
        Self { values: matrix.values(), width: matrix.width() }
    }

    /// The listed rows, which are ascending. They are copied only if there are gaps between them.
    pub(super) fn gather(&self, rows: &[u32]) -> Cow<'a, [f32]> {
        let Self { values, width } = *self;
        match rows {
            [] => Cow::Borrowed(&[]),
            [first, .., last] if (last - first) as usize + 1 == rows.len() => {
                Cow::Borrowed(&values[*first as usize * width..][..rows.len() * width])
            }
            _ => rows.iter().flat_map(|row| &values[*row as usize * width..][..width]).copied().collect(),
        }
    }
}

/// Replaces the listed rows with computed ones, and returns those whose bits changed.
///
/// `compute` gets the position in the list of a band's first row, the rows of the band, and a buffer for them. A band
/// is computed, compared and copied while it is in the cache. Bands are computed in parallel.
///
/// # Errors
/// A cancellation. Some rows are then replaced and others not.
pub(super) fn replace_rows(
    matrix: &mut HugeMatrix,
    recomputed: &RowSet,
    stage: &Stage<'_>,
    compute: impl Fn(usize, &[u32], &mut [f32]) + Sync,
) -> Result<RowSet, Error> {
    let width = matrix.width();
    if width == 0 {
        return Ok(RowSet::default());
    }
    let mut remaining = matrix.values_mut();
    let mut start = 0;
    let mut bands = Vec::with_capacity(recomputed.len().div_ceil(BAND));
    for rows in recomputed.rows().chunks(BAND) {
        let end = rows[rows.len() - 1] as usize + 1;
        let (band, rest) = remaining.split_at_mut((end - start) * width);
        bands.push((rows, start, band));
        (remaining, start) = (rest, end);
    }
    let changed: Vec<Vec<u32>> = bands
        .into_par_iter()
        .enumerate()
        .map_init(Vec::new, |new: &mut Vec<f32>, (at, (rows, start, band))| {
            stage.advance(rows.len() as u64)?;
            new.clear();
            new.resize(rows.len() * width, 0.0);
            compute(at * BAND, rows, new);
            let mut changed = Vec::with_capacity(rows.len());
            for (&row, new) in rows.iter().zip(new.chunks_exact(width)) {
                let old = &mut band[(row as usize - start) * width..][..width];
                if old.iter().zip(new).fold(0, |differing, (a, b)| differing | (a.to_bits() ^ b.to_bits()))
                    != 0
                {
                    old.copy_from_slice(new);
                    changed.push(row);
                }
            }
            Ok(changed)
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(changed.into_iter().flatten().collect())
}
