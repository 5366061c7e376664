//! The handle that hosts use for everything learned: refresh, persist, ask; how it trains is `training`'s.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use crate::engine::export::digest_of;
use crate::engine::history::Past;
use crate::engine::history::RefreshRecord;

use hedgerow_storage::{
    CancelToken, Derived, Epoch, Error as StoreError, Generation, NodeIx, NodeRef, Publish, Snapshot, Store,
};

use crate::config::error::Error;
use crate::config::report::RefreshReport;
use crate::query::embeddings::Embeddings;
use crate::state::incremental::{StateUpdate, touched_nodes};
use crate::state::learning_curve::LearningCurve;
use crate::state::model_files;
use crate::state::refresh_explanation::{RefreshExplanation, RefreshReason, explain_refresh};
use crate::state::state::State;

/// A refresh that touches more than one list in this many rows is done as a rebuild. With 100,000 pins it is 2.5 times as
/// fast as one where 2,000 lists changed, and slower where 20,000 did: by then nearly all walks are made anew, and what traced
/// them was for nothing.
const ROWS_PER_LIST: usize = 12;
/// So many lists are traced back in a small graph too, where neither takes long.
const FEWEST_LISTS: usize = 64;

/// PinSage over a store: trains, refreshes and answers. `Send + Sync`; one per open store.
///
/// Readers ask what was last published and never wait for a refresh, which works on rows of its own; the
/// changed rows are handed over in one step at its end. Commits and refreshes go on during a training, and the
/// new generation has what they brought.
pub struct Engine {
    pub(super) store: Arc<Store>,
    /// Held by a training, so that there is one at a time.
    pub(super) training: Mutex<()>,
    work: Mutex<Option<Work>>,
    shown: RwLock<Option<Embeddings>>,
    /// Locked last, and for no work.
    pub(super) past: Mutex<Past>,
}

/// What refreshes work on.
pub(super) struct Work {
    pub(super) generation: Generation,
    pub(super) state: State,
    /// Up to which epoch it is in the store's files.
    pub(super) stored: Option<Epoch>,
    pub(super) rows: Rows,
}

/// What the rows are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// The next refresh goes on from them.
    Exact,
    /// They are an earlier version's: whole, but the next refresh must rebuild.
    Earlier,
    /// An advance broke off: good for nothing but a rebuild.
    HalfWay,
}

impl Work {
    /// What was published; computed again from the model where the rest is not there as it was written.
    fn open(derived: &Derived, snapshot: &Snapshot, cancel: &CancelToken) -> Result<Self, Error> {
        let generation = derived.generation;
        let whole = derived.is_complete.then(|| model_files::load(derived, snapshot.bound(), cancel));
        let ((state, is_exact), stored) = match whole {
            Some(Ok(loaded)) => (loaded, Some(derived.refreshed)),
            None | Some(Err(Error::Store(StoreError::Damaged { .. }))) => {
                let (recipe, encoder) = model_files::load_model(&derived.file(model_files::MODEL)?)?;
                ((State::build(recipe, Arc::new(encoder), snapshot, cancel)?.0, true), None)
            }
            Some(Err(other)) => return Err(other),
        };
        let rows = if is_exact { Rows::Exact } else { Rows::Earlier };
        Ok(Self { generation, state, stored, rows })
    }

    /// The state, where it is whole.
    pub(super) fn whole(&self) -> Result<&State, Error> {
        if self.rows == Rows::HalfWay { Err(Error::PartlyRefreshed) } else { Ok(&self.state) }
    }
}

/// What a refresh did, and why the node that was asked about changed.
pub(super) struct Followed {
    update: StateUpdate,
    explanation: RefreshExplanation,
}

/// Where a store and its embeddings stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The store's epoch.
    pub epoch: Epoch,
    /// The epoch that the embeddings reflect.
    pub embedded: Option<Epoch>,
    /// The model's generation.
    pub generation: Option<Generation>,
    /// Nodes touched since.
    pub dirty_nodes: u64,
    /// Length of an embedding.
    pub dim: Option<usize>,
    /// The embedded kinds.
    pub targets: Vec<String>,
}

