//! Hard negatives: nodes that walks from a query reach, but rarely (PinSage, section 3.4). Knows nothing of losses.

use hedgerow_storage::{CancelToken, Snapshot};
use hedgerow_walker::WalkOptions;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::config::error::Error;
use crate::config::options::TrainOptions;
use crate::network::minibatch::Example;
use crate::state::layer_rows::State;
use crate::state::neighborhoods::{KindNeighborhoods, walk_rows};

/// The factor by which the walks that rank far nodes outnumber those of neighborhoods.
const MORE_WALKS: u32 = 4;

/// For each row, the nodes in a window of ranks by visit count. Four bytes each; empty if the options ask for no hard
/// negatives.
pub(crate) struct HardNegatives {
    windows: Vec<Vec<u32>>,
}

impl HardNegatives {
    /// Walks from every row, if the options ask for hard negatives.
    ///
    /// # Errors
    /// Invalid walk options, or a cancellation.
    pub(crate) fn new(
        options: &TrainOptions,
        snapshot: &Snapshot,
        state: &State,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let mut windows = vec![Vec::new(); state.rows()];
        if options.hard_negatives == 0 {
            return Ok(Self { windows });
        }
        let (from, to) = options.hard_ranks;
        let walks = WalkOptions {
            walks: (options.walks.walks * MORE_WALKS).min(hedgerow_walker::options::MAX_WALKS),
            top: to,
            min_visits: 1,
            ..options.walks
        };
        let alive: Vec<u32> = state.alive_rows().collect();
        let walked = walk_rows(&state.config, walks, snapshot, &state.nodes, &alive, None, cancel)?;
        for (row, visits) in walked.iter().flat_map(KindNeighborhoods::iter) {
            let window = visits.iter().skip(from as usize).filter_map(|visit| state.row(visit.node));
            windows[row as usize] = window.collect();
        }
        Ok(Self { windows })
    }

    /// Draws up to `count` nodes from the window of one of the query's nodes. Nodes that are related to the example
    /// are dropped.
    pub(crate) fn draw(&self, example: &Example, count: u32, rng: &mut StdRng) -> Vec<u32> {
        if count == 0 || example.query.is_empty() {
            return Vec::new();
        }
        let window = &self.windows[example.query[rng.random_range(0..example.query.len())] as usize];
        if window.is_empty() {
            return Vec::new();
        }
        let drawn = (0..count).map(|_| window[rng.random_range(0..window.len())]);
        let is_unrelated = |row: &u32| {
            *row != example.positive && !example.query.contains(row) && !example.related.contains(row)
        };
        drawn.filter(is_unrelated).collect()
    }
}
