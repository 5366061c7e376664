//! The loop of the updater's thread: polls, refreshes that are due, persists, and waits that grow after each error.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use hedgerow_storage::{CancelToken, Epoch};
use rayon::ThreadPool;

use crate::config::error::Error;
use crate::config::report::RefreshReport;
use crate::engine::handle::Engine;
use crate::engine::updater::backlog::Backlog;
use crate::engine::updater::options::UpdaterOptions;
use crate::engine::updater::{Update, UpdaterReport};

/// Polls in each `max_age`.
const POLLS: u32 = 16;
/// The shortest time between two polls.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// The longest time between two polls. It bounds the delay of [`UpdaterOptions::max_dirty`] where `max_age` is long.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// A command to the thread.
pub(super) enum Command {
    /// Refresh now, reply with the result, and report progress to the token.
    Flush(Sender<Result<Epoch, Error>>, CancelToken),
    Stop,
}

/// The state of the updater's thread.
pub(super) struct Follower {
    engine: Arc<Engine>,
    options: UpdaterOptions,
    pool: Option<ThreadPool>,
    observer: Box<dyn FnMut(&Update<'_>) + Send>,
    cancel: CancelToken,
    report: Arc<Mutex<UpdaterReport>>,
    backlog: Backlog,
    refresh_retry: Retry,
    persist_retry: Retry,
    /// The time of the last successful persist, and the epoch that it stored.
    persisted: (Instant, Option<Epoch>),
    persisting: Option<Persisting>,
}

/// A persist in progress.
struct Persisting {
    thread: JoinHandle<Result<(), Error>>,
    started: Instant,
    /// The epoch that it stores; `None` after a rebuild, whose rows must be stored also at an epoch that is stored.
    epoch: Option<Epoch>,
}

impl Follower {
    pub(super) fn new(
        engine: Arc<Engine>,
        options: UpdaterOptions,
        pool: Option<ThreadPool>,
        observer: Box<dyn FnMut(&Update<'_>) + Send>,
        cancel: CancelToken,
        report: Arc<Mutex<UpdaterReport>>,
    ) -> Self {
        let now = Instant::now();
        let stored = engine.set().derived().map(|derived| derived.refreshed);
        Self {
            engine,
            options,
            pool,
            observer,
            cancel,
            report,
            backlog: Backlog::new(now),
            refresh_retry: Retry::default(),
            persist_retry: Retry::default(),
            persisted: (now, stored),
            persisting: None,
        }
    }

    /// Runs until a command or a cancellation stops it, and completes a persist.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        self.follow(commands);
        self.end_persist();
    }

