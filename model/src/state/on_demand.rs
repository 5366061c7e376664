//! The embeddings of a few nodes straight from the graph, with no rows but their own: what a read of a dirty node costs
//! where nothing is refreshed. Row by row the arithmetic is that of an advance, so the bits are.

use std::collections::HashMap;

use hedgerow_storage::{CancelToken, NodeIx, Snapshot};
use ndarray::{Array2, s};

use crate::config::degree;
use crate::config::error::Error;
use crate::config::model_config::ModelConfig;
use crate::config::options::Pooling;
use crate::linalg::sparse::Sparse;
use crate::network::encoder::Encoder;
use crate::network::inputs::Inputs;
use crate::state::neighborhoods::walked;
use crate::state::state::{Counted, push_importances};

/// Unit vectors of some nodes of embedded kinds, and what is added to their scores.
///
/// Shapes: (nodes, D), (nodes). Cost: the walks of the nodes and of what is within K - 1 steps of them, and those rows; with T
/// neighbours and K = 2 that is at most T + 1 nodes walked and (T + 1)^2 inputs.
pub(crate) fn fresh(
    recipe: &ModelConfig,
    encoder: &Encoder,
    snapshot: &Snapshot,
    nodes: &[NodeIx],
    cancel: &CancelToken,
) -> Result<(Array2<f32>, Vec<f32>), Error> {
    let mut around = Around { nodes: Vec::new(), places: HashMap::new(), levels: Vec::new() };
    for &node in nodes {
        around.place(snapshot, node);
    }
    let asked = around.nodes.len();
    // From the last layer down: how many rows it has, and the neighbourhoods of all of them.
    let mut found: Vec<Vec<Counted>> = Vec::new();
    let mut sizes = vec![asked];
    for _ in 0..recipe.layers {
        let new: Vec<u32> = (found.len() as u32..around.nodes.len() as u32).collect();
        found.resize(around.nodes.len(), Vec::new());
        for walked in walked(recipe, recipe.walks, snapshot, &around.nodes, &new, None, cancel)? {
            for (place, visits) in walked.iter() {
                let counted = visits.iter().map(|visit| (around.place(snapshot, visit.node), visit.count));
                found[place as usize] = counted.collect();
            }
        }
        sizes.push(around.nodes.len());
    }
    sizes.reverse();

    let Inputs { tokens: hashes, dense, log_degrees, .. } =
        Inputs::gather(snapshot, recipe, &around.nodes, &around.levels);
    let tokens = encoder.table.known.sums_of(&hashes);
    let bias = encoder.bias(&tokens, &log_degrees).slice(s![..asked]).to_vec();
    let influence = |row: u32| recipe.influence(around.levels[row as usize]);
    let pools: Vec<Sparse> = sizes
        .windows(2)
        .map(|size| {
            let mut pool = Sparse::new(size[0]).largest(recipe.pooling == Pooling::Max);
            for of_row in &found[..size[1]] {
                push_importances(recipe.pooling, of_row.iter().copied(), influence, &mut pool);
            }
            pool
        })
        .collect();
    Ok((encoder.embed(&tokens, &dense.view(), pools.iter()), bias))
}

/// Nodes in order of first use, so that those of a layer come first in the one below it.
struct Around {
    nodes: Vec<NodeIx>,
    places: HashMap<NodeIx, u32>,
    /// Degree levels.
    levels: Vec<u8>,
}

impl Around {
    fn place(&mut self, snapshot: &Snapshot, node: NodeIx) -> u32 {
        *self.places.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            self.levels.push(degree::level(snapshot.degree(node)));
            self.nodes.len() as u32 - 1
        })
    }
}
