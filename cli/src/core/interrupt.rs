//! Signals: Ctrl-C cancels the command now running, and never ends a console; a single command that does not listen ends at the
//! second. What ends a process (SIGTERM, SIGHUP) does the same to a single command, and has a console leave.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use hedgerow::CancelToken;

/// The exit code of whatever was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

static CURRENT: Mutex<Option<CancelToken>> = Mutex::new(None);
static LEAVE: Mutex<Option<Box<dyn Fn() + Send>>> = Mutex::new(None);
static CONSOLE: AtomicBool = AtomicBool::new(false);
static WAITING: AtomicBool = AtomicBool::new(false);
static ATTENDED: AtomicBool = AtomicBool::new(false);

/// Starts listening; called once, before the first command.
pub(crate) fn install() {
    // Without a handler a signal still ends the process, which loses nothing that was committed.
    let _ = ctrlc::set_handler(interrupted);
    #[cfg(unix)]
    terminations::listen();
}

fn interrupted() {
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    let asked_before = current.as_ref().is_none_or(CancelToken::is_cancelled);
    let deaf = asked_before || WAITING.load(Ordering::Relaxed) && !ATTENDED.load(Ordering::Relaxed);
    if deaf && !CONSOLE.load(Ordering::Relaxed) {
        process::exit(INTERRUPTED.into());
    }
    if let Some(token) = current.as_ref() {
        token.cancel();
    }
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

/// From now on Ctrl-C only cancels; it never ends the process. What would end it cancels, and calls `leave`.
pub(crate) fn survive(leave: impl Fn() + Send + 'static) {
    *LEAVE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(leave));
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

#[cfg(unix)]
mod terminations {
    use super::{LEAVE, PoisonError, interrupted};

    use signal_hook::consts::{SIGHUP, SIGTERM};
    use signal_hook::iterator::Signals;

    pub(super) fn listen() {
        let Ok(mut signals) = Signals::new([SIGTERM, SIGHUP].into_iter().filter(|it| !is_ignored(*it)))
        else {
            return;
        };
        let hear = move || {
            for _ in &mut signals {
                interrupted();
                if let Some(leave) = LEAVE.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                    leave();
                }
            }
        };
        // Without the thread the signals would be lost, and not end the process: it is asked for before anything else runs.
        drop(std::thread::Builder::new().name("signals".to_owned()).spawn(hear));
    }

    /// Whether whoever started the process wants it to go on: `nohup` does so.
    fn is_ignored(signal: i32) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
    }
}
