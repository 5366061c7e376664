//! Loads a complete graph into an empty store: its files are written directly, without the log.
//! Owns the locks of a load; `bulk` owns the content of the files.

use std::sync::Arc;

use crate::bulk::load::BulkLoad;
use crate::store::handle::Store;
use crate::types::cancel::CancelToken;
use crate::types::commit_summary::Commit;
use crate::types::error::Error;
use crate::types::ids::Epoch;

impl Store {
    /// Loads a complete graph into a store in which nothing was ever committed or published. The files of a checkpoint
    /// are written from it directly, without the log. A load without nodes changes nothing and keeps the epoch.
    ///
    /// # Visibility
    /// Durable on return, as one epoch; later snapshots show it. Commits wait until it is done. After a kill or an
    /// error the store is empty as before. The files equal, byte for byte after their headers, those of commits of the
    /// same nodes and edges in the same order, followed by a checkpoint.
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
        if before != Epoch::new(0) || !publishing.manifest.published.is_empty() {
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
        let log_end = appending.appender.log_end();
        (manifest.replay_from, manifest.replay_after) = (log_end.next, Some(log_end.checksum));
        let (checkpointed, summary) = self.run_in_private_pool(|| {
            let (files, summary) = load.write(&self.disk, &manifest.segments, manifest.number, cancel)?;
            manifest.segments = files;
            let checkpointed = self.read_back(&manifest, None, cancel)?;
            Ok((checkpointed, summary))
        })?;
        // It is the previous manifest as well: an empty store is nothing to go back to.
        self.swap_manifest(writer, &mut publishing, &manifest, &manifest)?;
        let mut log_index = writer.log_index();
        appending.state = Arc::new(checkpointed);
        self.show(&mut log_index, Arc::clone(&appending.state));
        log_index.skip(epoch);
        drop((log_index, appending, syncing));
        Ok(Commit { epoch, ..summary })
    }
}
