//! The models of a store: their list, the default one, removal, and the return to the generation before.

use std::sync::{Arc, PoisonError};

use hedgerow_storage::{CancelToken, Derived, Epoch, Error as StoreError, Generation, Store};

use crate::config::error::Error;
use crate::engine::handle::Engine;
use crate::engine::{merge_changes, refresh_history};
use crate::network::parameters::LoadedModel;
use crate::state::layer_rows::State;
use crate::state::model_files;
use crate::train::checkpoint;

/// A model of a store, as of its last publish.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ModelStatus {
    /// Its name.
    pub name: String,
    /// True if it answers where no model is named.
    pub is_default: bool,
    /// Its generation.
    pub generation: Generation,
    /// The epoch that its stored embeddings reflect.
    pub embedded: Epoch,
    /// Nodes that changed since its last refresh.
    pub dirty_nodes: u64,
    /// The embedded kinds.
    pub targets: Vec<String>,
    /// Length of an embedding.
    pub dim: usize,
    /// Bytes of its files.
    pub bytes: u64,
    /// The generation that a rollback brings back. `None` if there is none.
    pub previous: Option<Generation>,
}

impl std::fmt::Display for ModelStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, generation, embedded, dirty_nodes, dim, targets, .. } = self;
        let targets = targets.join(", ");
        write!(
            f,
            "{name}: generation {generation} of epoch {embedded}, {dirty_nodes} dirty nodes, {dim} numbers for {targets}"
        )
    }
}

impl Engine {
    /// The models of a store, by name.
    ///
    /// # Errors
    /// Damage of a model. Cost: reads the configuration of each.
    pub fn models(store: &Store) -> Result<Vec<ModelStatus>, Error> {
        let default = store.default_set();
        let status = |name: String| {
            let set = store.derived_set(&name);
            let Some(derived) = set.derived() else { return Ok(None) };
            let config = model_files::load_config(&derived.file(model_files::MODEL)?)?;
            Ok(Some(ModelStatus {
                is_default: name == default,
                generation: derived.generation,
                embedded: derived.refreshed,
                dirty_nodes: set.dirty_nodes(),
                targets: config.targets().map(str::to_owned).collect(),
                dim: config.dim + 1,
                bytes: derived.bytes(),
                previous: previous_generation(&derived),
                name,
            }))
        };
        store.derived_sets().into_iter().filter_map(|name| status(name).transpose()).collect()
    }

    /// Makes this model the default one: it answers where no model is named.
    ///
    /// # Visibility
    /// Durable on return. An engine that is open keeps its model; [`Engine::open`] opens this one from now on.
    /// # Errors
    /// [`Error::NotTrained`]; errors of the store.
    pub fn promote(&self) -> Result<(), Error> {
        self.set().derived().ok_or(Error::NotTrained)?;
        Ok(self.set().make_default()?)
    }

    /// Makes the model of the generation before the current one again. Its rows are computed as in a rebuild. It is published as the
    /// next generation, and the model that it replaces is kept: a second rollback brings that one back.
    ///
    /// # Visibility
    /// As for [`Training::run`](crate::engine::training::Training::run).
    /// # Errors
    /// [`Error::NotTrained`]; [`Error::NoPreviousGeneration`]; damage of the model; a cancellation. Nothing changes then.
    /// # Cost
    /// A rebuild, and writing all files.
    pub fn rollback(&self, cancel: &CancelToken) -> Result<Generation, Error> {
        if self.store.is_read_only() {
            return Err(StoreError::ReadOnly { path: self.store.path().to_path_buf() }.into());
        }
        let _exclusive = self.training.lock().unwrap_or_else(PoisonError::into_inner);
        let derived = self.set().derived().ok_or(Error::NotTrained)?;
        if !derived.has(model_files::PREVIOUS_MODEL) {
            return Err(Error::NoPreviousGeneration { model: self.name().to_owned() });
        }
        let file = derived.file(model_files::PREVIOUS_MODEL)?;
        // The file is replaced, so nothing of it is read later.
        let LoadedModel { config, encoder, factors } = model_files::load_model(&file, false)?;
        let curve = model_files::load_curve(&file)?.unwrap_or_default();
        let snapshot = self.store.snapshot();
        let (state, _) = State::build(config, Arc::new(encoder), factors, &snapshot, cancel)?;
        Ok(self.publish_trained(state, &curve, cancel)?.0)
    }

    /// Removes a model with all its files, those of an unfinished training included.
    ///
    /// # Visibility
    /// Durable on return. An engine of the model that is open answers on, and cannot store its rows any more.
    /// # Errors
    /// [`Error::UnknownModel`]; [`Error::DefaultModel`] for the default model while there are others; errors of the store.
    pub fn drop_model(store: &Store, name: &str) -> Result<(), Error> {
        let set = store.derived_set(name);
        set.check_name()?;
        let models = store.derived_sets();
        let has_job = set.sidecar(checkpoint::NAME).map_or(true, |file| file.is_some());
        if set.derived().is_none() && !has_job {
            return Err(Error::UnknownModel { model: name.to_owned(), known: models.join(", ") });
        }
        if name == store.default_set() && models.len() > 1 {
            return Err(Error::DefaultModel { model: name.to_owned() });
        }
        set.discard()?;
        let merged = merge_changes::NEW_FILES.map(|(_, sidecar)| sidecar);
        for sidecar in [checkpoint::NAME, refresh_history::NAME].into_iter().chain(merged) {
            set.remove_sidecar(sidecar)?;
        }
        Ok(())
    }
}

/// The number of the generation before: each publish of a model has the next number.
fn previous_generation(derived: &Derived) -> Option<Generation> {
    let has_previous = derived.file(model_files::PREVIOUS_MODEL).is_ok();
    has_previous.then(|| Generation::new(derived.generation.get().saturating_sub(1)))
}
