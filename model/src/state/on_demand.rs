//! Embeddings of a few nodes, computed from the graph without a state. This is a read of a dirty node where nothing
//! is refreshed. The arithmetic of each row is that of a refresh, so the bits are equal.

use std::collections::HashMap;

use hedgerow_storage::{CancelToken, NodeIx, Snapshot};
use hedgerow_walker::CountedRelations;
use ndarray::{Array2, s};

use crate::config::degree;
use crate::config::error::Error;
use crate::config::model_config::ModelConfig;
use crate::config::options::Pooling;
use crate::linalg::sparse::Sparse;
use crate::network::encoder::Encoder;
use crate::network::inputs::Inputs;
use crate::state::layer_rows::push_importances;
use crate::state::neighborhood_lists::Visited;
use crate::state::neighborhoods::walk_rows;

/// Unit vectors and biases of some nodes of embedded kinds.
///
/// Shapes: (nodes, D), (nodes). Cost: the walks from the nodes and from those within K - 1 steps, and their rows.
/// With T neighbors and K = 2 these are at most T + 1 walked nodes and (T + 1)^2 inputs.
pub(crate) fn embed_nodes(
    config: &ModelConfig,
    encoder: &Encoder,
    snapshot: &Snapshot,
    nodes: &[NodeIx],
    cancel: &CancelToken,
) -> Result<(Array2<f32>, Vec<f32>), Error> {
    let mut listed = NodeList {
        counted: config.counted(snapshot),
        nodes: Vec::new(),
        places: HashMap::new(),
        levels: Vec::new(),
    };
    for &node in nodes {
        listed.place(snapshot, node);
    }
    let count = listed.nodes.len();
    // Neighborhoods, and the number of rows of each layer, from the last layer down.
    let mut neighborhoods: Vec<Vec<Visited>> = Vec::new();
    let mut sizes = vec![count];
    for _ in 0..config.layers {
        let new: Vec<u32> = (neighborhoods.len() as u32..listed.nodes.len() as u32).collect();
        neighborhoods.resize(listed.nodes.len(), Vec::new());
        for walked in walk_rows(config, config.walks, snapshot, &listed.nodes, &new, None, cancel)? {
            for (place, visits) in walked.iter() {
                let counted = visits.iter().map(|visit| (listed.place(snapshot, visit.node), visit.count));
                neighborhoods[place as usize] = counted.collect();
            }
        }
        sizes.push(listed.nodes.len());
    }
    sizes.reverse();

    let Inputs { tokens: hashes, dense, log_degrees, .. } =
        Inputs::gather(snapshot, config, &listed.nodes, &listed.levels);
    let tokens = encoder.table.verified_sums_of(&hashes)?;
    let bias = encoder.bias(&tokens, &log_degrees).slice(s![..count]).to_vec();
    let influence = |row: u32| config.influence(listed.levels[row as usize]);
    let pools: Vec<Sparse> = sizes
        .windows(2)
        .map(|size| {
            let mut pool = Sparse::new(size[0]).with_max(config.pooling == Pooling::Max);
            for neighborhood in &neighborhoods[..size[1]] {
                push_importances(config.pooling, neighborhood.iter().copied(), influence, &mut pool);
            }
            pool
        })
        .collect();
    Ok((encoder.embed(&tokens, &dense.view(), pools.iter()), bias))
}

/// Nodes in order of first use, so that the nodes of a layer come first in the layer below.
struct NodeList {
    counted: CountedRelations,
    nodes: Vec<NodeIx>,
    places: HashMap<NodeIx, u32>,
    /// Degree levels.
    levels: Vec<u8>,
}

impl NodeList {
    fn place(&mut self, snapshot: &Snapshot, node: NodeIx) -> u32 {
        *self.places.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            self.levels.push(degree::level(self.counted.degree(snapshot, node)));
            self.nodes.len() as u32 - 1
        })
    }
}
