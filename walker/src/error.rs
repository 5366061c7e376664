//! The one error type of this crate.

use std::error::Error as StdError;
use std::fmt;

/// Why walks cannot be made as asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The job was cancelled, or the store failed.
    Store(hedgerow_storage::Error),
    /// A walk option is out of its range.
    Option {
        /// The option's name.
        option: &'static str,
        /// Its value.
        found: String,
        /// The rule that it breaks.
        expected: &'static str,
    },
    /// A query node that walks cannot start from as asked.
    Query {
        /// The node, as `kind:key`.
        node: String,
        /// Its kind or its weight.
        found: String,
        /// The rule that it breaks.
        expected: String,
    },
    /// A policy names a kind that the store does not have.
    UnknownKind {
        /// The name of the kind.
        kind: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Option { option, found, expected } => {
                write!(f, "invalid walk option {option}: found {found}, expected {expected}")
            }
            Self::Query { node, found, expected } => {
                write!(f, "invalid query node {node}: found {found}, expected {expected}")
            }
            Self::UnknownKind { kind } => write!(f, "no kind named '{kind}' in the store"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            _ => None,
        }
    }
}

impl From<hedgerow_storage::Error> for Error {
    fn from(error: hedgerow_storage::Error) -> Self {
        Self::Store(error)
    }
}
