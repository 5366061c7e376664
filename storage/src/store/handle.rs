//! The open store: what is shown to whoever asks, and what the log knows besides.
//! How a batch gets there is `commit`'s to say, and how files take the place of the log `settle`'s.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use crate::checkpoint::derived::Derived;
use crate::fs::disk::Disk;
use crate::graph::graph_state::GraphState;
use crate::graph::snapshot::Snapshot;
use crate::segments::FILES;
use crate::store::open;
use crate::store::open::OpenOptions;
use crate::store::sidecar;
use crate::store::writer::Writer;
use crate::types::cancel::CancelToken;
use crate::types::damage::Damage;
use crate::types::error::Error;
use crate::types::ids::Epoch;
use crate::types::position::Position;
use crate::wal::changes::Changes;
use crate::wal::log_index::LogIndex;

/// Bytes on disk, by file: `topology`, `nodes`, `keys`, `features`, `log`, the derived ones, and those kept aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The bytes of each.
    pub files: BTreeMap<String, u64>,
}

/// An open store. Share it in an [`Arc`]; dropping it releases the lock.
///
/// # Visibility
/// Batches of several threads are planned one after the other and become durable together; readers work on [`Snapshot`]s,
/// and wait for nobody.
#[derive(Debug)]
pub struct Store {
    pub(crate) disk: Disk,
    pub(crate) low_memory: bool,
    current: RwLock<Snapshot>,
    pub(crate) derived: RwLock<Option<Derived>>,
    damage: Vec<Damage>,
    role: Role,
}

#[derive(Debug)]
enum Role {
    Reader {
        /// What was dirty when the manifest was written.
        dirty: u64,
        /// The manifest's number.
        number: u64,
    },
    Writer(Box<Writer>),
}

impl Store {
    /// How to open one.
    pub fn options() -> OpenOptions {
        OpenOptions::default()
    }

    pub(crate) fn new_reader(
        disk: Disk,
        low_memory: bool,
        state: GraphState,
        derived: Option<Derived>,
        (dirty, number): (u64, u64),
    ) -> Self {
        let role = Role::Reader { dirty, number };
        Self::new(disk, low_memory, Arc::new(state), derived, Vec::new(), role)
    }

    pub(crate) fn new_writer(
        disk: Disk,
        low_memory: bool,
        state: Arc<GraphState>,
        derived: Option<Derived>,
        damage: Vec<Damage>,
        writer: Writer,
    ) -> Self {
        Self::new(disk, low_memory, state, derived, damage, Role::Writer(Box::new(writer)))
    }

    fn new(
        disk: Disk,
        low_memory: bool,
        state: Arc<GraphState>,
        derived: Option<Derived>,
        damage: Vec<Damage>,
        role: Role,
    ) -> Self {
        let (current, derived) = (RwLock::new(Snapshot(state)), RwLock::new(derived));
        Self { disk, low_memory, current, derived, damage, role }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.disk.folder()
    }

    /// Whether it was opened read-only.
    pub fn is_read_only(&self) -> bool {
        matches!(self.role, Role::Reader { .. })
    }

    /// Whether a writer has published a newer state than this handle shows, which opening the store again would show. Never
    /// for a handle that is open for writing: it shows every commit.
    ///
    /// # Errors
    /// A manifest that cannot be read.
    ///
    /// # Cost
    /// Reading the manifest, some hundred bytes.
    pub fn is_outdated(&self) -> Result<bool, Error> {
        match &self.role {
            Role::Reader { number, .. } => Ok(open::current(self.path())?.number != *number),
            Role::Writer(_) => Ok(false),
        }
    }

