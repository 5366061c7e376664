//! The state that refreshes work on, and its consistency.

use std::sync::Arc;

use hedgerow_storage::{CancelToken, Changes, Damage, Derived, Error as StoreError, Generation, Snapshot};

use crate::config::error::Error;
use crate::config::report::RefreshReport;
use crate::network::parameters::LoadedModel;
use crate::state::incremental::{SearchLimit, StateUpdate};
use crate::state::layer_rows::State;
use crate::state::model_files;
use crate::state::row_changes::StoredRows;

/// The remedy for damaged rows.
const RECOMPUTED: &str = "all rows were computed again from the graph and the model";

/// The damage of rows that an error tells of; every other error is returned.
pub(super) fn damage_of(error: StoreError) -> Result<Damage, Error> {
    match error {
        StoreError::Damaged { path, place, what } => {
            Ok(Damage { path, place, what, remedy: RECOMPUTED.to_owned() })
        }
        other => Err(other.into()),
    }
}

/// The state that refreshes work on. Readers share its embeddings.
pub(super) struct WorkingState {
    pub(super) generation: Generation,
    pub(super) state: State,
    /// The rows that the store's files have. `None` if they are not those of the state: a rebuild may have given others at the same
    /// epoch.
    pub(super) stored: Option<StoredRows>,
    pub(super) consistency: Consistency,
}

/// The use that a refresh can make of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consistency {
    /// The next refresh continues from the rows.
    Exact,
    /// An earlier version of the crate computed the rows: readers can use them, and the next refresh rebuilds.
    EarlierVersion,
    /// A refresh was interrupted, so rows are of different epochs: the next refresh rebuilds.
    Interrupted,
}

impl WorkingState {
    /// Reads the published state. Rows that are damaged are computed from the model and the graph, and the damage is returned.
    pub(super) fn open(
        derived: &Derived,
        snapshot: &Snapshot,
        is_mapped: bool,
        cancel: &CancelToken,
    ) -> Result<(Self, Option<Damage>), Error> {
        let generation = derived.generation;
        let damage = match model_files::load(derived, snapshot.bound(), is_mapped, cancel) {
            Ok((state, stored, is_exact)) if derived.is_complete => {
                let consistency = if is_exact { Consistency::Exact } else { Consistency::EarlierVersion };
                return Ok((Self { generation, state, stored: Some(stored), consistency }, None));
            }
            // The log has a gap behind the rows, which the store has reported.
            Ok(_) => None,
            Err(Error::Store(error)) => Some(damage_of(error)?),
            Err(other) => return Err(other),
        };
        let LoadedModel { config, encoder, factors } =
            model_files::load_model(&derived.file(model_files::MODEL)?, is_mapped)?;
        let (mut state, _) = State::build(config, Arc::new(encoder), factors, snapshot, cancel)?;
        if !is_mapped {
            state.make_reverse_lists();
        }
        Ok((Self { generation, state, stored: None, consistency: Consistency::Exact }, damage))
    }

    /// Verifies the rows of all layers, and the embeddings.
    pub(super) fn verify(&self) -> Result<(), StoreError> {
        self.state.verify()
    }

    /// Verifies the embeddings.
    pub(super) fn verify_vectors(&self) -> Result<(), StoreError> {
        self.state.vectors.verify()
    }

    /// Verifies the rows that the next persist writes.
    pub(super) fn verify_unstored(&self) -> Result<(), StoreError> {
        match self.stored.as_ref().and_then(|stored| stored.next_file(&self.state)) {
            Some(next) => next.verify(&self.state),
            None => self.verify(),
        }
    }

    /// A state computed from the model and the graph alone.
    pub(super) fn build(
        &self,
        snapshot: &Snapshot,
        cancel: &CancelToken,
    ) -> Result<(State, RefreshReport), Error> {
        let State { config, encoder, factors, .. } = &self.state;
        State::build(config.clone(), Arc::clone(encoder), factors.clone(), snapshot, cancel)
    }

    /// Applies changes to the rows. `None` if the rows are not those of the graph or the limit is reached, and they must be rebuilt.
    pub(super) fn follow(
        &mut self,
        snapshot: &Snapshot,
        changes: &Changes,
        limit: SearchLimit,
        cancel: &CancelToken,
    ) -> Result<Option<StateUpdate>, Error> {
        // An error on the way leaves rows of different epochs.
        self.consistency = Consistency::Interrupted;
        let rows = self.state.rows();
        let update = self.state.update(snapshot, changes, limit, cancel)?;
        if update.is_some() {
            self.consistency = Consistency::Exact;
        }
        if let (Some(stored), Some(changed)) =
            (&mut self.stored, update.as_ref().and_then(|update| update.changed_rows.as_ref()))
        {
            stored.add(changed, rows..self.state.rows(), self.state.hidden.len());
        }
        Ok(update)
    }

    /// Takes the rows of a rebuild, with reverse lists unless files are mapped. The next persist stores them, also at an epoch that is
    /// stored.
    pub(super) fn replace(&mut self, mut rebuilt: State, is_mapped: bool) {
        if !is_mapped {
            rebuilt.make_reverse_lists();
        }
        self.state = rebuilt;
        self.stored = None;
        self.consistency = Consistency::Exact;
    }

    /// The state, unless a refresh was interrupted.
    pub(super) fn consistent(&self) -> Result<&State, Error> {
        if self.consistency == Consistency::Interrupted {
            Err(Error::PartlyRefreshed)
        } else {
            Ok(&self.state)
        }
    }
}
