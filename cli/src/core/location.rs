//! A position in an input file, and the problem there.
//! Lines and columns count from 1. Columns count characters, as editors do; each byte that is not UTF-8 counts as one.

use std::fmt;

use crate::core::escape::quoted;

/// The number of characters in bytes.
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

    /// A problem that says the text found here and the text expected.
    pub(crate) fn found(self, found: &[u8], expected: impl Into<String>) -> BadInput {
        let problem = format!("found {}, expected {}", quoted(found), expected.into());
        BadInput { place: self, problem, fatal: false, outcome: None }
    }

    /// Any other problem, in the words of the caller or of the library.
    pub(crate) fn problem(self, problem: impl fmt::Display) -> BadInput {
        BadInput { place: self, problem: problem.to_string(), fatal: false, outcome: None }
    }
}

/// Invalid content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadInput {
    pub(crate) place: Place,
    problem: String,
    /// Nothing after this place can be read, so skipping the row does not help.
    pub(crate) fatal: bool,
    outcome: Option<String>,
}

impl BadInput {
    pub(crate) fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// The first line of the bad row. A fatal problem has no row yet, so its own line counts; else it is `line`.
    pub(crate) fn first_line(&self, line: u64) -> u64 {
        if self.fatal { self.place.line } else { line }
    }

    /// Adds what was kept and where to continue.
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
