//! The durable copy of the working state, and the digest of its rows.

use std::fmt;
use std::sync::Arc;

use hedgerow_storage::{
    CancelToken, Damage, Epoch, Error as StoreError, Generation, Publish, SectionWriter, StableId,
};

use crate::config::error::Error;
use crate::engine::handle::Engine;
use crate::engine::working_state::{Consistency, WorkingState};
use crate::factors::item_factors::ItemFactors;
use crate::state::layer_rows::State;
use crate::state::learning_curve::LearningCurve;
use crate::state::model_files;
use crate::state::row_changes::{NextFile, StoredRows};

/// A digest of all embeddings, neighborhoods and factors, and the epoch and model of its rows. Equal digests mean equal bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Digest {
    /// BLAKE3, in hexadecimal digits.
    pub digest: String,
    /// The epoch that the embeddings reflect.
    pub epoch: Epoch,
    /// The model's generation.
    pub generation: Generation,
    /// The number of nodes.
    pub nodes: u64,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digest)
    }
}

impl Digest {
    /// The digest of a state whose rows have these stable ids.
    pub(super) fn new(
        state: &State,
        generation: Generation,
        ids: &[StableId],
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let mut rows: Vec<u32> = state.alive_rows().collect();
        rows.sort_by_key(|&row| ids[row as usize]);
        let stage = cancel.stage("rows", rows.len() as u64);
        let mut hasher = blake3::Hasher::new();
        for &row in &rows {
            stage.advance(1)?;
            let at = row as usize;
            hasher.update(&ids[at].get().to_le_bytes());
            let neighborhood = state.neighborhoods.get(row);
            hasher.update(&(neighborhood.len() as u64).to_le_bytes());
            for (neighbor, count) in neighborhood.iter() {
                hasher.update(&ids[neighbor as usize].get().to_le_bytes());
                hasher.update(&count.to_le_bytes());
            }
            let vector = state.vectors.row(at);
            hasher.update(bytemuck::cast_slice(&vector.integers[..state.config.dim]));
            hasher.update(&vector.unit.to_le_bytes());
            hasher.update(&state.bias[at].to_le_bytes());
        }
        stage.end();
        // Scores read factors and constants besides the rows.
        for factors in state.factors.get()?.iter() {
            factors.hash_into(&mut |bytes| {
                hasher.update(bytes);
            });
        }
        Ok(Self {
            digest: hasher.finalize().to_hex().to_string(),
            epoch: state.epoch,
            generation,
            nodes: rows.len() as u64,
        })
    }
}

/// A model that takes the place of another.
pub(super) struct NewModel<'a> {
    pub(super) curve: &'a LearningCurve,
    /// The model before it, which a rollback brings back.
    pub(super) before: Option<EarlierModel<'a>>,
}

/// The model of a generation, without rows.
pub(super) struct EarlierModel<'a> {
    state: &'a State,
    factors: Arc<[ItemFactors]>,
    curve: LearningCurve,
}

impl EarlierModel<'_> {
    fn file(&self) -> SectionWriter<'_> {
        model_files::model_file(self.state, &self.factors, &self.curve)
    }
}

