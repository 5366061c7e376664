//! How the embeddings came to be as they are: the epochs of the training, and the refreshes since.

use hedgerow::Engine;
use serde::Serialize;

use crate::core::failure::Failure;
use crate::report::short;

#[derive(Debug, Serialize)]
pub(super) struct Curve {
    /// Number, loss, recall, mean cosine.
    epochs: Vec<(u32, f32, Option<f32>, f32)>,
    kept: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct Refresh {
    generation: u64,
    epoch: u64,
    dirty_nodes: u64,
    /// Embeddings that came out different.
    changed: u64,
    full: bool,
    ms: f64,
}

pub(super) fn curve(engine: &Engine) -> Result<Option<Curve>, Failure> {
    let curve = engine.learning_curve()?;
    Ok(curve.map(|curve| Curve {
        epochs: curve.epochs.iter().map(|at| (at.epoch, at.loss, at.recall, at.mean_cosine)).collect(),
        kept: curve.kept,
    }))
}

pub(super) fn refreshes(engine: &Engine) -> Vec<Refresh> {
    let refreshes = engine.refresh_history().into_iter().map(|past| Refresh {
        generation: past.generation.get(),
        epoch: past.report.epoch.get(),
        dirty_nodes: past.report.dirty_nodes,
        changed: past.report.rows.last().copied().unwrap_or(0),
        full: past.report.full,
        ms: short(past.report.seconds * 1000.0, 3),
    });
    refreshes.collect()
}
