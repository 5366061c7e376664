//! The state that refreshes work on, and its consistency.

use std::sync::Arc;

use hedgerow_storage::{CancelToken, Derived, Epoch, Error as StoreError, Generation, Snapshot};

use crate::config::error::Error;
use crate::state::layer_rows::State;
use crate::state::model_files;

/// The state that refreshes work on. Readers have a copy of its embeddings.
pub(super) struct WorkingState {
    pub(super) generation: Generation,
    pub(super) state: State,
    /// The epoch of the state in the store's files.
    pub(super) stored: Option<Epoch>,
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
    /// Reads the published state. Rows that are damaged are computed from the model and the graph.
    pub(super) fn open(derived: &Derived, snapshot: &Snapshot, cancel: &CancelToken) -> Result<Self, Error> {
        let generation = derived.generation;
        let loaded = derived.is_complete.then(|| model_files::load(derived, snapshot.bound(), cancel));
        let ((state, is_exact), stored) = match loaded {
            Some(Ok(loaded)) => (loaded, Some(derived.refreshed)),
            None | Some(Err(Error::Store(StoreError::Damaged { .. }))) => {
                let (config, encoder) = model_files::load_model(&derived.file(model_files::MODEL)?)?;
                ((State::build(config, Arc::new(encoder), snapshot, cancel)?.0, true), None)
            }
            Some(Err(other)) => return Err(other),
        };
        let consistency = if is_exact { Consistency::Exact } else { Consistency::EarlierVersion };
        Ok(Self { generation, state, stored, consistency })
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
