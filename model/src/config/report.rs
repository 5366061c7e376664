//! What a refresh did.

use std::time::Instant;

use hedgerow_storage::Epoch;
use serde::{Deserialize, Serialize};

use crate::config::json::epoch_number;

/// Milliseconds of each stage of a refresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RefreshTimes {
    /// Finding the sources that the changes reach.
    pub reach: f64,
    /// Walking again from them.
    pub walks: f64,
    /// Recomputing rows, layer by layer.
    pub layers: f64,
}

/// What a refresh found dirty, and what it recomputed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefreshReport {
    /// The epoch that the embeddings now reflect.
    #[serde(with = "epoch_number")]
    pub epoch: Epoch,
    /// Nodes that the changes touched.
    pub dirty_nodes: u64,
    /// Sources that were walked again.
    pub sources: u64,
    /// Neighbourhoods that came out different.
    pub neighborhoods: u64,
    /// Rows recomputed: inputs, then each layer, then the embeddings that came out different.
    pub rows: Vec<u64>,
    /// Whether everything was recomputed.
    pub full: bool,
    /// Time by stage.
    pub ms: RefreshTimes,
    /// Time in all.
    pub seconds: f64,
}

impl RefreshReport {
    /// Of a refresh that did nothing yet.
    pub fn new(epoch: Epoch, full: bool) -> Self {
        Self {
            epoch,
            dirty_nodes: 0,
            sources: 0,
            neighborhoods: 0,
            rows: Vec::new(),
            full,
            ms: RefreshTimes::default(),
            seconds: 0.0,
        }
    }
}

pub(crate) fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
