//! Decides when the embeddings follow the commits, and when refreshed embeddings are stored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hedgerow::{CancelToken, Engine, RefreshReport};

use crate::core::failure::Failure;

/// Refreshed embeddings are stored after this time at the latest. Storing writes all rows, so it is not done after each batch.
const STORE_INTERVAL: Duration = Duration::from_mins(1);

/// Refreshes after every batch, at most once in a window, or never.
pub(super) struct Refresher {
    /// Those of all models, that of the default one first; none if nothing is refreshed.
    engines: Vec<Arc<Engine>>,
    window: Duration,
    cancel: CancelToken,
    /// The end of the last refresh.
    last_refresh: Instant,
    /// Commits came after the last refresh.
    is_behind: bool,
    last_stored: Instant,
}

impl Refresher {
    pub(super) fn new(engines: Vec<Arc<Engine>>, window: Duration, cancel: CancelToken) -> Self {
        let now = Instant::now();
        Self { engines, window, cancel, last_refresh: now, is_behind: false, last_stored: now }
    }

    /// Treats nodes that are dirty already as if they were committed now.
    pub(super) fn catch_up(&mut self) {
        self.is_behind = self.engines.iter().any(|engine| engine.status().dirty_nodes > 0);
    }

    /// Records a commit, and refreshes if it is time. Returns the report of the default model.
    pub(super) fn committed(&mut self) -> Result<Option<RefreshReport>, Failure> {
        self.is_behind = !self.engines.is_empty();
        self.refresh_when_due()
    }

    /// Refreshes and stores while no change comes, if it is time.
    pub(super) fn idle(&mut self) -> Result<(), Failure> {
        self.refresh_when_due()?;
        self.store_when_due()
    }

    /// Stores refreshed embeddings if it is time.
    pub(super) fn store_when_due(&mut self) -> Result<(), Failure> {
        if self.last_stored.elapsed() >= STORE_INTERVAL {
            self.store()?;
            self.last_stored = Instant::now();
        }
        Ok(())
    }

    /// Refreshes a last time, unless Ctrl-C was pressed, and stores the embeddings.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        let refreshed = if self.is_behind && !self.cancel.is_cancelled() { self.refresh() } else { Ok(None) };
        // Embeddings of earlier refreshes are stored even if the last one failed, so that they are not lost.
        self.store()?;
        refreshed.map(drop)
    }

    fn store(&self) -> Result<(), Failure> {
        Ok(self.engines.iter().try_for_each(|engine| engine.persist(&CancelToken::new()))?)
    }

    fn refresh_when_due(&mut self) -> Result<Option<RefreshReport>, Failure> {
        if self.is_behind && self.last_refresh.elapsed() >= self.window { self.refresh() } else { Ok(None) }
    }

    fn refresh(&mut self) -> Result<Option<RefreshReport>, Failure> {
        let mut report = None;
        for engine in &self.engines {
            let refreshed = engine.refresh(false, &self.cancel)?;
            report.get_or_insert(refreshed);
        }
        (self.last_refresh, self.is_behind) = (Instant::now(), false);
        Ok(report)
    }
}
