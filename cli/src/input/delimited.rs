//! Records of csv and tsv files: separator, quotes, line ends and byte order marks as they occur in the wild.
//! Written here and not taken from a crate because a field must know its line and column, and a record its limit.

use crate::core::failure::Failure;
use crate::core::location::{BadInput, Place, characters};
use crate::input::lines::{LINE_LIMIT, Lines};
use crate::input::separator::Separator;

/// Reads records; the current one stays until the next is asked for.
pub(crate) struct Delimited {
    lines: Lines,
    separator: Separator,
    /// What a line begins with that is passed over.
    comment: Option<String>,
    /// The fields' bytes one after the other, quotes resolved.
    text: Vec<u8>,
    fields: Vec<Field>,
    /// The record as it stands in the file.
    raw: Vec<u8>,
    line: u64,
}

#[derive(Clone, Debug)]
struct Field {
    start: usize,
    end: usize,
    line: u64,
    /// Bytes of its line before it.
    at: usize,
}

impl Delimited {
    /// Starts at the first record; the separator is the one given, or the one that [`Separator::detect`] finds in it.
    pub(crate) fn open(lines: Lines, how: &How) -> Result<Self, Failure> {
        let lines = first_line(lines, how, "a header line")?;
        let separator = how.separator.unwrap_or_else(|| Separator::detect(lines.bytes(), how.blanks));
        let mut records = Self::resume(lines, separator, how.comment.as_deref());
        records.parse()?;
        Ok(records)
    }

    /// Starts before the first record of a file without a header.
    pub(crate) fn open_bare(lines: Lines, how: &How) -> Result<Self, Failure> {
        let lines = first_line(lines, how, "rows")?;
        let separator = how.separator.unwrap_or_else(|| Separator::detect(lines.bytes(), how.blanks));
        Ok(Self::resume(lines.put_back(), separator, how.comment.as_deref()))
    }

    /// Starts at the line that `lines` is at.
    pub(crate) fn open_at(lines: Lines, separator: Separator) -> Result<Self, Failure> {
        let mut records = Self::resume(lines, separator, None);
        records.parse()?;
        Ok(records)
    }

    /// Starts before the record behind the line that `lines` is at.
    pub(crate) fn resume(lines: Lines, separator: Separator, comment: Option<&str>) -> Self {
        let line = lines.number();
        let comment = comment.map(str::to_owned);
        Self { lines, separator, comment, text: Vec::new(), fields: Vec::new(), raw: Vec::new(), line }
    }

