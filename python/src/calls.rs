//! Calls of the library from Python: without the interpreter's lock, with Ctrl-C, and without a panic across the boundary.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hedgerow::CancelToken;
use pyo3::prelude::*;

use crate::errors::{Failure, defect, failure};

/// The time between two looks for a Ctrl-C.
const SIGNAL_CHECK: Duration = Duration::from_millis(50);

/// Makes a call that takes microseconds to milliseconds.
pub(crate) fn short<T: Send, E: Into<Failure>>(
    py: Python<'_>,
    call: impl FnOnce() -> Result<T, E> + Send,
) -> PyResult<T> {
    let called = py.detach(|| catch_unwind(AssertUnwindSafe(|| call().map_err(Into::<Failure>::into))));
    called.map_err(|panic| defect(&*panic))?.map_err(failure)
}

/// An event of a long call, for its observer.
pub(crate) type Event = Box<dyn for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyAny>> + Send>;

/// Makes a call that may take long, in a thread of its own. Events that it sends are given to the observer in this thread. Ctrl-C, and an
/// exception of the observer, cancel the call; they are raised when it has ended.
pub(crate) fn long<T: Send, E: Into<Failure>>(
    py: Python<'_>,
    observer: Option<&Bound<'_, PyAny>>,
    call: impl FnOnce(&CancelToken, &Sender<Event>) -> Result<T, E> + Send,
) -> PyResult<T> {
    let (cancel, (events, received)) = (CancelToken::new(), channel::<Event>());
    let (called, interrupted) = thread::scope(|scope| {
        let token = cancel.clone();
        let call =
            move || catch_unwind(AssertUnwindSafe(|| call(&token, &events).map_err(Into::<Failure>::into)));
        let worker = scope.spawn(call);
        let mut interrupted = None;
        let received = Mutex::new(received);
        loop {
            let event = py.detach(|| {
                let received = received.lock().unwrap_or_else(PoisonError::into_inner);
                received.recv_timeout(SIGNAL_CHECK)
            });
            let heard = match event {
                // Nothing more is told to whoever wanted the end.
                Ok(_) if interrupted.is_some() => Ok(()),
                Ok(event) => observer.map_or(Ok(()), |observer| observer.call1((event(py)?,)).map(drop)),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Err(error) = heard.and_then(|()| py.check_signals()) {
                cancel.cancel();
                interrupted.get_or_insert(error);
            }
        }
        (py.detach(|| worker.join()), interrupted)
    });
    if let Some(error) = interrupted {
        return Err(error);
    }
    called.unwrap_or_else(Err).map_err(|panic| defect(&*panic))?.map_err(failure)
}
