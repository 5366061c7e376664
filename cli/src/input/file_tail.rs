//! A file that other processes append to: at its end, reading waits for more bytes until it is stopped.
//! Knows bytes only; the reader of lines must see that a line is complete.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use hedgerow::CancelToken;

/// The time between two reads at the end of the file.
const POLL: Duration = Duration::from_millis(20);

/// A reader from the current position of `file` on.
pub(crate) struct FileTail {
    pub(crate) file: File,
    /// The position in the file.
    pub(crate) offset: u64,
    /// The end of the file at the last read that returned no bytes; all bytes before it were returned.
    pub(crate) reached: Arc<AtomicU64>,
    /// Cancelled, the next read at the end of the file returns end of input.
    pub(crate) stop: CancelToken,
}

impl Read for FileTail {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.file.read(buffer)?;
            self.offset += read as u64;
            if read > 0 || buffer.is_empty() || self.stop.is_cancelled() {
                return Ok(read);
            }
            self.reached.store(self.offset, Ordering::Relaxed);
            thread::sleep(POLL);
        }
    }
}
