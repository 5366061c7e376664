//! What a verb works with: the store and the engine, opened when first asked for and kept for the next verb of a console,
//! the output, and the token by which Ctrl-C reaches it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hedgerow::{CancelToken, Engine, Status, Store};

use crate::core::failure::Failure;
use crate::core::interrupt;
use crate::output::printer::Output;
use crate::output::progress::Watched;

/// One process, one store at a time. Those of a console's jobs share it.
pub(crate) struct Context {
    pub(crate) out: Output,
    pub(crate) read_only: bool,
    low_memory: bool,
    /// Whether the verb was typed into a console, which owns standard input.
    pub(crate) console: bool,
    cancel: CancelToken,
    opened: Opened,
}

/// What is open, for whoever has a share of it.
#[derive(Clone, Default)]
pub(crate) struct Opened(Arc<Mutex<Option<Held>>>);

struct Held {
    path: PathBuf,
    store: Arc<Store>,
    engine: Option<Arc<Engine>>,
}

impl Opened {
    fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store, where it is open and nobody is opening anything right now: whoever types does not wait.
    pub(crate) fn store(&self) -> Option<Arc<Store>> {
        Some(Arc::clone(&self.0.try_lock().ok()?.as_ref()?.store))
    }
}

impl Context {
    pub(crate) fn new(out: Output, read_only: bool, low_memory: bool) -> Self {
        let (cancel, opened) = (interrupt::begin(), Opened::default());
        Self { out, read_only, low_memory, console: false, cancel, opened }
    }

    /// That of a verb beside the others of this console, which Ctrl-C does not reach.
    pub(crate) fn beside(&self, out: Output) -> Self {
        let (cancel, opened) = (CancelToken::new(), self.opened.clone());
        Self { out, read_only: self.read_only, low_memory: self.low_memory, console: true, cancel, opened }
    }

    /// A store that must exist.
    pub(crate) fn store(&mut self, path: &Path) -> Result<Arc<Store>, Failure> {
        if self.opened.lock().is_none() && !path.exists() {
            return Err(Failure::NoStore(path.to_path_buf()));
        }
        self.open(path, false)
    }

    /// A store that is created where there is none.
    pub(crate) fn store_or_new(&mut self, path: &Path) -> Result<Arc<Store>, Failure> {
        if self.read_only && !path.exists() {
            return Err(Failure::Usage(format!(
                "there is no store at {}, and --read-only cannot create one: leave it out",
                path.display()
            )));
        }
        self.open(path, !self.read_only)
    }

    /// Gives a store back that is open here.
    pub(crate) fn close(&mut self, path: &Path) {
        self.opened.lock().take_if(|held| held.path == path);
    }

    pub(crate) fn engine(&mut self, path: &Path) -> Result<Arc<Engine>, Failure> {
        let store = self.store(path)?;
        // Held while it opens, so that there is one engine, whoever asks.
        let mut opened = self.opened.lock();
        let held = opened.as_mut().filter(|held| Arc::ptr_eq(&held.store, &store));
        if let Some(engine) = held.as_ref().and_then(|held| held.engine.as_ref()) {
            return Ok(Arc::clone(engine));
        }
        let engine = Arc::new(Engine::open_with(store, &self.watched())?);
        if let Some(held) = held {
            held.engine = Some(Arc::clone(&engine));
        }
        Ok(engine)
    }

    /// An engine that has a model, or advice on how to get one.
    pub(crate) fn trained(&mut self, path: &Path) -> Result<(Arc<Engine>, Status), Failure> {
        let engine = self.engine(path)?;
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

    /// The token with a line that says how far the call is which is given it.
    pub(crate) fn watched(&self) -> Watched {
        Watched::new(&self.cancel, self.out)
    }

    /// What is open here, for whoever may look at it while verbs run.
    pub(crate) fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Starts a new command of a console: a Ctrl-C for the last one is forgotten.
    pub(crate) fn begin_command(&mut self) {
        self.cancel = interrupt::begin();
    }

    /// Opens a read-only store anew where a writer has published a newer state; says whether it did.
    pub(crate) fn catch_up(&mut self, path: &Path) -> Result<bool, Failure> {
        // Where that cannot be told now, what is shown stays as it was.
        let is_behind = self.opened.store().is_some_and(|store| store.is_outdated().unwrap_or(false));
        if is_behind {
            let store = self.open_anew(path, false)?;
            *self.opened.lock() = Some(Held { path: path.to_path_buf(), store, engine: None });
        }
        Ok(is_behind)
    }

    fn open(&mut self, path: &Path, create: bool) -> Result<Arc<Store>, Failure> {
        let mut opened = self.opened.lock();
        if let Some(held) = opened.as_ref().filter(|held| held.path == path) {
            return Ok(Arc::clone(&held.store));
        }
        let store = self.open_anew(path, create)?;
        *opened = Some(Held { path: path.to_path_buf(), store: Arc::clone(&store), engine: None });
        Ok(store)
    }

    fn open_anew(&self, path: &Path, create: bool) -> Result<Arc<Store>, Failure> {
        let options = Store::options().create(create).read_only(self.read_only).low_memory(self.low_memory);
        let options = options.cancel(&self.watched());
        let store = options.open(path).map_err(|error| Failure::Open(error.into()))?;
        for repair in store.damage() {
            self.out.note(&format!("warning: {repair}"));
        }
        Ok(Arc::new(store))
    }
}
