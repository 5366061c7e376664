//! What only a store that is open for writing has: the log, who plans, who syncs, and who replaces files.
//! Owns the locks and their order: settling before syncing before planning before the tail.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::checkpoint::manifest::Manifest;
use crate::fs::disk::Disk;
use crate::fs::lock::Lock;
use crate::graph::graph_state::GraphState;
use crate::types::error::Error;
use crate::types::ids::Epoch;
use crate::types::ops::Op;
use crate::wal::engine::{Log, Appender, Syncer};
use crate::wal::log_index::LogIndex;

/// The right to write. The lock is dropped last.
#[derive(Debug)]
pub(crate) struct Writer {
    publishing: Mutex<Publishing>,
    syncing: Mutex<Syncing>,
    appending: Mutex<Appending>,
    log_index: Mutex<LogIndex>,
    pub(crate) log: Log,
    is_broken: AtomicBool,
    disk: Disk,
    _lock: Lock,
}

/// Where batches are checked and get their place in the log, one after the other.
#[derive(Debug)]
pub(crate) struct Appending {
    pub(crate) appender: Appender,
    /// The state with all that was staged, durable or not.
    pub(crate) state: Arc<GraphState>,
    /// What was staged since the last sync, in order.
    pub(crate) appended: Vec<AppendedBatch>,
    /// Operations since the checkpoint.
    pub(crate) ops_since_checkpoint: u64,
}

/// A batch that has its place in the log and is not known to be durable.
#[derive(Debug)]
pub(crate) struct AppendedBatch {
    pub(crate) epoch: Epoch,
    pub(crate) first: u64,
    pub(crate) touched: Vec<u32>,
}

/// Where what was staged becomes durable, for all who wait for it at once.
#[derive(Debug)]
pub(crate) struct Syncing {
    pub(crate) syncer: Syncer,
    /// Records below it are durable.
    pub(crate) durable: u64,
}

/// Which files make up the store, for whoever replaces some.
#[derive(Debug)]
pub(crate) struct Publishing {
    pub(crate) manifest: Manifest,
    /// No file has a larger number.
    pub(crate) number: u64,
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
            is_broken: AtomicBool::new(false),
            disk,
            _lock: lock,
        }
    }

    /// Waits for the right that a lock guards; a panic of whoever had it counts as a failed write.
    fn wait<'a, T>(&self, lock: &'a Mutex<T>) -> Result<MutexGuard<'a, T>, Error> {
        let guard = lock.lock();
        guard.map_err(|_| Error::Broken { path: self.disk.folder().to_path_buf() })
    }

    /// Fails after a failure that left open what is on disk.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_broken.load(Ordering::Acquire) {
            return Err(Error::Broken { path: self.disk.folder().to_path_buf() });
        }
        Ok(())
    }

    pub(crate) fn publishing(&self) -> Result<MutexGuard<'_, Publishing>, Error> {
        let publishing = self.wait(&self.publishing)?;
        self.check()?;
        Ok(publishing)
    }

    /// Whoever gets it must check whether a write failed before it writes.
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

    /// After a failure that leaves open what is on disk: nothing more is written until the store is opened again.
    pub(crate) fn broken(&self, error: Error) -> Error {
        self.is_broken.store(true, Ordering::Release);
        error
    }

    /// Tells a tail the nodes that records touch.
    pub(crate) fn touch(&self, log_index: &mut LogIndex, records: Range<u64>) -> Result<(), Error> {
        self.log.scan(records, |head, body| {
            let ops = self.log.ops(head, body)?;
            log_index.touch(Epoch::new(head.epoch), ops.iter().flat_map(Op::nodes).flatten());
            Ok(())
        })
    }
}
