//! The error type of this crate.
//! A message says what happened, what was found and expected, and what to do. The engine's own text is never shown
//! bare.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Every failure of a request to the store.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operation, as a verb: `open`, `write`, `sync`.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The folder holds no store.
    NotAStore {
        /// The folder.
        path: PathBuf,
        /// The content found instead.
        found: String,
    },
    /// Another process, or another handle in this one, has the store open for writing.
    Locked {
        /// The store.
        path: PathBuf,
        /// The process that holds the lock; 0 when it could not be read.
        pid: u32,
        /// The time of locking, in seconds of Unix time; 0 when it could not be read.
        since: u64,
    },
    /// The folder of a store was moved or replaced, or its manifest was, while the store is open for writing. Nothing is
    /// written any more. Every acknowledged batch is in the folder that was opened.
    Replaced {
        /// The path at which the store was opened.
        path: PathBuf,
    },
    /// A file does not hold what was written to it.
    Damaged {
        /// The file, or the folder of the log.
        path: PathBuf,
        /// The place in the file: a section, a byte, a sequence number.
        place: String,
        /// The content found and expected.
        what: String,
    },
    /// A newer version of this program wrote the file.
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// The version of the file.
        found: u32,
        /// The newest version that this program reads.
        supported: u32,
    },
    /// A value that is not allowed.
    Invalid {
        /// The purpose of the value.
        what: &'static str,
        /// The value, shortened.
        found: String,
        /// The rule that the value breaks.
        expected: String,
    },
    /// The snapshot has no such living node.
    UnknownNode {
        /// The node, as `kind:key`.
        node: String,
    },
    /// A request exceeds a limit of the store.
    Limit {
        /// The limited quantity, in the plural.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// The requested quantity.
        found: u64,
    },
    /// A change was requested of a store that is open read-only.
    ReadOnly {
        /// The store.
        path: PathBuf,
    },
    /// A bulk load needs a store in which nothing was ever committed or published.
    NotEmpty {
        /// The store.
        path: PathBuf,
    },
    /// A write or sync failed earlier, so the content of the disk is unknown. Nothing is written until the store is
    /// opened again.
    Broken {
        /// The store.
        path: PathBuf,
    },
    /// The system could not allocate memory.
    Memory {
        /// The requested number of bytes.
        bytes: usize,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The system could not start the threads that a store needs.
    Threads {
        /// The number that was to be started.
        threads: usize,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The caller cancelled a long job.
    Cancelled,
    /// The deadline of a job passed before its end.
    DeadlinePassed,
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
            Self::Replaced { path } => write!(
                f,
                "{} was moved or replaced while this process has it open for writing; nothing more is written: close \
                 it, and open the one that you want",
                path.display()
            ),
            Self::Damaged { path, place, what } => write!(
                f,
                "{} is damaged at {place}: {what}; check the store, restore a backup, or import the data again",
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
                write!(f, "limit exceeded: {} {what}, at most {}", Grouped(*found), Grouped(*limit))
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
            Self::Threads { threads, source } => write!(
                f,
                "cannot start {threads} threads: {source}; raise the limit of processes or of memory, or set RAYON_NUM_THREADS to a smaller number"
            ),
            Self::Cancelled => f.write_str("cancelled"),
            Self::DeadlinePassed => f.write_str("the deadline passed before the end; allow more time"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Io { source, .. } | Self::Memory { source, .. } | Self::Threads { source, .. } => {
                Some(source)
            }
            _ => None,
        }
    }
}

impl Error {
    /// Adds the file and the verb to a system error.
    pub fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), action, source }
    }

    /// Reports damage in a file: the place and the content found there.
    pub fn damaged(path: &Path, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_path_buf(), place: place.into(), what: what.into() }
    }

    /// Refuses a value; long values are shortened and control characters escaped.
    pub fn invalid(what: &'static str, found: &str, expected: impl Into<String>) -> Self {
        let mut short: String = found.chars().take(80).flat_map(char::escape_debug).collect();
        if found.chars().nth(80).is_some() {
            short.push_str("...");
        }
        Self::Invalid { what, found: format!("'{short}'"), expected: expected.into() }
    }
}

/// Formats a number with a comma after every third digit from the right.
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.char_indices() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// Formats seconds of Unix time as a date.
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
    fn a_limit_is_named_with_grouped_numbers() {
        let error = Error::Limit { what: "operations in a batch", limit: 1_000_000, found: 1_000_001 };
        assert_eq!(error.to_string(), "limit exceeded: 1,000,001 operations in a batch, at most 1,000,000");
        assert_eq!(
            [0, 999, 1000, u64::MAX].map(|n| Grouped(n).to_string()).join(" "),
            "0 999 1,000 18,446,744,073,709,551,615"
        );
    }

    #[test]
    fn found_values_are_shortened_and_escaped() {
        let text = Error::invalid("key", &"a\n".repeat(300), "less").to_string();
        assert!(text.len() < 300 && text.contains("a\\na"), "{text}");
    }
}
