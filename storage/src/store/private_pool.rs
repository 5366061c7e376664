//! Threads of a store: a check that they can be had, and a pool for work under the writer's locks.
//!
//! In a shared pool, a thread that waits for its part runs other tasks meanwhile. One of them may be a commit, which
//! waits for the same lock: a deadlock.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::types::error::Error;

/// Threads that the engine of the log starts at its first use in a process. It waits forever for one that it lacks.
const ENGINE_THREADS: usize = 7;
/// The system counts a thread for a moment after its end.
const SPARE_THREADS: usize = 2;

/// The threads of the engine and of the shared pool were available once. They live as long as the process.
static AVAILABLE: AtomicBool = AtomicBool::new(false);

/// Checks that the threads of a store can be started, by starting as many at once. A store that is only read has no
/// engine.
///
/// Without the check the engine would wait for its threads, and the shared pool would panic, under the lock of the
/// store.
///
/// # Errors
/// [`Error::Threads`].
pub(crate) fn require_threads(is_written: bool) -> Result<(), Error> {
    if AVAILABLE.load(Ordering::Relaxed) {
        return Ok(());
    }
    // Outside of a pool rayon starts its shared one. It may be there already, which rayon does not tell.
    let is_in_pool = rayon::current_thread_index().is_some();
    let shared = if is_in_pool { 0 } else { default_threads() };
    let private = if is_in_pool { rayon::current_num_threads() } else { shared };
    // A private pool has a thread that waits for it.
    let of_writer = if is_written { ENGINE_THREADS + private + 1 } else { 0 };
    let threads = shared + of_writer + SPARE_THREADS;
    start_together(threads).map_err(|source| Error::Threads { threads, source })?;
    AVAILABLE.fetch_or(is_written, Ordering::Relaxed);
    Ok(())
}

/// The number of threads of rayon's shared pool, unless the host built another one.
fn default_threads() -> usize {
    let named = std::env::var("RAYON_NUM_THREADS").ok().and_then(|threads| threads.parse().ok());
    named
        .filter(|threads| *threads > 0)
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Starts threads that all live at one moment, and ends them.
fn start_together(threads: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = || drop(gate.lock());
        let started: io::Result<Vec<_>> =
            (0..threads).map(|_| thread::Builder::new().spawn_scoped(scope, wait)).collect();
        drop(closed);
        started.map(drop)
    })
}

/// Runs `work` in a pool of its own, with as many threads as the caller's pool, and blocks until it is done.
///
/// # Errors
/// When no threads can be started.
pub(crate) fn run<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let threads = rayon::current_num_threads();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(io::Error::other)?;
    thread::scope(|scope| {
        // Through a thread of its own, since a worker of another pool would run other tasks within `install`.
        let waiting = thread::Builder::new().spawn_scoped(scope, || pool.install(work))?;
        Ok(waiting.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
