//! The token by which a host holds a long job: it stops the job, and hears how far it is. Knows nothing of what the job is.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::types::error::Error;
use crate::types::progress::{Progress, Stage};

/// What is told how far a job is; one thread at a time.
pub(crate) type Observer = Mutex<dyn FnMut(Progress) + Send>;

/// What a host holds a long job by: a flag that stops it and, where the host wants one, an observer that hears how far it is.
///
/// Every call that may take long has one as its last argument. Clones share flag and observer, so one token can hold several
/// jobs. A job looks at the flag every few milliseconds; what a stop leaves is said where the call is described, and is never
/// less than what was there before.
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
    /// A flag that nobody has raised, and no observer.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same flag, with an observer that is told how far the jobs are which are given the new token.
    ///
    /// It is told by whichever thread of the job is there, one at a time, some hundred times for each stage at most. The job
    /// waits for it: it should do little, and must not start a job with the same token.
    pub fn observed(&self, observer: impl FnMut(Progress) + Send + 'static) -> Self {
        Self { flag: Arc::clone(&self.flag), observer: Some(Arc::new(Mutex::new(observer))) }
    }

    /// The flag of this token with the observer of another: for a job within a job that is to be stopped otherwise, or not at
    /// all.
    pub fn reporting_to(&self, other: &Self) -> Self {
        Self { flag: Arc::clone(&self.flag), observer: other.observer.clone() }
    }

    /// Asks every job that holds this flag to stop at its next check.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }

    /// Whether someone asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Fails with [`Error::Cancelled`] once someone asked to stop.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Begins a stage of a job, of which the observer is told: for what works through `of` things, whatever they are.
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
        let heard = if self.observer.is_some() { "observed" } else { "not observed" };
        write!(f, "CancelToken({state}, {heard})")
    }
}
