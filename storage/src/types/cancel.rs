//! The token by which a host controls a long job: it stops the job and observes its progress. Knows nothing of the job
//! itself.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::types::error::Error;
use crate::types::progress::{Progress, Stage};

/// The callback for progress reports; one thread at a time calls it.
pub(crate) type Observer = Mutex<dyn FnMut(Progress) + Send>;

/// The token of a long job: a flag that stops the job and, optionally, an observer of its progress.
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
    observer: Option<Arc<Observer>>,
}

impl CancelToken {
    /// A token with its flag not set and without an observer.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same flag, with an observer that receives the progress of the jobs given the new token.
    ///
    /// Any thread of the job may call it, one at a time, at most some hundred times for each stage. The job waits
    /// meanwhile: the observer should do little, and must not start a job with the same token.
    pub fn observed(&self, observer: impl FnMut(Progress) + Send + 'static) -> Self {
        Self { flag: Arc::clone(&self.flag), observer: Some(Arc::new(Mutex::new(observer))) }
    }

    /// The flag of this token with the observer of another. It is for a job within a job that is stopped by another
    /// flag, or not at all.
    pub fn reporting_to(&self, other: &Self) -> Self {
        Self { flag: Arc::clone(&self.flag), observer: other.observer.clone() }
    }

    /// Asks every job with this flag to stop at its next check.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }

    /// True once cancellation was requested.
    pub fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Fails with [`Error::Cancelled`] once cancellation was requested.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
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
