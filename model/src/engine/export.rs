//! All that was learned, held still for whoever writes it down, and a model from elsewhere put to work.
//! Which files it comes from and goes to is the caller's to know.

use std::sync::{Arc, MutexGuard, PoisonError};

use hedgerow_storage::{CancelToken, Error as StoreError, Generation, NodeIx, Snapshot, StableId};

use crate::config::error::Error;
use crate::engine::handle::{Digest, Engine, Work};
use crate::network::parameters::{Model, refused};
use crate::state::learning_curve::LearningCurve;
use crate::state::state::State;

/// The embeddings, neighbourhoods and model of one epoch, and the graph of the same.
///
/// # Visibility
/// While it lives no refresh, training or persist gets on; readers and commits do.
pub struct EmbeddingExport<'a> {
    work: MutexGuard<'a, Option<Work>>,
    snapshot: Snapshot,
}

/// An embedded node with its vector and neighbourhood, as [`EmbeddingExport`] holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingRow<'a> {
    /// The node.
    pub node: NodeIx,
    /// A unit vector, or zeros.
    pub vector: &'a [f32],
    /// What is added to the node's score.
    pub bias: f32,
    /// Its neighbourhood with visits, most first.
    pub neighborhood: Vec<(NodeIx, u32)>,
}

impl Engine {
    /// Refreshes where nodes are dirty, and holds what is there then.
    ///
    /// # Errors
    /// As for [`Engine::refresh`].
    pub fn learned(&self, cancel: &CancelToken) -> Result<EmbeddingExport<'_>, Error> {
        let mut guard = self.work();
        let work = guard.as_mut().ok_or(Error::NotTrained)?;
        let snapshot = self.store.snapshot();
        if work.whole().is_err() || work.state.epoch != snapshot.epoch() {
            // Which nodes are dirty is in the log, which a read-only store does not open.
            let full = self.store.is_read_only();
            self.bring(work, &snapshot, full, None, cancel)?;
        }
        Ok(EmbeddingExport { work: guard, snapshot })
    }

    /// Makes a model of elsewhere the next generation, and embeds every node of its target kinds with it.
    ///
    /// # Visibility
    /// As for [`Training::run`](crate::engine::training::Training::run).
    /// # Errors
    /// [`Error::Model`] where it does not fit together, or does not fit the dense features of the store; a cancellation.
    /// Nothing changes then.
    /// # Determinism
    /// Stores of the same content in which the same model was installed have the same digest.
    pub fn install(&self, model: &Model, cancel: &CancelToken) -> Result<Generation, Error> {
        if self.store.is_read_only() {
            return Err(StoreError::ReadOnly { path: self.store.path().to_path_buf() }.into());
        }
        let (recipe, encoder) = model.parse()?;
        let _alone = self.training.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.store.snapshot();
        let blocks = snapshot.dense_blocks();
        for (name, width) in &recipe.dense {
            if let Some((_, found)) = blocks.iter().find(|(block, found)| block == name && found != width) {
                return Err(refused(format!(
                    "it reads {width} numbers of the dense features '{name}', the store has {found}"
                )));
            }
        }
        let (state, _) = State::build(recipe, Arc::new(encoder), &snapshot, cancel)?;
        Ok(self.publish_trained(state, &LearningCurve::default(), cancel)?.0)
    }
}

impl EmbeddingExport<'_> {
    fn now(&self) -> &Work {
        self.work.as_ref().expect("it is held since there was something to hold")
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
        digest_of(self.state(), self.now().generation, &ids, cancel)
    }

    /// Length of a vector.
    pub fn dim(&self) -> usize {
        self.state().recipe.dim
    }

    /// How many nodes are embedded.
    pub fn count(&self) -> u64 {
        self.state().alive_rows().count() as u64
    }

    /// The model. Cost: a copy of it.
    pub fn model(&self) -> Model {
        Model::of(&self.state().recipe, &self.state().encoder)
    }

    /// What a node has, where it is embedded.
    pub fn row(&self, node: NodeIx) -> Option<EmbeddingRow<'_>> {
        let state = self.state();
        let at = state.row(node)? as usize;
        let neighborhood = state.neighborhoods[at].iter();
        Some(EmbeddingRow {
            node,
            vector: state.vectors.row(at),
            bias: state.bias[at],
            neighborhood: neighborhood.map(|&(row, visits)| (state.nodes[row as usize], visits)).collect(),
        })
    }

    fn state(&self) -> &State {
        &self.now().state
    }
}

/// The digest of a state whose rows have these stable ids.
pub(super) fn digest_of(
    state: &State,
    generation: Generation,
    ids: &[StableId],
    cancel: &CancelToken,
) -> Result<Digest, Error> {
    let mut rows: Vec<u32> = state.alive_rows().collect();
    rows.sort_by_key(|&row| ids[row as usize]);
    let stage = cancel.stage("rows", rows.len() as u64);
    let mut hasher = blake3::Hasher::new();
    for &row in &rows {
        stage.advance(1)?;
        let at = row as usize;
        hasher.update(&ids[at].get().to_le_bytes());
        hasher.update(&(state.neighborhoods[at].len() as u64).to_le_bytes());
        for &(neighbor, count) in &state.neighborhoods[at] {
            hasher.update(&ids[neighbor as usize].get().to_le_bytes());
            hasher.update(&count.to_le_bytes());
        }
        for value in state.vectors.row(at).iter().chain([&state.bias[at]]) {
            hasher.update(&value.to_le_bytes());
        }
    }
    stage.end();
    Ok(Digest {
        digest: hasher.finalize().to_hex().to_string(),
        epoch: state.epoch,
        generation,
        nodes: rows.len() as u64,
    })
}
