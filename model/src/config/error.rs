//! The one error type of this crate.

use std::error::Error as StdError;
use std::fmt;

use hedgerow_storage::Epoch;

/// Everything that a request to the model can fail with.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The store refused or failed.
    Store(hedgerow_storage::Error),
    /// A walk option or policy is not acceptable.
    Walk(hedgerow_walker::Error),
    /// A training option is out of its range.
    Option {
        /// The option's name.
        option: &'static str,
        /// Its value.
        found: String,
        /// The rule that it breaks.
        expected: &'static str,
    },
    /// Nothing was trained in this store yet.
    NotTrained,
    /// What refreshes work on is half of one epoch and half of another.
    HalfWay,
    /// A kind to embed has no node, or no kind has that name.
    UnknownKind {
        /// The name asked for.
        kind: String,
        /// The kinds there are.
        known: String,
    },
    /// The node is known but has no embedding.
    NotEmbedded {
        /// The node.
        node: String,
        /// Why, and what to do.
        reason: String,
    },
    /// An expression of tokens cannot be understood.
    Filter {
        /// Where, from 1.
        character: usize,
        /// What stands there.
        found: String,
        /// What could have.
        expected: &'static str,
    },
    /// Dense features do not fit the model.
    Dense {
        /// The block's name.
        block: String,
        /// What was given.
        found: String,
        /// What the model has.
        expected: String,
    },
    /// There is nothing to learn from.
    NoPositives {
        /// What is missing.
        reason: String,
    },
    /// The loss stopped being a number.
    Diverged {
        /// The epoch, from 1.
        epoch: u32,
        /// The minibatch in it, from 1.
        step: u64,
        /// The epoch whose weights were published all the same; `None` where there was no whole one, and nothing changed.
        best: Option<u32>,
    },
    /// There is no training to go on with.
    NothingToResume,
    /// A training cannot go on because the graph is another.
    GraphChanged {
        /// The epoch that the training saw.
        trained: Epoch,
        /// The epoch now.
        found: Epoch,
    },
    /// A training cannot go on because the caller's pairs are others.
    OtherPairs {
        /// What the training began with.
        trained: &'static str,
        /// What it was given to go on with.
        found: &'static str,
    },
    /// A training cannot start from the last generation.
    NotWarm {
        /// What does not fit, and what to do.
        reason: String,
    },
    /// A model that comes from elsewhere does not fit together, or not with the store.
    Model {
        /// What does not fit.
        reason: String,
    },
    /// Worker threads could not be started.
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The system's reason.
        reason: String,
    },
    /// An updater refreshes no more, or not for whoever asked.
    Updater {
        /// Why, and what to do.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Walk(error) => error.fmt(f),
            Self::Option { option, found, expected } => write!(f, "invalid option {option}: found {found}, expected {expected}"),
            Self::NotTrained => f.write_str("the store has no embeddings; train them first"),
            Self::HalfWay => f.write_str("the last refresh was cancelled half-way; refresh first"),
            Self::UnknownKind { kind, known } => write!(f, "no node of kind '{kind}' in the store; it holds {known}"),
            Self::NotEmbedded { node, reason } => write!(f, "{node} has no embedding: {reason}"),
            Self::Filter { character, found, expected } => write!(f, "invalid filter at character {character}: found {found}, expected {expected}"),
            Self::Dense { block, found, expected } => write!(f, "invalid dense features '{block}': found {found}, expected {expected}"),
            Self::NoPositives { reason } => write!(f, "nothing to train on: {reason}"),
            Self::Diverged { epoch, step, best } => write!(f, "training diverged in epoch {epoch}, step {step}: the loss is not a number; {}lower the learning rate", kept(*best)),
            Self::NothingToResume => f.write_str("no interrupted training to resume: it ended, or was stopped within its first epoch; train anew"),
            Self::GraphChanged { trained, found } => write!(f, "cannot resume: the graph is at epoch {found} and was at {trained} when the training began; train anew, with --warm to start from the last generation"),
            Self::OtherPairs { trained, found } => write!(f, "cannot resume: the training began with {trained} and was now given {found}; give the same, or train anew"),
            Self::NotWarm { reason } => write!(f, "cannot start warm: {reason}"),
            Self::Model { reason } => write!(f, "the model cannot be installed: {reason}"),
            Self::Threads { threads, reason } => write!(f, "cannot start {threads} threads: {reason}"),
            Self::Updater { reason } => write!(f, "the updater cannot refresh: {reason}"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            Self::Walk(error) => error.source(),
            _ => None,
        }
    }
}

impl From<hedgerow_storage::Error> for Error {
    fn from(error: hedgerow_storage::Error) -> Self {
        Self::Store(error)
    }
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
