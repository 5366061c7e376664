//! The handle of an open store: snapshots, derived files, changes, sizes.
//! `commit` makes batches durable and visible; `publish` replaces files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use crate::checkpoint::derived::{Derived, DerivedSets};
use crate::checkpoint::published::{MAX_SET_NAME, is_set_name, stem};
use crate::fs::disk::Disk;
use crate::fs::section::SectionFile;
use crate::graph::graph_state::GraphState;
use crate::graph::snapshot::Snapshot;
use crate::segments::FILES;
use crate::store::open;
use crate::store::open::OpenOptions;
use crate::store::sidecar;
use crate::store::sync::{RwLock, RwLockReadGuard};
use crate::store::writer::Writer;
use crate::types::cancel::CancelToken;
use crate::types::damage::Damage;
use crate::types::error::Error;
use crate::types::ids::{Epoch, NodeIx};
use crate::types::position::Position;
use crate::wal::changes::Changes;
use crate::wal::dirty_nodes::DirtyNodesOfSet;
use crate::wal::log_index::LogIndex;

/// File sizes in bytes, by name: `topology`, `nodes`, `keys`, `features`, `properties`, `log`, the derived files, and the sidecars.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Sizes {
    /// The size of each file.
    pub files: BTreeMap<String, u64>,
}

/// An open store. Share it in an [`Arc`]; dropping it releases the lock.
///
/// # Visibility
/// Batches of several threads are planned one after another and become durable together. Readers work on [`Snapshot`]s
/// and never wait.
#[derive(Debug)]
pub struct Store {
    pub(crate) disk: Disk,
    pub(crate) is_mapped: bool,
    current: RwLock<Snapshot>,
    pub(crate) derived: RwLock<DerivedSets>,
    damage: Vec<Damage>,
    role: Role,
}

/// The derived files of one name in a store: those of one model. [`Store::derived_set`] gives it.
///
/// Each set has its own generation, its own epoch that it reflects, and its own dirty nodes. The log is kept from the oldest of
/// these epochs on.
#[derive(Clone, Copy, Debug)]
pub struct DerivedSet<'a> {
    store: &'a Store,
    name: &'a str,
}

#[derive(Debug)]
enum Role {
    Reader {
        /// The number of dirty nodes of each derived set when the manifest was written.
        dirty: BTreeMap<String, u64>,
        /// The manifest's number.
        number: u64,
    },
    Writer(Box<Writer>),
}

impl Store {
    /// The options for opening a store.
    pub fn options() -> OpenOptions {
        OpenOptions::default()
    }

    pub(crate) fn new_reader(
        disk: Disk,
        is_mapped: bool,
        state: GraphState,
        derived: DerivedSets,
        (dirty, number): (BTreeMap<String, u64>, u64),
    ) -> Self {
        let role = Role::Reader { dirty, number };
        Self::new(disk, is_mapped, Arc::new(state), derived, Vec::new(), role)
    }

    pub(crate) fn new_writer(
        disk: Disk,
        is_mapped: bool,
        state: Arc<GraphState>,
        derived: DerivedSets,
        damage: Vec<Damage>,
        writer: Writer,
    ) -> Self {
        Self::new(disk, is_mapped, state, derived, damage, Role::Writer(Box::new(writer)))
    }

    fn new(
        disk: Disk,
        is_mapped: bool,
        state: Arc<GraphState>,
        derived: DerivedSets,
        damage: Vec<Damage>,
        role: Role,
    ) -> Self {
        let (current, derived) = (RwLock::new(Snapshot(state)), RwLock::new(derived));
        Self { disk, is_mapped, current, derived, damage, role }
    }

    /// The store's folder.
    pub fn path(&self) -> &Path {
        self.disk.folder()
    }

    /// True if files are mapped, not read ([`OpenOptions::map_files`], [`OpenOptions::low_memory`]).
    pub fn is_mapped(&self) -> bool {
        self.is_mapped
    }

    /// True if the store was opened read-only.
    pub fn is_read_only(&self) -> bool {
        matches!(self.role, Role::Reader { .. })
    }

    /// True if a writer has published a newer state than this handle shows; opening the store again shows it. Never
    /// true for a handle that is open for writing, which shows every commit.
    ///
    /// # Errors
    /// Errors of reading the manifest.
    ///
    /// # Cost
    /// Reads the manifest, some hundred bytes.
    pub fn is_outdated(&self) -> Result<bool, Error> {
        match &self.role {
            Role::Reader { number, .. } => {
                let current = open::current(&self.disk)?;
                Ok(current.number != *number || current.store != self.disk.store())
            }
            Role::Writer(_) => Ok(false),
        }
    }

