//! Checkpoints: the changes in the log are written into segment files.
//! Owns the decision to make one and the segments for it; `publish` makes them current.

use std::sync::Arc;

use crate::checkpoint::manifest::Manifest;
use crate::checkpoint::published::stem;
use crate::checkpoint::write_checkpoint;
use crate::fs::verified_files::OpenMode;
use crate::graph::graph_state::GraphState;
use crate::segments::Segments;
use crate::store::handle::Store;
use crate::store::private_pool;
use crate::store::publish::NewFiles;
use crate::store::published_records::RECORDS;
use crate::store::writer::{Publishing, Writer};
use crate::types::cancel::CancelToken;
use crate::types::error::Error;
use crate::wal::record_scan::{DAMAGED_LOG, remove_folder};

/// The fewest operations since the last checkpoint that are worth another one.
const MIN_CHECKPOINT_OPS: u64 = 65_536;

impl Store {
    /// Writes the changes since the last checkpoint into files. Opening becomes fast, and readers in other processes
    /// see the current state.
    ///
    /// # Visibility
    /// Everything committed before the call is in the files when it returns, durably. Snapshots stay as they are.
    /// Commits and readers go on meanwhile; commits wait for some milliseconds at its end.
    ///
    /// # Errors
    /// [`Error::Cancelled`], or errors of writing. The store is then as before, except after [`Error::Broken`].
    ///
    /// # Cost
    /// Each file with a change is rewritten in full, one file after another.
    pub fn checkpoint(&self, cancel: &CancelToken) -> Result<(), Error> {
        let writer = self.writer()?;
        let mut publishing = writer.publishing()?;
        self.checkpoint_with(writer, &mut publishing, false, cancel)
    }

    /// Makes a checkpoint if the log has more than 65,536 changes, and more than a quarter of the list entries in the
    /// segments. If no edge changed, an eighth of the nodes is enough, because the file of the lists stays. Returns whether it made one.
    ///
    /// # Visibility
    /// As for [`Self::checkpoint`].
    ///
    /// # Errors
    /// As for [`Self::checkpoint`].
    pub fn checkpoint_if_worthwhile(&self, cancel: &CancelToken) -> Result<bool, Error> {
        let writer = self.writer()?;
        let mut publishing = writer.publishing()?;
        let state = self.snapshot().0;
        let edges: u64 = state.segments.topology.relations.iter().map(|relation| relation.edges).sum();
        let has_new_lists = state.relations.iter().any(|relation| !relation.lists.is_empty());
        let enough = if has_new_lists { edges / 2 } else { u64::from(state.bound) / 8 };
        if writer.appending()?.ops_since_checkpoint <= MIN_CHECKPOINT_OPS.max(enough) {
            return Ok(false);
        }
        self.checkpoint_with(writer, &mut publishing, false, cancel)?;
        Ok(true)
    }

    /// Makes a checkpoint; with `force` even where nothing was committed since the last one.
    fn checkpoint_with(
        &self,
        writer: &Writer,
        publishing: &mut Publishing,
        force: bool,
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        let state = self.snapshot().0;
        let mut manifest = publishing.manifest.clone();
        manifest.number = publishing.number + 1;
        if state.epoch == manifest.epoch() {
            let new_files = NewFiles { manifest, checkpointed: None, derived: None };
            return if force { self.publish_manifest(writer, publishing, new_files) } else { Ok(()) };
        }
        let checkpointed = Some(self.write_segments(writer, &state, &mut manifest, cancel)?);
        self.publish_manifest(writer, publishing, NewFiles { manifest, checkpointed, derived: None })
    }

    /// After damage: rewrites the damaged files by a checkpoint, and removes the old engine unless some of its records
    /// were given up. Derived files are left to the host, which can compute them.
    pub(crate) fn checkpoint_repairs(&self, lost_records: bool) -> Result<(), Error> {
        let left: usize = self.shown_sets().sets.values().map(|derived| derived.damage().count()).sum();
        if self.damage().len() == left {
            return Ok(());
        }
        let writer = self.writer()?;
        let mut publishing = writer.publishing()?;
        self.checkpoint_with(writer, &mut publishing, true, &CancelToken::new())?;
        if lost_records { Ok(()) } else { remove_folder(&self.path().join(DAMAGED_LOG)) }
    }

