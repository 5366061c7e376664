//! Changes gathered by a thread of its own, which waits for the input while others commit and refresh.
//! Knows lines and batches; neither where the input comes from nor what becomes of a batch.

use std::io;
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hedgerow::{Batch, CancelToken, Position};

use crate::core::failure::Failure;
use crate::input::lines::Lines;
use crate::verbs::apply::change::Changes;

/// The changes that come from an input.
pub(super) struct Gathering {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
    /// Tells the thread that nobody wants more.
    stop: CancelToken,
}

struct Shared {
    size: usize,
    gathered: Mutex<Gathered>,
    moved: Condvar,
}

#[derive(Default)]
struct Gathered {
    batch: Batch,
    count: usize,
    /// When the first of them came.
    since: Option<Instant>,
    /// Where the input goes on behind the last of them.
    behind: Position,
    ended: Option<Result<(), Failure>>,
}

/// What there is.
pub(super) enum Taken {
    /// So many changes, and where the input goes on behind them.
    Changes(usize, Position),
    /// None that is due yet.
    Nothing,
    /// The input has ended, or cannot be read on; all before was taken.
    End(Result<(), Failure>),
}

impl Gathering {
    /// Starts to read; `open` is called by the thread, since it may wait, and `position` says where the input goes on behind
    /// a line. At most `size` changes are gathered at once. After `stop` the input may end anywhere.
    ///
    /// The thread is left to itself when no more is wanted: it may wait for bytes that never come.
    pub(super) fn start(
        size: usize,
        stop: CancelToken,
        open: impl FnOnce() -> Result<Lines, Failure> + Send + 'static,
        position: fn(&Lines) -> Position,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared { size, gathered: Mutex::default(), moved: Condvar::new() });
        let (theirs, until) = (Arc::clone(&shared), stop.clone());
        let run = move || {
            let ended = open().and_then(|lines| theirs.gather(lines, &until, position));
            theirs.lock().ended = Some(ended);
            theirs.moved.notify_all();
        };
        let reader = Some(thread::Builder::new().name("read".to_owned()).spawn(run)?);
        Ok(Self { shared, reader, stop })
    }

    /// Moves what has gathered into `batch`, as soon as it is a whole batch or the first of it has waited for `linger`; waits
    /// for that, but not longer than `patience`.
    pub(super) fn take(&mut self, batch: &mut Batch, linger: Duration, patience: Duration) -> Taken {
        let until = Instant::now() + patience;
        let mut gathered = self.shared.lock();
        loop {
            let now = Instant::now();
            let due = gathered.since.map(|since| since + linger);
            let is_whole = gathered.count >= self.shared.size || gathered.ended.is_some();
            if gathered.count > 0 && (is_whole || due.is_some_and(|due| due <= now)) {
                batch.clear();
                std::mem::swap(batch, &mut gathered.batch);
                (gathered.batch, gathered.since) = (Batch::new(), None);
                let taken = Taken::Changes(std::mem::take(&mut gathered.count), gathered.behind);
                self.shared.moved.notify_all();
                return taken;
            }
            if let Some(ended) = gathered.ended.take() {
                return Taken::End(ended);
            }
            if now >= until {
                break;
            }
            let wait = due.map_or(until, |due| due.min(until)) - now;
            let waited = self.shared.moved.wait_timeout(gathered, wait);
            gathered = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(gathered);
        // A thread that panicked says nothing any more.
        if self.reader.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(Err(panic)) = self.reader.take().map(JoinHandle::join)
        {
            resume_unwind(panic);
        }
        Taken::Nothing
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        self.stop.cancel();
        self.shared.moved.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gather(
        &self,
        lines: Lines,
        stop: &CancelToken,
        position: fn(&Lines) -> Position,
    ) -> Result<(), Failure> {
        let mut changes = Changes::open(lines)?;
        while changes.advance()? {
            let mut gathered = self.lock();
            while gathered.count >= self.size && !stop.is_cancelled() {
                gathered = self.moved.wait(gathered).unwrap_or_else(PoisonError::into_inner);
            }
            if stop.is_cancelled() {
                // What looks like a line may be the first half of one.
                return Ok(());
            }
            changes.stage(&mut gathered.batch)?;
            gathered.behind = changes.lines().map(position).unwrap_or_default();
            gathered.since.get_or_insert_with(Instant::now);
            gathered.count += 1;
            // Whoever waits for a batch knows by itself when the first change has waited long enough.
            if gathered.count == 1 || gathered.count >= self.size {
                self.moved.notify_all();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    const LONG: Duration = Duration::from_mins(10);

    fn start(text: &'static str, size: usize) -> Gathering {
        let open = move || Ok(Lines::resume(Cursor::new(text), "t", 0));
        let position = |lines: &Lines| Position { offset: lines.end(), lines: lines.number(), check: 0 };
        Gathering::start(size, CancelToken::new(), open, position).expect("a thread")
    }

    #[test]
    fn batches_are_whole_but_for_the_last_and_say_where_they_end() {
        let mut gathering = start("+,a:1,b:1\n\n+,a:2,b:1\n-,a:1,b:1\r\n+,a:3,b:1", 2);
        let mut batch = Batch::new();
        let mut next = || match gathering.take(&mut batch, LONG, LONG) {
            Taken::Changes(count, behind) => {
                assert_eq!(batch.len(), count);
                Some((count, behind.offset, behind.lines))
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
    fn what_comes_before_a_bad_line_is_taken_first() {
        let mut gathering = start("+,a:1,b:1\n*\n+,a:2,b:1\n", 10);
        let mut batch = Batch::new();
        let taken = gathering.take(&mut batch, LONG, LONG);
        assert!(matches!(taken, Taken::Changes(1, Position { lines: 1, .. })));
        let Taken::End(Err(Failure::Input(bad))) = gathering.take(&mut batch, LONG, LONG) else {
            panic!("the second line is bad")
        };
        assert_eq!(bad.place.line, 2);
    }

    #[test]
    fn a_thread_that_panics_does_not_leave_others_waiting() {
        let open = || panic!("on purpose");
        let mut gathering =
            Gathering::start(1, CancelToken::new(), open, |_| Position::default()).expect("a thread");
        let waits = std::panic::AssertUnwindSafe(|| {
            while matches!(gathering.take(&mut Batch::new(), LONG, Duration::from_millis(5)), Taken::Nothing)
            {
            }
        });
        assert!(std::panic::catch_unwind(waits).is_err());
    }
}
