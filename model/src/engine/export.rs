//! Export of embeddings and model, and installation of a model from outside.
//! Must not know file formats: callers read and write the files.

use std::sync::{Arc, MutexGuard, PoisonError};

use hedgerow_storage::{CancelToken, Error as StoreError, Generation, NodeIx, Snapshot};

use crate::config::error::Error;
use crate::engine::handle::Engine;
use crate::engine::persist::Digest;
use crate::engine::working_state::{Consistency, WorkingState};
use crate::factors::item_factors::ItemFactors;
use crate::network::parameters::{LoadedModel, Model, refused};
use crate::state::layer_rows::State;
use crate::state::learning_curve::LearningCurve;

/// The embeddings, neighborhoods and model of one epoch, and the graph of that epoch.
///
/// # Visibility
/// Refreshes, trainings and persists wait until it is dropped; readers and commits do not.
pub struct EmbeddingExport<'a> {
    working: MutexGuard<'a, Option<WorkingState>>,
    factors: Arc<[ItemFactors]>,
    snapshot: Snapshot,
}

/// An embedded node of an [`EmbeddingExport`], with its vector and neighborhood.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingRow {
    /// The node.
    pub node: NodeIx,
    /// A unit vector, or zeros.
    pub vector: Vec<f32>,
    /// The popularity, which is added to the node's score.
    pub bias: f32,
    /// Its neighborhood with visits, most visits first.
    pub neighborhood: Vec<(NodeIx, u32)>,
}

impl Engine {
    /// The embeddings of the store's present epoch, for export. Refreshes first if nodes are dirty, and rebuilds rows that an
    /// earlier version computed.
    ///
    /// # Errors
    /// As for [`Engine::refresh`].
    pub fn export_embeddings(&self, cancel: &CancelToken) -> Result<EmbeddingExport<'_>, Error> {
        let mut guard = self.working_state();
        let working = guard.as_mut().ok_or(Error::NotTrained)?;
        let snapshot = self.store.snapshot();
        // Rows of an earlier version have a digest that no import arrives at, so they are rebuilt too.
        if working.consistency != Consistency::Exact || working.state.epoch != snapshot.epoch() {
            // The log has the dirty nodes, and a read-only store does not open the log.
            let full = self.store.is_read_only();
            self.refresh_to(working, &snapshot, full, None, cancel)?;
        }
        self.require_intact(working, WorkingState::verify_vectors, cancel)?;
        working.state.encoder.table.rows.verify()?;
        let factors = working.state.factors.get()?;
        Ok(EmbeddingExport { working: guard, factors, snapshot })
    }

    /// Makes a model from outside the next generation, and embeds every node of its target kinds with it.
    ///
    /// # Visibility
    /// As for [`Training::run`](crate::engine::training::Training::run).
    /// # Errors
    /// [`Error::Model`] if its parts or the dense features of the store do not fit it; [`Error::NotFinite`] with the node of an
    /// embedding that is not finite; a cancellation. Nothing changes then.
    /// # Determinism
    /// Stores with the same content and the same installed model have the same digest.
    pub fn install(&self, model: &Model, cancel: &CancelToken) -> Result<Generation, Error> {
        if self.store.is_read_only() {
            return Err(StoreError::ReadOnly { path: self.store.path().to_path_buf() }.into());
        }
        let LoadedModel { config, encoder, factors } = model.parse()?;
        let _exclusive = self.training.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.store.snapshot();
        let blocks = snapshot.dense_blocks();
        for (name, width) in &config.dense {
            if let Some((_, found)) = blocks.iter().find(|(block, found)| block == name && found != width) {
                return Err(refused(format!(
                    "it reads {width} numbers of the dense features '{name}', the store has {found}"
                )));
            }
        }
        let (state, _) = State::build(config, Arc::new(encoder), factors, &snapshot, cancel)?;
        Ok(self.publish_trained(state, &LearningCurve::default(), cancel)?.0)
    }
}

impl EmbeddingExport<'_> {
    fn working(&self) -> &WorkingState {
        self.working.as_ref().expect("an export is made from a state and keeps it locked")
    }

    /// The graph.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The digest of the rows.
    ///
    /// # Errors
    /// A cancellation.
    pub fn digest(&self, cancel: &CancelToken) -> Result<Digest, Error> {
        let ids: Vec<_> = self.state().nodes.iter().map(|&node| self.snapshot.stable_id(node)).collect();
        Digest::new(self.state(), self.working().generation, &ids, cancel)
    }

    /// Length of a vector.
    pub fn dim(&self) -> usize {
        self.state().config.dim
    }

    /// The number of embedded nodes.
    pub fn count(&self) -> u64 {
        self.state().alive_rows().count() as u64
    }

    /// The model. Cost: a copy of it.
    pub fn model(&self) -> Model {
        let State { config, encoder, .. } = self.state();
        Model::of(config, encoder, &self.factors)
    }

    /// The row of a node; `None` if it is not embedded.
    pub fn row(&self, node: NodeIx) -> Option<EmbeddingRow> {
        let state = self.state();
        let row = state.row(node)?;
        let at = row as usize;
        let neighborhood = state.neighborhoods.get(row).iter();
        Some(EmbeddingRow {
            node,
            vector: state.vectors.numbers(at),
            bias: state.bias[at],
            neighborhood: neighborhood.map(|(row, visits)| (state.nodes[row as usize], visits)).collect(),
        })
    }

    fn state(&self) -> &State {
        &self.working().state
    }
}
