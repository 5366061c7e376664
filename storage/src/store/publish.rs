//! Replaces the files of the store: checkpoints, loads and publishes.
//! Owns the order of writing files, swapping the manifest, and showing the state over the new files; commits go on
//! meanwhile.

use std::sync::{Arc, PoisonError};

use crate::bulk::load::BulkLoad;
use crate::checkpoint::derived::{Derived, Publish, check_names};
use crate::checkpoint::manifest::{FileName, Manifest, Published, remove_unnamed_files};
use crate::checkpoint::write_checkpoint;
use crate::fs::verified_files::{OpenMode, VerifiedFiles};
use crate::graph::apply::Applier;
use crate::graph::graph_state::GraphState;
use crate::store::handle::Store;
use crate::store::handle::out_of_reach;
use crate::store::private_pool;
use crate::store::writer::{Publishing, Writer};
use crate::types::cancel::CancelToken;
use crate::types::commit_summary::Commit;
use crate::types::error::Error;
use crate::types::ids::Epoch;
use crate::wal::log_index::LogIndex;
use crate::wal::record_scan::{DAMAGED_LOG, remove_folder};

/// The fewest operations since the last checkpoint that are worth another one.
const MIN_CHECKPOINT_OPS: u64 = 65_536;
/// With this many records left to apply, commits are blocked until they are applied.
const MAX_BLOCKING_RECORDS: u64 = 64;

/// A new manifest with the files that it names, open.
struct NewFiles {
    manifest: Manifest,
    /// The state over new segments, where segments are new.
    checkpointed: Option<GraphState>,
    derived: Option<Derived>,
}

impl Store {
    /// Loads a complete graph into a store in which nothing was ever committed or published. The files of a checkpoint
    /// are written from it directly, without the log. A load without nodes changes nothing and keeps the epoch.
    ///
    /// # Visibility
    /// Durable on return, as one epoch; later snapshots show it. Commits wait until it is done. After a kill or an
    /// error the store is empty as before. The files equal, byte for byte, those of commits of the same nodes and edges
    /// in the same order, followed by a checkpoint.
    ///
    /// The log has no record of a load. So [`Self::changes`] reaches back to the epoch of the load and no further, even
    /// for a held snapshot of the empty store. Until the next checkpoint the files are the only copy: where one is
    /// damaged, the graph must be loaded again.
    ///
    /// # Errors
    /// [`Error::NotEmpty`]; [`Error::Limit`] for too many neighbors of a node in a relation, repeated edges counted;
    /// otherwise as for [`Self::checkpoint`].
    ///
    /// # Determinism
    /// The same bytes for any number of threads.
    ///
    /// # Cost
    /// Some 0.1 microseconds an edge on two cores in total. At most twice the memory of the finished lists where these
    /// are large, the edges of the load included. It uses as many threads as the current rayon pool.
    pub fn load(&self, load: BulkLoad, cancel: &CancelToken) -> Result<Commit, Error> {
        // All locks are held: commits wait until the load is done.
        let writer = self.writer()?;
        let mut publishing = writer.publishing()?;
        let syncing = writer.syncing()?;
        let mut appending = writer.appending()?;
        let before = appending.state.epoch;
        if before != Epoch::new(0) || publishing.manifest.published.is_some() {
            return Err(Error::NotEmpty { path: self.path().to_path_buf() });
        }
        if load.is_empty() {
            return Ok(Commit::default());
        }
        // The files and the new manifest.
        let epoch = Epoch::new(before.get() + 1);
        let mut manifest = publishing.manifest.clone();
        manifest.number = publishing.number + 1;
        manifest.epoch = epoch.get();
        manifest.replay_from = appending.appender.log_end().next;
        let (checkpointed, nodes_added, edges_added) = self.run_in_private_pool(|| {
            let (files, nodes, edges) =
                load.write(&self.disk, &manifest.segments, manifest.number, cancel)?;
            manifest.segments = files;
            let checkpointed = self.read_back(&manifest, cancel)?;
            Ok((checkpointed, nodes, edges))
        })?;
        // It is the previous manifest as well: an empty store is nothing to go back to.
        self.swap_manifest(writer, &mut publishing, &manifest, &manifest)?;
        let mut log_index = writer.log_index();
        appending.state = Arc::new(checkpointed);
        self.show(&mut log_index, Arc::clone(&appending.state));
        log_index.skip(epoch);
        drop((log_index, appending, syncing));
        Ok(Commit { epoch, nodes_added, edges_added, ..Commit::default() })
    }

