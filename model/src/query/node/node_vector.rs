//! The vector of one node: the stored one, or the one that the graph as it is now gives.

use std::fmt;
use std::sync::Arc;

use hedgerow_storage::{CancelToken, Epoch, Generation, NodeIx, NodeRef, Snapshot};

use crate::config::error::Error;
use crate::config::model_config::ModelConfig;
use crate::linalg::rows::is_finite;
use crate::network::encoder::Encoder;
use crate::query::embeddings::Embeddings;
use crate::state::on_demand::embed_nodes;

/// A vector, and the epoch and model that it was computed from.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Embedded {
    /// A unit vector, followed by the popularity, which is added to the node's score.
    pub vector: Vec<f32>,
    /// The epoch that it reflects.
    pub epoch: Epoch,
    /// Nodes that changed since that epoch.
    pub dirty_nodes: u64,
    /// The model's generation.
    pub generation: Generation,
}

impl fmt::Display for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vector, epoch, dirty_nodes, generation } = self;
        let length = vector.len();
        write!(f, "{length} numbers, generation {generation}, epoch {epoch}, {dirty_nodes} dirty nodes")
    }
}

impl Embedded {
    /// A vector that reflects the epoch of the embeddings.
    pub(crate) fn new(vector: Vec<f32>, embeddings: &Embeddings, dirty_nodes: u64) -> Self {
        let (epoch, generation) = (embeddings.epoch, embeddings.generation);
        Self { vector, epoch, dirty_nodes, generation }
    }

    /// The stored vector of a node.
    pub(crate) fn of_node(
        node: NodeRef<'_>,
        embeddings: &Embeddings,
        snapshot: &Snapshot,
        dirty_nodes: u64,
    ) -> Result<Self, Error> {
        let row = embeddings.require_row(node, snapshot)?;
        let mut vector = embeddings.vector(row);
        vector.push(embeddings.bias[row as usize]);
        Ok(Self::new(vector, embeddings, dirty_nodes))
    }
}

/// The source of a node's current vector.
pub(crate) enum CurrentVector {
    /// The embeddings reflect the graph as it is now.
    Stored(Embedded),
    /// The graph has changed since, so the vector is computed.
    Computed(VectorInput),
}

/// The input of a vector that is computed from the graph. It borrows nothing of the embeddings.
pub(crate) struct VectorInput {
    config: ModelConfig,
    encoder: Arc<Encoder>,
    snapshot: Snapshot,
    node: NodeIx,
    generation: Generation,
}

impl CurrentVector {
    pub(crate) fn new(
        node: NodeRef<'_>,
        embeddings: &Embeddings,
        snapshot: &Snapshot,
        dirty_nodes: u64,
    ) -> Result<Self, Error> {
        let node_ix = embeddings.require_node(node, snapshot)?;
        if embeddings.epoch == snapshot.epoch() {
            return Ok(Self::Stored(Embedded::of_node(node, embeddings, snapshot, dirty_nodes)?));
        }
        Ok(Self::Computed(VectorInput {
            config: embeddings.config.clone(),
            encoder: Arc::clone(&embeddings.encoder),
            snapshot: snapshot.clone(),
            node: node_ix,
            generation: embeddings.generation,
        }))
    }

    /// The vector. Cost: if it is computed, the walks of the nodes around.
    pub(crate) fn embedded(self, cancel: &CancelToken) -> Result<Embedded, Error> {
        match self {
            Self::Stored(embedded) => Ok(embedded),
            Self::Computed(VectorInput { config, encoder, snapshot, node, generation }) => {
                let (vectors, bias) = embed_nodes(&config, &encoder, &snapshot, &[node], cancel)?;
                let vector: Vec<f32> = vectors.iter().copied().chain(bias).collect();
                if !is_finite(&vector) {
                    return Err(Error::not_finite_embedding(&snapshot.name(node)));
                }
                Ok(Embedded { vector, epoch: snapshot.epoch(), dirty_nodes: 0, generation })
            }
        }
    }
}
