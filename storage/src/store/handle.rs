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
use crate::store::writer::Writing;
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
    Writer(Box<Writing>),
}

impl Store {
    /// How to open one.
    pub fn options() -> OpenOptions {
        OpenOptions::default()
    }

    pub(crate) fn reader(
        disk: Disk,
        low_memory: bool,
        view: GraphState,
        derived: Option<Derived>,
        (dirty, number): (u64, u64),
    ) -> Self {
        let role = Role::Reader { dirty, number };
        Self::new(disk, low_memory, Arc::new(view), derived, Vec::new(), role)
    }

    pub(crate) fn writer(
        disk: Disk,
        low_memory: bool,
        view: Arc<GraphState>,
        derived: Option<Derived>,
        damage: Vec<Damage>,
        writing: Writing,
    ) -> Self {
        Self::new(disk, low_memory, view, derived, damage, Role::Writer(Box::new(writing)))
    }

    fn new(
        disk: Disk,
        low_memory: bool,
        view: Arc<GraphState>,
        derived: Option<Derived>,
        damage: Vec<Damage>,
        role: Role,
    ) -> Self {
        let (current, derived) = (RwLock::new(Snapshot(view)), RwLock::new(derived));
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

    pub(crate) fn writing(&self) -> Result<&Writing, Error> {
        match &self.role {
            Role::Reader { .. } => Err(Error::ReadOnly { path: self.path().to_path_buf() }),
            Role::Writer(writing) => Ok(writing),
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
    pub(crate) fn show(&self, tail: &mut LogIndex, view: Arc<GraphState>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, Snapshot(view));
        drop(current);
        if Arc::strong_count(&before.0) > 1 {
            tail.lend(before.epoch(), Arc::downgrade(&before.0));
        }
    }

    /// What the last publish wrote; none while nothing derived exists.
    pub fn derived(&self) -> Option<Derived> {
        self.derived.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that everything up to an epoch has been refreshed in memory: dirty marks up to it are forgotten. What has
    /// been published is still where a reopened store starts from.
    pub fn mark_refreshed(&self, epoch: Epoch) {
        if let Role::Writer(writing) = &self.role {
            let mut tail = writing.tail();
            if tail.refreshed.is_some() {
                tail.refresh(epoch);
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
        let writing = self.writing()?;
        let (start, end) = {
            let tail = writing.tail();
            (tail.after(from), tail.after(to.epoch()))
        };
        let range = start.zip(end).filter(|_| from < to.epoch());
        let (start, end) = range.ok_or_else(|| out_of_reach(from, &to.0))?;
        let stage = cancel.stage("log", end - start);
        writing.log.scan(start..end, |head, body| {
            stage.advance(1)?;
            writing.log.ops(head, body)?.iter().for_each(|op| changes.add(op));
            Ok(())
        })?;
        stage.end();
        changes.settle(to);
        Ok(changes)
    }

    /// How many nodes the log has touched since the last refresh; 0 while nothing derived exists.
    pub fn dirty_nodes(&self) -> u64 {
        match &self.role {
            Role::Reader { dirty, .. } => *dirty,
            Role::Writer(writing) => writing.tail().touched(),
        }
    }

    /// Bytes on disk, by file.
    pub fn sizes(&self) -> Sizes {
        let base = self.snapshot().0.base.sizes;
        let mut files: BTreeMap<String, u64> = FILES.map(str::to_owned).into_iter().zip(base).collect();
        files.extend(self.derived().iter().flat_map(Derived::sizes));
        for (name, path) in sidecar::all(self.path()) {
            *files.entry(name).or_default() += path.metadata().map_or(0, |found| found.len());
        }
        if let Role::Writer(writing) = &self.role {
            files.insert("log".to_owned(), writing.log.bytes());
        }
        Sizes { files }
    }
}

pub(crate) fn out_of_reach(epoch: Epoch, view: &GraphState) -> Error {
    let rule = format!("one up to {} whose changes are still in the log; rebuild instead", view.epoch);
    Error::invalid("epoch", &epoch.to_string(), rule)
}
