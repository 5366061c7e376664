//! Threads of our own for work that is done with the right to write.
//!
//! In a pool that is shared, a thread that waits for its part takes up other tasks meanwhile, and one of them may be a commit,
//! which waits for that right: neither would ever go on.

use std::io;
use std::panic::resume_unwind;
use std::thread;

/// Runs `work` in a pool of its own, which has as many threads as the caller's, and waits without doing anything else.
///
/// # Errors
/// When no threads are to be had.
pub(crate) fn run<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let threads = rayon::current_num_threads();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(io::Error::other)?;
    thread::scope(|scope| {
        // Through a thread of its own, since a worker of another pool does not just wait in `install`.
        let waiting = thread::Builder::new().spawn_scoped(scope, || pool.install(work))?;
        Ok(waiting.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
