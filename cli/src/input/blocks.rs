//! An input as blocks of whole lines, read by a thread of its own while others take earlier blocks apart.
//! Knows line ends and the longest line; what the lines are is not looked at.

use std::collections::VecDeque;
use std::io::{self, BufRead, Cursor, Read};
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hedgerow::CancelToken;

use crate::core::failure::Failure;
use crate::input::lines::{LINE_LIMIT, Lines};

/// Bytes that a block has at least, but for the last.
pub(crate) const BLOCK: usize = 1 << 20;
/// Blocks that are read ahead.
const AHEAD: usize = 8;
/// How long bytes are waited for until the token is asked again.
const PATIENCE: Duration = Duration::from_millis(50);

/// Lines with their ends, at most one of them longer than [`LINE_LIMIT`], and then nothing follows.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) bytes: Vec<u8>,
    /// Whether it begins with line 1.
    pub(crate) is_first: bool,
    /// What came in the place of more bytes; the last line is cut short then.
    pub(crate) error: Option<io::Error>,
}

impl Block {
    /// How many lines are in it, the last one perhaps without an end.
    pub(crate) fn lines(&self) -> u64 {
        let ends = memchr::memchr_iter(b'\n', &self.bytes).count() as u64;
        ends + u64::from(self.bytes.last().is_some_and(|&byte| byte != b'\n'))
    }

    /// Its lines, the first of them behind line `number` of the file.
    pub(crate) fn into_lines(self, file: &str, number: u64) -> Lines {
        Lines::resume(Rest::new([self].into(), None), file, number)
    }
}

/// The blocks of an input.
pub(crate) struct Blocks {
    full: Receiver<Block>,
    empty: Sender<Vec<u8>>,
    reader: Option<JoinHandle<()>>,
    cancel: CancelToken,
}

impl Blocks {
    /// Starts to read behind the line that `lines` is at, in blocks of so many bytes.
    ///
    /// The thread is left to itself when the input is not wanted any more: it may wait for bytes that never come.
    pub(crate) fn start(lines: Lines, bytes: usize, cancel: &CancelToken) -> Result<Self, Failure> {
        let (sender, full) = sync_channel(AHEAD);
        let (empty, spent) = channel();
        let (is_first, file) = (lines.number() == 0, lines.file().to_owned());
        let reader = lines.into_reader();
        let run = move || cut(reader, bytes, is_first, &sender, &spent);
        let reader = thread::Builder::new().name("read".to_owned()).spawn(run);
        let reader = reader.map_err(|source| Failure::file(file.as_ref(), "start a thread for", source))?;
        Ok(Self { full, empty, reader: Some(reader), cancel: cancel.clone() })
    }

    /// The next block; nothing at the end, or when the token was cancelled while bytes were waited for.
    pub(crate) fn next(&mut self) -> Option<Block> {
        loop {
            match self.full.recv_timeout(PATIENCE) {
                Ok(block) => return Some(block),
                Err(RecvTimeoutError::Timeout) if !self.cancel.is_cancelled() => {}
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => {
                    // A reader that panicked has not come to the end.
                    if let Some(Err(panic)) = self.reader.take().map(JoinHandle::join) {
                        resume_unwind(panic);
                    }
                    return None;
                }
            }
        }
    }

    /// Takes the memory of a block back.
    pub(crate) fn give_back(&self, bytes: Vec<u8>) {
        // Nobody takes it when all has been read.
        let _ = self.empty.send(bytes);
    }

    /// The lines of blocks that were taken already and of all that follow, behind line `number` of the file.
    pub(crate) fn into_lines(self, taken: VecDeque<Block>, file: &str, number: u64) -> Lines {
        Lines::resume(Rest::new(taken, Some(self)), file, number)
    }
}

/// Reads to the end and cuts behind line ends.
fn cut(
    mut reader: impl BufRead,
    size: usize,
    mut is_first: bool,
    full: &SyncSender<Block>,
    spent: &Receiver<Vec<u8>>,
) {
    let mut bytes = Vec::new();
    loop {
        // A line that is longer than any may be is cut where that is known.
        let is_long = bytes.len() > LINE_LIMIT;
        let room = size.max(2 * bytes.len()).min(LINE_LIMIT + 2);
        let read = if is_long { Ok(0) } else { fill(&mut reader, &mut bytes, room) };
        let is_last = is_long || bytes.len() < room;
        let error = read.err();
        let rest = match memchr::memrchr(b'\n', &bytes) {
            _ if is_last || error.is_some() => Vec::new(),
            Some(at) => {
                let mut rest = spent.try_recv().unwrap_or_default();
                rest.clear();
                rest.extend_from_slice(&bytes[at + 1..]);
                bytes.truncate(at + 1);
                rest
            }
            None => continue,
        };
        let ends = is_last || error.is_some();
        let block = Block { bytes, is_first, error };
        let is_empty = block.bytes.is_empty() && block.error.is_none();
        if !is_empty && full.send(block).is_err() || ends {
            return;
        }
        (bytes, is_first) = (rest, false);
    }
}

/// Reads until so many bytes are there, or no more come.
fn fill(reader: &mut impl BufRead, bytes: &mut Vec<u8>, until: usize) -> io::Result<usize> {
    bytes.reserve(until - bytes.len());
    reader.by_ref().take((until - bytes.len()) as u64).read_to_end(bytes)
}

/// Blocks as one stream of bytes.
struct Rest {
    current: Cursor<Vec<u8>>,
    error: Option<io::Error>,
    taken: VecDeque<Block>,
    blocks: Option<Blocks>,
}

impl Rest {
    fn new(taken: VecDeque<Block>, blocks: Option<Blocks>) -> Self {
        Self { current: Cursor::default(), error: None, taken, blocks }
    }
}

impl Read for Rest {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Rest {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.position() == self.current.get_ref().len() as u64 {
            if let Some(error) = self.error.take() {
                return Err(error);
            }
            let next = self.taken.pop_front().or_else(|| self.blocks.as_mut()?.next());
            let Some(block) = next else { break };
            self.current = Cursor::new(block.bytes);
            self.error = block.error;
        }
        self.current.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.current.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(bytes: &[u8], size: usize) -> Vec<Block> {
        let lines = Lines::resume(Cursor::new(bytes.to_vec()), "t", 0);
        let mut blocks = Blocks::start(lines, size, &CancelToken::new()).expect("a thread");
        let mut all = Vec::new();
        while let Some(block) = blocks.next() {
            blocks.give_back(Vec::new());
            all.push(block);
        }
        all
    }

    #[test]
    fn blocks_end_where_lines_end_and_nothing_is_lost() {
        for text in ["", "\n", "a", "a\n", "a\nbc\r\n\n\ndefgh\ni", "\n\n\n\n", "abcdefghijklmnop\nq\n"] {
            for size in 1..20 {
                let found = blocks(text.as_bytes(), size);
                let joined: Vec<u8> = found.iter().flat_map(|block| block.bytes.clone()).collect();
                assert_eq!(joined, text.as_bytes(), "{text:?} in blocks of {size}");
                assert_eq!(found.iter().map(Block::lines).sum::<u64>(), text.lines().count() as u64);
                let (last, others) =
                    found.split_last().map_or((None, &[][..]), |(last, rest)| (Some(last), rest));
                assert!(
                    others.iter().all(|block| block.bytes.ends_with(b"\n")),
                    "{text:?} in blocks of {size}"
                );
                assert!(last.is_none_or(|last| !last.bytes.is_empty()));
                assert!(found.iter().enumerate().all(|(at, block)| block.is_first == (at == 0)));
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
