//! The one error type of this crate.

use hedgerow_storage::Epoch;

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
    /// What refreshes work on is half of one epoch and half of another.
    #[error("the last refresh was cancelled half-way; refresh first")]
    HalfWay,
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
    /// An expression of tokens cannot be understood.
    #[error("invalid filter at character {character}: found {found}, expected {expected}")]
    Filter {
        /// Where, from 1.
        character: usize,
        /// What stands there.
        found: String,
        /// What could have.
        expected: &'static str,
    },
    /// Dense features do not fit the model.
    #[error("invalid dense features '{block}': found {found}, expected {expected}")]
    Dense {
        /// The block's name.
        block: String,
        /// What was given.
        found: String,
        /// What the model has.
        expected: String,
    },
    /// There is nothing to learn from.
    #[error("nothing to train on: {reason}")]
    NoPositives {
        /// What is missing.
        reason: String,
    },
    /// The loss stopped being a number.
    #[error("training diverged in epoch {epoch}, step {step}: the loss is not a number; {}lower the learning rate", kept(*best))]
    Diverged {
        /// The epoch, from 1.
        epoch: u32,
        /// The minibatch in it, from 1.
        step: u64,
        /// The epoch whose weights were published all the same; `None` where there was no whole one, and nothing changed.
        best: Option<u32>,
    },
    /// There is no training to go on with.
    #[error("no interrupted training to resume: it ended, or was stopped within its first epoch; train anew")]
    NothingToResume,
    /// A training cannot go on because the graph is another.
    #[error(
        "cannot resume: the graph is at epoch {found} and was at {trained} when the training began; train anew, with --warm to start from the last generation"
    )]
    GraphChanged {
        /// The epoch that the training saw.
        trained: Epoch,
        /// The epoch now.
        found: Epoch,
    },
    /// A training cannot go on because the caller's pairs are others.
    #[error(
        "cannot resume: the training began with {trained} and was now given {found}; give the same, or train anew"
    )]
    OtherPairs {
        /// What the training began with.
        trained: &'static str,
        /// What it was given to go on with.
        found: &'static str,
    },
    /// A training cannot start from the last generation.
    #[error("cannot start warm: {reason}")]
    NotWarm {
        /// What does not fit, and what to do.
        reason: String,
    },
    /// A model that comes from elsewhere does not fit together, or not with the store.
    #[error("the model cannot be installed: {reason}")]
    Model {
        /// What does not fit.
        reason: String,
    },
    /// Worker threads could not be started.
    #[error("cannot start {threads} threads: {reason}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The system's reason.
        reason: String,
    },
    /// An updater refreshes no more, or not for whoever asked.
    #[error("the updater cannot refresh: {reason}")]
    Updater {
        /// Why, and what to do.
        reason: String,
    },
}

fn kept(best: Option<u32>) -> String {
    best.map_or_else(String::new, |epoch| format!("what epoch {epoch} gave is kept and published; "))
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
