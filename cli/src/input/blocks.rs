//! An input as blocks of whole lines, which a thread of its own reads ahead while other threads parse earlier blocks.
//! Knows line ends and the longest line, not the form of a line.

use std::io::{self, Read};
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hedgerow::CancelToken;

use crate::core::failure::Failure;
use crate::input::lines::{LINE_LIMIT, Lines};

/// The least bytes of a block other than the last.
pub(crate) const BLOCK: usize = 1 << 20;
/// Blocks that are read ahead.
const READ_AHEAD: usize = 8;
/// The longest wait for bytes between two checks of the token.
const POLL: Duration = Duration::from_millis(50);

/// Lines with their ends. A line longer than [`LINE_LIMIT`] is cut and ends the input.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) bytes: Vec<u8>,
    /// The lines of the file before the block.
    pub(crate) number: u64,
    /// The error that ended the input; the last line is cut short then.
    pub(crate) error: Option<io::Error>,
}

/// The blocks of an input.
pub(crate) struct Blocks {
    ready: Receiver<Block>,
    reader: Option<JoinHandle<()>>,
    cancel: CancelToken,
}

impl Blocks {
    /// Starts to read behind the current line of `lines`, in blocks of at least `size` bytes.
    ///
    /// The thread is detached when the blocks are dropped: it may wait for bytes that never come.
    pub(crate) fn start(lines: Lines, size: usize, cancel: &CancelToken) -> Result<Self, Failure> {
        let (sender, ready) = sync_channel(READ_AHEAD);
        let (number, file) = (lines.number(), lines.file().to_owned());
        let reader = lines.into_reader();
        let run = move || read_blocks(reader, size, number, &sender);
        let reader = thread::Builder::new().name("read".to_owned()).spawn(run);
        let reader = reader.map_err(|source| Failure::file(file.as_ref(), "start a thread for", source))?;
        Ok(Self { ready, reader: Some(reader), cancel: cancel.clone() })
    }

    /// The next block; none at the end, or when the token was cancelled while no block was ready.
    pub(crate) fn next(&mut self) -> Option<Block> {
        loop {
            match self.ready.recv_timeout(POLL) {
                Ok(block) => return Some(block),
                Err(RecvTimeoutError::Timeout) if !self.cancel.is_cancelled() => {}
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => {
                    // A reader that panicked has not come to the end of the input.
                    if let Some(Err(panic)) = self.reader.take().map(JoinHandle::join) {
                        resume_unwind(panic);
                    }
                    return None;
                }
            }
        }
    }
}

/// Reads to the end of the input and sends it in blocks that end behind line ends.
fn read_blocks(mut reader: impl Read, size: usize, mut number: u64, blocks: &SyncSender<Block>) {
    let mut bytes = Vec::new();
    loop {
        // A line that is too long is cut where that is known.
        let is_too_long = bytes.len() > LINE_LIMIT;
        let room = size.max(2 * bytes.len()).min(LINE_LIMIT + 2);
        let read = if is_too_long { Ok(0) } else { fill(&mut reader, &mut bytes, room) };
        let is_last = is_too_long || bytes.len() < room || read.is_err();
        let rest = match memchr::memrchr(b'\n', &bytes) {
            _ if is_last => Vec::new(),
            Some(end) => bytes.split_off(end + 1),
            None => continue,
        };
        let lines = memchr::memchr_iter(b'\n', &bytes).count() as u64;
        let block = Block { bytes, number, error: read.err() };
        let is_empty = block.bytes.is_empty() && block.error.is_none();
        if !is_empty && blocks.send(block).is_err() || is_last {
            return;
        }
        bytes = rest;
        number += lines;
    }
}

/// Reads until `bytes` has so many bytes or the input ends.
fn fill(reader: &mut impl Read, bytes: &mut Vec<u8>, until: usize) -> io::Result<usize> {
    bytes.reserve(until - bytes.len());
    reader.by_ref().take((until - bytes.len()) as u64).read_to_end(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn blocks(bytes: &[u8], size: usize) -> Vec<Block> {
        let lines = Lines::resume(Cursor::new(bytes.to_vec()), "t", 0);
        let mut blocks = Blocks::start(lines, size, &CancelToken::new()).expect("a thread");
        std::iter::from_fn(|| blocks.next()).collect()
    }

    #[test]
    fn blocks_end_where_lines_end_and_nothing_is_lost() {
        for text in ["", "\n", "a", "a\n", "a\nbc\r\n\n\ndefgh\ni", "\n\n\n\n", "abcdefghijklmnop\nq\n"] {
            for size in 1..20 {
                let found = blocks(text.as_bytes(), size);
                let mut joined = Vec::new();
                for block in &found {
                    let lines = memchr::memchr_iter(b'\n', &joined).count() as u64;
                    assert_eq!(block.number, lines, "{text:?} in blocks of {size}");
                    assert!(joined.is_empty() || joined.ends_with(b"\n"), "{text:?} in blocks of {size}");
                    assert!(!block.bytes.is_empty());
                    joined.extend_from_slice(&block.bytes);
                }
                assert_eq!(joined, text.as_bytes(), "{text:?} in blocks of {size}");
            }
        }
    }

    #[test]
    fn behind_a_line_that_is_too_long_nothing_is_read() {
        let text = [&b"a\n"[..], &vec![b'x'; LINE_LIMIT + 10], b"\nb\n"].concat();
        let found = blocks(&text, 1 << 20);
        assert!(found.iter().all(|block| block.bytes.len() <= LINE_LIMIT + 2));
        assert_eq!(found.last().map(|block| block.bytes.len()), Some(LINE_LIMIT + 2));
    }
}
