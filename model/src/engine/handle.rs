//! The handle that hosts use for everything learned: its locks, its opening and its status.
//! Each other module of this folder has the methods of one task.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use hedgerow_storage::{
    CancelToken, Damage, DerivedSet, Epoch, Error as StoreError, Generation, NodeIx, Snapshot, Store,
};

use crate::config::error::Error;
use crate::config::model_config::ModelConfig;
use crate::engine::refresh_history::RefreshHistory;
use crate::engine::working_state::{Consistency, WorkingState, damage_of};
use crate::query::embeddings::Embeddings;
use crate::state::incremental::StateUpdate;
use crate::state::layer_rows::State;

/// One model of a store, PinSage: trains, refreshes and answers. `Send + Sync`; one per model of an open store.
///
/// A store may have several models, each with a name. Their engines work side by side: what is committed is dirty in each of them
/// until its own refresh. [`Engine::models`](crate::Engine::models) lists them.
///
/// Readers see the embeddings that were published last and never wait for a refresh to compute. A refresh works on copies of the rows
/// that it changes, and hands them over at its end, in one step. Over a store with mapped files the first answer makes what only
/// readers need. It waits for a refresh in progress and must not be asked for from a task of a rayon pool. Commits and refreshes go on during a
/// training, and the new generation includes them.
pub struct Engine {
    pub(super) store: Arc<Store>,
    name: String,
    /// Held by a training, so that there is one at a time.
    pub(super) training: Mutex<()>,
    working_state: Mutex<Option<WorkingState>>,
    reader_copy: RwLock<ReaderCopy>,
    damage: OnceLock<Damage>,
    /// Held by a merge of stored changes.
    pub(super) merging: Mutex<()>,
    /// Locked last, and only for short calls.
    pub(super) refresh_history: Mutex<RefreshHistory>,
}

/// The epochs of a store and its embeddings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Status {
    /// The store's epoch.
    pub epoch: Epoch,
    /// The epoch that the embeddings reflect.
    pub embedded: Option<Epoch>,
    /// The model's generation.
    pub generation: Option<Generation>,
    /// Nodes that changed since the epoch of the embeddings.
    pub dirty_nodes: u64,
    /// Length of an embedding.
    pub dim: Option<usize>,
    /// The embedded kinds.
    pub targets: Vec<String>,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { epoch, embedded, generation, dirty_nodes, dim, targets } = self;
        write!(f, "epoch {epoch}, ")?;
        match (generation, embedded, dim) {
            (Some(generation), Some(embedded), Some(dim)) => write!(
                f,
                "generation {generation} of epoch {embedded}, {dirty_nodes} dirty nodes, {dim} numbers for {}",
                targets.join(", ")
            ),
            _ => f.write_str("not trained"),
        }
    }
}

impl Engine {
    /// Attaches to a store and reads the published generation of its default model, if it has one.
    ///
    /// If its files are damaged, the rows are computed again from the graph and the model. They are stored if the store is open for
    /// writing. [`Engine::damage`] tells. Over a store with mapped files that happens when the damaged rows are first used.
    ///
    /// # Errors
    /// Damage in the model itself.
    /// # Cost
    /// Reads those files: about the memory of the embeddings of all layers. Of mapped files it reads the neighborhoods, and of
    /// embeddings and tokens a block of 4 KiB when a row in it is first used.
    pub fn open(store: impl Into<Arc<Store>>) -> Result<Self, Error> {
        Self::open_with(store, &CancelToken::new())
    }

    /// As [`Engine::open`], with progress and cancellation.
    ///
    /// # Errors
    /// As for [`Engine::open`], and a cancellation.
    pub fn open_with(store: impl Into<Arc<Store>>, cancel: &CancelToken) -> Result<Self, Error> {
        let store = store.into();
        let name = store.default_set();
        Self::open_model_with(store, &name, cancel)
    }

    /// As [`Engine::open`], of the model of this name, whichever is the default. A name without a model is one to be trained.
    ///
    /// # Errors
    /// As for [`Engine::open`]; a name that a model cannot have.
    pub fn open_model(store: impl Into<Arc<Store>>, name: &str) -> Result<Self, Error> {
        Self::open_model_with(store, name, &CancelToken::new())
    }

