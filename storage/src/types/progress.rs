//! Progress of a long job: its stages, counted by any number of threads.
//! Owns the moments at which the observer of a token is called; knows nothing of the things counted.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::types::cancel::CancelToken;
use crate::types::error::Error;

/// The most reports for one stage, its begin and its end left out.
const MAX_REPORTS: u64 = 200;

/// Progress of one stage of a long job.
///
/// A job is a sequence of stages. Each stage begins with `done` 0, never goes back, and reaches `of` when it succeeds.
/// A stage without work is not reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The stage in a word: `walks`, `keys`. A name may occur again, such as `layer` for every layer.
    pub stage: &'static str,
    /// The amount done so far.
    pub done: u64,
    /// The total amount, in the stage's own unit: nodes, rows, bytes.
    pub of: u64,
}

/// A stage in progress; threads share it.
#[derive(Debug)]
#[must_use]
pub struct Stage<'a> {
    token: &'a CancelToken,
    name: &'static str,
    of: u64,
    done: AtomicU64,
    /// The value of `done` in the last report.
    reported: AtomicU64,
}

impl<'a> Stage<'a> {
    pub(crate) fn begin(token: &'a CancelToken, name: &'static str, of: u64) -> Self {
        let stage = Self { token, name, of, done: AtomicU64::new(0), reported: AtomicU64::new(0) };
        stage.report(0);
        stage
    }

    /// Adds `by` to the amount done.
    ///
    /// # Errors
    /// [`Error::Cancelled`] once cancellation was requested, [`Error::DeadlinePassed`] after the deadline.
    pub fn advance(&self, by: u64) -> Result<(), Error> {
        self.token.check()?;
        let Some(observer) = self.token.observer() else { return Ok(()) };
        let before = self.done.fetch_add(by, Ordering::Relaxed);
        let every = self.of.div_ceil(MAX_REPORTS).max(1);
        // Where another thread is reporting, this report is skipped: no task of a pool waits for the observer.
        if (before + by) / every > before / every
            && let Ok(mut reported) = observer.try_lock()
        {
            let done = self.done.load(Ordering::Relaxed).min(self.of);
            if self.reported.swap(done, Ordering::Relaxed) < done {
                reported(Progress { stage: self.name, done, of: self.of });
            }
        }
        Ok(())
    }

    /// Marks the stage as complete.
    pub fn end(self) {
        if self.reported.load(Ordering::Relaxed) < self.of {
            self.report(self.of);
        }
    }

    fn report(&self, done: u64) {
        if let Some(observer) = self.token.observer().filter(|_| self.of > 0) {
            let mut reported = observer.lock().unwrap_or_else(PoisonError::into_inner);
            reported(Progress { stage: self.name, done, of: self.of });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use rayon::prelude::*;

    use super::*;

    #[test]
    fn a_stage_never_goes_back_and_ends_at_its_total_however_many_threads_count() {
        let reported = Arc::new(Mutex::new(Vec::new()));
        let recorder = Arc::clone(&reported);
        let token = CancelToken::new().observed(move |at| recorder.lock().expect("one at a time").push(at));
        let stage = token.stage("rows", 100_000);
        (0..100_000).into_par_iter().for_each(|_| stage.advance(1).expect("nobody stops it"));
        stage.end();
        token.stage("nothing", 0).end();
        let reported = reported.lock().expect("one at a time");
        assert!(reported.is_sorted_by_key(|at| at.done), "{reported:?}");
        assert!(reported.len() <= MAX_REPORTS as usize + 2 && reported.iter().all(|at| at.stage == "rows"));
        assert_eq!((reported[0].done, reported[reported.len() - 1].done), (0, 100_000));
        assert!(reported.windows(2).all(|pair| pair[0] != pair[1]), "reported twice: {reported:?}");
    }

    #[test]
    fn a_stage_stops_by_the_flag_of_its_token_and_tells_the_observer_of_another() {
        let reported = Arc::new(AtomicU64::new(0));
        let recorder = Arc::clone(&reported);
        let outer = CancelToken::new().observed(move |at| recorder.store(at.done, Ordering::Relaxed));
        let inner = CancelToken::new().reporting_to(&outer);
        outer.cancel();
        let stage = inner.stage("rows", 2);
        assert!(stage.advance(1).is_ok() && reported.load(Ordering::Relaxed) == 1);
        inner.cancel();
        assert!(matches!(stage.advance(1), Err(Error::Cancelled)));
    }
}
