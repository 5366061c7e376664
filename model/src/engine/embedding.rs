//! Vectors of nodes, and the trait that lets a host bring another model.

use hedgerow_storage::{CancelToken, Generation, NodeName, NodeRef};
use hedgerow_walker::{Policy, WalkOptions};

use crate::config::error::Error;
use crate::engine::handle::Engine;
use crate::query::node::inductive::{NewNode, vector_of_new_node};
use crate::query::node::neighborhood::{Importance, neighborhood};
use crate::query::node::node_vector::{CurrentVector, Embedded};
use crate::query::query::require_answers;

/// A model that gives nodes vectors. [`Engine`] is PinSage's. A host that needs vectors only may implement it for another model.
pub trait Embedder: Send + Sync {
    /// Length of a vector.
    ///
    /// # Errors
    /// [`Error::NotTrained`] before there are vectors.
    fn dimension(&self) -> Result<usize, Error>;

    /// The model of the vectors. Vectors of different generations must not be compared.
    ///
    /// # Errors
    /// [`Error::NotTrained`] before there are vectors.
    fn generation(&self) -> Result<Generation, Error>;

    /// The vectors of some nodes, in their order.
    ///
    /// # Errors
    /// An unknown node, or one without a vector; then no vector is returned.
    fn embed(&self, nodes: &[NodeRef<'_>]) -> Result<Vec<Vec<f32>>, Error>;
}

impl Embedder for Engine {
    fn dimension(&self) -> Result<usize, Error> {
        self.status().dim.ok_or(Error::NotTrained)
    }

    fn generation(&self) -> Result<Generation, Error> {
        self.status().generation.ok_or(Error::NotTrained)
    }

    fn embed(&self, nodes: &[NodeRef<'_>]) -> Result<Vec<Vec<f32>>, Error> {
        nodes.iter().map(|&node| Ok(self.embedding(node)?.vector)).collect()
    }
}

impl Engine {
    /// A node's embedding.
    ///
    /// # Errors
    /// [`Error::NotEmbedded`] if its kind is not embedded or it came after the last refresh.
    pub fn embedding<'n>(&self, node: impl Into<NodeRef<'n>>) -> Result<Embedded, Error> {
        let node = node.into();
        self.with_embeddings(|embeddings, snapshot| {
            Embedded::of_node(node, embeddings, snapshot, self.dirty_nodes())
        })
    }

    /// A node's embedding in the graph as it is now: the one that a refresh would give it. If nothing changed since the last
    /// refresh, it is the readers' embedding.
    ///
    /// # Visibility
    /// Nothing changes, so the next read costs the same: it is for hosts that read few of many changed nodes. The epoch is the
    /// store's, with no dirty node. It does not wait for a refresh.
    /// # Errors
    /// [`Error::NotEmbedded`] if its kind is not embedded; a cancellation.
    /// # Cost
    /// With K layers and neighborhoods of T nodes, the walks of up to T^(K - 1) nodes and as many rows of T products.
    pub fn embedding_now<'n>(
        &self,
        node: impl Into<NodeRef<'n>>,
        cancel: &CancelToken,
    ) -> Result<Embedded, Error> {
        let node = node.into();
        let vector = self.with_embeddings(|embeddings, snapshot| {
            CurrentVector::new(node, embeddings, snapshot, self.dirty_nodes())
        })?;
        vector.embedded(cancel)
    }

    /// The embedding of a node that the store does not hold, computed from its features and its neighborhood. Changes nothing.
    ///
    /// # Visibility
    /// It reads the state that refreshes work on. So it waits for a refresh in progress, and refreshes wait for it. A task of the
    /// rayon pool that refreshes run on must not call it: it would keep a thread that they need.
    /// # Errors
    /// An unknown node in the history; a dense block that the model does not have, of another width, or with a value that is not
    /// finite; [`Error::PartlyRefreshed`] between a refresh that was cancelled and the next one.
    pub fn embed_new_node(&self, new_node: &NewNode) -> Result<Embedded, Error> {
        // The copy is not made under the lock of the state.
        self.make_reader_copy()?;
        self.with_state(|state| {
            self.with_embeddings(|embeddings, snapshot| {
                let row = |name: &NodeName| embeddings.require_row(name.as_ref(), snapshot);
                let rows = new_node.history.iter().map(row).collect::<Result<Vec<_>, _>>()?;
                let vector = vector_of_new_node(state, new_node, &rows)?;
                Ok(Embedded::new(vector, embeddings, self.dirty_nodes()))
            })
        })
    }

    /// The walk neighborhood of a node in the graph as it is now, at most `k` nodes. It takes the model's walk options, or the
    /// defaults if no model embeds the node's kind. Needs no training.
    ///
    /// # Errors
    /// An unknown node; a `k` of 0.
    pub fn neighborhood<'n>(&self, node: impl Into<NodeRef<'n>>, k: usize) -> Result<Vec<Importance>, Error> {
        require_answers(k)?;
        let node = node.into();
        let model_walks = self.reader_copy().header().and_then(|header| {
            let policy = header.config.policies.iter().find(|policy| policy.kind == node.kind)?;
            Some((header.config.walks, policy.clone()))
        });
        let snapshot = self.store.snapshot();
        let source = snapshot.require(node)?;
        let (walks, policy) = model_walks.unwrap_or_else(|| {
            (WalkOptions::default(), Policy::default_for(&snapshot, snapshot.kind(source)))
        });
        neighborhood(&snapshot, source, walks, &policy, k)
    }
}