    fn follow(&mut self, commands: &Receiver<Command>) {
        let pause = (self.options.max_age / POLLS).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let mut next = Duration::ZERO;
        loop {
            let command = commands.recv_timeout(next);
            if self.cancel.is_cancelled() {
                return;
            }
            match command {
                Ok(Command::Flush(reply, caller)) => {
                    let refreshed = self.refresh(&self.cancel.reporting_to(&caller));
                    // The caller may have stopped waiting.
                    let _ = reply.send(refreshed);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            next = self.poll().map_or(pause, |due| due.min(pause));
        }
    }

    /// Refreshes and persists if that is due. Returns the time until the next refresh may be due, if that is known.
    fn poll(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let status = self.engine.status();
        self.note(|report| report.epoch = status.embedded);
        let since = self.backlog.poll(now, status.epoch, status.embedded);
        let left = since.map(|since| self.options.max_age.saturating_sub(now - since));
        let is_due = left.is_some_and(|left| left.is_zero()) || status.dirty_nodes >= self.options.max_dirty;
        let refreshed =
            is_due && self.refresh_retry.is_due(now) && self.refresh(&self.cancel.clone()).is_ok();
        self.persist_if_due();
        if refreshed {
            // Commits of the meantime may be old already.
            return Some(Duration::ZERO);
        }
        left.filter(|left| !left.is_zero())
    }

    fn refresh(&mut self, cancel: &CancelToken) -> Result<Epoch, Error> {
        let work = || self.engine.refresh(false, cancel);
        let result = match &self.pool {
            None => work(),
            Some(pool) => pool.install(work),
        };
        match result {
            Ok(report) => {
                self.refresh_retry = Retry::default();
                self.report_refresh(&report);
                Ok(report.epoch)
            }
            // A stop is no failure.
            Err(error) if error.is_cancelled() => Err(error),
            Err(error) => {
                let retry_in = self.refresh_retry.failed(&self.options);
                self.report_failure(&error, self.refresh_retry.failures, retry_in);
                Err(error)
            }
        }
    }

    fn report_refresh(&mut self, done: &RefreshReport) {
        if done.full {
            // The rows of a rebuild are stored also at an epoch that is stored.
            self.persisted.1 = None;
            if let Some(persisting) = &mut self.persisting {
                persisting.epoch = None;
            }
        }
        self.note(|report| {
            report.refreshes += 1;
            report.epoch = report.epoch.max(Some(done.epoch));
            report.last = Some(done.clone());
        });
        (self.observer)(&Update::Refreshed(done));
    }

    /// Persists in a thread of its own, if that is due: a persist that writes all rows takes longer than a refresh may wait.
    fn persist_if_due(&mut self) {
        let Some(every) = self.options.persist_every else { return };
        if self.persisting.as_ref().is_some_and(|persisting| !persisting.thread.is_finished()) {
            return;
        }
        self.end_persist();
        let now = Instant::now();
        let embedded = self.engine.status().embedded;
        let is_due = now - self.persisted.0 >= every && embedded != self.persisted.1;
        if !is_due || embedded.is_none() || !self.persist_retry.is_due(now) {
            return;
        }
        let engine = Arc::clone(&self.engine);
        let thread = thread::Builder::new().name("hedgerow-persist".to_owned());
        match thread.spawn(move || engine.persist(&CancelToken::new())) {
            Ok(thread) => self.persisting = Some(Persisting { thread, started: now, epoch: embedded }),
            Err(error) => {
                self.persist_failed(&Error::Threads { threads: 1, reason: error.to_string() });
            }
        }
    }

    /// Waits for the persist in progress, if there is one, and reports it.
    fn end_persist(&mut self) {
        let Some(Persisting { thread, started, epoch }) = self.persisting.take() else { return };
        match thread.join() {
            Ok(Ok(())) => {
                self.persist_retry = Retry::default();
                self.persisted = (started, epoch);
                self.note(|report| report.persists += 1);
                if let Some(epoch) = epoch {
                    (self.observer)(&Update::Persisted { epoch });
                }
            }
            Ok(Err(error)) => self.persist_failed(&error),
            Err(panic) => resume_unwind(panic),
        }
    }

    fn persist_failed(&mut self, error: &Error) {
        let retry_in = self.persist_retry.failed(&self.options);
        self.report_failure(error, self.persist_retry.failures, retry_in);
    }

    fn report_failure(&mut self, error: &Error, in_a_row: u32, retry_in: Duration) {
        self.note(|report| {
            report.failures += 1;
            report.last_error = Some(error.to_string());
        });
        (self.observer)(&Update::Failed { error, in_a_row, retry_in });
    }

    fn note(&self, change: impl FnOnce(&mut UpdaterReport)) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut report);
        report.failures_in_a_row = self.refresh_retry.failures + self.persist_retry.failures;
    }
}

/// The failures of a task in a row, and the time of its next attempt.
#[derive(Default)]
struct Retry {
    failures: u32,
    not_before: Option<Instant>,
}

impl Retry {
    fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// Notes a failure. Returns the time to wait.
    fn failed(&mut self, options: &UpdaterOptions) -> Duration {
        let doubled = 2u32.saturating_pow(self.failures);
        let wait = options.retry_first.saturating_mul(doubled).min(options.retry_at_most);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Instant::now().checked_add(wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::{Retry, UpdaterOptions};
    use std::time::Duration;

    #[test]
    fn each_failure_doubles_the_wait_up_to_a_maximum() {
        let options = UpdaterOptions {
            retry_first: Duration::from_millis(3),
            retry_at_most: Duration::from_millis(20),
            ..UpdaterOptions::default()
        };
        let mut retry = Retry::default();
        let waits: Vec<u128> = (0..5).map(|_| retry.failed(&options).as_millis()).collect();
        assert_eq!(waits, [3, 6, 12, 20, 20]);
        retry.failures = u32::MAX;
        assert_eq!(retry.failed(&options), options.retry_at_most);
    }
}
