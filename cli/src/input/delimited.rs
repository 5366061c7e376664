//! Records of csv and tsv files: separators, quotes, line ends and byte order marks as they occur in practice.
//!
//! Not the crate `csv`. A bulk import with it takes 1.1 times the processor time, which would do. But it accepts a stray quote
//! and a quote that is not closed, drops the quotes of `"99" - Acoustic` in a tsv, knows no `::` and no runs of blanks, and has
//! no columns for messages: a parser of quotes and a splitter would be needed here all the same.

use crate::core::failure::Failure;
use crate::core::location::{BadInput, Place, characters};
use crate::input::lines::{LINE_LIMIT, Lines};
use crate::input::rows::{RowReader, is_comment};
use crate::input::separator::Separator;
use crate::input::timestamp::{self, FileTimes};

/// A reader of records.
pub(crate) struct Delimited {
    lines: Lines,
    separator: Separator,
    /// The text that begins a line which is no record.
    comment: Option<String>,
    fields: Vec<Field>,
    /// The number of the record's first line.
    line: u64,
    /// The record has quotes. Then `text` holds its fields and `raw` the record; else both are the current line.
    is_quoted: bool,
    text: Vec<u8>,
    raw: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Field {
    start: usize,
    end: usize,
    line: u64,
    /// Bytes of its line before it.
    at: usize,
}

/// The form of a delimited file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialect {
    /// None where the first line decides.
    pub(crate) separator: Option<Separator>,
    /// Blanks are detected as a separator.
    pub(crate) blanks: bool,
    /// The text that begins a line which is no record.
    pub(crate) comment: Option<String>,
}

impl Delimited {
    /// Starts at the first record. Without a separator in `dialect`, [`Separator::detect`] finds that of the first line.
    pub(crate) fn open(lines: Lines, dialect: &Dialect) -> Result<Self, Failure> {
        let mut records = Self::at_first_line(lines, dialect, "a header line")?;
        records.parse()?;
        Ok(records)
    }

    /// Starts before the first record of a file without a header.
    pub(crate) fn open_bare(lines: Lines, dialect: &Dialect) -> Result<Self, Failure> {
        let mut records = Self::at_first_line(lines, dialect, "rows")?;
        records.lines.unread();
        Ok(records)
    }

    /// Starts behind the current line of `lines`.
    pub(crate) fn resume(lines: Lines, separator: Separator, comment: Option<&str>) -> Self {
        Self {
            line: lines.number(),
            lines,
            separator,
            comment: comment.map(str::to_owned),
            fields: Vec::new(),
            is_quoted: false,
            text: Vec::new(),
            raw: Vec::new(),
        }
    }

    fn at_first_line(mut lines: Lines, dialect: &Dialect, expected: &str) -> Result<Self, Failure> {
        let comment = dialect.comment.as_deref();
        while lines.advance()? {
            if !is_comment(lines.bytes(), comment) {
                let detected = || Separator::detect(lines.bytes(), dialect.blanks);
                let separator = dialect.separator.unwrap_or_else(detected);
                return Ok(Self::resume(lines, separator, comment));
            }
        }
        Err(lines.place(0).problem(format!("the file is empty, expected {expected}")).into())
    }

    pub(crate) fn separator(&self) -> Separator {
        self.separator
    }

    /// The number of fields.
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// The bytes of a field; none when the record has no such field.
    pub(crate) fn bytes(&self, field: usize) -> &[u8] {
        let text = if self.is_quoted { &self.text } else { self.lines.bytes() };
        self.fields.get(field).map_or(&[], |field| &text[field.start..field.end])
    }

