//! A thread that reads changes into a batch while the verb commits and refreshes earlier ones.
//! Knows lines and batches, but neither the input nor the store.

use std::io;
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hedgerow::{Batch, CancelToken, Position};

use crate::core::failure::Failure;
use crate::core::sync::{lock, wait_timeout};
use crate::input::lines::Lines;
use crate::verbs::apply::change::Changes;

/// The thread, and the batch that it fills.
pub(super) struct ReaderThread {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
    /// Tells the thread to stop.
    stop: CancelToken,
}

struct Shared {
    size: usize,
    pending: Mutex<Pending>,
    /// The pending batch was filled or taken, or the input ended.
    changed: Condvar,
}

/// The changes that were read and not taken yet.
#[derive(Default)]
struct Pending {
    batch: Batch,
    count: usize,
    /// The time at which the first of them was read.
    since: Option<Instant>,
    /// The position in the input after the last of them.
    end: Position,
    ended: Option<Result<(), Failure>>,
}

impl Pending {
    /// True if the changes are a whole batch.
    fn is_full(&self, size: usize) -> bool {
        self.count >= size || self.batch.is_half_full()
    }
}

/// The result of waiting for a batch.
pub(super) enum Taken {
    /// The number of changes, and the position in the input after them.
    Changes(usize, Position),
    /// No batch is due yet.
    Nothing,
    /// The input has ended or cannot be read further, and all changes before were taken.
    End(Result<(), Failure>),
}

impl ReaderThread {
    /// Starts the thread. It calls `open`, which may wait, and `position` for the position after a line. It reads at most
    /// `size` changes ahead. After `stop` the input may end within a line.
    ///
    /// A dropped thread is not joined, since it may wait for bytes that never come.
    pub(super) fn start(
        size: usize,
        stop: CancelToken,
        open: impl FnOnce() -> Result<Changes, Failure> + Send + 'static,
        position: fn(&Lines) -> Position,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared { size, pending: Mutex::default(), changed: Condvar::new() });
        let (state, until) = (Arc::clone(&shared), stop.clone());
        let run = move || {
            let ended = open().and_then(|changes| state.read(changes, &until, position));
            state.lock().ended = Some(ended);
            state.changed.notify_all();
        };
        let reader = Some(thread::Builder::new().name("read".to_owned()).spawn(run)?);
        Ok(Self { shared, reader, stop })
    }

    /// Moves the pending changes into `batch` when they fill a batch, or when the first of them has waited for `linger`.
    /// Waits for that at most for `patience`.
    pub(super) fn take(&mut self, batch: &mut Batch, linger: Duration, patience: Duration) -> Taken {
        let until = Instant::now() + patience;
        let mut pending = self.shared.lock();
        loop {
            // A batch that is due.
            let now = Instant::now();
            let due = pending.since.map(|since| since + linger);
            let is_full = pending.is_full(self.shared.size) || pending.ended.is_some();
            if pending.count > 0 && (is_full || due.is_some_and(|due| due <= now)) {
                batch.clear();
                std::mem::swap(batch, &mut pending.batch);
                (pending.batch, pending.since) = (Batch::new(), None);
                let taken = Taken::Changes(std::mem::take(&mut pending.count), pending.end);
                self.shared.changed.notify_all();
                return taken;
            }
            // The end of the input, or a wait until something is due.
            if let Some(ended) = pending.ended.take() {
                return Taken::End(ended);
            }
            if now >= until {
                break;
            }
            let wait = due.map_or(until, |due| due.min(until)) - now;
            pending = wait_timeout(&self.shared.changed, pending, wait);
        }
        drop(pending);
        // A panic of the thread is passed on, since nothing comes any more.
        if self.reader.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(Err(panic)) = self.reader.take().map(JoinHandle::join)
        {
            resume_unwind(panic);
        }
        Taken::Nothing
    }
}

impl Drop for ReaderThread {
    fn drop(&mut self) {
        self.stop.cancel();
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        lock(&self.pending)
    }

    /// Reads changes until the input ends or the thread is stopped.
    fn read(
        &self,
        mut changes: Changes,
        stop: &CancelToken,
        position: fn(&Lines) -> Position,
    ) -> Result<(), Failure> {
        while changes.advance()? {
            let mut pending = self.lock();
            while pending.is_full(self.size) && !stop.is_cancelled() {
                pending = self.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
            }
            if stop.is_cancelled() {
                // The current line may be cut, so it is not used.
                return Ok(());
            }
            changes.add_to(&mut pending.batch)?;
            pending.end = position(changes.lines());
            pending.since.get_or_insert_with(Instant::now);
            pending.count += 1;
            // The reader of batches wakes by itself when the first change has waited for `linger`.
            if pending.count == 1 || pending.is_full(self.size) {
                self.changed.notify_all();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::apply::change::ChangeRules;
    use std::io::Cursor;

    const LONG: Duration = Duration::from_mins(10);

    fn start(text: &'static str, size: usize) -> ReaderThread {
        let open = move || Changes::open(Lines::resume(Cursor::new(text), "t", 0), ChangeRules::plain());
        let position = |lines: &Lines| Position { offset: lines.end(), lines: lines.number(), check: 0 };
        ReaderThread::start(size, CancelToken::new(), open, position).expect("a thread")
    }

    #[test]
    fn all_batches_but_the_last_are_full_and_have_their_end_position() {
        let mut reader = start("+,a:1,b:1\n\n+,a:2,b:1\n-,a:1,b:1\r\n+,a:3,b:1", 2);
        let mut batch = Batch::new();
        let mut next = || match reader.take(&mut batch, LONG, LONG) {
            Taken::Changes(count, end) => {
                assert_eq!(batch.len(), count);
                Some((count, end.offset, end.lines))
            }
            Taken::Nothing => panic!("there is more"),
            Taken::End(ended) => {
                ended.expect("all lines are good");
                None
            }
        };
        assert_eq!([next(), next(), next()], [Some((2, 21, 3)), Some((2, 41, 5)), None]);
    }

    #[test]
    fn changes_before_a_bad_line_are_taken_first() {
        let mut reader = start("+,a:1,b:1\n*\n+,a:2,b:1\n", 10);
        let mut batch = Batch::new();
        let taken = reader.take(&mut batch, LONG, LONG);
        assert!(matches!(taken, Taken::Changes(1, Position { lines: 1, .. })));
        let Taken::End(Err(Failure::Input(bad))) = reader.take(&mut batch, LONG, LONG) else {
            panic!("the second line is bad")
        };
        assert_eq!(bad.place.line, 2);
    }

    #[test]
    fn a_panic_of_the_thread_is_passed_on() {
        let open = || panic!("on purpose");
        let mut reader =
            ReaderThread::start(1, CancelToken::new(), open, |_| Position::default()).expect("a thread");
        let waits = std::panic::AssertUnwindSafe(|| {
            while matches!(reader.take(&mut Batch::new(), LONG, Duration::from_millis(5)), Taken::Nothing) {}
        });
        assert!(std::panic::catch_unwind(waits).is_err());
    }
}
