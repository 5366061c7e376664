//! The one error type of this crate.

/// Everything that a request to the model can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] hedgerow_storage::Error),
    /// A walk option or policy is not acceptable.
    #[error(transparent)]
    Walk(hedgerow_walker::Error),
    /// A training option is out of its range.
    #[error("invalid option {option}: found {found}, expected {expected}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// Its value.
        found: String,
        /// The rule that it breaks.
        expected: &'static str,
    },
    /// Nothing was trained in this store yet.
    #[error("the store has no embeddings; train them first")]
    NotTrained,
    /// A kind to embed has no node, or no kind has that name.
    #[error("no node of kind '{kind}' in the store; it holds {known}")]
    UnknownKind {
        /// The name asked for.
        kind: String,
        /// The kinds there are.
        known: String,
    },
    /// The node is known but has no embedding.
    #[error("{node} has no embedding: {reason}")]
    NotEmbedded {
        /// The node.
        node: String,
        /// Why, and what to do.
        reason: String,
    },
    /// There is nothing to learn from.
    #[error("nothing to train on: {reason}")]
    NoPositives {
        /// What is missing.
        reason: String,
    },
    /// The loss stopped being a number.
    #[error("training diverged in epoch {epoch}: the loss is not a number; lower the learning rate")]
    Diverged {
        /// The epoch, from 1.
        epoch: u32,
    },
    /// Worker threads could not be started.
    #[error("cannot start {threads} threads: {reason}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The system's reason.
        reason: String,
    },
}

impl From<hedgerow_walker::Error> for Error {
    /// What the store said to the walker is the store's error here too.
    fn from(error: hedgerow_walker::Error) -> Self {
        match error {
            hedgerow_walker::Error::Store(error) => Self::Store(error),
            other => Self::Walk(other),
        }
    }
}

impl Error {
    /// Whether the caller cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Store(hedgerow_storage::Error::Cancelled))
    }
}
