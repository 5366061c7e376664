//! The context of a verb: its output, its token for Ctrl-C, and the store and engine, which a console keeps open between verbs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hedgerow::{CancelToken, Engine, Epoch, Status, Store};

use crate::core::failure::Failure;
use crate::core::interrupt;
use crate::core::sync::lock;
use crate::output::printer::Output;
use crate::output::progress::Watched;
use crate::output::value::count;
use crate::session::models::existing_model;

/// The context of a verb. A process opens one store at a time, which the jobs of a console share.
#[expect(clippy::struct_excessive_bools, reason = "each says one thing about the verb or its options")]
pub(crate) struct Context {
    pub(crate) out: Output,
    pub(crate) read_only: bool,
    low_memory: bool,
    /// The verb reads little, so files are mapped instead of read.
    maps_files: bool,
    /// The verb runs in a console, which reads standard input itself.
    pub(crate) console: bool,
    cancel: CancelToken,
    shared: SharedStore,
}

/// The store that is open, if one is; shared by a console and its jobs.
#[derive(Clone, Default)]
pub(crate) struct SharedStore(Arc<Mutex<Option<OpenStore>>>);

struct OpenStore {
    path: PathBuf,
    store: Arc<Store>,
    /// The engine of each model that was asked for.
    engines: BTreeMap<String, Arc<Engine>>,
    /// The models whose damage was told.
    told: BTreeSet<String>,
}

impl OpenStore {
    fn new(path: &Path, store: Arc<Store>) -> Self {
        Self { path: path.to_path_buf(), store, engines: BTreeMap::new(), told: BTreeSet::new() }
    }
}

impl SharedStore {
    /// The open store. None also while a job opens one, so that typing never waits.
    pub(crate) fn store(&self) -> Option<Arc<Store>> {
        Some(Arc::clone(&self.0.try_lock().ok()?.as_ref()?.store))
    }
}

impl Context {
    pub(crate) fn new(out: Output, read_only: bool, low_memory: bool) -> Self {
        let (cancel, shared) = (interrupt::begin(), SharedStore::default());
        Self { out, read_only, low_memory, maps_files: false, console: false, cancel, shared }
    }

    /// The context of a job of this console. Ctrl-C does not reach its token.
    pub(crate) fn for_job(&self, out: Output) -> Self {
        let (cancel, shared) = (CancelToken::new(), self.shared.clone());
        let Self { read_only, low_memory, .. } = *self;
        Self { out, read_only, low_memory, maps_files: false, console: true, cancel, shared }
    }

    /// Maps the files of the store that is opened next, for a verb that reads little of it. A console reads them, because other
    /// verbs follow.
    pub(crate) fn map_files(&mut self) {
        self.maps_files = !self.console;
    }

    /// Opens a mapped store again, with its files read into memory.
    pub(crate) fn read_files(&mut self, path: &Path) {
        if self.maps_files {
            self.maps_files = false;
            self.close(path);
        }
    }

    /// Opens a store that must exist.
    pub(crate) fn store(&mut self, path: &Path) -> Result<Arc<Store>, Failure> {
        if lock(&self.shared.0).is_none() && !path.exists() {
            return Err(Failure::NoStore(path.to_path_buf()));
        }
        self.open(path, false)
    }

    /// Opens a store, and creates it if there is none.
    pub(crate) fn store_or_new(&mut self, path: &Path) -> Result<Arc<Store>, Failure> {
        if self.read_only && !path.exists() {
            return Err(Failure::Usage(format!(
                "there is no store at {}, and --read-only cannot create one: leave it out",
                path.display()
            )));
        }
        self.open(path, !self.read_only)
    }

    /// Closes the store at this path, if it is open.
    pub(crate) fn close(&mut self, path: &Path) {
        lock(&self.shared.0).take_if(|open| open.path == path);
    }

    /// The engine of the default model.
    pub(crate) fn engine(&mut self, path: &Path) -> Result<Arc<Engine>, Failure> {
        let name = self.store(path)?.default_set();
        self.engine_of(path, &name)
    }

    /// The engine of a model of this name, which may be one to be trained.
    pub(crate) fn engine_of(&mut self, path: &Path, name: &str) -> Result<Arc<Engine>, Failure> {
        let store = self.store(path)?;
        // The lock is held while the engine opens, so that a model has one engine.
        let mut shared = lock(&self.shared.0);
        let open = shared.as_mut().filter(|open| Arc::ptr_eq(&open.store, &store));
        if let Some(engine) = open.as_ref().and_then(|open| open.engines.get(name)) {
            return Ok(Arc::clone(engine));
        }
        let engine = Arc::new(Engine::open_model_with(Arc::clone(&store), name, &self.watched())?);
        if let Some(open) = open {
            open.engines.insert(name.to_owned(), Arc::clone(&engine));
        }
        drop(shared);
        self.tell_damage();
        Ok(engine)
    }

