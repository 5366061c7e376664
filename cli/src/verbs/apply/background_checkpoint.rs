//! Checkpoints that run beside the batches, one at a time.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use hedgerow::{CancelToken, Store};

use crate::core::failure::Failure;

/// The thread that may be writing a checkpoint.
pub(super) struct BackgroundCheckpoint {
    store: Arc<Store>,
    cancel: CancelToken,
    running: Option<JoinHandle<Result<bool, hedgerow::Error>>>,
}

impl BackgroundCheckpoint {
    pub(super) fn new(store: &Arc<Store>) -> Self {
        Self { store: Arc::clone(store), cancel: CancelToken::new(), running: None }
    }

    /// Starts a checkpoint if it is worthwhile and none is running.
    pub(super) fn start_if_worthwhile(&mut self) -> Result<(), Failure> {
        if self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return Ok(());
        }
        self.join()?;
        let (store, cancel) = (Arc::clone(&self.store), self.cancel.clone());
        let path = store.path().to_path_buf();
        let started = thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || Ok(store.checkpoint_if_worthwhile(&cancel)?));
        self.running = Some(started.map_err(|source| Failure::file(&path, "start a thread for", source))?);
        Ok(())
    }

    /// Waits for the running checkpoint.
    pub(super) fn join(&mut self) -> Result<(), Failure> {
        let Some(running) = self.running.take() else { return Ok(()) };
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(())
    }
}

impl Drop for BackgroundCheckpoint {
    fn drop(&mut self) {
        self.cancel.cancel();
        // The verb ends for another reason, and reports that one.
        drop(self.join());
    }
}
