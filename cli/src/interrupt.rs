//! Ctrl-C: one handler for the whole process that cancels the command now running.
//! It never ends a console; a single command that does not listen ends at the second Ctrl-C.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use hedgerow::CancelToken;

static CURRENT: Mutex<Option<CancelToken>> = Mutex::new(None);
static CONSOLE: AtomicBool = AtomicBool::new(false);
static WAITING: AtomicBool = AtomicBool::new(false);
static ATTENDED: AtomicBool = AtomicBool::new(false);

/// Starts listening; called once, before the first command.
pub(crate) fn install() {
    // Without a handler Ctrl-C still ends the process, which loses nothing that was committed.
    let _ = ctrlc::set_handler(|| {
        let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        let asked_before = current.as_ref().is_none_or(CancelToken::is_cancelled);
        let deaf = asked_before || WAITING.load(Ordering::Relaxed) && !ATTENDED.load(Ordering::Relaxed);
        if deaf && !CONSOLE.load(Ordering::Relaxed) {
            process::exit(130);
        }
        if let Some(token) = current.as_ref() {
            token.cancel();
        }
    });
}

/// The token of the command that starts now.
pub(crate) fn begin() -> CancelToken {
    let token = CancelToken::new();
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
    token
}

/// The command of a console is over; nothing is there to cancel until the next.
pub(crate) fn end() {
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// From now on Ctrl-C only cancels; it never ends the process.
pub(crate) fn survive() {
    CONSOLE.store(true, Ordering::Relaxed);
}

/// Says that the command waits for bytes that may never come, so that Ctrl-C cannot be heard by asking the token.
pub(crate) fn waiting(is: bool) {
    WAITING.store(is, Ordering::Relaxed);
}

/// Says that somebody else asks the token while bytes are waited for.
pub(crate) fn attended(is: bool) {
    ATTENDED.store(is, Ordering::Relaxed);
}
