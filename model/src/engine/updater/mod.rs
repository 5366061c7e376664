//! The updater: a thread that refreshes an engine once commits are old or dirty nodes are many.
//! It decides the time of a refresh; `refresh` does the work.

mod backlog;
mod follower;
pub(crate) mod options;

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use crossbeam_channel::{self as channel, RecvTimeoutError, Sender};
use hedgerow_storage::{CancelToken, Epoch, Error as StoreError};

use crate::config::error::Error;
use crate::config::report::RefreshReport;
use crate::engine::handle::Engine;
use crate::engine::training::pool;
use crate::engine::updater::follower::{Command, Follower};
use crate::engine::updater::options::UpdaterOptions;

/// The time between two checks for a cancellation while a call waits for a refresh.
const CANCEL_CHECK: Duration = Duration::from_millis(20);
/// The reason of an error after the end of the thread.
const ENDED: &str = "it has ended; start another";

/// An event of an [`Updater`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Update<'a> {
    /// The embeddings were refreshed, and readers see it.
    Refreshed(&'a RefreshReport),
    /// The embeddings were stored.
    Persisted {
        /// The stored embeddings reflect this epoch, or a later one.
        epoch: Epoch,
    },
    /// A refresh or a persist failed; readers see the same embeddings as before.
    Failed {
        /// The error.
        error: &'a Error,
        /// Its failures since it last succeeded.
        in_a_row: u32,
        /// The time until the next attempt.
        retry_in: Duration,
    },
}

/// The report of an [`Updater`].
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UpdaterReport {
    /// The number of refreshes.
    pub refreshes: u64,
    /// The number of persists.
    pub persists: u64,
    /// The number of failures.
    pub failures: u64,
    /// Failures since the last success.
    pub failures_in_a_row: u32,
    /// The message of the last failure, also after later successes.
    pub last_error: Option<String>,
    /// The report of the last refresh.
    pub last: Option<RefreshReport>,
    /// The epoch that the embeddings reflect, also after refreshes outside the updater.
    pub epoch: Option<Epoch>,
}