/// A digest of all embeddings and neighbourhoods, and what it is of: equal digests, equal bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// BLAKE3, in hexadecimal digits.
    pub digest: String,
    /// The epoch that the embeddings reflect.
    pub epoch: Epoch,
    /// The model's generation.
    pub generation: Generation,
    /// Nodes that went in.
    pub nodes: u64,
}

impl Engine {
    /// Attaches to a store and reads its published generation, if it has one.
    ///
    /// Where files of it are damaged, what can be computed from the graph and the model is computed again, and stored where
    /// the store is open for writing.
    ///
    /// # Errors
    /// Damage in the model itself.
    /// # Cost
    /// Reading those files: about what the embeddings of all layers take in memory.
    pub fn open(store: impl Into<Arc<Store>>) -> Result<Self, Error> {
        Self::open_with(store, &CancelToken::new())
    }

    /// As [`Engine::open`], for hosts that want to hear how far it is, or to give up.
    ///
    /// # Errors
    /// As for [`Engine::open`], and a cancellation.
    pub fn open_with(store: impl Into<Arc<Store>>, cancel: &CancelToken) -> Result<Self, Error> {
        let store = store.into();
        let snapshot = store.snapshot();
        let work = store.derived().map(|derived| Work::open(&derived, &snapshot, cancel)).transpose()?;
        let must_store = work.as_ref().is_some_and(|work| work.stored.is_none()) && !store.is_read_only();
        let shown = work.as_ref().map(|work| Embeddings::of(&work.state, &snapshot, work.generation));
        let (work, shown) = (Mutex::new(work), RwLock::new(shown));
        let past = Mutex::new(Past::open(&store));
        let engine = Self { store, training: Mutex::new(()), work, shown, past };
        if must_store {
            engine.persist(cancel)?;
            engine.store.mark_refreshed(snapshot.epoch());
        }
        Ok(engine)
    }

    /// The store underneath.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Where the store and its embeddings stand. Cost: none worth naming.
    pub fn status(&self) -> Status {
        let shown = self.shown();
        // Taken behind the embeddings, so that it is never of an epoch before theirs.
        let snapshot = self.store.snapshot();
        let embeddings = shown.as_ref();
        Status {
            epoch: snapshot.epoch(),
            embedded: embeddings.map(|embeddings| embeddings.epoch),
            generation: embeddings.map(|embeddings| embeddings.generation),
            dirty_nodes: self.store.dirty_nodes(),
            dim: embeddings.map(|embeddings| embeddings.vectors.dim() + 1),
            targets: embeddings.map_or_else(Vec::new, Embeddings::targets),
        }
    }

    /// Bytes in memory that embeddings take beside the model and the graph: rows of all layers, neighbourhoods and who has
    /// whom in them, and the copy that readers have. Waits for a refresh under way. Cost: a look at every row.
    ///
    /// # Errors
    /// [`Error::NotTrained`].
    pub fn memory(&self) -> Result<u64, Error> {
        let rows = self.work().as_ref().map(|work| work.state.bytes()).ok_or(Error::NotTrained)?;
        Ok((rows + self.shown().as_ref().map_or(0, Embeddings::bytes)) as u64)
    }

    /// Brings every embedding to the store's present epoch; with `full`, by recomputing everything.
    ///
    /// Both ways give the same bytes. Without `full` it recomputes what the changes since the last refresh
    /// reach, unless they are so many that a rebuild is cheaper.
    ///
    /// # Visibility
    /// Readers see the refreshed embeddings when the call returns, all at once. They are in memory only until
    /// [`Engine::persist`]: a crash before loses no edge, and the next refresh computes the same bytes again.
    /// # Errors
    /// [`Error::NotTrained`]; a cancellation, after which readers still see the old embeddings.
    /// # Cost
    /// What the changes reach; readers wait while the rows that came out different are copied. It runs on the caller's rayon
    /// pool, but call it from a thread of yours and not from a task of that pool: while it waits for its parts, such a
    /// thread takes up other tasks, and one that refreshes as well would wait for itself.
    pub fn refresh(&self, full: bool, cancel: &CancelToken) -> Result<RefreshReport, Error> {
        Ok(self.refresh_asked(full, None, cancel)?.0)
    }

