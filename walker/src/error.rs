//! The error type of this crate, and its messages.

use std::error::Error as StdError;
use std::fmt;

/// A reason for which walks cannot be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The job was cancelled, or the store failed.
    Store(hedgerow_storage::Error),
    /// A walk option is out of its range.
    Option {
        /// The name of the option.
        option: &'static str,
        /// The value of the option.
        found: String,
        /// The rule that the value breaks.
        expected: &'static str,
    },
    /// Walks cannot start from a query node.
    Query {
        /// The node, as `kind:key`.
        node: String,
        /// The node's kind or its weight.
        found: String,
        /// The rule that the kind or the weight breaks.
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
