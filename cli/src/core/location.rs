//! Where in an input file something stands, and what is wrong there.
//! Lines and columns count from 1, columns in characters, as editors show them; of what is not UTF-8 each byte is one.

use std::fmt;

use crate::core::escape::quoted;

/// How many characters there are.
pub(crate) fn characters(bytes: &[u8]) -> u64 {
    let chunks = bytes.utf8_chunks();
    chunks.map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum::<usize>() as u64
}

/// A position in a file that is being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: u64,
    pub(crate) column: u64,
}

impl Place {
    pub(crate) fn new(file: &str, line: u64, column: u64) -> Self {
        Self { file: file.to_owned(), line, column }
    }

    /// What stands there and what should.
    pub(crate) fn found(self, found: &[u8], expected: impl Into<String>) -> BadInput {
        let problem = format!("found {}, expected {}", quoted(found), expected.into());
        BadInput { place: self, problem, fatal: false, outcome: None }
    }

    /// A problem that is not one piece of text, or a sentence of the library about it.
    pub(crate) fn problem(self, problem: impl fmt::Display) -> BadInput {
        BadInput { place: self, problem: problem.to_string(), fatal: false, outcome: None }
    }
}

/// A file that says something it must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadInput {
    pub(crate) place: Place,
    problem: String,
    /// Nothing behind this place can be read, so that skipping the row is no way on.
    pub(crate) fatal: bool,
    outcome: Option<String>,
}

impl BadInput {
    pub(crate) fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// Where the row begins that it ends, the present one having begun at `line`: what is fatal comes before a row is there.
    pub(crate) fn first_line(&self, line: u64) -> u64 {
        if self.fatal { self.place.line } else { line }
    }

    /// Adds what was kept and where to go on.
    pub(crate) fn with_outcome(mut self, outcome: impl Into<String>) -> Self {
        self.outcome = Some(outcome.into());
        self
    }
}

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { file, line, column } = &self.place;
        write!(f, "{file}:{line}:{column}: {}", self.problem)?;
        match &self.outcome {
            Some(outcome) => write!(f, "; {outcome}"),
            None => Ok(()),
        }
    }
}
