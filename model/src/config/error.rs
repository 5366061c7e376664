//! The error type of this crate.

use std::error::Error as StdError;
use std::fmt;

use hedgerow_storage::{Epoch, NodeName};

/// Every error that a request to the model can return.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The store refused the request or failed.
    Store(hedgerow_storage::Error),
    /// A walk option or a policy is out of its range.
    Walk(hedgerow_walker::Error),
    /// An option of a training or a question is out of its range, or does not go with another one.
    Option {
        /// The option's name.
        option: &'static str,
        /// Its value.
        found: String,
        /// The rule that it breaks.
        expected: &'static str,
    },
    /// The store holds no trained model yet.
    NotTrained,
    /// A cancelled refresh left rows of two epochs side by side; the next refresh rebuilds them.
    PartlyRefreshed,
    /// The store has no model of this name.
    UnknownModel {
        /// The requested name.
        model: String,
        /// The existing models.
        known: String,
    },
    /// The default model cannot be removed while there are others.
    DefaultModel {
        /// The model.
        model: String,
    },
    /// There is no generation before the current one.
    NoPreviousGeneration {
        /// The model.
        model: String,
    },
    /// A kind to embed has no node, or no kind has this name.
    UnknownKind {
        /// The requested name.
        kind: String,
        /// The existing kinds.
        known: String,
    },
    /// No relation has this name.
    UnknownRelation {
        /// The requested name.
        relation: String,
        /// The existing relations.
        known: String,
    },
    /// A cursor is of a ranking that was made from another state.
    CursorExpired {
        /// The state of the cursor.
        found: String,
        /// The present state.
        present: String,
    },
    /// The node exists but has no embedding.
    NotEmbedded {
        /// The node.
        node: String,
        /// The reason, and the remedy.
        reason: String,
    },
    /// A filter expression is invalid.
    Filter {
        /// The position of the first invalid character, counted from 1.
        character: usize,
        /// The text at that position.
        found: String,
        /// The text that is allowed there.
        expected: &'static str,
    },
    /// A term of a filter does not fit the properties of the answers.
    FilterTerm {
        /// The term.
        term: String,
        /// The contradiction, and what would fit.
        problem: String,
    },
    /// Dense features do not fit the model, or a number of them is out of its range.
    Dense {
        /// The block's name.
        block: String,
        /// The given width or value.
        found: String,
        /// The width or value that the model has.
        expected: String,
    },
    /// No node to embed has an input: a token, a dense number other than 0, an identity or a degree.
    NoInputs {
        /// The kinds to embed.
        targets: String,
    },
    /// There is no positive example to learn from.
    NoPositives {
        /// The missing part of the graph or of the pairs.
        reason: String,
    },
    /// The loss became infinite or not a number.
    Diverged {
        /// The epoch, counted from 1.
        epoch: u32,
        /// The minibatch in the epoch, counted from 1.
        step: u64,
        /// The epoch whose weights were published. `None` if no epoch was complete; then nothing changed.
        best: Option<u32>,
    },
    /// A parameter or an embedding is infinite or not a number. Nothing was published, and readers see the embeddings
    /// of before.
    NotFinite {
        /// The parameter or the node.
        found: String,
    },
    /// The embeddings of a training are zeros or all alike. Nothing was published.
    Collapsed {
        /// The embeddings that are zeros or alike.
        found: String,
    },
    /// There is no interrupted training to resume.
    NothingToResume,
    /// A training cannot be resumed because the graph has changed.
    GraphChanged {
        /// The epoch of the graph when the training began.
        trained: Epoch,
        /// The epoch of the graph now.
        found: Epoch,
    },
    /// A training cannot be resumed because other pairs were given.
    PairsChanged {
        /// The pairs that the training began with.
        trained: &'static str,
        /// The pairs that were given now.
        found: &'static str,
    },
    /// A warm start is impossible: no generation exists, or its weights have another shape.
    WarmStart {
        /// The difference, and the remedy.
        reason: String,
    },
    /// A model to install is inconsistent, or does not fit the store.
    Model {
        /// The inconsistency.
        reason: String,
    },
    /// Worker threads could not be started.
    Threads {
        /// The requested number.
        threads: usize,
        /// The reason that the system gave.
        reason: String,
    },
    /// An updater no longer refreshes, or cannot serve this caller.
    Updater {
        /// The reason, and the remedy.
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
            Self::UnknownModel { model, known } if known.is_empty() => write!(f, "no model '{model}' in the store; it has none, so train one first"),
            Self::UnknownModel { model, known } => write!(f, "no model '{model}' in the store; it has {known}"),
            Self::DefaultModel { model } => write!(f, "model '{model}' is the default one, which cannot be removed while there are others; promote another one first"),
            Self::NoPreviousGeneration { model } => write!(f, "model '{model}' has no earlier generation; a rollback is possible once it was trained again"),
            Self::PartlyRefreshed => f.write_str("the last refresh was cancelled half-way; refresh first"),
            Self::UnknownKind { kind, known } => write!(f, "no node of kind '{kind}' in the store; it holds {known}"),
            Self::UnknownRelation { relation, known } => write!(f, "no relation '{relation}' in the store; it holds {known}"),
            Self::CursorExpired { found, present } => write!(f, "the cursor is of {found}, and the ranking now is of {present}: ask for the first page again"),
            Self::NotEmbedded { node, reason } => write!(f, "{node} has no embedding: {reason}"),
            Self::Filter { character, found, expected } => write!(f, "invalid filter at character {character}: found {found}, expected {expected}"),
            Self::FilterTerm { term, problem } => write!(f, "invalid filter '{term}': {problem}"),
            Self::Dense { block, found, expected } => write!(f, "invalid dense features '{block}': found {found}, expected {expected}"),
            Self::NoInputs { targets } => write!(f, "nothing to embed: no node of kind {targets} has a token, a dense number other than 0 or an identity; add features, or train with ids on"),
            Self::NoPositives { reason } => write!(f, "nothing to train on: {reason}"),
            Self::Diverged { epoch, step, best } => write!(f, "training diverged in epoch {epoch}, step {step}: the loss is not a number; {}lower the learning rate", published_note(*best)),
            Self::NotFinite { found } => write!(f, "{found} is not finite and was not published; scale dense features, or train anew with a lower learning rate"),
            Self::Collapsed { found } => write!(f, "the embeddings have collapsed, so nothing was published: {found}; lower the learning rate, or add features that tell the nodes apart"),
            Self::NothingToResume => f.write_str("no interrupted training to resume: it ended, or was stopped within its first epoch; train anew"),
            Self::GraphChanged { trained, found } => write!(f, "cannot resume: the graph is at epoch {found} and was at {trained} when the training began; train anew; a warm start keeps what the last generation learned"),
            Self::PairsChanged { trained, found } => write!(f, "cannot resume: the training began with {trained} and was now given {found}; give the same, or train anew"),
            Self::WarmStart { reason } => write!(f, "cannot start warm: {reason}"),
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

fn published_note(best: Option<u32>) -> String {
    best.map_or_else(String::new, |epoch| format!("what epoch {epoch} gave is kept and published; "))
}

impl From<hedgerow_walker::Error> for Error {
    /// An error of the store that the walker passes on stays an error of the store.
    fn from(error: hedgerow_walker::Error) -> Self {
        match error {
            hedgerow_walker::Error::Store(error) => Self::Store(error),
            other => Self::Walk(other),
        }
    }
}

impl Error {
    /// The error of a node whose embedding is not finite.
    pub(crate) fn not_finite_embedding(node: &NodeName) -> Self {
        Self::NotFinite { found: format!("the embedding of {node}") }
    }

    /// True if the caller cancelled the operation, or its deadline passed.
    pub fn is_cancelled(&self) -> bool {
        use hedgerow_storage::Error as Store;
        matches!(self, Self::Store(Store::Cancelled | Store::DeadlinePassed))
    }
}