    /// Writes a manifest of an older version anew, with the same files. A program of that version refuses the store then, before the log has
    /// operations that the program would take for damage.
    pub(crate) fn upgrade_manifest(&self) -> Result<(), Error> {
        let writer = self.writer()?;
        let mut publishing = writer.publishing()?;
        let manifest = Manifest { number: publishing.number + 1, ..publishing.manifest.clone() };
        let new_files = NewFiles { manifest, checkpointed: None, derived: None };
        self.publish_manifest(writer, &mut publishing, new_files)
    }

    /// Writes the segments of a shown state, opens them, and enters them in the manifest.
    pub(super) fn write_segments(
        &self,
        writer: &Writer,
        state: &GraphState,
        manifest: &mut Manifest,
        cancel: &CancelToken,
    ) -> Result<GraphState, Error> {
        manifest.epoch = state.epoch.get();
        manifest.positions = Arc::clone(&state.positions);
        // The segments have what the records of a publish add to the old ones.
        for published in manifest.published.iter_mut() {
            let set = published.set.clone();
            published.files.retain(|file| file.name.what != stem(&set, RECORDS));
        }
        let replay_from = writer
            .log_index()
            .first_record_after(state.epoch)
            .expect("the log index has the epoch that is shown");
        // The state is newer than the files, so the log has the record before this one.
        manifest.replay_from = replay_from;
        manifest.replay_after = writer.log.checksum_before(replay_from)?;
        self.run_in_private_pool(|| {
            manifest.segments = write_checkpoint::write_segments(
                &self.disk,
                state,
                &manifest.segments,
                manifest.number,
                cancel,
            )?;
            self.read_back(manifest, Some(&state.segments), cancel)
        })
    }

    /// The state of files that were just written, and of those of the segments before that stay. It cannot be cancelled: less work is
    /// left than was done.
    pub(super) fn read_back(
        &self,
        manifest: &Manifest,
        before: Option<&Segments>,
        cancel: &CancelToken,
    ) -> Result<GraphState, Error> {
        let cancel = CancelToken::new().reporting_to(cancel);
        let mode = OpenMode { is_mapped: self.is_mapped, verified: None, cancel: &cancel };
        write_checkpoint::open_checkpoint_after(&self.disk, manifest, before, mode)
    }

    pub(super) fn run_in_private_pool<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        private_pool::run(work).map_err(|e| Error::io(self.path(), "start threads for", e))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::batch::{Batch, Edge};
    use crate::types::names::NodeRef;

    #[test]
    fn a_checkpoint_shares_the_open_files_that_did_not_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let (cancel, (pin, board)) = (
            CancelToken::new(),
            (NodeRef::new("pin", "1").expect("valid"), NodeRef::new("board", "1").expect("valid")),
        );
        for is_mapped in [false, true] {
            let store = Store::options()
                .create(true)
                .map_files(is_mapped)
                .open(folder.path().join(is_mapped.to_string()));
            let store = store.expect("created");
            let mut batch = Batch::new();
            batch.link(pin, board, Edge::default()).expect("valid");
            store.commit(&batch).expect("committed");
            store.checkpoint(&cancel).expect("written");
            let before = Arc::clone(&store.snapshot().0.segments);
            batch.clear();
            batch.set_tokens(pin, &["word=jazz"]).expect("valid");
            store.commit(&batch).expect("committed");
            store.checkpoint(&cancel).expect("written");
            let after = store.snapshot();
            let segments = &after.0.segments;
            assert!(Arc::ptr_eq(&segments.topology, &before.topology));
            assert!(Arc::ptr_eq(&segments.nodes, &before.nodes) && Arc::ptr_eq(&segments.keys, &before.keys));
            assert!(!Arc::ptr_eq(&segments.features, &before.features));
            let pin = after.require(pin).expect("there");
            assert_eq!(after.tokens(pin), ["word=jazz"]);
            assert_eq!(after.degree(pin), 1);
        }
    }
}