    /// The lines behind this record.
    pub(crate) fn into_lines(self) -> Lines {
        self.lines
    }

    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }

    pub(crate) fn separator(&self) -> Separator {
        self.separator
    }

    /// Goes to the next record that is not a blank line; false at the end.
    ///
    /// After bad quoting the record is given up, and the next call goes on behind it.
    pub(crate) fn advance(&mut self) -> Result<bool, Failure> {
        loop {
            if !self.lines.advance()? {
                return Ok(false);
            }
            let line = self.lines.bytes();
            if !line.iter().all(u8::is_ascii_whitespace) && !is_comment(line, self.comment.as_deref()) {
                self.parse()?;
                return Ok(true);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// The bytes of a field; nothing when the record has no such field.
    pub(crate) fn bytes(&self, field: usize) -> &[u8] {
        self.fields.get(field).map_or(&[], |field| &self.text[field.start..field.end])
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

    /// Where a field starts, or where the record ends when it has no such field.
    pub(crate) fn place(&self, field: usize) -> Place {
        match self.fields.get(field) {
            Some(field) => {
                let mut lines = self.raw.split(|byte| *byte == b'\n');
                let line = lines.nth((field.line - self.line) as usize).unwrap_or_default();
                let before = &line[..field.at.min(line.len())];
                Place::new(self.lines.file(), field.line, characters(before) + 1)
            }
            None => self.lines.place(self.lines.bytes().len()),
        }
    }

    /// The first line of the record.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The record as it stands in the file, without the last line end.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Every field of a header as text.
    pub(crate) fn header(&self) -> Result<Vec<String>, BadInput> {
        (0..self.len()).map(|field| Ok(self.text(field)?.trim().to_owned())).collect()
    }

    /// Refuses a record that does not have as many fields as there are names, which stand in the header or in a flag.
    pub(crate) fn expect_fields(&self, expected: usize, named: &str) -> Result<(), BadInput> {
        if self.len() == expected {
            return Ok(());
        }
        let place = if self.len() > expected { self.place(expected) } else { self.place(self.len()) };
        let found = format!("found {} fields, expected {expected} as in {named}", self.len());
        Err(place.problem(found))
    }

    fn parse(&mut self) -> Result<(), Failure> {
        self.text.clear();
        self.fields.clear();
        self.raw.clear();
        self.line = self.lines.number();
        let mut open = self.parse_line(false)?;
        while open {
            let ending = self.lines.ending();
            let opening = self.place(self.fields.len() - 1);
            if self.text.len() > LINE_LIMIT || !self.lines.advance()? {
                return Err(opening.problem("the quote that opens here is not closed").into());
            }
            self.text.extend_from_slice(ending.as_bytes());
            self.raw.extend_from_slice(ending.as_bytes());
            open = self.parse_line(true)?;
        }
        Ok(())
    }

    /// Parses the current line, inside a quoted field when `quoted` says so; the answer is whether it still is.
    fn parse_line(&mut self, mut quoted: bool) -> Result<bool, BadInput> {
        let Self { lines, separator, text, fields, raw, .. } = self;
        let separator = *separator;
        let line = lines.bytes();
        raw.extend_from_slice(line);
        let mut at = if quoted { 0 } else { separator.first(line) };
        loop {
            if !quoted {
                let start = text.len();
                fields.push(Field { start, end: start, line: lines.number(), at });
                if line.get(at) == Some(&b'"') && opens_quote(separator, &line[at..]) {
                    at += 1;
                    quoted = true;
                }
            }
            let next = if quoted {
                let closed = closing_quote(&line[at..], text);
                closed.map(|length| at + length).map(|end| (end, (end < line.len()).then_some(end + 1)))
            } else {
                let (end, next) = separator.next(line, at);
                text.extend_from_slice(&line[at..end]);
                Some((end, next))
            };
            if let Some(field) = fields.last_mut() {
                field.end = text.len();
            }
            let Some((end, next)) = next else { return Ok(true) };
            let Some(next) = next else { return Ok(false) };
            if quoted && Separator::Byte(line[end]) != separator {
                let expected = format!("{} or the end of the line after a closing quote", separator.name());
                return Err(lines.place(end).found(&line[end..], expected));
            }
            quoted = false;
            at = next;
        }
    }
}

/// How a file is to be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct How {
    /// The one of the first line where none is given.
    pub(crate) separator: Option<Separator>,
    /// Whether blanks are looked for as separators.
    pub(crate) blanks: bool,
    /// What a line begins with that is passed over.
    pub(crate) comment: Option<String>,
}

/// Whether a line is to be passed over.
#[inline]
pub(crate) fn is_comment(line: &[u8], comment: Option<&str>) -> bool {
    comment.is_some_and(|comment| line.starts_with(comment.as_bytes()))
}

fn first_line(mut lines: Lines, how: &How, expected: &str) -> Result<Lines, Failure> {
    while lines.advance()? {
        if !is_comment(lines.bytes(), how.comment.as_deref()) {
            return Ok(lines);
        }
    }
    Err(lines.place(0).problem(format!("the file is empty, expected {expected}")).into())
}

/// Tab-separated files are mostly written without any quoting, so there a quote counts only if it closes in its line
/// right before a tab or the end; everywhere else it always opens a quoted field.
fn opens_quote(separator: Separator, rest: &[u8]) -> bool {
    match separator {
        Separator::Byte(b'\t') => {}
        Separator::Byte(_) => return true,
        Separator::Blanks | Separator::Colons => return false,
    }
    let closed = closing_quote(&rest[1..], &mut Vec::new());
    closed.is_some_and(|length| matches!(rest.get(1 + length), None | Some(b'\t')))
}

/// Copies up to the closing quote, doubled ones as one; the length with it, or nothing when the line ends first.
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
    use crate::input::source::Source;

    fn records(text: &str) -> Result<Vec<Vec<String>>, String> {
        let reader = Box::new(Cursor::new(text.as_bytes().to_vec()));
        let source = Source {
            name: "t".into(),
            reader,
            size: None,
            position: std::sync::Arc::default(),
            is_parquet: false,
        };
        let mut records = Delimited::open(Lines::new(source), &How::default()).map_err(|e| e.to_string())?;
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
