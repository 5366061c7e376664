//! Rows of an input file, whatever their form: the way in which every reader of a file goes through it.
//! Knows lines, blank lines and comments, not the fields of a row.

use crate::core::failure::Failure;
use crate::input::lines::Lines;

/// A reader of rows; the current row stays until the next one is read.
pub(crate) trait RowReader {
    /// Reads the next row; false at the end of the input. After a row that is refused the next call reads on behind it.
    fn advance(&mut self) -> Result<bool, Failure>;

    /// The number of the row's first line.
    fn line(&self) -> u64;

    /// The bytes of the row as the file has them, without the last line end.
    fn raw(&self) -> &[u8];

    /// The lines, of which the current one is the row's last.
    fn lines(&self) -> &Lines;

    /// The lines behind the row.
    fn into_lines(self) -> Lines;
}

/// Rows of one line each, such as JSON objects or words.
pub(crate) struct LineRows {
    lines: Lines,
    comment: Option<String>,
    is_blank: fn(&[u8]) -> bool,
}

impl LineRows {
    /// Rows that hold a JSON object each; only an empty line is no row.
    pub(crate) fn objects(lines: Lines, comment: Option<&str>) -> Self {
        Self { lines, comment: comment.map(str::to_owned), is_blank: <[u8]>::is_empty }
    }

    /// Rows of words between spaces and tabs.
    pub(crate) fn words(lines: Lines, comment: Option<&str>) -> Self {
        let is_blank = |line: &[u8]| line.iter().all(|byte| matches!(byte, b' ' | b'\t'));
        Self { lines, comment: comment.map(str::to_owned), is_blank }
    }
}

impl RowReader for LineRows {
    fn advance(&mut self) -> Result<bool, Failure> {
        while self.lines.advance()? {
            let line = self.lines.bytes();
            if !(self.is_blank)(line) && !is_comment(line, self.comment.as_deref()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn line(&self) -> u64 {
        self.lines.number()
    }

    fn raw(&self) -> &[u8] {
        self.lines.bytes()
    }

    fn lines(&self) -> &Lines {
        &self.lines
    }

    fn into_lines(self) -> Lines {
        self.lines
    }
}

/// True for a line that begins as comments do.
#[inline]
pub(crate) fn is_comment(line: &[u8], comment: Option<&str>) -> bool {
    comment.is_some_and(|comment| line.starts_with(comment.as_bytes()))
}
