//! What a verb works with: the store and the engine, opened when first asked for and kept for the next verb of a console,
//! the output, and the token by which Ctrl-C reaches it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hedgerow::{CancelToken, Engine, Status, Store};

use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;

/// One process, one store at a time.
pub(crate) struct Context {
    pub(crate) out: Output,
    pub(crate) read_only: bool,
    low_memory: bool,
    /// Whether the verb was typed into a console, which owns standard input.
    pub(crate) console: bool,
    cancel: CancelToken,
    opened: Option<Opened>,
}

struct Opened {
    path: PathBuf,
    store: Arc<Store>,
    engine: Option<Arc<Engine>>,
}

impl Context {
    pub(crate) fn new(out: Output, read_only: bool, low_memory: bool) -> Self {
        Self { out, read_only, low_memory, console: false, cancel: interrupt::begin(), opened: None }
    }

    /// A store that must exist.
    pub(crate) fn store(&mut self, path: &Path) -> Result<Arc<Store>, Failure> {
        if self.opened.is_none() && !path.exists() {
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
        self.opened.take_if(|opened| opened.path == path);
    }

    pub(crate) fn engine(&mut self, path: &Path) -> Result<Arc<Engine>, Failure> {
        let store = self.store(path)?;
        let opened = self.opened.as_mut().filter(|opened| Arc::ptr_eq(&opened.store, &store));
        if let Some(engine) = opened.as_ref().and_then(|opened| opened.engine.as_ref()) {
            return Ok(Arc::clone(engine));
        }
        let engine = Arc::new(Engine::open(store)?);
        if let Some(opened) = opened {
            opened.engine = Some(Arc::clone(&engine));
        }
        Ok(engine)
    }

    /// An engine that has a model, or advice on how to get one.
    pub(crate) fn trained(&mut self, path: &Path) -> Result<(Arc<Engine>, Status), Failure> {
        let engine = self.engine(path)?;
        let status = engine.status();
        if status.generation.is_none() {
            let example = "hedgerow train STORE --target KIND";
            return Err(Failure::NotTrained(format!(
                "no model is trained in this store: run `{example}` first"
            )));
        }
        Ok((engine, status))
    }

    pub(crate) fn cancel(&self) -> &CancelToken {
        &self.cancel
    }

    /// Starts a new command of a console: a Ctrl-C for the last one is forgotten.
    pub(crate) fn begin_command(&mut self) {
        self.cancel = interrupt::begin();
    }

    fn open(&mut self, path: &Path, create: bool) -> Result<Arc<Store>, Failure> {
        if let Some(opened) = self.opened.as_ref().filter(|opened| opened.path == path) {
            return Ok(Arc::clone(&opened.store));
        }
        let options = Store::options().create(create).read_only(self.read_only).low_memory(self.low_memory);
        let store = options.open(path);
        let store = Arc::new(store.map_err(|error| Failure::Open(error.into()))?);
        for repair in store.repairs() {
            self.out.note(&format!("warning: {repair}"));
        }
        self.opened = Some(Opened { path: path.to_path_buf(), store: Arc::clone(&store), engine: None });
        Ok(store)
    }
}