    /// The damage found when the store was opened, and its repairs.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    pub(crate) fn writer(&self) -> Result<&Writer, Error> {
        match &self.role {
            Role::Reader { .. } => Err(Error::ReadOnly { path: self.path().to_path_buf() }),
            Role::Writer(writer) => Ok(writer),
        }
    }

    /// The current state of the graph, frozen.
    pub fn snapshot(&self) -> Snapshot {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The position of the input `source`; `None` where no batch recorded one. Everything before it is durable. A
    /// read-only store shows the position of the last checkpoint.
    pub fn position(&self, source: &str) -> Option<Position> {
        self.snapshot().position(source)
    }

    /// Makes a state the current one.
    pub(crate) fn show(&self, log_index: &mut LogIndex, state: Arc<GraphState>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, Snapshot(state));
        drop(current);
        if Arc::strong_count(&before.0) > 1 {
            log_index.pin(before.epoch(), Arc::downgrade(&before.0));
        }
    }

    pub(crate) fn shown_sets(&self) -> RwLockReadGuard<'_, DerivedSets> {
        self.derived.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The derived files of this name: those of one model. A set without files is one that nothing was published to.
    pub fn derived_set<'a>(&'a self, name: &'a str) -> DerivedSet<'a> {
        DerivedSet { store: self, name }
    }

    /// The names of the derived sets that have files, in ascending order.
    pub fn derived_sets(&self) -> Vec<String> {
        self.shown_sets().sets.keys().cloned().collect()
    }

    /// The name of the derived set that is meant where none is named: the first one that was published, until
    /// [`DerivedSet::make_default`].
    pub fn default_set(&self) -> String {
        self.shown_sets().default.clone()
    }

    /// As [`DerivedSet::derived`], of the default set.
    pub fn derived(&self) -> Option<Derived> {
        let sets = self.shown_sets();
        sets.get(&sets.default).cloned()
    }

    /// As [`DerivedSet::mark_refreshed`], of the default set.
    pub fn mark_refreshed(&self, epoch: Epoch) {
        self.derived_set(&self.default_set()).mark_refreshed(epoch);
    }

    /// All changes after `from`, up to and including the epoch of `to`.
    ///
    /// Changes since the last publish of every derived set are always available, and changes since any snapshot that is still held, except
    /// one of the empty store before a [`Self::load`].
    ///
    /// # Errors
    /// [`Error::Invalid`] when `from` is past `to`, or its changes are no longer in the log; [`Error::ReadOnly`] for a
    /// read-only store, unless the epochs are equal; [`Error::Cancelled`].
    ///
    /// # Cost
    /// Reads the records between both epochs: about a microsecond an edge.
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

    /// As [`DerivedSet::dirty_nodes`], of the default set.
    pub fn dirty_nodes(&self) -> u64 {
        self.derived_set(&self.default_set()).dirty_nodes()
    }

    /// As [`DerivedSet::is_dirty`], of the default set.
    pub fn is_dirty(&self, node: NodeIx) -> Option<bool> {
        self.derived_set(&self.default_set()).is_dirty(node)
    }

    /// File sizes, by name.
    pub fn sizes(&self) -> Sizes {
        let snapshot = self.snapshot();
        let segments = snapshot.0.segments.files.iter().map(SectionFile::bytes);
        let mut files: BTreeMap<String, u64> = FILES.map(str::to_owned).into_iter().zip(segments).collect();
        for (set, derived) in &self.shown_sets().sets {
            files.extend(derived.sizes().map(|(name, bytes)| (stem(set, &name), bytes)));
        }
        for (name, path) in sidecar::files(&self.disk) {
            *files.entry(name).or_default() += path.metadata().map_or(0, |found| found.len());
        }
        if let Role::Writer(writer) = &self.role {
            files.insert("log".to_owned(), writer.log.bytes());
        }
        Sizes { files }
    }
}

impl<'a> DerivedSet<'a> {
    pub(super) fn store(&self) -> &'a Store {
        self.store
    }

    /// The name of the set.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Refuses a name that a set cannot have.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check_name(&self) -> Result<(), Error> {
        if is_set_name(self.name) {
            return Ok(());
        }
        let rule = format!("1 to {MAX_SET_NAME} lowercase letters, digits and hyphens");
        Err(Error::invalid("name of a model", self.name, rule))
    }

    /// The derived files of the last publish; `None` where there are none.
    pub fn derived(&self) -> Option<Derived> {
        self.store.shown_sets().get(self.name).cloned()
    }

    /// Marks all changes up to an epoch as refreshed in memory: nodes touched up to it become clean. A reopened store
    /// still starts from the last publish.
    pub fn mark_refreshed(&self, epoch: Epoch) {
        if let Role::Writer(writer) = &self.store.role {
            writer.log_index().dirty.refresh(self.name, epoch);
        }
    }

    /// The number of nodes that the log has touched since the last refresh; 0 while there are no derived files.
    pub fn dirty_nodes(&self) -> u64 {
        match &self.store.role {
            Role::Reader { dirty, .. } => dirty.get(self.name).copied().unwrap_or(0),
            Role::Writer(writer) => writer.log_index().dirty.get(self.name).map_or(0, DirtyNodesOfSet::count),
        }
    }

    /// True for a node that the log has touched since the last refresh. `None` for a read-only store, which does not read the log.
    pub fn is_dirty(&self, node: NodeIx) -> Option<bool> {
        match &self.store.role {
            Role::Reader { .. } => None,
            Role::Writer(writer) => {
                Some(writer.log_index().dirty.get(self.name).is_some_and(|dirty| dirty.contains(node)))
            }
        }
    }
}

pub(crate) fn out_of_reach(epoch: Epoch, state: &GraphState) -> Error {
    let rule = format!("an epoch up to {} whose changes are still in the log; rebuild instead", state.epoch);
    Error::invalid("epoch", &epoch.to_string(), rule)
}
