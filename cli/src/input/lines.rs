//! Lines of an input in bounded memory: numbered from 1, without their ends, without a byte order mark.

use std::io::{self, BufRead, Cursor, Read};

use crate::core::failure::Failure;
use crate::core::location::{BadInput, Place, characters};
use crate::input::source::Source;

/// The longest line that is read; a longer one is an error, not a swap storm.
pub(crate) const LINE_LIMIT: usize = 16 << 20;

pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads an input line by line.
pub(crate) struct Lines {
    reader: Box<dyn BufRead + Send>,
    file: String,
    bytes: Vec<u8>,
    number: u64,
    /// Where the line ends in the input, its end included.
    end: u64,
    /// Whether a byte order mark stood before the line, of which it is no part.
    is_marked: bool,
    /// Whether the line ended with a carriage return and a line feed.
    is_crlf: bool,
}

impl Lines {
    pub(crate) fn new(source: Source) -> Self {
        let (reader, file) = (source.reader, source.name);
        Self { reader, file, bytes: Vec::new(), number: 0, end: 0, is_marked: false, is_crlf: false }
    }

    /// Goes on with another reader behind line `number` of a file.
    pub(crate) fn resume(reader: impl BufRead + Send + 'static, file: &str, number: u64) -> Self {
        Self {
            reader: Box::new(reader),
            file: file.to_owned(),
            bytes: Vec::new(),
            number,
            end: 0,
            is_marked: false,
            is_crlf: false,
        }
    }

    /// Says where the line ends that it goes on behind.
    pub(crate) fn ending_at(self, end: u64) -> Self {
        Self { end, ..self }
    }

    /// What is behind this line.
    pub(crate) fn into_reader(self) -> Box<dyn BufRead + Send> {
        self.reader
    }

    /// The same lines, before this one again.
    pub(crate) fn put_back(self) -> Self {
        let mark = if self.is_marked { BYTE_ORDER_MARK } else { b"" };
        let bytes = [mark, &self.bytes, self.ending().as_bytes()].concat();
        let end = self.end.saturating_sub(bytes.len() as u64);
        Self::resume(Cursor::new(bytes).chain(self.reader), &self.file, self.number - 1).ending_at(end)
    }

    /// What ended the line, where it had an end.
    pub(crate) fn ending(&self) -> &'static str {
        if self.is_crlf { "\r\n" } else { "\n" }
    }

    /// Goes to the next line; false at the end of the input.
    pub(crate) fn advance(&mut self) -> Result<bool, Failure> {
        self.bytes.clear();
        self.number += 1;
        self.is_marked = false;
        self.is_crlf = false;
        let limit = LINE_LIMIT as u64 + 2;
        let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.bytes);
        match read {
            Ok(0) => return Ok(false),
            Ok(read) => self.end += read as u64,
            Err(source) => return Err(self.broken(source)),
        }
        if self.bytes.last() == Some(&b'\n') {
            self.bytes.pop();
            if self.bytes.last() == Some(&b'\r') {
                self.bytes.pop();
                self.is_crlf = true;
            }
        }
        if self.bytes.len() > LINE_LIMIT {
            let problem = format!("the line is longer than {} MiB, the most that is read", LINE_LIMIT >> 20);
            return Err(self.place(LINE_LIMIT).problem(problem).fatal().into());
        }
        if self.number == 1 && self.bytes.starts_with(BYTE_ORDER_MARK) {
            self.bytes.drain(..BYTE_ORDER_MARK.len());
            self.is_marked = true;
        }
        Ok(true)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Where this line ends in the input, its end included; counted from where the reader was when it began to be read.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// The place of a byte of this line, counted from 0.
    pub(crate) fn place(&self, at: usize) -> Place {
        let before = &self.bytes[..at.min(self.bytes.len())];
        Place::new(&self.file, self.number, characters(before) + 1)
    }

    /// A part of this line as text, refused with the place of the first byte that is not UTF-8.
    pub(crate) fn text(&self, from: usize, to: usize) -> Result<&str, BadInput> {
        let bytes = &self.bytes[from..to];
        std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            let bad = &bytes[at..bytes.len().min(at + 4)];
            self.place(from + at).found(bad, "UTF-8 text")
        })
    }

    /// Decompression reports a damaged archive as an I/O error; what was decompressed up to it is known by line.
    fn broken(&self, source: io::Error) -> Failure {
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
