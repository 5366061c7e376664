//! How far a long job is: its stages, counted by however many threads work on them.
//! Owns when the observer of a token is reported; knows nothing of what is counted.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::types::cancel::CancelToken;
use crate::types::error::Error;

/// How often the observer is reported of a stage at most, its begin and its end left out.
const MAX_REPORTS: u64 = 200;

/// How far a stage of a long job is.
///
/// A job is one stage after another. Each begins with `done` 0, never goes back, and has reached `of` where it ended well; one
/// without anything to do is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done, in a word: `walks`, `keys`. The same may come again, such as `layer` for every layer.
    pub stage: &'static str,
    /// How much of it is done.
    pub done: u64,
    /// How much there is to do, in nodes, rows, bytes or whatever the stage counts.
    pub of: u64,
}

/// A stage under way. Threads share it.
#[derive(Debug)]
#[must_use]
pub struct Stage<'a> {
    token: &'a CancelToken,
    name: &'static str,
    of: u64,
    done: AtomicU64,
    /// What the observer heard last.
    reported: AtomicU64,
}

impl<'a> Stage<'a> {
    pub(crate) fn begin(token: &'a CancelToken, name: &'static str, of: u64) -> Self {
        let stage = Self { token, name, of, done: AtomicU64::new(0), reported: AtomicU64::new(0) };
        stage.report(0);
        stage
    }

    /// Says that so much more is done.
    ///
    /// # Errors
    /// [`Error::Cancelled`] once someone asked the job to stop.
    pub fn advance(&self, by: u64) -> Result<(), Error> {
        self.token.check()?;
        let Some(observer) = self.token.observer() else { return Ok(()) };
        let before = self.done.fetch_add(by, Ordering::Relaxed);
        let every = self.of.div_ceil(MAX_REPORTS).max(1);
        // Who finds another thread telling leaves it to the next: nobody waits within a task of a pool.
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

    /// Says that all of it is done.
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