/// A thread that keeps an engine's embeddings up to date. Dropping it stops it.
///
/// It refreshes when the oldest commit that is not embedded is [`UpdaterOptions::max_age`] old, or when
/// [`UpdaterOptions::max_dirty`] nodes are dirty. After an error it tries again, with growing pauses. Commits, readers, trainings
/// and other refreshes of the same engine go on meanwhile. After a training it refreshes the new generation.
///
/// # Visibility
/// As for [`Engine::refresh`]. A commit is in the embeddings one refresh after it is `max_age` old, at the latest. If a refresh takes
/// longer than `max_age`, the next one starts at once. Refreshed embeddings are in memory only, unless
/// [`UpdaterOptions::persist_every`] is set.
/// # Determinism
/// The clock decides the time of a refresh and nothing else. A refresh includes all commits before it, with the bytes of a rebuild.
/// # Cost
/// The refreshes. It also polls the store's epoch and its dirty nodes 16 times in each `max_age`, at least 10 and at most 1,000 times
/// a second; a poll takes a tenth of a microsecond. It has a thread, and a rayon pool if [`UpdaterOptions::threads`] is set.
///
/// # Example
/// ```
/// # use std::sync::Arc;
/// # use hedgerow_model::{Engine, Error, Update, Updater, UpdaterOptions};
/// # use hedgerow_storage::{Batch, CancelToken, Edge, Store};
/// # fn main() -> Result<(), Error> {
/// # let folder = tempfile::tempdir().expect("a temporary folder");
/// # let store = Arc::new(Store::options().create(true).open(folder.path().join("store"))?);
/// # let engine = Arc::new(Engine::open(store)?);
/// let updater = Updater::start(Arc::clone(&engine), &UpdaterOptions::default(), |update| match update {
///     Update::Refreshed(report) => println!("epoch {} took {} s", report.epoch, report.seconds),
///     Update::Failed { error, retry_in, .. } => println!("{error}; again in {retry_in:?}"),
///     _ => {}
/// })?;
/// let mut batch = Batch::new();
/// batch.link(("board", "jazz"), ("pin", "1"), Edge::default())?;
/// engine.store().commit(&batch)?;
/// // Nothing is trained here, so there is nothing to refresh.
/// assert!(matches!(updater.flush(&CancelToken::new()), Err(Error::NotTrained)));
/// assert_eq!(updater.stop()?.refreshes, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Updater {
    cancel: CancelToken,
    commands: Sender<Command>,
    report: Arc<Mutex<UpdaterReport>>,
    id: ThreadId,
    /// `None` after a call has waited for its end.
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Updater {
    /// Starts the updater's thread.
    ///
    /// The thread calls the observer with every event and waits for it, so the observer must be short. It must not panic: a panic
    /// ends the updater.
    ///
    /// Commits that are not embedded at the start count from the start. The engine need not be trained: until it is, every attempt
    /// fails with [`Error::NotTrained`].
    ///
    /// # Errors
    /// Options out of range, a store that is open read-only, or no threads from the system.
    pub fn start(
        engine: Arc<Engine>,
        options: &UpdaterOptions,
        observer: impl FnMut(&Update<'_>) + Send + 'static,
    ) -> Result<Self, Error> {
        options.validate()?;
        if engine.store().is_read_only() {
            return Err(StoreError::ReadOnly { path: engine.store().path().to_path_buf() }.into());
        }
        let pool = pool(options.threads)?;
        let (cancel, report) = (CancelToken::new(), Arc::default());
        let (commands, received) = channel::unbounded();
        let follower = Follower::new(
            engine,
            options.clone(),
            pool,
            Box::new(observer),
            cancel.clone(),
            Arc::clone(&report),
        );
        let thread = thread::Builder::new().name("hedgerow-updater".to_owned());
        let handle = thread
            .spawn(move || follower.run(&received))
            .map_err(|error| Error::Threads { threads: 1, reason: error.to_string() })?;
        Ok(Self { cancel, commands, report, id: handle.thread().id(), handle: Mutex::new(Some(handle)) })
    }

    /// Refreshes at once, also if none is due or an error makes it wait. Returns the epoch that the embeddings then reflect: that of
    /// the last commit before the call, or a later one.
    ///
    /// # Errors
    /// The error of the refresh, which the observer gets too; a cancellation, which ends the waiting and not the refresh;
    /// [`Error::Updater`] after the updater has ended, and in a call from the observer, because its thread refreshes.
    /// # Cost
    /// Waits for the refresh in progress, and for one more. A task of the rayon pool that refreshes run on must not call it: it would
    /// keep a thread that they need.
    pub fn flush(&self, cancel: &CancelToken) -> Result<Epoch, Error> {
        if self.is_own_thread() {
            return Err(unable("flush was called from its own thread"));
        }
        let (reply, answer) = channel::bounded(1);
        let sent = self.commands.send(Command::Flush(reply, cancel.clone()));
        sent.map_err(|_| unable(ENDED))?;
        loop {
            match answer.recv_timeout(CANCEL_CHECK) {
                Ok(refreshed) => return refreshed,
                Err(RecvTimeoutError::Timeout) => cancel.check()?,
                Err(RecvTimeoutError::Disconnected) => return Err(unable(ENDED)),
            }
        }
    }

    /// The report so far, or of the whole time after the end. Cost: a lock and a copy.
    pub fn report(&self) -> UpdaterReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops the updater, waits for the end of its thread, and returns the report. Further calls return the same report.
    ///
    /// A refresh in progress is cancelled: readers keep the embeddings that they see, and the next refresh of this engine rebuilds. A
    /// persist in progress completes. To embed all commits, call [`Updater::flush`] before; to store them, call [`Engine::persist`]
    /// after.
    ///
    /// # Errors
    /// [`Error::Updater`] in the first call, if a panic has ended the updater.
    pub fn stop(&self) -> Result<UpdaterReport, Error> {
        self.cancel.cancel();
        // The send fails if the thread has ended already.
        let _ = self.commands.send(Command::Stop);
        // A thread cannot wait for itself. After a stop by the observer it ends when the observer returns.
        if !self.is_own_thread()
            && let Some(handle) = self.handle().take()
        {
            handle.join().map_err(|panic| unable(&panic_message(panic.as_ref())))?;
        }
        Ok(self.report())
    }

    fn is_own_thread(&self) -> bool {
        thread::current().id() == self.id
    }

    fn handle(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Updater {
    fn drop(&mut self) {
        // Hosts that want the result call `stop` before.
        let _ = self.stop();
    }
}

fn unable(reason: &str) -> Error {
    Error::Updater { reason: reason.to_owned() }
}

/// The message of a panic.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().map(ToString::to_string);
    let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", message.unwrap_or_else(|| "without a message".to_owned()))
}
