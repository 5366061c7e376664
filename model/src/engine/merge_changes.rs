//! Merging the stored changes with the stored rows, while refreshes and persists go on.
//! Owns the files of the merge; `state` reads and writes the rows.

use std::sync::TryLockError;

use hedgerow_storage::{CancelToken, Derived, Error as StoreError};

use crate::config::error::Error;
use crate::engine::handle::Engine;
use crate::state::model_files;
use crate::state::row_changes::is_file_of_changes;

/// The sidecar files of merged rows. They take the place of the stored ones together.
pub(super) const NEW_FILES: [(&str, &str); 2] =
    [(model_files::NEIGHBORHOODS, "merged-neighborhoods"), (model_files::EMBEDDINGS, "merged-embeddings")];

impl Engine {
    /// Writes all stored rows into new files, if the files of changes are large beside them. It reads the stored files and not the rows
    /// in memory. So refreshes and other persists go on, and wait only while the new files are named.
    ///
    /// The result is dropped if all rows were stored meanwhile. Files of changes that were stored meanwhile stay.
    ///
    /// # Errors
    /// An error of the store, or a cancellation. The stored files stay then.
    /// # Cost
    /// Reads and writes all rows of all layers. The pages with changed rows are in memory once more.
    pub(super) fn merge_changes(&self, cancel: &CancelToken) -> Result<(), Error> {
        // A second merge would do the work of the first again.
        let _merging = match self.merging.try_lock() {
            Ok(merging) => merging,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        if !self.should_merge() {
            return Ok(());
        }
        // What a persist verified long ago may be damaged by now, and must not get a new checksum.
        let Some(stored) = self.set().reopen()? else { return Ok(()) };
        let merged = self.write_merged(&stored, cancel);
        if merged.is_err() {
            // Those that cannot be removed are removed at the next opening.
            let _ = self.remove_merged_files();
        }
        merged
    }

    fn should_merge(&self) -> bool {
        let working = self.working_state();
        let stored = working.as_ref().and_then(|working| Some((working.stored.as_ref()?, &working.state)));
        stored.is_some_and(|(stored, state)| stored.should_merge(state))
    }

    fn write_merged(&self, stored: &Derived, cancel: &CancelToken) -> Result<(), Error> {
        {
            let (state, _, is_exact) =
                model_files::load(stored, self.store.snapshot().bound(), true, cancel)?;
            if !is_exact {
                return Ok(());
            }
            state.verify()?;
            let files = [model_files::neighborhoods_file(&state), model_files::embeddings_file(&state)];
            for ((_, sidecar), file) in NEW_FILES.iter().zip(&files) {
                self.set().write_sidecar_with(sidecar, file, cancel)?;
            }
        }
        let mut new = Vec::new();
        for (name, sidecar) in NEW_FILES {
            let missing = || StoreError::damaged(self.store.path(), sidecar, "the file was removed");
            new.push((name, self.set().sidecar(sidecar)?.ok_or_else(missing)?));
        }
        // From here on no persist changes the stored files.
        let mut working = self.working_state();
        let changes: Vec<&str> = stored.names().filter(|name| is_file_of_changes(name)).collect();
        let is_replaced = self.set().replace(stored, &new, &changes)?;
        if let (true, Some(working), Some(now)) = (is_replaced, working.as_mut(), self.set().derived())
            && let Some(stored) = &mut working.stored
        {
            stored.merged(&now);
        }
        drop(working);
        if is_replaced { Ok(()) } else { self.remove_merged_files() }
    }

    /// Removes what a merge left that did not end.
    pub(super) fn remove_merged_files(&self) -> Result<(), Error> {
        for (_, sidecar) in NEW_FILES {
            self.set().remove_sidecar(sidecar)?;
        }
        Ok(())
    }
}
