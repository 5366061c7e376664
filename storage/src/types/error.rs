//! The one error type of this crate.
//! A message says what happened, what was found and expected, and what to do; the engine's own text never stands bare.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Everything that a request to the store can fail with.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, as a verb: `open`, `write`, `sync`.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The folder holds no store (or something else).
    NotAStore {
        /// The folder.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },
    /// Another process, or another handle in this one, has the store open for writing.
    Locked {
        /// The store.
        path: PathBuf,
        /// The process that holds it; 0 when it could not be read.
        pid: u32,
        /// Since when, in seconds of Unix time; 0 when it could not be read.
        since: u64,
    },
    /// A file does not hold what was written to it.
    Damaged {
        /// The file, or the folder of the log.
        path: PathBuf,
        /// Where in it: a section, a byte, a sequence number.
        place: String,
        /// What was found and expected.
        what: String,
    },
    /// A newer version of this program wrote the file.
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest that can be read.
        supported: u32,
    },
    /// A value that is not acceptable.
    Invalid {
        /// What the value is for.
        what: &'static str,
        /// The value, shortened.
        found: String,
        /// The rule that it breaks.
        expected: String,
    },
    /// No such node is alive in this snapshot.
    UnknownNode {
        /// The node, as `kind:key`.
        node: String,
    },
    /// More than the store can hold or will take at once.
    Limit {
        /// What is limited.
        what: &'static str,
        /// The most that is taken.
        limit: u64,
        /// What was asked.
        found: u64,
    },
    /// A change was asked of a store that is open read-only.
    ReadOnly {
        /// The store.
        path: PathBuf,
    },
    /// A whole graph was to be loaded into a store in which something was committed or published before.
    NotEmpty {
        /// The store.
        path: PathBuf,
    },
    /// A write or sync failed earlier, so what is on disk is not known; nothing is written until the store is opened again.
    Broken {
        /// The store.
        path: PathBuf,
    },
    /// The system has no memory of that size to give.
    Memory {
        /// What was asked for.
        bytes: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// The caller cancelled a long job.
    Cancelled,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, action, source } => write!(f, "cannot {action} {}: {source}", path.display()),
            Self::NotAStore { path, found } => write!(
                f,
                "{} is not a hedgerow store: {found}; name a store, or a new or empty folder to create one",
                path.display()
            ),
            Self::Locked { path, pid, since } => write!(
                f,
                "{} is open for writing in process {pid} since {}; close it there, or open read-only",
                path.display(),
                Utc(*since)
            ),
            Self::Damaged { path, place, what } => write!(
                f,
                "{} is damaged at {place}: {what}; see `hedgerow check`, put back a backup, or import the data anew",
                path.display()
            ),
            Self::NewerVersion { path, found, supported } => write!(
                f,
                "{} has format version {found}, this program reads up to {supported}; use a newer hedgerow",
                path.display()
            ),
            Self::Invalid { what, found, expected } => {
                write!(f, "invalid {what}: found {found}, expected {expected}")
            }
            Self::UnknownNode { node } => write!(f, "no node {node} in the store"),
            Self::Limit { what, limit, found } => {
                write!(f, "too many or too large: {what} is {found}, the limit is {limit}")
            }
            Self::ReadOnly { path } => write!(f, "{} is open read-only; open it for writing", path.display()),
            Self::NotEmpty { path } => write!(
                f,
                "{} is not empty: a graph is loaded into a new store; name another folder, or commit batches",
                path.display()
            ),
            Self::Broken { path } => {
                write!(f, "a write to {} failed earlier; close the store and open it again", path.display())
            }
            Self::Memory { bytes, source } => write!(f, "no memory for {bytes} bytes: {source}"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Io { source, .. } | Self::Memory { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Error {
    /// Wraps a system error with the file and the verb.
    pub fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), action, source }
    }

    /// Names damage in a file: where, and what was found there.
    pub fn damaged(path: &Path, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_path_buf(), place: place.into(), what: what.into() }
    }

    /// Refuses a value; long ones are shortened and control characters escaped.
    pub fn invalid(what: &'static str, found: &str, expected: impl Into<String>) -> Self {
        let mut short: String = found.chars().take(80).flat_map(char::escape_debug).collect();
        if found.chars().nth(80).is_some() {
            short.push_str("...");
        }
        Self::Invalid { what, found: format!("'{short}'"), expected: expected.into() }
    }
}

/// Shows seconds of Unix time as a date a person can read.
struct Utc(u64);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Days to a civil date by Howard Hinnant's algorithm, eras of 400 years from 1 March 0000.
        let (days, second) = (self.0 / 86_400 + 719_468, self.0 % 86_400);
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil() {
        assert_eq!(Utc(0).to_string(), "1970-01-01 00:00:00 UTC");
        assert_eq!(Utc(1_709_210_096).to_string(), "2024-02-29 12:34:56 UTC");
    }

    #[test]
    fn found_values_are_shortened_and_escaped() {
        let text = Error::invalid("key", &"a\n".repeat(300), "less").to_string();
        assert!(text.len() < 300 && text.contains("a\\na"), "{text}");
    }
}
