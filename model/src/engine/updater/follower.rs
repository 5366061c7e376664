//! What the updater's thread does: looks, refreshes what is due, stores now and then, and waits longer after each error.

use std::sync::{Arc, Mutex, PoisonError};
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

/// Looks in each `max_age`.
const LOOKS: u32 = 16;
/// The time between two looks at least.
const LOOK_AT_LEAST: Duration = Duration::from_millis(1);
/// That time at most, so that many dirty nodes are noticed soon where commits may grow old.
const LOOK_AT_MOST: Duration = Duration::from_millis(100);

/// What the thread is told.
pub(super) enum Command {
    /// Refresh now and say how it went, and to the observer of the token how far it is.
    Flush(Sender<Result<Epoch, Error>>, CancelToken),
    Stop,
}

pub(super) struct Follower {
    engine: Arc<Engine>,
    options: UpdaterOptions,
    pool: Option<ThreadPool>,
    observer: Box<dyn FnMut(&Update<'_>) + Send>,
    cancel: CancelToken,
    report: Arc<Mutex<UpdaterReport>>,
    backlog: Backlog,
    /// Of refreshes.
    refreshing: Retry,
    /// Of storing.
    storing: Retry,
    /// When embeddings were last stored, or there was nothing to store; up to which epoch they are.
    stored: (Instant, Option<Epoch>),
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
        let stored = engine.store().derived().map(|derived| derived.refreshed);
        Self {
            engine,
            options,
            pool,
            observer,
            cancel,
            report,
            backlog: Backlog::new(now),
            refreshing: Retry::default(),
            storing: Retry::default(),
            stored: (now, stored),
        }
    }

    /// Until it is told to stop.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        let pause = (self.options.max_age / LOOKS).clamp(LOOK_AT_LEAST, LOOK_AT_MOST);
        let mut next = Duration::ZERO;
        loop {
            let command = commands.recv_timeout(next);
            if self.cancel.is_cancelled() {
                return;
            }
            match command {
                Ok(Command::Flush(reply, asked)) => {
                    let refreshed = self.refresh(&self.cancel.reporting_to(&asked));
                    // Whoever asked may have gone.
                    let _ = reply.send(refreshed);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            next = self.validate().map_or(pause, |due| due.min(pause));
        }
    }

    /// Does what is due; says in how long there may be more to do, if that is known.
    fn validate(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let status = self.engine.status();
        self.note(|report| report.epoch = status.embedded);
        let since = self.backlog.validate(now, status.epoch, status.embedded);
        let left = since.map(|since| self.options.max_age.saturating_sub(now - since));
        let is_due = left.is_some_and(|left| left.is_zero()) || status.dirty_nodes >= self.options.max_dirty;
        let refreshed = is_due && self.refreshing.may(now) && self.refresh(&self.cancel.clone()).is_ok();
        self.persist_if_due();
        if refreshed {
            // What was committed meanwhile may be old by now.
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
                self.refreshing = Retry::default();
                self.refreshed(&report);
                Ok(report.epoch)
            }
            // It was told to stop; that is no failure.
            Err(error) if error.is_cancelled() => Err(error),
            Err(error) => {
                let retry_in = self.refreshing.failed(&self.options);
                self.failed(&error, self.refreshing.failures, retry_in);
                Err(error)
            }
        }
    }

    fn refreshed(&mut self, done: &RefreshReport) {
        self.note(|report| {
            report.refreshes += 1;
            report.epoch = report.epoch.max(Some(done.epoch));
            report.last = Some(done.clone());
        });
        (self.observer)(&Update::Refreshed(done));
    }

    fn persist_if_due(&mut self) {
        let Some(every) = self.options.persist_every else { return };
        let now = Instant::now();
        let embedded = self.engine.status().embedded;
        let is_due = now - self.stored.0 >= every && embedded != self.stored.1;
        if !is_due || !self.storing.may(now) {
            return;
        }
        match (self.engine.persist(&CancelToken::new()), embedded) {
            (Ok(()), Some(epoch)) => {
                self.storing = Retry::default();
                self.stored = (now, embedded);
                self.note(|report| report.persists += 1);
                (self.observer)(&Update::Persisted { epoch });
            }
            (Ok(()), None) => {}
            (Err(error), _) => {
                let retry_in = self.storing.failed(&self.options);
                self.failed(&error, self.storing.failures, retry_in);
            }
        }
    }

    fn failed(&mut self, error: &Error, in_a_row: u32, retry_in: Duration) {
        self.note(|report| {
            report.failures += 1;
            report.last_error = Some(error.to_string());
        });
        (self.observer)(&Update::Failed { error, in_a_row, retry_in });
    }

    fn note(&self, change: impl FnOnce(&mut UpdaterReport)) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut report);
        report.failures_in_a_row = self.refreshing.failures + self.storing.failures;
    }
}

/// How long something waits that failed.
#[derive(Default)]
struct Retry {
    failures: u32,
    not_before: Option<Instant>,
}

impl Retry {
    fn may(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// Notes a failure; returns how long to wait.
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
    fn each_failure_doubles_the_wait_up_to_the_longest() {
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
