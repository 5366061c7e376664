//! The input of the network for each node: hashed tokens, dense features and the log-degree, read from the graph.
//! Knows nothing of layers.

use hedgerow_storage::{KindIx, NodeIx, Snapshot};
use ndarray::Array2;
use rayon::prelude::*;

use crate::config::degree::log_degree;
use crate::config::model_config::ModelConfig;
use crate::network::hash_embedding::{identity_hash, token_hash};

/// The inputs of a list of nodes, in its order. F is the dense width of the model configuration.
pub(crate) struct Inputs {
    pub(crate) tokens: Vec<Vec<u64>>,
    /// Dense features, zeros where a node lacks a block, and the log-degree last if it is an input. Shape: (nodes,
    /// F).
    pub(crate) dense: Array2<f32>,
    /// Log-degrees; zeros if the model has no popularity coordinate.
    pub(crate) log_degrees: Vec<f32>,
    /// Weights of nodes in a history, see [`ModelConfig::influence`].
    pub(crate) influence: Vec<f32>,
}

impl Inputs {
    /// Reads the inputs of `nodes`, whose degree levels are `levels`. Cost: one read of the features of each node,
    /// tokens in parallel.
    pub(crate) fn gather(snapshot: &Snapshot, config: &ModelConfig, nodes: &[NodeIx], levels: &[u8]) -> Self {
        let kinds: Vec<KindIx> = config.identities.iter().filter_map(|name| snapshot.kind_ix(name)).collect();
        let tokens = nodes
            .par_iter()
            .map(|&node| {
                let identity = kinds.contains(&snapshot.kind(node));
                let identity = identity.then(|| identity_hash(snapshot.stable_id(node)));
                identity.into_iter().chain(snapshot.tokens(node).into_iter().map(token_hash)).collect()
            })
            .collect();
        let mut dense = Array2::zeros((nodes.len(), config.dense_width()));
        for (mut row, &node) in dense.outer_iter_mut().zip(nodes) {
            let mut start = 0;
            for (block, width) in &config.dense {
                if let Some(values) = snapshot.dense(node, block) {
                    for (to, from) in row.iter_mut().skip(start).take(*width).zip(values) {
                        *to = *from;
                    }
                }
                start += width;
            }
        }
        if config.degree_input {
            let mut last = dense.column_mut(config.dense_width() - 1);
            last.iter_mut().zip(levels).for_each(|(to, &level)| *to = log_degree(level));
        }
        let log_degrees =
            levels.iter().map(|&level| if config.popularity { log_degree(level) } else { 0.0 }).collect();
        let influence = levels.iter().map(|&level| config.influence(level)).collect();
        Self { tokens, dense, log_degrees, influence }
    }
}
