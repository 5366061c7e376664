//! Embeddings that follow by themselves: a thread that refreshes an engine once commits are old or nodes many. Decides
//! when; what a refresh is, is `engine`'s.

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

/// How long whoever waits for a refresh does not hear that it is to wait no more.
const LISTENS: Duration = Duration::from_millis(20);
const ENDED: &str = "it has ended; start another";

/// What an [`Updater`] did.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Update<'a> {
    /// The embeddings were refreshed, and readers see it.
    Refreshed(&'a RefreshReport),
    /// They were stored.
    Persisted {
        /// What is stored reflects this epoch, or a later one.
        epoch: Epoch,
    },
    /// One of them could not be done; readers see what they saw before.
    Failed {
        /// Why not.
        error: &'a Error,
        /// How often that has failed since it last succeeded.
        in_a_row: u32,
        /// When it is tried again.
        retry_in: Duration,
    },
}

/// What an [`Updater`] has done so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdaterReport {
    /// Refreshes done.
    pub refreshes: u64,
    /// How often the embeddings were stored.
    pub persists: u64,
    /// What failed in all.
    pub failures: u64,
    /// What failed since something last succeeded.
    pub failures_in_a_row: u32,
    /// The last failure, in words, also where things went well since.
    pub last_error: Option<String>,
    /// The last refresh.
    pub last: Option<RefreshReport>,
    /// The epoch that the embeddings reflect, whoever refreshed them.
    pub epoch: Option<Epoch>,
}

/// A thread that keeps an engine's embeddings up to date. Dropping it stops it.
///
/// It refreshes when the oldest commit that is not embedded is [`UpdaterOptions::max_age`] old or
/// [`UpdaterOptions::max_dirty`] nodes are dirty, whichever comes first, and goes on after errors, ever more slowly. Commits,
/// readers, trainings and other refreshes of the same engine go on beside it; after a training it follows the new generation.
///
/// # Visibility
/// As for [`Engine::refresh`]. A commit is in the embeddings one refresh after it is `max_age` old, at the latest; while a
/// refresh takes longer than that, one follows on the other. What was refreshed is in memory only, unless
/// [`UpdaterOptions::persist_every`] says otherwise.
/// # Determinism
/// Time decides when a refresh happens and nothing else: all that is committed by then is in it, with the bytes of a rebuild.
/// # Cost
/// The refreshes. Besides, it looks at the store's epoch and its dirty nodes 16 times in each `max_age`, though at least 10
/// times and at most 1,000 times a second; a look takes a tenth of a microsecond. A thread, and a rayon pool where
/// [`UpdaterOptions::threads`] asks for one.
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
    /// Until someone has waited for its end.
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Updater {
    /// Starts to follow.
    ///
    /// The observer is told of everything that is done and of every failure, from the updater's thread, which waits for it:
    /// what takes long belongs elsewhere. It must not panic; where it does, the updater ends.
    ///
    /// Commits that are not embedded when it starts count as made then. The engine need not be trained yet: until it is, every
    /// attempt fails with [`Error::NotTrained`].
    ///
    /// # Errors
    /// Options out of range, a store that is open read-only, threads that the system does not give.
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

    /// Refreshes at once, whatever is due and however long it should wait after an error, and returns the epoch that the
    /// embeddings reflect then: that of the last commit before the call, or a later one.
    ///
    /// # Errors
    /// What the refresh failed with, of which the observer is told too; a cancellation, which ends the waiting and not the
    /// refresh; [`Error::Updater`] once it has ended, and from its own thread, that is from the observer, where nobody would be
    /// left to refresh.
    /// # Cost
    /// Waits for the refresh that is under way, and for one more. A task of the rayon pool that refreshes run on must not call
    /// it: it would keep a thread that they need.
    pub fn flush(&self, cancel: &CancelToken) -> Result<Epoch, Error> {
        if self.is_own_thread() {
            return Err(unable("it was asked from its own thread"));
        }
        let (reply, answer) = channel::bounded(1);
        let sent = self.commands.send(Command::Flush(reply, cancel.clone()));
        sent.map_err(|_| unable(ENDED))?;
        loop {
            match answer.recv_timeout(LISTENS) {
                Ok(refreshed) => return refreshed,
                Err(RecvTimeoutError::Timeout) => cancel.check()?,
                Err(RecvTimeoutError::Disconnected) => return Err(unable(ENDED)),
            }
        }
    }

    /// What it has done so far, or had when it ended. Cost: none worth naming.
    pub fn report(&self) -> UpdaterReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops it, waits until its thread is gone, and says what it did. Once more does no harm.
    ///
    /// A refresh under way is cancelled: readers keep what they see, and the next refresh of this engine is a rebuild. Storing
    /// is waited for. To have everything embedded call [`Updater::flush`] before, and to have it stored [`Engine::persist`]
    /// behind.
    ///
    /// # Errors
    /// [`Error::Updater`] the first time, if it had ended by a panic.
    pub fn stop(&self) -> Result<UpdaterReport, Error> {
        self.cancel.cancel();
        // Nobody is there to be told if it has ended already.
        let _ = self.commands.send(Command::Stop);
        // A thread cannot wait for itself; it ends once the observer returns.
        if !self.is_own_thread()
            && let Some(handle) = self.handle().take()
        {
            handle.join().map_err(|panic| unable(&words(panic.as_ref())))?;
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
        // Whoever wants to know how it ended calls `stop`.
        let _ = self.stop();
    }
}

fn unable(reason: &str) -> Error {
    Error::Updater { reason: reason.to_owned() }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().map(ToString::to_string);
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", said.unwrap_or_else(|| "without a word".to_owned()))
}