    /// As [`Engine::open_model`], with progress and cancellation.
    ///
    /// # Errors
    /// As for [`Engine::open_model`], and a cancellation.
    pub fn open_model_with(
        store: impl Into<Arc<Store>>,
        name: &str,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let store = store.into();
        let set = store.derived_set(name);
        set.check_name()?;
        let snapshot = store.snapshot();
        let opened =
            set.derived().map(|derived| WorkingState::open(&derived, &snapshot, store.is_mapped(), cancel));
        let opened = opened.transpose()?;
        let (working, damage) = opened.map_or((None, None), |(working, damage)| (Some(working), damage));
        let must_store =
            working.as_ref().is_some_and(|working| working.stored.is_none()) && !store.is_read_only();
        let reader_copy = match &working {
            None => ReaderCopy::Untrained,
            // A process that maps the files may never ask.
            Some(working) if store.is_mapped() => ReaderCopy::Unmade(UnmadeCopy::of(working)),
            Some(working) => {
                let embeddings = Embeddings::new(&working.state, &snapshot, working.generation);
                ReaderCopy::Made(Box::new(embeddings.prepared()?))
            }
        };
        let refresh_history = Mutex::new(RefreshHistory::open(set));
        let name = name.to_owned();
        let engine = Self {
            store,
            name,
            training: Mutex::new(()),
            working_state: Mutex::new(working),
            reader_copy: RwLock::new(reader_copy),
            damage: damage.map_or_else(OnceLock::new, OnceLock::from),
            merging: Mutex::new(()),
            refresh_history,
        };
        if !engine.store.is_read_only() {
            engine.remove_merged_files()?;
        }
        if must_store {
            engine.persist(cancel)?;
            engine.set().mark_refreshed(snapshot.epoch());
        }
        Ok(engine)
    }