impl Engine {
    /// The model of the working state, to be kept beside the next one. `None` where its file is damaged.
    pub(super) fn earlier_model<'a>(
        &self,
        working: &'a WorkingState,
    ) -> Result<Option<EarlierModel<'a>>, Error> {
        let state = &working.state;
        let read = || {
            state.encoder.table.rows.verify()?;
            let curve = self.learning_curve()?.unwrap_or_default();
            Ok(EarlierModel { state, factors: state.factors.get()?, curve })
        };
        match read() {
            Err(Error::Store(StoreError::Damaged { .. })) => Ok(None),
            other => other.map(Some),
        }
    }

    /// True if the model of the generation before is stored and intact.
    pub(super) fn has_previous(&self) -> bool {
        self.set().derived().is_some_and(|derived| derived.file(model_files::PREVIOUS_MODEL).is_ok())
    }

    /// Stores the rows that refreshes changed since the last call. Those of a rebuild are stored whatever their epoch is.
    ///
    /// # Visibility
    /// Durable when it returns: the next open starts from these rows and does not refresh again. Readers of this engine see no
    /// difference. The records of [`Engine::refresh_history`] are stored too, if the store can be written.
    /// # Cost
    /// Writes the changed rows of all layers; refreshes wait. Now and then it writes rows of earlier calls again, each row about
    /// log2(calls) times. If more than a quarter of all rows changed since they were stored together, it then merges the stored files.
    /// That reads and writes all rows, and refreshes and other persists go on meanwhile. If as many changed since the last call, it
    /// writes all rows at once.
    /// # Errors
    /// An error of the store, or a cancellation; the embeddings in memory stay as they are. The changed rows may be stored by then.
    pub fn persist(&self, cancel: &CancelToken) -> Result<(), Error> {
        self.store_changed_rows(cancel)?;
        self.history().store(self.set());
        match self.merge_changes(cancel) {
            Err(Error::Store(StoreError::Damaged { path, place, what })) => {
                let remedy = "all rows were stored again".to_owned();
                self.note_damage(Damage { path, place, what, remedy });
                if let Some(working) = self.working_state().as_mut() {
                    working.stored = None;
                }
                self.store_changed_rows(cancel)
            }
            other => other,
        }
    }

    fn store_changed_rows(&self, cancel: &CancelToken) -> Result<(), Error> {
        let is_unstored = |working: &WorkingState| {
            working.stored.as_ref().map(|stored| stored.epoch) != Some(working.state.epoch)
        };
        if let Some(working) = self.working_state().as_mut()
            && working.consistency == Consistency::Exact
            && is_unstored(working)
        {
            self.require_intact(working, WorkingState::verify_unstored, cancel)?;
            // Rows that were damaged are stored with all others now.
            if is_unstored(working) {
                self.publish_to_store(working, None, cancel)?;
            }
        }
        Ok(())
    }

    /// Writes the working state to the store's files.
    pub(super) fn publish_to_store(
        &self,
        working: &mut WorkingState,
        new_model: Option<&NewModel<'_>>,
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        let (state, epoch) = (&working.state, working.state.epoch);
        let next = working.stored.as_ref().filter(|_| new_model.is_none());
        let next = next.and_then(|stored| stored.next_file(state));
        let changed = next.as_ref().and_then(|next| next.content(state));
        let kept: Vec<String> = next.iter().flat_map(NextFile::kept).collect();
        let factors = new_model.map(|_| state.factors.get()).transpose()?.unwrap_or_default();
        let model = new_model.map(|new| model_files::model_file(state, &factors, new.curve));
        let earlier = new_model.map(|new| new.before.as_ref().map(EarlierModel::file));
        let all = |file: fn(&State) -> SectionWriter<'_>| next.is_none().then(|| file(state));
        let mut files = vec![
            (model_files::MODEL, model),
            (model_files::NEIGHBORHOODS, all(model_files::neighborhoods_file)),
            (model_files::EMBEDDINGS, all(model_files::embeddings_file)),
        ];
        files.extend(kept.iter().map(|name| (name.as_str(), None)));
        match earlier {
            Some(file) => files.extend(file.map(|file| (model_files::PREVIOUS_MODEL, Some(file)))),
            None if self.has_previous() => files.push((model_files::PREVIOUS_MODEL, None)),
            None => {}
        }
        let (name, changed) = changed.unzip();
        files.extend(name.as_deref().map(|name| (name, changed)));
        self.set().publish(Publish { generation: working.generation, refreshed: epoch, files }, cancel)?;
        match (&mut working.stored, next) {
            (Some(stored), Some(next)) => stored.stored(epoch, next),
            _ => working.stored = Some(StoredRows::whole(epoch)),
        }
        Ok(())
    }

    /// One BLAKE3 over all neighborhoods and embeddings in the order of the nodes' stable ids: equal digests mean equal bytes. It
    /// reflects the last refresh, not later commits.
    ///
    /// # Errors
    /// [`Error::NotTrained`]; [`Error::PartlyRefreshed`] between a refresh that was cancelled and the next one; a cancellation.
    /// # Cost
    /// Reads all rows, about a second for each GB. Refreshes wait.
    pub fn digest(&self, cancel: &CancelToken) -> Result<Digest, Error> {
        let mut guard = self.working_state();
        let working = guard.as_mut().ok_or(Error::NotTrained)?;
        working.consistent()?;
        self.require_intact(working, WorkingState::verify_vectors, cancel)?;
        let (state, snapshot) = (&working.state, self.store.snapshot());
        let ids: Vec<StableId> = state.nodes.iter().map(|&node| snapshot.stable_id(node)).collect();
        Digest::new(state, working.generation, &ids, cancel)
    }
}
