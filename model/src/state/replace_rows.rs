//! Replacing rows with computed ones. Knows nothing of what the rows mean.

use hedgerow_storage::{Error as StoreError, Stage};
use rayon::prelude::*;

use crate::config::error::Error;
use crate::linalg::matrix::BAND;
use crate::linalg::rounded_rows::RoundedRows;
use crate::linalg::shared_rows::SharedRows;
use crate::state::row_set::RowSet;

/// Replaces the listed rows with computed ones, and returns those whose bits changed.
///
/// `compute` gets the position in the list of a band's first row, the rows of the band, and a buffer for their numbers, which
/// `round` then writes into a row. A band is computed, compared and copied while it is in the cache. Bands are computed in
/// parallel.
///
/// # Errors
/// Damage of the rows before, where they are those of a mapped file; nothing is replaced then. A cancellation: some rows are then replaced and others not.
pub(super) fn replace_rows(
    matrix: &mut RoundedRows,
    recomputed: &RowSet,
    stage: &Stage<'_>,
    round: impl Fn(&[f32], &mut [f32]) + Sync,
    compute: impl Fn(usize, &[u32], &mut [f32]) + Sync,
) -> Result<RowSet, Error> {
    let (dim, width) = (matrix.dim(), matrix.stored().width());
    if dim == 0 {
        return Ok(RowSet::default());
    }
    matrix.stored().verify_rows(recomputed.rows())?;
    let mut remaining = matrix.stored_mut().values_mut();
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
        .map_init(Vec::new, |numbers: &mut Vec<f32>, (at, (rows, start, band))| {
            stage.advance(rows.len() as u64)?;
            numbers.clear();
            numbers.resize(rows.len() * dim, 0.0);
            compute(at * BAND, rows, numbers);
            let (mut changed, mut rounded) = (Vec::with_capacity(rows.len()), vec![0.0; width]);
            for (&row, numbers) in rows.iter().zip(numbers.chunks_exact(dim)) {
                round(numbers, &mut rounded);
                let old = &mut band[(row as usize - start) * width..][..width];
                if differ(old, &rounded) {
                    old.copy_from_slice(&rounded);
                    changed.push(row);
                }
            }
            Ok(changed)
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(changed.into_iter().flatten().collect())
}

/// As [`replace_rows`]. Rows that readers share are replaced by [`SharedRows::apply_changes`].
///
/// # Errors
/// As for [`replace_rows`].
pub(super) fn replace_shared_rows(
    shared: &mut SharedRows,
    recomputed: &RowSet,
    stage: &Stage<'_>,
    round: impl Fn(&[f32], &mut [f32]) + Sync,
    compute: impl Fn(usize, &[u32], &mut [f32]) + Sync,
) -> Result<RowSet, Error> {
    if let Some(whole) = shared.whole_mut() {
        return replace_rows(whole, recomputed, stage, round, compute);
    }
    let (dim, width) = (shared.dim(), shared.width());
    if dim == 0 {
        return Ok(RowSet::default());
    }
    let before = &*shared;
    let changed: Vec<(Vec<u32>, Vec<f32>)> = recomputed
        .rows()
        .par_chunks(BAND)
        .enumerate()
        .map_init(Vec::new, |numbers: &mut Vec<f32>, (at, rows)| {
            stage.advance(rows.len() as u64)?;
            numbers.clear();
            numbers.resize(rows.len() * dim, 0.0);
            compute(at * BAND, rows, numbers);
            let (mut changed, mut stored, mut rounded) = (Vec::new(), Vec::new(), vec![0.0; width]);
            for (&row, numbers) in rows.iter().zip(numbers.chunks_exact(dim)) {
                round(numbers, &mut rounded);
                if before.stored_row_before(row as usize).is_none_or(|before| differ(before, &rounded)) {
                    changed.push(row);
                    stored.extend_from_slice(&rounded);
                }
            }
            Ok((changed, stored))
        })
        .collect::<Result<_, StoreError>>()?;
    for (rows, stored) in &changed {
        for (&row, stored) in rows.iter().zip(stored.chunks_exact(width)) {
            shared.set_later(row, stored);
        }
    }
    Ok(changed.into_iter().flat_map(|(rows, _)| rows).collect())
}

/// True if a bit is different.
fn differ(old: &[f32], new: &[f32]) -> bool {
    old.iter().zip(new).fold(0, |bits, (a, b)| bits | (a.to_bits() ^ b.to_bits())) != 0
}
