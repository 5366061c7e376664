//! The line per interval by which whoever started a following command sees how it fares.

use std::time::{Duration, Instant};

use hedgerow::{Position, Store};

use crate::output::printer::{Output, object};
use crate::output::value::rounded;

/// Says where things stand, once in an interval.
pub(super) struct Status {
    out: Output,
    every: Option<Duration>,
    began: Instant,
    said: Instant,
}

/// Where things stand.
pub(super) struct Standing {
    /// Behind the last line that is committed.
    pub(super) behind: Position,
    /// Changes of this run.
    pub(super) applied: u64,
    /// Bytes of the input that are not committed; none where its end is not known.
    pub(super) lag: Option<u64>,
}

impl Status {
    /// Says nothing where there is no interval.
    pub(super) fn new(out: Output, every: Option<Duration>) -> Self {
        let now = Instant::now();
        Self { out, every, began: now, said: now }
    }

    /// Says it where the interval is over.
    pub(super) fn when_due(&mut self, store: &Store, standing: impl FnOnce() -> Standing) {
        if self.every.is_some_and(|every| self.said.elapsed() >= every) {
            self.say(store, &standing());
        }
    }

    /// Says it for the last time.
    pub(super) fn finish(&mut self, store: &Store, standing: impl FnOnce() -> Standing) {
        if self.every.is_some() {
            self.say(store, &standing());
        }
    }

    fn say(&mut self, store: &Store, standing: &Standing) {
        self.said = Instant::now();
        let Standing { behind, applied, lag } = standing;
        self.out.status(&object(vec![
            ("seconds", rounded(self.began.elapsed().as_secs_f64(), 1)),
            ("lines", behind.lines.into()),
            ("position", behind.offset.into()),
            ("lag", (*lag).into()),
            ("edges", (*applied).into()),
            ("epoch", store.snapshot().epoch().get().into()),
            ("dirty_nodes", store.dirty_nodes().into()),
        ]));
    }
}
