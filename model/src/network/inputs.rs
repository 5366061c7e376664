//! The input of the network for each node: hashed tokens, dense features and the log-degree, read from the graph.
//! Knows nothing of layers.

use hedgerow_storage::{KindIx, MAX_DENSE_VALUE, NodeIx, Snapshot};
use ndarray::Array2;
use rayon::prelude::*;

use crate::config::degree::log_degree;
use crate::config::error::Error;
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

/// Checks the inputs of a training before its walks: dense features are in their range, and some node has an input.
///
/// # Errors
/// [`Error::Dense`] with the node, its number and the range, for a store that an earlier version filled.
/// [`Error::NoInputs`] if every input row would be zeros, so that there would be nothing to learn.
/// # Cost
/// One read of all dense rows. Without dense blocks it ends at the first node with an input.
pub(crate) fn check_inputs(snapshot: &Snapshot, config: &ModelConfig) -> Result<(), Error> {
    let mut has_input = !config.identities.is_empty();
    let counted = config.counted(snapshot);
    for kind in config.targets().filter_map(|name| snapshot.kind_ix(name)) {
        for node in snapshot.nodes_of(kind) {
            if has_input && config.dense.is_empty() {
                return Ok(());
            }
            has_input |= (config.degree_input && counted.degree(snapshot, node) > 0)
                || (!has_input && !snapshot.tokens(node).is_empty());
            for (block, _) in &config.dense {
                let Some(values) = snapshot.dense(node, block) else { continue };
                check_dense(block, values, || format!(" of {}", snapshot.name(node)))?;
                has_input = has_input || values.iter().any(|value| *value != 0.0);
            }
        }
    }
    if has_input { Ok(()) } else { Err(Error::NoInputs { targets: config.target_list() }) }
}

/// Checks the range of the numbers of a dense row.
///
/// # Errors
/// [`Error::Dense`] with the first number out of the range, followed by the text of `of_node`.
pub(crate) fn check_dense(block: &str, values: &[f32], of_node: impl Fn() -> String) -> Result<(), Error> {
    let is_bad = |value: &f32| value.is_nan() || value.abs() > MAX_DENSE_VALUE;
    let Some(at) = values.iter().position(is_bad) else { return Ok(()) };
    Err(Error::Dense {
        block: block.to_owned(),
        found: format!("{:?} as number {}{}", values[at], at + 1, of_node()),
        expected: format!("numbers from -{MAX_DENSE_VALUE} to {MAX_DENSE_VALUE}; scale the features"),
    })
}