    /// A field as text, refused at the first byte that is not UTF-8.
    pub(crate) fn text(&self, field: usize) -> Result<&str, BadInput> {
        let bytes = self.bytes(field);
        std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            let mut place = self.place(field);
            place.column += characters(&bytes[..at]);
            place.found(&bytes[at..bytes.len().min(at + 4)], "UTF-8 text")
        })
    }

    /// A weight; 1 for an empty field.
    pub(crate) fn weight(&self, field: usize) -> Result<f32, BadInput> {
        let text = self.text(field)?.trim();
        if text.is_empty() {
            return Ok(1.0);
        }
        let weight = text.parse().ok().filter(|weight: &f32| weight.is_finite() && *weight > 0.0);
        weight.ok_or_else(|| self.place(field).found(text.as_bytes(), "a weight: a finite number above 0"))
    }

    /// A time; none for an empty field.
    pub(crate) fn time(&self, field: usize, times: &mut FileTimes) -> Result<Option<i64>, BadInput> {
        let text = self.text(field)?.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let time = times.read(text);
        time.map(Some).ok_or_else(|| self.place(field).found(text.as_bytes(), timestamp::EXPECTED))
    }

    /// The place of a field's start, or of the record's end when it has no such field.
    pub(crate) fn place(&self, field: usize) -> Place {
        match self.fields.get(field) {
            Some(field) => {
                let mut lines = self.raw().split(|byte| *byte == b'\n');
                let line = lines.nth((field.line - self.line) as usize).unwrap_or_default();
                let before = &line[..field.at.min(line.len())];
                Place::new(self.lines.file(), field.line, characters(before) + 1)
            }
            None => self.lines.place(self.lines.bytes().len()),
        }
    }

    /// The fields of a header as text.
    pub(crate) fn header(&self) -> Result<Vec<String>, BadInput> {
        (0..self.len()).map(|field| Ok(self.text(field)?.trim().to_owned())).collect()
    }

    /// Refuses a record with another number of fields than there are names in `named`, the header or a flag.
    pub(crate) fn expect_fields(&self, expected: usize, named: &str) -> Result<(), BadInput> {
        if self.len() == expected {
            return Ok(());
        }
        let place = self.place(expected.min(self.len()));
        let found = format!("found {} fields, expected {expected} as in {named}", self.len());
        Err(place.problem(found))
    }

    /// Parses the record that begins in the current line; false where it goes on behind the block.
    fn parse(&mut self) -> Result<bool, Failure> {
        self.line = self.lines.number();
        self.is_quoted = false;
        let Some(quotable) = self.split_line() else { return Ok(true) };
        self.is_quoted = true;
        self.text.clear();
        self.fields.clear();
        self.raw.clear();
        let start = self.lines.start();
        let mut is_open = self.parse_line(quotable, false)?;
        while is_open {
            let ending = self.lines.ending();
            let is_too_long = self.text.len() > LINE_LIMIT;
            if is_too_long || !self.lines.advance()? {
                if !is_too_long && self.lines.is_continued() {
                    self.lines.end_before(start, self.line);
                    return Ok(false);
                }
                let opening = self.place(self.fields.len() - 1);
                return Err(opening.problem("the quote that opens here is not closed").into());
            }
            self.text.extend_from_slice(ending.as_bytes());
            self.raw.extend_from_slice(ending.as_bytes());
            is_open = self.parse_line(quotable, true)?;
        }
        Ok(true)
    }

    /// Splits the current line at its separators; stops at a quote that begins a field, with the separator as answer.
    fn split_line(&mut self) -> Option<u8> {
        let Self { lines, separator, fields, .. } = self;
        fields.clear();
        let line = lines.bytes();
        let mut start = separator.first(line);
        loop {
            if let Separator::Byte(byte) = *separator
                && line.get(start) == Some(&b'"')
            {
                return Some(byte);
            }
            let (end, next) = separator.next(line, start);
            fields.push(Field { start, end, line: lines.number(), at: start });
            start = next?;
        }
    }

    /// Parses the current line of a record with quotes, inside a quoted field where `quoted`; true if it still is inside.
    fn parse_line(&mut self, separator: u8, mut quoted: bool) -> Result<bool, BadInput> {
        let Self { lines, text, fields, raw, .. } = self;
        let line = lines.bytes();
        raw.extend_from_slice(line);
        let mut at = 0;
        loop {
            if !quoted {
                let start = text.len();
                fields.push(Field { start, end: start, line: lines.number(), at });
                if line.get(at) == Some(&b'"') && opens_quote(separator, &line[at..]) {
                    at += 1;
                    quoted = true;
                }
            }
            let end = if quoted {
                closing_quote(&line[at..], text).map(|length| at + length)
            } else {
                let end = memchr::memchr(separator, &line[at..]).map_or(line.len(), |length| at + length);
                text.extend_from_slice(&line[at..end]);
                Some(end)
            };
            if let Some(field) = fields.last_mut() {
                field.end = text.len();
            }
            let Some(end) = end else { return Ok(true) };
            if end == line.len() {
                return Ok(false);
            }
            if line[end] != separator {
                let separator = Separator::Byte(separator).name();
                let expected = format!("{separator} or the end of the line after a closing quote");
                return Err(lines.place(end).found(&line[end..], expected));
            }
            quoted = false;
            at = end + 1;
        }
    }
}

