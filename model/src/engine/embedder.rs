//! The seam between the graph and whatever gives its nodes vectors.

use hedgerow_storage::{Generation, NodeRef};

use crate::config::error::Error;
use crate::engine::handle::Engine;

/// Something that gives nodes vectors. [`Engine`] is PinSage's; a host may bring another and put it in its place
/// wherever vectors are all that is asked for.
pub trait Embedder: Send + Sync {
    /// Length of a vector.
    ///
    /// # Errors
    /// [`Error::NotTrained`] before there are vectors.
    fn dimension(&self) -> Result<usize, Error>;

    /// Which model the vectors are of: vectors of different generations must not be compared.
    ///
    /// # Errors
    /// [`Error::NotTrained`] before there are vectors.
    fn generation(&self) -> Result<Generation, Error>;

    /// The vectors of some nodes, in their order.
    ///
    /// # Errors
    /// An unknown node, or one without a vector; then none is given.
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
