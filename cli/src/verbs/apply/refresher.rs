//! When the embeddings follow what was committed, and when what they became is stored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hedgerow::{CancelToken, Engine, RefreshReport};

use crate::core::failure::Failure;

/// How long what was refreshed stays in memory only while an input is followed: persisting writes all rows.
const KEPT_IN_MEMORY: Duration = Duration::from_mins(1);

/// Refreshes after every batch, or at most once in a window, or never.
pub(super) struct Refresher {
    /// None where nothing is refreshed.
    engine: Option<Arc<Engine>>,
    window: Duration,
    cancel: CancelToken,
    /// When the last refresh ended.
    last: Instant,
    /// Whether something was committed since.
    is_behind: bool,
    stored: Instant,
}

impl Refresher {
    pub(super) fn new(engine: Option<Arc<Engine>>, window: Duration, cancel: CancelToken) -> Self {
        let now = Instant::now();
        Self { engine, window, cancel, last: now, is_behind: false, stored: now }
    }

    /// Takes over what was dirty before, as if it had been committed now.
    pub(super) fn catch_up(&mut self) {
        self.is_behind = self.engine.as_ref().is_some_and(|engine| engine.status().dirty_nodes > 0);
    }

    /// Follows a commit; the answer is what a refresh did, where it was time for one.
    pub(super) fn committed(&mut self) -> Result<Option<RefreshReport>, Failure> {
        self.is_behind = self.engine.is_some();
        self.refresh_when_due()
    }

    /// While nothing comes: refreshes where that is due, and stores from time to time.
    pub(super) fn idle(&mut self) -> Result<(), Failure> {
        self.refresh_when_due()?;
        self.store_when_due()
    }

    /// Stores what was refreshed where the last time is long ago.
    pub(super) fn store_when_due(&mut self) -> Result<(), Failure> {
        if let Some(engine) = self.engine.as_ref().filter(|_| self.stored.elapsed() >= KEPT_IN_MEMORY) {
            engine.persist(&CancelToken::new())?;
            self.stored = Instant::now();
        }
        Ok(())
    }

    /// Brings the embeddings up to the last batch, unless Ctrl-C was pressed, and stores them.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        let refreshed = if self.is_behind && !self.cancel.is_cancelled() { self.refresh() } else { Ok(None) };
        // What was refreshed is kept whatever became of the rest, so that it need not be computed again.
        self.engine.as_ref().map_or(Ok(()), |engine| engine.persist(&CancelToken::new()))?;
        refreshed.map(drop)
    }

    fn refresh_when_due(&mut self) -> Result<Option<RefreshReport>, Failure> {
        if self.is_behind && self.last.elapsed() >= self.window { self.refresh() } else { Ok(None) }
    }

    fn refresh(&mut self) -> Result<Option<RefreshReport>, Failure> {
        let report = self.engine.as_ref().map(|engine| engine.refresh(false, &self.cancel)).transpose()?;
        (self.last, self.is_behind) = (Instant::now(), false);
        Ok(report)
    }
}