    /// Writes the changes since the last checkpoint into files. Opening becomes fast, and readers in other processes
    /// see the current state.
    ///
    /// # Visibility
    /// Everything committed before the call is in the files when it returns, durably. Snapshots stay as they are.
    /// Commits and readers go on meanwhile; commits wait for some milliseconds at its end.
    ///
    /// # Errors
    /// [`Error::Cancelled`], or what writing fails with; the store is then as before, unless it says [`Error::Broken`].
    ///
    /// # Cost
    /// Each file with a change is rewritten in full, one file after another.
    pub fn checkpoint(&self, cancel: &CancelToken) -> Result<(), Error> {
        let writer = self.writer()?;
        let mut publishing = writer.publishing()?;
        self.write_checkpoint_if_changed(writer, &mut publishing, false, cancel)
    }

    /// Makes a checkpoint if the log has more than 65,536 changes, and more than a quarter of the list entries in the
    /// segments. Returns whether it made one.
    ///
    /// # Visibility
    /// As for [`Self::checkpoint`].
    ///
    /// # Errors
    /// As for [`Self::checkpoint`].
    pub fn checkpoint_if_worthwhile(&self, cancel: &CancelToken) -> Result<bool, Error> {
        let writer = self.writer()?;
        let mut publishing = writer.publishing()?;
        let relations = &self.snapshot().0.segments.topology.relations;
        let edges: u64 = relations.iter().map(|relation| relation.edges).sum();
        if writer.appending()?.ops_since_checkpoint <= MIN_CHECKPOINT_OPS.max(edges / 2) {
            return Ok(false);
        }
        self.write_checkpoint_if_changed(writer, &mut publishing, false, cancel)?;
        Ok(true)
    }

    /// Makes a checkpoint; with `always` even where nothing was committed since the last one.
    pub(crate) fn write_checkpoint_if_changed(
        &self,
        writer: &Writer,
        publishing: &mut Publishing,
        always: bool,
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        let state = self.snapshot().0;
        let mut manifest = publishing.manifest.clone();
        manifest.number = publishing.number + 1;
        if state.epoch == manifest.epoch() {
            let new_files = NewFiles { manifest, checkpointed: None, derived: None };
            return if always { self.publish_manifest(writer, publishing, new_files) } else { Ok(()) };
        }
        let checkpointed = Some(self.write_segments(writer, &state, &mut manifest, cancel)?);
        self.publish_manifest(writer, publishing, NewFiles { manifest, checkpointed, derived: None })
    }

    /// After damage: rewrites the damaged files by a checkpoint, and removes the old engine unless some of its records
    /// were given up. Derived files are left to the host, which can compute them.
    pub(crate) fn checkpoint_repairs(&self, lost_records: bool) -> Result<(), Error> {
        let left = self.derived().map_or(0, |derived| derived.damage().count());
        if self.damage().len() == left {
            return Ok(());
        }
        let writer = self.writer()?;
        let mut publishing = writer.publishing()?;
        self.write_checkpoint_if_changed(writer, &mut publishing, true, &CancelToken::new())?;
        if lost_records { Ok(()) } else { remove_folder(&self.path().join(DAMAGED_LOG)) }
    }

    /// Writes the segments of a shown state, opens them, and enters them in the manifest.
    fn write_segments(
        &self,
        writer: &Writer,
        state: &GraphState,
        manifest: &mut Manifest,
        cancel: &CancelToken,
    ) -> Result<GraphState, Error> {
        manifest.epoch = state.epoch.get();
        manifest.positions = Arc::clone(&state.positions);
        manifest.replay_from = writer
            .log_index()
            .first_record_after(state.epoch)
            .expect("the log index has the epoch that is shown");
        self.run_in_private_pool(|| {
            manifest.segments = write_checkpoint::write_segments(
                &self.disk,
                state,
                &manifest.segments,
                manifest.number,
                cancel,
            )?;
            self.read_back(manifest, cancel)
        })
    }

    /// The state of files that were just written. It cannot be cancelled: less work is left than was done.
    fn read_back(&self, manifest: &Manifest, cancel: &CancelToken) -> Result<GraphState, Error> {
        let (nothing, cancel) = (VerifiedFiles::default(), CancelToken::new().reporting_to(cancel));
        let opening = OpenMode { low_memory: self.low_memory.then_some(&nothing), cancel: &cancel };
        write_checkpoint::open_checkpoint(self.path(), manifest, opening)
    }