    /// The store that the engine is attached to.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The name of the model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The derived files of the model.
    pub(super) fn set(&self) -> DerivedSet<'_> {
        self.store.derived_set(&self.name)
    }

    /// The damage of the stored rows that was found first, after which all rows were computed again. `None` if all that was read is
    /// intact. Rows of a mapped file are read when they are first used.
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.get()
    }

    /// The epochs of the store and its embeddings. Cost: a lock and a few reads.
    pub fn status(&self) -> Status {
        let copy = self.reader_copy();
        // The snapshot is taken under the lock, so its epoch is not before that of the embeddings.
        let snapshot = self.store.snapshot();
        let header = copy.header();
        Status {
            epoch: snapshot.epoch(),
            embedded: header.map(|header| header.epoch),
            generation: header.map(|header| header.generation),
            dirty_nodes: self.dirty_nodes(),
            dim: header.map(|header| header.config.dim + 1),
            targets: header
                .map_or_else(Vec::new, |header| header.config.targets().map(str::to_owned).collect()),
        }
    }

    /// The number of nodes that were touched since the last refresh of the model.
    pub(super) fn dirty_nodes(&self) -> u64 {
        self.set().dirty_nodes()
    }

    /// True for a node that was touched since the last refresh of the model. `None` for a read-only store, which does not read the
    /// log.
    pub fn is_dirty(&self, node: NodeIx) -> Option<bool> {
        self.set().is_dirty(node)
    }

    /// Bytes of the embeddings in memory: rows of all layers, neighborhoods and their reverse lists, and what only readers need. The
    /// model and the graph are not included. Waits for a refresh in progress. Cost: reads the size of every row.
    ///
    /// # Errors
    /// [`Error::NotTrained`].
    pub fn memory(&self) -> Result<u64, Error> {
        let rows =
            self.working_state().as_ref().map(|working| working.state.bytes()).ok_or(Error::NotTrained)?;
        Ok((rows + self.reader_copy().made().map_or(0, Embeddings::bytes)) as u64)
    }

    /// Runs `read` on the readers' embeddings and a snapshot of the graph, under the readers' lock.
    ///
    /// The snapshot is taken under the lock, so it has a name for every embedded node. A refresh waits for `read`, and readers wait
    /// behind that refresh: `read` must be short and returns what the caller computes the rest from.
    pub(super) fn with_embeddings<T>(
        &self,
        read: impl FnOnce(&Embeddings, &Snapshot) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.make_reader_copy()?;
        match &*self.reader_copy() {
            ReaderCopy::Made(embeddings) => read(embeddings, &self.store.snapshot()),
            // A refresh was interrupted before there was a copy.
            ReaderCopy::Unmade(_) => Err(Error::PartlyRefreshed),
            ReaderCopy::Untrained => Err(Error::NotTrained),
        }
    }

    /// Makes the readers' copy, if there is a model and none was made. Waits for a refresh in progress then. The caller must not hold
    /// the state that refreshes work on.
    ///
    /// # Errors
    /// Damage of the rows, where they cannot be computed again.
    pub(super) fn make_reader_copy(&self) -> Result<(), Error> {
        if !matches!(*self.reader_copy(), ReaderCopy::Unmade(_)) {
            return Ok(());
        }
        let mut working = self.working_state();
        let Some(working) = working.as_mut().filter(|working| working.consistent().is_ok()) else {
            return Ok(());
        };
        self.require_intact(working, WorkingState::verify_vectors, &CancelToken::new())?;
        if matches!(*self.reader_copy(), ReaderCopy::Unmade(_)) {
            let embeddings = self.copy_for_readers(working, &self.store.snapshot())?;
            self.change_reader_copy(|copy| *copy = ReaderCopy::Made(embeddings));
        }
        Ok(())
    }

    /// Runs `read` on the state that refreshes work on, once no refresh is in progress. The readers' embeddings do not change
    /// meanwhile.
    pub(super) fn with_state<T>(&self, read: impl FnOnce(&State) -> Result<T, Error>) -> Result<T, Error> {
        let mut working = self.working_state();
        let working = working.as_mut().ok_or(Error::NotTrained)?;
        working.consistent()?;
        self.require_intact(working, WorkingState::verify, &CancelToken::new())?;
        read(&working.state)
    }

    /// Verifies rows of a mapped file that a caller is about to read. If one is damaged, all rows are computed again, as in opening.
    ///
    /// # Errors
    /// Damage of the model; a cancellation.
    pub(super) fn require_intact(
        &self,
        working: &mut WorkingState,
        verify: impl FnOnce(&WorkingState) -> Result<(), StoreError>,
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        let damage = match verify(working) {
            Err(error) => damage_of(error)?,
            Ok(()) => return Ok(()),
        };
        let (since, snapshot) = (Instant::now(), self.store.snapshot());
        let (state, report) = working.build(&snapshot, cancel)?;
        working.replace(state, self.store.is_mapped());
        self.note_damage(damage);
        self.show(working, &snapshot, &StateUpdate { report, changed_rows: None }, since)?;
        if !self.store.is_read_only() {
            self.publish_to_store(working, None, cancel)?;
        }
        Ok(())
    }

    /// A copy of the embeddings for readers. A process that maps files may ask one question only, so its copy is prepared by answers.
    ///
    /// # Errors
    /// Damage of the factors.
    pub(super) fn copy_for_readers(
        &self,
        working: &WorkingState,
        snapshot: &Snapshot,
    ) -> Result<Box<Embeddings>, Error> {
        let embeddings = Embeddings::new(&working.state, snapshot, working.generation);
        Ok(Box::new(if self.store.is_mapped() { embeddings } else { embeddings.prepared()? }))
    }

    /// Keeps the first damage for [`Engine::damage`].
    pub(super) fn note_damage(&self, damage: Damage) {
        self.damage.get_or_init(|| damage);
    }

    /// Locks the state that refreshes work on. After a panic under the lock, the next refresh rebuilds.
    pub(super) fn working_state(&self) -> MutexGuard<'_, Option<WorkingState>> {
        let mut guard = self.lock_working_state();
        // Those of a refresh that failed after it had changed all rows.
        if let Some(working) = guard.as_mut() {
            working.state.vectors.apply_changes();
        }
        guard
    }

    fn lock_working_state(&self) -> MutexGuard<'_, Option<WorkingState>> {
        self.working_state.lock().unwrap_or_else(|poisoned| {
            let mut guard = poisoned.into_inner();
            if let Some(working) = guard.as_mut() {
                working.consistency = Consistency::Interrupted;
            }
            // The consistency says it from here on, until a rebuild.
            self.working_state.clear_poison();
            guard
        })
    }

    pub(super) fn reader_copy(&self) -> RwLockReadGuard<'_, ReaderCopy> {
        self.reader_copy.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the readers' copy while readers are locked out.
    pub(super) fn change_reader_copy(&self, change: impl FnOnce(&mut ReaderCopy)) {
        change(&mut self.reader_copy.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The embeddings that readers see.
pub(super) enum ReaderCopy {
    /// There is no model.
    Untrained,
    /// The first reader makes the copy.
    Unmade(UnmadeCopy),
    Made(Box<Embeddings>),
}

/// The epoch, generation and configuration of embeddings that have no copy yet.
pub(super) struct UnmadeCopy {
    epoch: Epoch,
    generation: Generation,
    config: ModelConfig,
}

/// The epoch, generation and configuration of embeddings.
#[derive(Clone, Copy)]
pub(super) struct CopyHeader<'a> {
    epoch: Epoch,
    generation: Generation,
    pub(super) config: &'a ModelConfig,
}

impl UnmadeCopy {
    pub(super) fn of(working: &WorkingState) -> Self {
        let State { epoch, config, .. } = &working.state;
        Self { epoch: *epoch, generation: working.generation, config: config.clone() }
    }
}

impl ReaderCopy {
    pub(super) fn made(&self) -> Option<&Embeddings> {
        if let Self::Made(embeddings) = self { Some(embeddings) } else { None }
    }

    /// `None` without a model.
    pub(super) fn header(&self) -> Option<CopyHeader<'_>> {
        match self {
            Self::Untrained => None,
            Self::Unmade(UnmadeCopy { epoch, generation, config }) => {
                Some(CopyHeader { epoch: *epoch, generation: *generation, config })
            }
            Self::Made(embeddings) => {
                let Embeddings { epoch, generation, config, .. } = &**embeddings;
                Some(CopyHeader { epoch: *epoch, generation: *generation, config })
            }
        }
    }
}