    /// The engine of a model that is trained, the default one if none is named. The default one of a new store is to be trained.
    pub(crate) fn model(&mut self, path: &Path, model: Option<&str>) -> Result<Arc<Engine>, Failure> {
        let name = existing_model(&*self.store(path)?, model)?;
        self.engine_of(path, &name)
    }

    /// The engines of all models, that of the default one first.
    pub(crate) fn engines(&mut self, path: &Path) -> Result<Vec<Arc<Engine>>, Failure> {
        let store = self.store(path)?;
        let (default, mut names) = (store.default_set(), store.derived_sets());
        names.sort_by_key(|name| *name != default);
        names.iter().map(|name| self.engine_of(path, name)).collect()
    }

    /// Forgets the engine of a model that is dropped.
    pub(crate) fn forget_engine(&self, name: &str) {
        if let Some(open) = lock(&self.shared.0).as_mut() {
            open.engines.remove(name);
        }
    }

    /// Tells of damage that the engines found, once. They find some when rows are first used.
    pub(crate) fn tell_damage(&self) {
        let mut shared = lock(&self.shared.0);
        let Some(OpenStore { store, engines, told, .. }) = shared.as_mut() else { return };
        let damaged = engines.iter().filter_map(|(name, engine)| Some((name, engine.damage()?)));
        for (name, damage) in damaged {
            // Damage that the store knows was told when it was opened.
            if told.insert(name.clone()) && store.damage().iter().all(|told| told.path != damage.path) {
                self.out.note(&format!("warning: {damage}"));
            }
        }
    }

    /// The engine of a model, the default one if none is named. Without a model it fails with advice to train one.
    pub(crate) fn trained(
        &mut self,
        path: &Path,
        model: Option<&str>,
    ) -> Result<(Arc<Engine>, Status), Failure> {
        let engine = self.model(path, model)?;
        let status = engine.status();
        if status.generation.is_none() {
            let shell = "hedgerow train STORE --target KIND";
            let example = if self.console { "train --target KIND" } else { shell };
            return Err(Failure::NotTrained(format!(
                "no model is trained in this store: run `{example}` first"
            )));
        }
        Ok((engine, status))
    }

    pub(crate) fn cancel(&self) -> &CancelToken {
        &self.cancel
    }

    /// The token of this verb with a progress bar, for one call of the library.
    pub(crate) fn watched(&self) -> Watched {
        Watched::new(&self.cancel, self.out)
    }

    /// The store that is open, for completion and suggestions, which run beside verbs.
    pub(crate) fn shared(&self) -> &SharedStore {
        &self.shared
    }

    /// Starts a new command of a console. A Ctrl-C before it no longer counts.
    pub(crate) fn begin_command(&mut self) {
        self.cancel = interrupt::begin();
    }

    /// Refuses `-` as an input file in a console, which reads standard input itself.
    pub(crate) fn require_file(&self, path: &Path) -> Result<(), Failure> {
        if self.console && path.as_os_str() == "-" {
            return Err(Failure::Usage("the console reads standard input itself: name a file".to_owned()));
        }
        Ok(())
    }

    /// Notes that nodes changed after the epoch that a result reflects, if any did.
    pub(crate) fn note_dirty(&self, dirty_nodes: u64, epoch: Epoch, result: &str) {
        if dirty_nodes > 0 {
            let nodes = count(dirty_nodes, "node", "nodes");
            self.out
                .note(&format!("{nodes} changed since epoch {epoch}; `refresh` brings {result} up to date"));
        }
    }

    /// Opens a read-only store again if a writer has published a newer state; returns whether it did.
    pub(crate) fn catch_up(&mut self, path: &Path) -> Result<bool, Failure> {
        // If the newest state cannot be determined, the open one stays.
        let is_behind = self.shared.store().is_some_and(|store| store.is_outdated().unwrap_or(false));
        if is_behind {
            let store = self.open_anew(path, false)?;
            *lock(&self.shared.0) = Some(OpenStore::new(path, store));
        }
        Ok(is_behind)
    }

    fn open(&mut self, path: &Path, create: bool) -> Result<Arc<Store>, Failure> {
        let mut shared = lock(&self.shared.0);
        if let Some(open) = shared.as_ref().filter(|open| open.path == path) {
            return Ok(Arc::clone(&open.store));
        }
        let store = self.open_anew(path, create)?;
        *shared = Some(OpenStore::new(path, Arc::clone(&store)));
        Ok(store)
    }

    fn open_anew(&self, path: &Path, create: bool) -> Result<Arc<Store>, Failure> {
        let options = Store::options().create(create).read_only(self.read_only).low_memory(self.low_memory);
        let options = options.map_files(self.maps_files).cancel(&self.watched());
        let store = options.open(path).map_err(|error| Failure::Open(error.into()))?;
        for damage in store.damage() {
            self.out.note(&format!("warning: {damage}"));
        }
        Ok(Arc::new(store))
    }
}
