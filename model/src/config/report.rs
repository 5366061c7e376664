//! Reports of refreshes.

use std::fmt;
use std::time::Instant;

use hedgerow_storage::Epoch;
use serde::{Deserialize, Serialize};

use crate::config::json::epoch_number;

/// The time of each stage of a refresh, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RefreshTimes {
    /// Finding the walk sources that the changes affect.
    pub reach: f64,
    /// Walking from these sources.
    pub walks: f64,
    /// Recomputing rows of all layers.
    pub layers: f64,
}

/// The number of dirty nodes and recomputed rows of a refresh, and its times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefreshReport {
    /// The epoch that the embeddings reflect now.
    #[serde(with = "epoch_number")]
    pub epoch: Epoch,
    /// Nodes that changed or are an end of a changed edge.
    pub dirty_nodes: u64,
    /// Sources that were walked.
    pub sources: u64,
    /// Neighborhoods that are different now.
    pub neighborhoods: u64,
    /// Recomputed rows: inputs, then each layer, then the embeddings that are different now.
    pub rows: Vec<u64>,
    /// True if all rows were recomputed.
    pub full: bool,
    /// Times of the stages.
    pub ms: RefreshTimes,
    /// Seconds in total.
    pub seconds: f64,
}

impl fmt::Display for RefreshReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, dirty_nodes, sources, full, seconds, .. } = self;
        let how = if *full { "rebuild" } else { "refresh" };
        write!(f, "{how} to epoch {epoch}: {dirty_nodes} dirty nodes, {sources} walk sources, {seconds:.3} s")
    }
}

impl RefreshReport {
    /// The report of a refresh that has not done anything yet.
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