    fn run_in_private_pool<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        private_pool::run(work).map_err(|e| Error::io(self.path(), "start threads for", e))?
    }

    /// Makes a manifest the current one, and shows the state and the derived files that it names.
    fn publish_manifest(
        &self,
        writer: &Writer,
        publishing: &mut Publishing,
        new_files: NewFiles,
    ) -> Result<(), Error> {
        let NewFiles { mut manifest, checkpointed, derived } = new_files;
        let floor = manifest.first_needed().min(publishing.manifest.first_needed());
        // The number of dirty nodes, for readers without a log.
        if let Some(published) = &mut manifest.published {
            let mut dirty = LogIndex::new(Epoch::new(0), 0, Some(published.refreshed()));
            if published.refreshed_seq < manifest.replay_from {
                writer.touch(&mut dirty, published.refreshed_seq..manifest.replay_from)?;
            }
            published.dirty = dirty.dirty_nodes();
        }
        manifest.log_start = floor;
        let mut previous = publishing.manifest.clone();
        if manifest.published.is_none() || self.derived().is_some_and(|derived| !derived.is_complete) {
            // Damaged or discarded files are nothing to go back to.
            previous.published.clone_from(&manifest.published);
        }
        self.swap_manifest(writer, publishing, &manifest, &previous)?;
        // The new files are shown.
        if let Some(checkpointed) = checkpointed {
            self.switch_segments(writer, checkpointed, manifest.replay_from)?;
        }
        if let Some(derived) = derived {
            self.show_derived(writer, publishing, derived)?;
        }
        // Records that no manifest and no snapshot needs are removed.
        let mut log_index = writer.log_index();
        let floor = floor.min(log_index.first_pinned().unwrap_or(floor));
        log_index.trim(floor);
        drop(log_index);
        writer.log.trim(floor).map_err(|error| writer.broken(error))
    }

    /// Makes a manifest the current one, and `previous` the one before it.
    fn swap_manifest(
        &self,
        writer: &Writer,
        publishing: &mut Publishing,
        manifest: &Manifest,
        previous: &Manifest,
    ) -> Result<(), Error> {
        let prepared = manifest.prepare(&self.disk, Some(previous))?;
        prepared.make_current().map_err(|error| writer.broken(error))?;
        publishing.manifest = manifest.clone();
        publishing.number = manifest.number;
        remove_unnamed_files(&self.disk, &[manifest, previous]);
        if self.derived().is_none_or(|derived| derived.is_complete) {
            manifest.record_verified(&self.disk);
        }
        Ok(())
    }

    /// Shows the current state over new segments, which cover the log up to a record. Later batches are applied to the
    /// new segments, most of them while commits go on.
    fn switch_segments(
        &self,
        writer: &Writer,
        checkpointed: GraphState,
        replay_from: u64,
    ) -> Result<(), Error> {
        let mut applier = Applier::new(checkpointed);
        // Applies the records up to `end`.
        let mut reached = replay_from;
        let mut ops = 0;
        let mut apply_to = |end: u64| {
            let range = reached..end;
            reached = end;
            writer.log.scan(range, |head, body| {
                applier.advance(Epoch::new(head.epoch));
                for op in writer.log.ops(head, body)? {
                    ops += 1;
                    applier.apply(op).map_err(|what| writer.log.record_error(head.seq, what))?;
                }
                Ok(())
            })
        };
        // While many records are left, commits go on.
        let mut at = replay_from;
        loop {
            let end = writer.log_index().end();
            apply_to(end).map_err(|error| writer.broken(error))?;
            if end - at <= MAX_BLOCKING_RECORDS {
                break;
            }
            at = end;
        }
        // The last records are applied under the locks, so that no commit comes between.
        let mut syncing = writer.syncing()?;
        let mut appending = writer.appending()?;
        let appended = appending.take();
        self.sync(writer, &mut syncing, appended)?;
        apply_to(appending.appender.log_end().next).map_err(|error| writer.broken(error))?;
        appending.state = Arc::new(applier.finish());
        appending.ops_since_checkpoint = ops;
        self.show(&mut writer.log_index(), Arc::clone(&appending.state));
        Ok(())
    }

    fn show_derived(&self, writer: &Writer, publishing: &Publishing, derived: Derived) -> Result<(), Error> {
        let refreshed = derived.refreshed;
        let mut shown = self.derived.write().unwrap_or_else(PoisonError::into_inner);
        let is_same_model = shown.as_ref().is_some_and(|before| before.generation == derived.generation);
        *shown = Some(derived);
        drop(shown);
        // No batch is committed while the nodes touched since are collected.
        let _syncing = writer.syncing()?;
        let mut log_index = writer.log_index();
        if is_same_model && log_index.refreshed.is_some_and(|marked| marked >= refreshed) {
            return Ok(());
        }
        // Another model starts from its own epoch, whatever epoch the earlier model had reached.
        let published = publishing.manifest.published.as_ref().expect("it was published with this manifest");
        log_index.restart(refreshed);
        let end = log_index.end();
        writer.touch(&mut log_index, published.refreshed_seq..end)
    }

    /// Removes all derived files, the model included, as if nothing had been trained.
    ///
    /// # Visibility
    /// Durable on return; open files stay readable.
    ///
    /// # Errors
    /// As for [`Self::checkpoint`].
    pub fn discard_derived(&self) -> Result<(), Error> {
        let writer = self.writer()?;
        let mut publishing = writer.publishing()?;
        let mut manifest = publishing.manifest.clone();
        manifest.number = publishing.number + 1;
        manifest.published = None;
        self.publish_manifest(
            writer,
            &mut publishing,
            NewFiles { manifest, checkpointed: None, derived: None },
        )?;
        *self.derived.write().unwrap_or_else(PoisonError::into_inner) = None;
        writer.log_index().clear_dirty();
        Ok(())
    }

    /// Replaces the derived files, and keeps the log from their epoch on. Where that epoch is past the last checkpoint,
    /// the segments are rewritten too, so that no reader sees embeddings of nodes that it lacks.
    ///
    /// # Visibility
    /// Durable on return, all files together. Readers in other processes see the old set or the new one. Commits go on
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that a file cannot have, for an epoch that the store has not reached, or for one
    /// whose changes are no longer in the log; otherwise as for [`Self::checkpoint`].
    #[expect(clippy::needless_pass_by_value, reason = "what is published is written and done with")]
    pub fn publish(&self, publish: Publish<'_>, cancel: &CancelToken) -> Result<(), Error> {
        // The request is validated.
        check_names(&publish.files)?;
        let writer = self.writer()?;
        let mut publishing = writer.publishing()?;
        let state = self.snapshot().0;
        let refreshed = publish.refreshed;
        let refreshed_seq =
            writer.log_index().first_record_after(refreshed).filter(|_| refreshed <= state.epoch);
        let refreshed_seq = refreshed_seq.ok_or_else(|| out_of_reach(refreshed, &state))?;
        // New files get the number of the new manifest, and kept files keep their names.
        let mut manifest = publishing.manifest.clone();
        manifest.number = publishing.number + 1;
        let before = manifest.published.take().map_or(Vec::new(), |published| published.files);
        let mut files = Vec::new();
        for (name, content) in &publish.files {
            let kept = before.iter().find(|file| file.what == *name);
            files.push(match (content, kept) {
                (Some(_), _) => FileName::new(name, manifest.number),
                (None, Some(kept)) => kept.clone(),
                (None, None) => {
                    return Err(Error::invalid(
                        "derived file to keep",
                        name,
                        "one that was published before",
                    ));
                }
            });
        }
        let (generation, refreshed_epoch) = (publish.generation.get(), refreshed.get());
        let published = Published {
            generation,
            refreshed: refreshed_epoch,
            refreshed_seq,
            dirty: 0,
            files: files.clone(),
        };
        let new =
            || files.iter().zip(&publish.files).filter_map(|(file, (_, new))| Some((file, new.as_ref()?)));
        // The files are written and opened, with the segments where the epoch needs them.
        let write = || {
            for (file, content) in new() {
                content.write_to(self.disk.target(&file.path(self.path())), cancel)?;
            }
            let derived = Derived::open(self.path(), &published, OpenMode { low_memory: None, cancel })?;
            manifest.published = Some(published);
            let checkpointed = (refreshed > publishing.manifest.epoch())
                .then(|| self.write_segments(writer, &state, &mut manifest, cancel))
                .transpose()?;
            Ok((Some(derived), checkpointed))
        };
        let (derived, checkpointed) = write().inspect_err(|_| {
            // A file that cannot be removed is removed at the next publish.
            new().for_each(|(file, _)| drop(self.disk.remove(&file.path(self.path()))));
        })?;
        self.publish_manifest(writer, &mut publishing, NewFiles { manifest, checkpointed, derived })
    }
}
