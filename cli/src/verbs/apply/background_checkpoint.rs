//! Checkpoints beside the batches: one at a time, when enough has gathered.

use std::sync::Arc;
use std::thread::JoinHandle;

use hedgerow::{CancelToken, Store};

use crate::core::failure::Failure;

/// A checkpoint that may be under way.
pub(super) struct BackgroundCheckpoint {
    store: Arc<Store>,
    cancel: CancelToken,
    running: Option<JoinHandle<Result<bool, hedgerow::Error>>>,
}

impl BackgroundCheckpoint {
    pub(super) fn new(store: &Arc<Store>) -> Self {
        Self { store: Arc::clone(store), cancel: CancelToken::new(), running: None }
    }

    /// Starts one where none is under way.
    pub(super) fn look(&mut self) -> Result<(), Failure> {
        if self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return Ok(());
        }
        self.join()?;
        let (store, cancel) = (Arc::clone(&self.store), self.cancel.clone());
        let fold = move || Ok(store.checkpoint_if_worthwhile(&cancel)?);
        self.running = Some(std::thread::spawn(fold));
        Ok(())
    }

    pub(super) fn join(&mut self) -> Result<(), Failure> {
        let Some(running) = self.running.take() else { return Ok(()) };
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(())
    }
}

impl Drop for BackgroundCheckpoint {
    fn drop(&mut self) {
        self.cancel.cancel();
        // Why it stopped is no news to somebody who has stopped already.
        drop(self.join());
    }
}
