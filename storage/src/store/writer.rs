//! The parts of a store that is open for writing: the log, and the locks for appending, syncing and publishing.
//! Owns the locks and their order: publishing before syncing before appending before the log index.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use crate::checkpoint::manifest::{CURRENT, Manifest};
use crate::fs::disk::Disk;
use crate::fs::lock::Lock;
use crate::graph::graph_state::GraphState;
use crate::store::sync::{Mutex, MutexGuard};
use crate::types::error::Error;
use crate::types::ids::{Epoch, StoreId};
use crate::types::ops::touched_nodes;
use crate::wal::appender::Appender;
use crate::wal::dirty_nodes::DirtyNodes;
use crate::wal::engine::{Log, Syncer};
use crate::wal::log_index::LogIndex;

/// The exclusive right to write. The lock file is released last.
#[derive(Debug)]
pub(crate) struct Writer {
    publishing: Mutex<Publishing>,
    syncing: Mutex<Syncing>,
    appending: Mutex<Appending>,
    log_index: Mutex<LogIndex>,
    pub(crate) log: Log,
    /// The number of sidecar files that were begun.
    pub(super) sidecars_begun: AtomicU64,
    is_broken: AtomicBool,
    disk: Disk,
    lock: Lock,
}

/// The lock under which batches are planned and appended to the log, one after another.
#[derive(Debug)]
pub(crate) struct Appending {
    pub(crate) appender: Appender,
    /// The state with all appended batches, durable or not.
    pub(crate) state: Arc<GraphState>,
    /// The batches appended since the last sync, in order.
    pub(crate) appended: Vec<AppendedBatch>,
    /// The number of operations since the checkpoint.
    pub(crate) ops_since_checkpoint: u64,
}

/// A batch in the log that may not be durable yet.
#[derive(Debug)]
pub(crate) struct AppendedBatch {
    pub(crate) epoch: Epoch,
    pub(crate) first: u64,
    pub(crate) touched: Vec<u32>,
}

/// The lock under which appended batches become durable, all at once.
#[derive(Debug)]
pub(crate) struct Syncing {
    pub(crate) syncer: Syncer,
    /// Records below this one are durable.
    pub(crate) durable: u64,
}

/// The lock under which files are replaced: the current manifest and its files.
#[derive(Debug)]
pub(crate) struct Publishing {
    pub(crate) manifest: Manifest,
    /// The largest number of any file.
    pub(crate) number: u64,
    /// Number and store of the manifest on disk, where it could be read. After damage it is not the one in use.
    pub(crate) on_disk: Option<(u64, StoreId)>,
}

impl Writer {
    pub(crate) fn new(
        disk: Disk,
        log: Log,
        (publishing, syncing, appending): (Publishing, Syncing, Appending),
        log_index: LogIndex,
        lock: Lock,
    ) -> Self {
        Self {
            publishing: Mutex::new(publishing),
            syncing: Mutex::new(syncing),
            appending: Mutex::new(appending),
            log_index: Mutex::new(log_index),
            log,
            sidecars_begun: AtomicU64::new(0),
            is_broken: AtomicBool::new(false),
            disk,
            lock,
        }
    }

    /// Acquires a lock; a panic of an earlier owner counts as a failed write.
    fn wait<'a, T>(&self, lock: &'a Mutex<T>) -> Result<MutexGuard<'a, T>, Error> {
        let guard = lock.lock();
        guard.map_err(|_| Error::Broken { path: self.disk.folder().to_path_buf() })
    }

    /// Fails if an earlier failure left the content of the disk unknown.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_broken.load(Ordering::Acquire) {
            return Err(Error::Broken { path: self.disk.folder().to_path_buf() });
        }
        Ok(())
    }

    /// Fails if the folder at the store's path is another one by now; from then on nothing is written.
    ///
    /// # Cost
    /// A look at the metadata of one file.
    pub(crate) fn check_place(&self) -> Result<(), Error> {
        self.lock.check_place(self.disk.folder()).map_err(|error| self.broken(error))
    }

    /// Fails unless the folder, the lock and the manifest are those that this writer left.
    pub(crate) fn check_before_publish(&self, publishing: &Publishing) -> Result<(), Error> {
        self.check_place()?;
        match (Manifest::read(&self.disk, CURRENT), publishing.on_disk) {
            (Ok(Some(found)), Some(left)) if (found.number, found.store) != left => {
                Err(self.broken(Error::Replaced { path: self.disk.folder().to_path_buf() }))
            }
            // A damaged or missing manifest is about to be replaced.
            _ => Ok(()),
        }
    }

    pub(crate) fn publishing(&self) -> Result<MutexGuard<'_, Publishing>, Error> {
        let publishing = self.wait(&self.publishing)?;
        self.check()?;
        Ok(publishing)
    }

    /// The caller must call [`Self::check`] before it writes.
    pub(crate) fn syncing(&self) -> Result<MutexGuard<'_, Syncing>, Error> {
        self.wait(&self.syncing)
    }

    pub(crate) fn appending(&self) -> Result<MutexGuard<'_, Appending>, Error> {
        let appending = self.wait(&self.appending)?;
        self.check()?;
        Ok(appending)
    }

    pub(crate) fn log_index(&self) -> MutexGuard<'_, LogIndex> {
        self.log_index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a failure that leaves the content of the disk unknown: nothing more is written until the store is opened
    /// again.
    pub(crate) fn broken(&self, error: Error) -> Error {
        self.is_broken.store(true, Ordering::Release);
        error
    }

    /// Marks the nodes that records touch as dirty.
    pub(crate) fn touch(&self, dirty: &mut DirtyNodes, records: Range<u64>) -> Result<(), Error> {
        self.log.scan(records, |head, body| {
            dirty.touch(Epoch::new(head.epoch), &touched_nodes(&self.log.ops(head, body)?));
            Ok(())
        })
    }
}
