//! Commits: a batch becomes durable, then visible.
//! Batches are planned and appended one after another. The first waiting thread makes all appended batches durable, so
//! that concurrent writers share one sync.

use std::sync::Arc;

use crate::graph::apply::Applier;
use crate::graph::graph_state::GraphState;
use crate::graph::plan::{Plan, plan};
use crate::store::handle::Store;
use crate::store::writer::{AppendedBatch, Appending, Syncing, Writer};
use crate::types::batch::Batch;
use crate::types::commit_summary::Commit;
use crate::types::error::Error;
use crate::types::ids::Epoch;
use crate::types::ops::touched_nodes;
use crate::wal::appender::UnsyncedRecords;

impl Store {
    /// Commits a batch: all of it or nothing. A batch without effect writes nothing and keeps the epoch.
    ///
    /// # Visibility
    /// Durable on return; snapshots taken from then on show it. Touched nodes are dirty until the next refresh.
    ///
    /// # Errors
    /// Every invalid request in the batch, before anything is written. [`Error::Replaced`] where the folder is another one
    /// by now; nothing of the batch is written. After an I/O error it is unknown whether the
    /// batch is durable, and the store refuses all writes ([`Error::Broken`]) until it is opened again.
    ///
    /// # Panics
    /// When the planned operations contradict the state: a broken invariant of this crate.
    ///
    /// # Cost
    /// One fsync, which concurrent commits share, and the encoding of each changed list, of long lists the chunks that
    /// differ. Some 60 microseconds at a million neighbors, for any size of the store.
    pub fn commit(&self, batch: &Batch) -> Result<Commit, Error> {
        let writer = self.writer()?;
        writer.check_place()?;
        let (summary, end) = writer.appending()?.append(writer, batch)?;
        let mut syncing = writer.syncing()?;
        // Another thread may have made it durable meanwhile, even if a later write failed.
        if syncing.durable < end {
            writer.check()?;
            let appended = writer.appending()?.take();
            self.sync(writer, &mut syncing, appended)?;
        }
        Ok(summary)
    }

    /// Makes the appended batches durable and shows them.
    pub(crate) fn sync(
        &self,
        writer: &Writer,
        syncing: &mut Syncing,
        (appended, state, unsynced): (Vec<AppendedBatch>, Arc<GraphState>, UnsyncedRecords),
    ) -> Result<(), Error> {
        let end = unsynced.log_end.next;
        if syncing.durable == end {
            return Ok(());
        }
        writer.log.sync(&mut syncing.syncer, &unsynced).map_err(|error| writer.broken(error))?;
        syncing.durable = end;
        let mut log_index = writer.log_index();
        for batch in appended {
            log_index.push_batch(batch.epoch, batch.first);
            log_index.dirty.touch(batch.epoch, &batch.touched);
        }
        log_index.set_end(end);
        self.show(&mut log_index, state);
        Ok(())
    }
}

impl Appending {
    /// Plans a batch and appends it to the log. Returns its counts, and the record up to which the log must be durable
    /// before the batch is acknowledged. That holds even for a batch without effect, since the state it was planned
    /// against may not be durable yet.
    fn append(&mut self, writer: &Writer, batch: &Batch) -> Result<(Commit, u64), Error> {
        let Plan { ops, mut summary } = plan(&self.state, batch)?;
        summary.epoch = self.state.epoch;
        if ops.is_empty() {
            return Ok((summary, self.appender.log_end().next));
        }
        let epoch = Epoch::new(self.state.epoch.get() + 1);
        let first = writer.log.append(&mut self.appender, epoch, &ops);
        let first = first.map_err(|error| writer.broken(error))?;
        self.ops_since_checkpoint += ops.len() as u64;
        let mut applier = Applier::new(GraphState::clone(&self.state));
        applier.advance(epoch);
        let touched = touched_nodes(&ops);
        for op in ops {
            applier.apply(op).expect("a plan's operations fit the state it was made for");
        }
        self.state = Arc::new(applier.finish());
        self.appended.push(AppendedBatch { epoch, first, touched });
        summary.epoch = epoch;
        Ok((summary, self.appender.log_end().next))
    }

    /// Takes the batches appended since the last sync, the state with them, and the records.
    pub(crate) fn take(&mut self) -> (Vec<AppendedBatch>, Arc<GraphState>, UnsyncedRecords) {
        (std::mem::take(&mut self.appended), Arc::clone(&self.state), self.appender.take())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::types::batch::Edge;
    use crate::types::cancel::CancelToken;
    use crate::types::names::NodeRef;

    fn link(store: &Store, key: &str) -> Result<Commit, Error> {
        let mut batch = Batch::new();
        batch.link(NodeRef::new("pin", key)?, NodeRef::new("board", "1")?, Edge::default())?;
        store.commit(&batch)
    }

    /// After a failed fsync the system may report the next one as successful, though the pages of the first are lost.
    /// So all writes are refused until the content of the disk has been read again.
    #[test]
    fn after_a_failed_sync_nothing_is_taken_until_the_store_is_opened_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path()).expect("created");
        link(&store, "1").expect("committed");
        let writer = store.writer().expect("a writer");
        writer.syncing().expect("sound").syncer.break_sync();
        assert!(matches!(link(&store, "2"), Err(Error::Io { .. })));
        assert!(matches!(link(&store, "3"), Err(Error::Broken { .. })));
        assert!(matches!(store.checkpoint(&CancelToken::new()), Err(Error::Broken { .. })));
        assert_eq!(store.snapshot().epoch(), Epoch::new(1));
        drop(store);
        let store = Store::options().open(folder.path()).expect("opens");
        let epoch = store.snapshot().epoch();
        assert_eq!(link(&store, "3").expect("committed").epoch.get(), epoch.get() + 1);
    }

    /// Every acknowledged edge is in the next snapshot, and epochs are contiguous, one for each batch.
    #[test]
    fn writers_who_come_together_each_get_their_epoch() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path()).expect("created");
        let mut epochs: Vec<u64> = std::thread::scope(|scope| {
            let write = |writer: u64| {
                let store = &store;
                scope.spawn(move || {
                    let commit = |at: u64| {
                        let key = format!("{writer}-{at}");
                        let epoch = link(store, &key).expect("committed").epoch;
                        let shown = store.snapshot();
                        assert!(shown.epoch() >= epoch);
                        assert!(shown.lookup(NodeRef::new("pin", &key).expect("valid")).is_some());
                        epoch.get()
                    };
                    (0..50).map(commit).collect::<Vec<u64>>()
                })
            };
            let writers: Vec<_> = (0..6).map(write).collect();
            writers.into_iter().flat_map(|writer| writer.join().expect("it went on")).collect()
        });
        epochs.sort_unstable();
        assert_eq!(epochs, (1..=300).collect::<Vec<u64>>());
        let shown = store.snapshot();
        drop(store);
        let again = Store::options().open(folder.path()).expect("opens").snapshot();
        assert_eq!((again.epoch(), again.node_count()), (shown.epoch(), shown.node_count()));
    }
}