    /// What was damaged when the store was opened, and how it was made good.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    pub(crate) fn writer(&self) -> Result<&Writer, Error> {
        match &self.role {
            Role::Reader { .. } => Err(Error::ReadOnly { path: self.path().to_path_buf() }),
            Role::Writer(writer) => Ok(writer),
        }
    }

    /// The graph as it is now, frozen.
    pub fn snapshot(&self) -> Snapshot {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How far the input of that name was taken in; none where no batch said so. What it covers is durable, where the store
    /// is open read-only as of the last checkpoint.
    pub fn position(&self, source: &str) -> Option<Position> {
        self.snapshot().position(source)
    }

    /// Shows a new state to whoever asks from now on.
    pub(crate) fn show(&self, log_index: &mut LogIndex, state: Arc<GraphState>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, Snapshot(state));
        drop(current);
        if Arc::strong_count(&before.0) > 1 {
            log_index.pin(before.epoch(), Arc::downgrade(&before.0));
        }
    }

    /// What the last publish wrote; none while nothing derived exists.
    pub fn derived(&self) -> Option<Derived> {
        self.derived.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that everything up to an epoch has been refreshed in memory: dirty dirty up to it are forgotten. What has
    /// been published is still where a reopened store starts from.
    pub fn mark_refreshed(&self, epoch: Epoch) {
        if let Role::Writer(writer) = &self.role {
            let mut log_index = writer.log_index();
            if log_index.refreshed.is_some() {
                log_index.refresh(epoch);
            }
        }
    }

    /// All that changed after `from`, up to and with the epoch of `to`.
    ///
    /// The changes since whatever is published are always there, and those since any snapshot that is still held, but for
    /// one of the empty store before a [`Self::load`].
    ///
    /// # Errors
    /// [`Error::Invalid`] when `from` is past `to`, or its changes are no longer in the log; [`Error::ReadOnly`] when the
    /// store is, unless the epochs are the same; [`Error::Cancelled`].
    ///
    /// # Cost
    /// Reading the records between the two: about a microsecond an edge.
    pub fn changes(&self, from: Epoch, to: &Snapshot, cancel: &CancelToken) -> Result<Changes, Error> {
        let mut changes = Changes::new(from, to.epoch());
        if from == to.epoch() {
            return Ok(changes);
        }
        let writer = self.writer()?;
        let (start, end) = {
            let log_index = writer.log_index();
            (log_index.first_record_after(from), log_index.first_record_after(to.epoch()))
        };
        let range = start.zip(end).filter(|_| from < to.epoch());
        let (start, end) = range.ok_or_else(|| out_of_reach(from, &to.0))?;
        let stage = cancel.stage("log", end - start);
        writer.log.scan(start..end, |head, body| {
            stage.advance(1)?;
            writer.log.ops(head, body)?.iter().for_each(|op| changes.add(op));
            Ok(())
        })?;
        stage.end();
        changes.drop_unchanged(to);
        Ok(changes)
    }

    /// How many nodes the log has touched since the last refresh; 0 while nothing derived exists.
    pub fn dirty_nodes(&self) -> u64 {
        match &self.role {
            Role::Reader { dirty, .. } => *dirty,
            Role::Writer(writer) => writer.log_index().dirty_nodes(),
        }
    }

    /// Bytes on disk, by file.
    pub fn sizes(&self) -> Sizes {
        let segments = self.snapshot().0.segments.sizes;
        let mut files: BTreeMap<String, u64> = FILES.map(str::to_owned).into_iter().zip(segments).collect();
        files.extend(self.derived().iter().flat_map(Derived::sizes));
        for (name, path) in sidecar::files(self.path()) {
            *files.entry(name).or_default() += path.metadata().map_or(0, |found| found.len());
        }
        if let Role::Writer(writer) = &self.role {
            files.insert("log".to_owned(), writer.log.bytes());
        }
        Sizes { files }
    }
}

pub(crate) fn out_of_reach(epoch: Epoch, state: &GraphState) -> Error {
    let rule = format!("one up to {} whose changes are still in the log; rebuild instead", state.epoch);
    Error::invalid("epoch", &epoch.to_string(), rule)
}
