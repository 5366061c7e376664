//! Signals. Ctrl-C cancels the running command, and never ends a console.
//!
//! A single command that cannot check its token ends at the second Ctrl-C. SIGTERM and SIGHUP act on a single command as
//! Ctrl-C does, and make a console leave.

use std::process;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use hedgerow::CancelToken;

use crate::core::sync::lock;

/// The exit code of an interrupted command.
pub(crate) const INTERRUPTED: u8 = 130;

/// The token of the running command.
static CURRENT: Mutex<Option<CancelToken>> = Mutex::new(None);
/// The function that makes a console leave.
static LEAVE: Mutex<Option<Box<dyn Fn() + Send>>> = Mutex::new(None);
/// A console is running.
static CONSOLE: AtomicBool = AtomicBool::new(false);
/// The command waits for input, and does not check its token meanwhile.
static WAITING: AtomicBool = AtomicBool::new(false);
/// Another thread checks the token while the command waits for input.
static ATTENDED: AtomicBool = AtomicBool::new(false);

/// Starts to listen for signals; called once, before the first command.
pub(crate) fn install() {
    // Without a handler a signal still ends the process, and no committed change is lost.
    #[cfg(unix)]
    signals::listen();
    #[cfg(not(unix))]
    let _ = ctrlc::set_handler(interrupted);
}

fn interrupted() {
    let current = lock(&CURRENT);
    let was_cancelled = current.as_ref().is_none_or(CancelToken::is_cancelled);
    let ignores_token = was_cancelled || WAITING.load(Ordering::Relaxed) && !ATTENDED.load(Ordering::Relaxed);
    if ignores_token && !CONSOLE.load(Ordering::Relaxed) {
        process::exit(INTERRUPTED.into());
    }
    if let Some(token) = current.as_ref() {
        token.cancel();
    }
}

/// The token of a command that starts now.
pub(crate) fn begin() -> CancelToken {
    let token = CancelToken::new();
    *lock(&CURRENT) = Some(token.clone());
    token
}

/// Ends a command of a console; until the next one there is nothing to cancel.
pub(crate) fn end() {
    *lock(&CURRENT) = None;
}

/// Makes Ctrl-C only cancel, and never end the process. SIGTERM and SIGHUP cancel too, and then call `leave`.
pub(crate) fn survive(leave: impl Fn() + Send + 'static) {
    *lock(&LEAVE) = Some(Box::new(leave));
    CONSOLE.store(true, Ordering::Relaxed);
}

/// Waits for input that may never come, or for a reader of a pipe, and does not check the token meanwhile.
pub(crate) fn while_waiting<T>(wait: impl FnOnce() -> T) -> T {
    WAITING.store(true, Ordering::Relaxed);
    let waited = wait();
    WAITING.store(false, Ordering::Relaxed);
    waited
}

/// Says whether another thread checks the token while the command waits for input.
pub(crate) fn attended(is: bool) {
    ATTENDED.store(is, Ordering::Relaxed);
}

#[cfg(unix)]
mod signals {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::channel;
    use std::thread;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    use signal_hook::iterator::Signals;

    use super::{LEAVE, interrupted, lock};

    pub(super) fn listen() {
        // Above the limit of a file's size a write then fails, instead of the process being killed.
        drop(signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))));
        let terminations = [SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal));
        let handled: Vec<i32> = [SIGINT].into_iter().chain(terminations).collect();
        // The thread takes the signals over itself: if it cannot be started, they end the process as before.
        let (listening, listens) = channel::<()>();
        let handle = move || {
            let Ok(mut signals) = Signals::new(handled) else { return };
            drop(listening);
            for signal in signals.forever() {
                interrupted();
                if signal != SIGINT
                    && let Some(leave) = lock(&LEAVE).as_ref()
                {
                    leave();
                }
            }
        };
        if thread::Builder::new().name("signals".to_owned()).spawn(handle).is_ok() {
            // It ends when the sender is dropped.
            let _ = listens.recv();
        }
    }

    /// True if the parent process disabled the signal, as `nohup` does.
    fn is_ignored(signal: i32) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
    }
}
