//! A file that others append to: read on at its end until told to stop.
//! Knows no lines; that a line is whole only with its end is for whoever reads them to see.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use hedgerow::CancelToken;

/// Between two looks at whether there is more.
const PAUSE: Duration = Duration::from_millis(20);

/// Reads from where the file stands.
pub(crate) struct FileTail {
    pub(crate) file: File,
    /// Where in the file that is.
    pub(crate) offset: u64,
    /// Where it last found nothing more; all before was handed on.
    pub(crate) reached: Arc<AtomicU64>,
    /// Once it is cancelled there is an end.
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
            thread::sleep(PAUSE);
        }
    }
}