    /// As [`Engine::refresh`] of what changed, and says why the embedding of a node is another, or was looked at.
    ///
    /// # Errors
    /// As for [`Engine::refresh`]; an unknown node, or one whose kind is not embedded, before anything is done.
    /// # Cost
    /// That of the refresh, and the walks of a few nodes.
    pub fn refresh_explained<'n>(
        &self,
        node: impl Into<NodeRef<'n>>,
        cancel: &CancelToken,
    ) -> Result<(RefreshReport, RefreshExplanation), Error> {
        self.refresh_asked(false, Some(node.into()), cancel)
    }

    fn refresh_asked(
        &self,
        full: bool,
        asked: Option<NodeRef<'_>>,
        cancel: &CancelToken,
    ) -> Result<(RefreshReport, RefreshExplanation), Error> {
        let since = Instant::now();
        let mut guard = self.work();
        let work = guard.as_mut().ok_or(Error::NotTrained)?;
        let snapshot = self.store.snapshot();
        let asked = match (asked, self.shown().as_ref()) {
            (Some(name), Some(shown)) => Some(shown.require_kind(name, &snapshot)?),
            _ => None,
        };
        let Followed { update, explanation } = self.bring(work, &snapshot, full, asked, cancel)?;
        Ok((RefreshReport { seconds: since.elapsed().as_secs_f64(), ..update.report }, explanation))
    }

    /// Brings what refreshes work on to a snapshot, and hands it to readers.
    pub(super) fn bring(
        &self,
        work: &mut Work,
        snapshot: &Snapshot,
        full: bool,
        asked: Option<NodeIx>,
        cancel: &CancelToken,
    ) -> Result<Followed, Error> {
        let since = Instant::now();
        let followed = self.follow(work, snapshot, full, asked, cancel)?;
        // Copied before readers are kept out, and what it replaces is given back once they are let in again.
        let changed_rows = followed.update.changed_rows.as_ref();
        let mut whole =
            changed_rows.is_none().then(|| Embeddings::of(&work.state, snapshot, work.generation));
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        match (changed_rows, shown.as_mut()) {
            (Some(changed_rows), Some(shown)) => {
                shown.take_over(&work.state, snapshot, changed_rows.visible.rows())
            }
            _ => std::mem::swap(&mut *shown, &mut whole),
        }
        // While readers are kept out, so that an answer's epoch and its dirty nodes belong together.
        self.store.mark_refreshed(snapshot.epoch());
        drop(shown);
        if followed.update.report.dirty_nodes > 0 {
            let seconds = since.elapsed().as_secs_f64();
            let report = RefreshReport { seconds, ..followed.update.report.clone() };
            self.past().push(RefreshRecord { generation: work.generation, report });
        }
        Ok(followed)
    }

    /// Brings what refreshes work on to a snapshot, by the changes that lead there or, where they are too many,
    /// unknown, or unwanted, from nothing.
    pub(super) fn follow(
        &self,
        work: &mut Work,
        snapshot: &Snapshot,
        full: bool,
        asked: Option<NodeIx>,
        cancel: &CancelToken,
    ) -> Result<Followed, Error> {
        // Not even read where they are clearly too many.
        let dirty_nodes = self.store.dirty_nodes();
        let changes = if full || work.rows != Rows::Exact || dirty_nodes > work.state.rows() as u64 {
            None
        } else {
            match self.store.changes(work.state.epoch, snapshot, cancel) {
                // The log no longer reaches back to where these embeddings are from.
                Err(StoreError::Invalid { .. }) => None,
                other => Some(other?),
            }
        };
        match changes {
            Some(changes) if changes.lists.len() <= (work.state.rows() / ROWS_PER_LIST).max(FEWEST_LISTS) => {
                work.rows = Rows::HalfWay;
                let update = work.state.update(snapshot, &changes, cancel)?;
                work.rows = Rows::Exact;
                let explanation = match (asked, &update.changed_rows) {
                    (Some(node), Some(changed_rows)) => {
                        explain_refresh(&work.state, snapshot, &changes, changed_rows, node)?
                    }
                    _ => RefreshExplanation::default(),
                };
                Ok(Followed { update, explanation })
            }
            other => {
                let (recipe, encoder) = (work.state.recipe.clone(), work.state.encoder.clone());
                let (state, mut report) = State::build(recipe, encoder, snapshot, cancel)?;
                if !full {
                    report.dirty_nodes = other.map_or(dirty_nodes, |changes| touched_nodes(&changes));
                }
                work.state = state;
                work.rows = Rows::Exact;
                let explanation = RefreshExplanation { changed: true, reasons: vec![RefreshReason::Rebuild] };
                Ok(Followed { update: StateUpdate { report, changed_rows: None }, explanation })
            }
        }
    }

    /// Stores what refreshes computed since the last call.
    ///
    /// # Visibility
    /// Durable when it returns: the next open starts from here instead of refreshing again. Readers of this
    /// engine see no difference. [`Engine::refreshes`] are kept beside the store, where it can be written. Cost: writes all
    /// rows of all layers.
    /// # Errors
    /// What the store cannot write, or a cancellation; the embeddings stay in memory as they are.
    pub fn persist(&self, cancel: &CancelToken) -> Result<(), Error> {
        match self.work().as_mut() {
            Some(work) if work.rows == Rows::Exact && work.stored != Some(work.state.epoch) => {
                self.store_work(work, None, cancel)?;
            }
            Some(_) | None => {}
        }
        self.past().keep(&self.store);
        Ok(())
    }

    /// Publishes what refreshes work on; with a model that is new, and how it was learned.
    pub(super) fn store_work(
        &self,
        work: &mut Work,
        learned: Option<&LearningCurve>,
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        let State { recipe, encoder, .. } = &work.state;
        let model = learned.map(|curve| model_files::model_file(recipe, encoder, curve));
        let publish = Publish {
            generation: work.generation,
            refreshed: work.state.epoch,
            files: vec![
                (model_files::MODEL, model),
                (model_files::NEIGHBORHOODS, Some(model_files::neighborhoods_file(&work.state))),
                (model_files::EMBEDDINGS, Some(model_files::embeddings_file(&work.state))),
            ],
        };
        self.store.publish(publish, cancel)?;
        work.stored = Some(work.state.epoch);
        Ok(())
    }

    /// One BLAKE3 over all neighbourhoods and embeddings in the order of the nodes' stable ids: equal digests
    /// mean equal bytes. It is of what was last refreshed, whatever was committed since.
    ///
    /// # Errors
    /// [`Error::NotTrained`]; [`Error::PartlyRefreshed`] between a refresh that was cancelled and the next one; a cancellation.
    /// # Cost
    /// A pass over all rows, about a second for each GB. Refreshes wait.
    pub fn digest(&self, cancel: &CancelToken) -> Result<Digest, Error> {
        let guard = self.work();
        let work = guard.as_ref().ok_or(Error::NotTrained)?;
        let shown = self.shown();
        let ids = &shown.as_ref().ok_or(Error::NotTrained)?.ids;
        digest_of(work.whole()?, work.generation, ids, cancel)
    }

    /// What refreshes work on, once none is under way. What is shown does not change meanwhile.
    pub(crate) fn with_state<T>(&self, read: impl FnOnce(&State) -> Result<T, Error>) -> Result<T, Error> {
        read(self.work().as_ref().ok_or(Error::NotTrained)?.whole()?)
    }

    /// A panic elsewhere while it was held is a bug of ours, but must not take the host down: the state is then
    /// rebuilt.
    pub(super) fn work(&self) -> MutexGuard<'_, Option<Work>> {
        self.work.lock().unwrap_or_else(|poisoned| {
            let mut guard = poisoned.into_inner();
            if let Some(work) = guard.as_mut() {
                work.rows = Rows::HalfWay;
            }
            // Told once: from here on it is the rows that say so, until they are rebuilt.
            self.work.clear_poison();
            guard
        })
    }

    pub(crate) fn shown(&self) -> RwLockReadGuard<'_, Option<Embeddings>> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn show(&self, embeddings: Option<Embeddings>) {
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = embeddings;
    }
}
