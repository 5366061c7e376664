//! The one error type of this crate.

/// Why walks cannot be made as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The job was cancelled, or the store failed.
    #[error(transparent)]
    Store(#[from] hedgerow_storage::Error),
    /// A walk option is out of its range.
    #[error("invalid walk option {option}: found {found}, expected {expected}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// Its value.
        found: String,
        /// The rule that it breaks.
        expected: &'static str,
    },
    /// A query node that walks cannot start from as asked.
    #[error("invalid query node {node}: found {found}, expected {expected}")]
    Query {
        /// The node, as `kind:key`.
        node: String,
        /// Its kind or its weight.
        found: String,
        /// The rule that it breaks.
        expected: String,
    },
    /// A policy names what the store does not have.
    #[error("no {what} named '{name}' in the store")]
    Unknown {
        /// `kind` or `relation`.
        what: &'static str,
        /// The name.
        name: String,
    },
}
