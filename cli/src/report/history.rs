//! The history of the embeddings: the epochs of the training, and the refreshes after it.

use hedgerow::Engine;
use serde::Serialize;

use crate::core::failure::Failure;
use crate::output::value::round;

/// The learning curve.
#[derive(Debug, Serialize)]
pub(super) struct Curve {
    /// The number, loss, recall and mean cosine of each epoch.
    epochs: Vec<(u32, f32, Option<f32>, f32)>,
    /// The epoch whose weights were kept.
    kept: u32,
}

/// One refresh.
#[derive(Debug, Serialize)]
pub(super) struct Refresh {
    generation: u64,
    epoch: u64,
    dirty_nodes: u64,
    /// Embeddings that changed.
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
    let refreshes = engine.refresh_history().into_iter().map(|refresh| Refresh {
        generation: refresh.generation.get(),
        epoch: refresh.report.epoch.get(),
        dirty_nodes: refresh.report.dirty_nodes,
        changed: refresh.report.rows.last().copied().unwrap_or(0),
        full: refresh.report.full,
        ms: round(refresh.report.seconds * 1000.0, 3),
    });
    refreshes.collect()
}
