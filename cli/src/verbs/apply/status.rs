//! The status lines of a command that follows an input.

use std::time::{Duration, Instant};

use hedgerow::{Position, Store};

use crate::output::printer::Output;
use crate::output::value::{object, rounded};

/// Writes a status line once in an interval.
pub(super) struct Status {
    out: Output,
    /// None if no status is written.
    interval: Option<Duration>,
    started: Instant,
    last: Instant,
}

/// The progress of a run.
pub(super) struct FollowProgress {
    /// The position after the last committed line.
    pub(super) committed: Position,
    /// Changes that this run applied.
    pub(super) applied: u64,
    /// Bytes of the input that are not committed; none if its size is unknown.
    pub(super) lag: Option<u64>,
}

impl Status {
    pub(super) fn new(out: Output, interval: Option<Duration>) -> Self {
        let now = Instant::now();
        Self { out, interval, started: now, last: now }
    }

    /// Writes a line if the interval has passed.
    pub(super) fn write_when_due(&mut self, store: &Store, progress: impl FnOnce() -> FollowProgress) {
        if self.interval.is_some_and(|interval| self.last.elapsed() >= interval) {
            self.write(store, &progress());
        }
    }

    /// Writes the last line.
    pub(super) fn finish(&mut self, store: &Store, progress: impl FnOnce() -> FollowProgress) {
        if self.interval.is_some() {
            self.write(store, &progress());
        }
    }

    fn write(&mut self, store: &Store, progress: &FollowProgress) {
        self.last = Instant::now();
        let FollowProgress { committed, applied, lag } = progress;
        self.out.status(&object([
            ("seconds", rounded(self.started.elapsed().as_secs_f64(), 1)),
            ("lines", committed.lines.into()),
            ("position", committed.offset.into()),
            ("lag", (*lag).into()),
            ("edges", (*applied).into()),
            ("epoch", store.snapshot().epoch().get().into()),
            ("dirty_nodes", store.dirty_nodes().into()),
        ]));
    }
}
