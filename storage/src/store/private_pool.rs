//! A thread pool for work under the writer's locks.
//!
//! In a shared pool, a thread that waits for its part runs other tasks meanwhile. One of them may be a commit, which
//! waits for the same lock: a deadlock.

use std::io;
use std::panic::resume_unwind;
use std::thread;

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