impl RowReader for Delimited {
    fn advance(&mut self) -> Result<bool, Failure> {
        while self.lines.advance()? {
            let line = self.lines.bytes();
            // Most lines show by their first byte that they are not blank.
            let is_blank =
                line.first().is_none_or(u8::is_ascii_whitespace) && line.iter().all(u8::is_ascii_whitespace);
            if !is_blank && !is_comment(line, self.comment.as_deref()) {
                return self.parse();
            }
        }
        Ok(false)
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn raw(&self) -> &[u8] {
        if self.is_quoted { &self.raw } else { self.lines.bytes() }
    }

    fn lines(&self) -> &Lines {
        &self.lines
    }

    fn into_lines(self) -> Lines {
        self.lines
    }
}

/// True if a quote at the start of a field opens a quoted field. Tab-separated files mostly have no quoting, so there the quote
/// must also close in its line, right before a tab or the end.
fn opens_quote(separator: u8, rest: &[u8]) -> bool {
    let closed = || closing_quote(&rest[1..], &mut Vec::new());
    separator != b'\t' || closed().is_some_and(|length| matches!(rest.get(1 + length), None | Some(b'\t')))
}

/// Copies up to the closing quote, doubled quotes as one; the length with it, or none when the line ends first.
fn closing_quote(line: &[u8], text: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    while at < line.len() {
        if line[at] != b'"' {
            text.push(line[at]);
            at += 1;
        } else if line.get(at + 1) == Some(&b'"') {
            text.push(b'"');
            at += 2;
        } else {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn records(text: &str) -> Result<Vec<Vec<String>>, String> {
        let lines = Lines::resume(Cursor::new(text.as_bytes().to_vec()), "t", 0);
        let mut records = Delimited::open(lines, &Dialect::default()).map_err(|e| e.to_string())?;
        let mut all = Vec::new();
        loop {
            all.push(records.header().map_err(|e| e.to_string())?);
            if !records.advance().map_err(|e| e.to_string())? {
                return Ok(all);
            }
        }
    }

    #[test]
    fn quotes_separators_and_line_ends_are_understood() {
        let found = records("\u{feff}a;\"b;\"\"c\"\r\n\r\n1;\"x\ny\"\r\n").expect("valid");
        assert_eq!(found, [["a", "b;\"c"], ["1", "x\ny"]]);
    }

    /// A carriage return before a line feed was lost where both stood in quotes.
    #[test]
    fn line_ends_in_quotes_stay_as_they_are() {
        let found = records("a,b\r\n\"x\r\ny\",\"x\ny\"\r\n").expect("valid");
        assert_eq!(found[1], ["x\r\ny", "x\ny"]);
    }

    #[test]
    fn a_tab_separated_field_may_begin_with_a_bare_quote() {
        let found = records("k\tt\n1\t\"99\" - Acoustic\n2\t\"all\"\n").expect("valid");
        assert_eq!(found, [["k", "t"], ["1", "\"99\" - Acoustic"], ["2", "all"]]);
    }

    #[test]
    fn columns_are_counted_in_characters() {
        let mut found = records("\u{feff}\u{e9},b\n\"\u{e9}\n\u{e9}\",\"\u{1f600}\"x\n").expect_err("bad");
        assert_eq!(
            found,
            "t:3:7: found \"x\", expected a comma or the end of the line after a closing quote"
        );
        found = records("\u{feff}\u{e9},\"b\n").expect_err("bad");
        assert_eq!(found, "t:1:3: the quote that opens here is not closed");
    }

    #[test]
    fn an_open_quote_is_reported_where_it_opens() {
        assert_eq!(
            records("a,b\n1,\"x\n2,y\n").expect_err("bad"),
            "t:2:3: the quote that opens here is not closed"
        );
    }
}
