//! The token by which a host controls a long job: it stops the job, sets its deadline and observes its progress. Knows nothing
//! of the job itself.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::types::error::Error;
use crate::types::progress::{Progress, Stage};

/// The callback for progress reports; one thread at a time calls it.
pub(crate) type Observer = Mutex<dyn FnMut(Progress) + Send>;

/// The token of a long job: a flag that stops the job and, optionally, a deadline and an observer of its progress.
///
/// Every call that may take long has one as its last argument. Clones share the flag and the observer, so one token can
/// control several jobs. A job checks the flag every few milliseconds. Each method documents the state after a
/// cancellation; the state before the call is never lost.
///
/// # Example
/// ```
/// # use hedgerow_storage::{CancelToken, Store};
/// # fn main() -> Result<(), hedgerow_storage::Error> {
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let store = Store::options().create(true).open(folder.path().join("graph"))?;
/// let token = CancelToken::new();
/// store.checkpoint(&token.observed(|at| println!("{}: {} of {}", at.stage, at.done, at.of)))?;
///
/// let late = token.with_deadline(std::time::Instant::now());
/// assert!(store.backup(folder.path().join("copy"), &late).is_err());
///
/// let remote = token.clone(); // such as for a thread that hears Ctrl-C
/// remote.cancel();
/// assert!(store.backup(folder.path().join("copy"), &token).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct CancelToken {
    flag: Arc<AtomicBool>,
    deadline: Option<Instant>,
    observer: Option<Arc<Observer>>,
}

impl CancelToken {
    /// A token with its flag not set, without a deadline and without an observer.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same flag and deadline, with an observer that receives the progress of the jobs given the new token.
    ///
    /// Any thread of the job may call it, one at a time, at most some hundred times for each stage. The job waits
    /// meanwhile: the observer should do little, and must not start a job with the same token.
    pub fn observed(&self, observer: impl FnMut(Progress) + Send + 'static) -> Self {
        Self { observer: Some(Arc::new(Mutex::new(observer))), ..self.clone() }
    }

    /// The flag and deadline of this token with the observer of another. It is for a job within a job that is stopped by
    /// another flag, or not at all.
    pub fn reporting_to(&self, other: &Self) -> Self {
        Self { observer: other.observer.clone(), ..self.clone() }
    }

    /// The same flag and observer, with a deadline: a job with the new token also stops at its first check after this
    /// instant. A token keeps the earlier of two deadlines.
    ///
    /// Cost: a check reads the clock, some 30 nanoseconds.
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        let earlier = self.deadline.map_or(deadline, |present| present.min(deadline));
        Self { deadline: Some(earlier), ..self.clone() }
    }

    /// Asks every job with this flag to stop at its next check.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }

    /// True once cancellation was requested or the deadline has passed.
    pub fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::Relaxed) || self.is_late()
    }

    /// Fails with [`Error::Cancelled`] once cancellation was requested, and with [`Error::DeadlinePassed`] after the deadline.
    pub fn check(&self) -> Result<(), Error> {
        if self.flag.load(Ordering::Relaxed) {
            Err(Error::Cancelled)
        } else if self.is_late() {
            Err(Error::DeadlinePassed)
        } else {
            Ok(())
        }
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Begins a stage of a job that processes `of` items and reports its progress to the observer.
    pub fn stage(&self, name: &'static str, of: u64) -> Stage<'_> {
        Stage::begin(self, name, of)
    }

    pub(crate) fn observer(&self) -> Option<&Observer> {
        self.observer.as_deref()
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_cancelled() { "cancelled" } else { "not cancelled" };
        let observed = if self.observer.is_some() { "observed" } else { "not observed" };
        write!(f, "CancelToken({state}, {observed})")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earlier_deadline_counts_and_the_flag_goes_before_it() {
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_hours(1));
        let token = CancelToken::new();
        assert!(token.with_deadline(later).check().is_ok());
        for late in
            [token.with_deadline(now).with_deadline(later), token.with_deadline(later).with_deadline(now)]
        {
            assert!(late.is_cancelled());
            assert!(matches!(late.check(), Err(Error::DeadlinePassed)));
            assert!(matches!(late.observed(|_| {}).stage("rows", 1).advance(1), Err(Error::DeadlinePassed)));
            assert!(matches!(late.reporting_to(&token).check(), Err(Error::DeadlinePassed)));
            assert!(token.reporting_to(&late).check().is_ok(), "the deadline is not the observer's");
        }
        let late = token.with_deadline(now);
        token.cancel();
        assert!(matches!(late.check(), Err(Error::Cancelled)));
    }
}
