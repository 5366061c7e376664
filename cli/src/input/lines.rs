//! Lines of an input in bounded memory: numbered from 1, without line ends, without a byte order mark.
//! A line is a slice of the buffer that was read, so no byte is copied once more for it.

use std::io::{self, Cursor, Read};
use std::ops::Range;

use crate::core::failure::Failure;
use crate::core::location::{BadInput, Place, characters};
use crate::input::blocks::Block;
use crate::input::source::Source;

/// The longest line that is read. A longer one is refused, so that memory stays bounded.
pub(crate) const LINE_LIMIT: usize = 16 << 20;

pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes that are read at once.
const CHUNK: usize = 1 << 16;

/// A reader of lines; the current line stays until the next one is read.
pub(crate) struct Lines {
    /// None for a block, all of whose bytes are in the buffer.
    reader: Option<Box<dyn Read + Send>>,
    /// The error that ended a block.
    error: Option<io::Error>,
    /// More blocks follow this one.
    is_continued: bool,
    file: String,
    buffer: Vec<u8>,
    /// The bytes of the input before the buffer.
    offset: u64,
    /// The current line in the buffer: from its byte order mark on, its text, and behind its line end.
    start: usize,
    text: Range<usize>,
    next: usize,
    number: u64,
    is_crlf: bool,
}

impl Lines {
    pub(crate) fn new(source: Source) -> Self {
        Self::resume(source.reader, &source.name, 0)
    }

    /// Reads on behind line `number` of a file.
    pub(crate) fn resume(reader: impl Read + Send + 'static, file: &str, number: u64) -> Self {
        Self {
            reader: Some(Box::new(reader)),
            error: None,
            is_continued: false,
            file: file.to_owned(),
            buffer: Vec::new(),
            offset: 0,
            start: 0,
            text: 0..0,
            next: 0,
            number,
            is_crlf: false,
        }
    }

    /// The lines of a block. Where the block `is_continued`, a row may end in a later one.
    pub(crate) fn of_block(block: Block, file: &str, is_continued: bool) -> Self {
        let lines = Self::resume(io::empty(), file, block.number);
        Self { reader: None, error: block.error, is_continued, buffer: block.bytes, ..lines }
    }

    /// Sets the offset in the input of the bytes that come next.
    pub(crate) fn at_offset(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// The bytes behind the current line.
    pub(crate) fn into_reader(mut self) -> impl Read + Send + 'static {
        self.buffer.drain(..self.next);
        Cursor::new(self.buffer).chain(self.reader.unwrap_or_else(|| Box::new(io::empty())))
    }

    /// The bytes of the block, the offset in it behind the last row, and the number of the line there.
    pub(crate) fn into_block(self) -> (Vec<u8>, usize, u64) {
        (self.buffer, self.next, self.number)
    }

    /// Makes the current line the next one.
    pub(crate) fn unread(&mut self) {
        (self.next, self.number) = (self.start, self.number - 1);
    }

    /// Ends the block before line `number`, which starts at `start` of the buffer and belongs to a row that is not complete.
    pub(crate) fn end_before(&mut self, start: usize, number: u64) {
        (self.next, self.number) = (start, number);
    }

    /// The offset of the current line in the buffer.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// True if more blocks follow this one.
    pub(crate) fn is_continued(&self) -> bool {
        self.is_continued
    }

    /// The line end, `\n` where the last line has none.
    pub(crate) fn ending(&self) -> &'static str {
        if self.is_crlf { "\r\n" } else { "\n" }
    }

    /// Reads the next line; false at the end of the input.
    pub(crate) fn advance(&mut self) -> Result<bool, Failure> {
        (self.start, self.text, self.is_crlf) = (self.next, self.next..self.next, false);
        self.number += 1;
        let mut searched = self.start;
        let end = loop {
            let found = memchr::memchr(b'\n', &self.buffer[searched..]).map(|at| searched + at);
            let length = found.unwrap_or(self.buffer.len()) - self.start;
            if found.is_some() || length > LINE_LIMIT + 1 {
                break found;
            }
            let searched_of_line = self.buffer.len() - self.start;
            if self.fill().map_err(|source| self.unreadable(source))? == 0 {
                break None;
            }
            searched = self.start + searched_of_line;
        };
        self.next = end.map_or(self.buffer.len(), |end| end + 1);
        self.text = self.start..end.unwrap_or(self.buffer.len());
        if self.next == self.start {
            return Ok(false);
        }
        self.is_crlf = end.is_some() && self.bytes().last() == Some(&b'\r');
        self.text.end -= usize::from(self.is_crlf);
        if self.text.len() > LINE_LIMIT {
            let problem = format!("the line is longer than {} MiB, the most that is read", LINE_LIMIT >> 20);
            return Err(self.place(LINE_LIMIT).problem(problem).fatal().into());
        }
        if self.number == 1 && self.bytes().starts_with(BYTE_ORDER_MARK) {
            self.text.start += BYTE_ORDER_MARK.len();
        }
        Ok(true)
    }

    /// Reads more bytes behind those of the current line and drops those before it; 0 at the end of the input.
    fn fill(&mut self) -> io::Result<usize> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let Some(reader) = &mut self.reader else { return Ok(0) };
        self.buffer.drain(..self.start);
        self.offset += self.start as u64;
        (self.start, self.text) = (0, 0..0);
        let filled = self.buffer.len();
        self.buffer.resize(filled + CHUNK, 0);
        let read = loop {
            match reader.read(&mut self.buffer[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(filled + *read.as_ref().unwrap_or(&0));
        read
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.text.clone()]
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The offset in the input behind the line and its end.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.next as u64
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// The place of a byte of this line, counted from 0.
    pub(crate) fn place(&self, at: usize) -> Place {
        let line = self.bytes();
        Place::new(&self.file, self.number, characters(&line[..at.min(line.len())]) + 1)
    }

    /// A part of this line as text, refused with the place of the first byte that is not UTF-8.
    pub(crate) fn text(&self, from: usize, to: usize) -> Result<&str, BadInput> {
        let bytes = &self.bytes()[from..to];
        std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            let bad = &bytes[at..bytes.len().min(at + 4)];
            self.place(from + at).found(bad, "UTF-8 text")
        })
    }

    /// The failure for an error of the reader. Decompression reports a damaged archive as an I/O error of these kinds.
    fn unreadable(&self, source: io::Error) -> Failure {
        match source.kind() {
            io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::Other => {
                self.place(0).problem(format!("cannot be decompressed: {source}")).fatal().into()
            }
            _ => Failure::file(self.file.as_ref(), "read", source),
        }
    }
}
