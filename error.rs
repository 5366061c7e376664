//! The one error type for hosts, with a kind for decisions. Owns the mapping from the errors of the crates below to kinds.

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;

/// Any failure of a call of this library.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The store refused or failed.
    Store(hedgerow_storage::Error),
    /// The walk options or the policy are not valid for this graph.
    Walk(hedgerow_walker::Error),
    /// The model refused or failed.
    #[cfg(feature = "model")]
    Model(hedgerow_model::Error),
}

/// The kind of a failure, for decisions of a host and for exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A node, kind or relation does not exist.
    NotFound,
    /// A value is not acceptable.
    Invalid,
    /// Another process has the store open for writing.
    Locked,
    /// The folder is not a store.
    NotAStore,
    /// A newer version of this library wrote the store.
    NewerVersion,
    /// The store's folder was moved or replaced while it is open for writing; nothing is written any more.
    Replaced,
    /// A file does not hold what was written to it.
    Damaged,
    /// The store has no embeddings yet; train first.
    NotTrained,
    /// The node has no embedding: it came after the last refresh, or its kind is not embedded.
    NotEmbedded,
    /// The store is open read-only and cannot change.
    ReadOnly,
    /// The store already holds data.
    NotEmpty,
    /// The caller cancelled the call, or its deadline passed.
    Cancelled,
    /// The operating system refused an operation; earlier data is intact.
    Io,
    /// An earlier write or sync failed; nothing is written until the store is opened again.
    Broken,
    /// A count or size is above its limit.
    Limit,
    /// The current state does not allow the request.
    Refused,
    /// The loss of a training, a parameter or an embedding is not finite, or the embeddings have collapsed.
    Diverged,
}

impl Error {
    /// The kind of this failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => kind_of_store(error),
            Self::Walk(error) => kind_of_walk(error),
            #[cfg(feature = "model")]
            Self::Model(error) => kind_of_model(error),
        }
    }

    /// The name, as `kind:key`, of the requested node that is not in the store; `None` for other failures.
    pub fn missing_node(&self) -> Option<&str> {
        match self {
            Self::Store(hedgerow_storage::Error::UnknownNode { node })
            | Self::Walk(hedgerow_walker::Error::Store(hedgerow_storage::Error::UnknownNode { node })) => {
                Some(node)
            }
            #[cfg(feature = "model")]
            Self::Model(
                hedgerow_model::Error::Store(hedgerow_storage::Error::UnknownNode { node })
                | hedgerow_model::Error::Walk(hedgerow_walker::Error::Store(
                    hedgerow_storage::Error::UnknownNode { node },
                )),
            ) => Some(node),
            _ => None,
        }
    }

    /// The name of the requested relation that is not in the store; `None` for other failures.
    pub fn missing_relation(&self) -> Option<&str> {
        match self {
            #[cfg(feature = "model")]
            Self::Model(hedgerow_model::Error::UnknownRelation { relation, .. }) => Some(relation),
            _ => None,
        }
    }

    /// The name of the requested model that is not in the store; `None` for other failures.
    pub fn missing_model(&self) -> Option<&str> {
        match self {
            #[cfg(feature = "model")]
            Self::Model(hedgerow_model::Error::UnknownModel { model, .. }) => Some(model),
            _ => None,
        }
    }

    /// The file or folder of the failure; `None` if it concerns no file.
    pub fn path(&self) -> Option<&Path> {
        use hedgerow_storage::Error as Store;
        let store = match self {
            Self::Store(error) => error,
            #[cfg(feature = "model")]
            Self::Model(hedgerow_model::Error::Store(error)) => error,
            _ => return None,
        };
        match store {
            Store::Io { path, .. }
            | Store::NotAStore { path, .. }
            | Store::Locked { path, .. }
            | Store::Replaced { path }
            | Store::Damaged { path, .. }
            | Store::NewerVersion { path, .. }
            | Store::ReadOnly { path }
            | Store::NotEmpty { path }
            | Store::Broken { path } => Some(path),
            _ => None,
        }
    }
}

fn kind_of_store(error: &hedgerow_storage::Error) -> ErrorKind {
    use hedgerow_storage::Error as Store;
    match error {
        Store::NotAStore { .. } => ErrorKind::NotAStore,
        Store::NewerVersion { .. } => ErrorKind::NewerVersion,
        Store::Locked { .. } => ErrorKind::Locked,
        Store::Replaced { .. } => ErrorKind::Replaced,
        Store::Damaged { .. } => ErrorKind::Damaged,
        Store::Invalid { .. } => ErrorKind::Invalid,
        Store::UnknownNode { .. } => ErrorKind::NotFound,
        Store::Limit { .. } => ErrorKind::Limit,
        Store::ReadOnly { .. } => ErrorKind::ReadOnly,
        Store::NotEmpty { .. } => ErrorKind::NotEmpty,
        Store::Cancelled | Store::DeadlinePassed => ErrorKind::Cancelled,
        Store::Broken { .. } => ErrorKind::Broken,
        _ => ErrorKind::Io,
    }
}

fn kind_of_walk(error: &hedgerow_walker::Error) -> ErrorKind {
    match error {
        hedgerow_walker::Error::Store(error) => kind_of_store(error),
        hedgerow_walker::Error::UnknownKind { .. } => ErrorKind::NotFound,
        _ => ErrorKind::Invalid,
    }
}

#[cfg(feature = "model")]
fn kind_of_model(error: &hedgerow_model::Error) -> ErrorKind {
    use hedgerow_model::Error as Model;
    match error {
        Model::Store(error) => kind_of_store(error),
        Model::Walk(error) => kind_of_walk(error),
        Model::NotTrained => ErrorKind::NotTrained,
        Model::NotEmbedded { .. } => ErrorKind::NotEmbedded,
        Model::UnknownKind { .. } | Model::UnknownRelation { .. } | Model::UnknownModel { .. } => {
            ErrorKind::NotFound
        }
        Model::Threads { .. } => ErrorKind::Io,
        Model::Diverged { .. } | Model::NotFinite { .. } | Model::Collapsed { .. } => ErrorKind::Diverged,
        Model::NothingToResume
        | Model::GraphChanged { .. }
        | Model::PairsChanged { .. }
        | Model::WarmStart { .. }
        | Model::PartlyRefreshed
        | Model::CursorExpired { .. }
        | Model::DefaultModel { .. }
        | Model::NoPreviousGeneration { .. }
        | Model::Updater { .. } => ErrorKind::Refused,
        _ => ErrorKind::Invalid,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Walk(error) => error.fmt(f),
            #[cfg(feature = "model")]
            Self::Model(error) => error.fmt(f),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            Self::Walk(error) => error.source(),
            #[cfg(feature = "model")]
            Self::Model(error) => error.source(),
        }
    }
}

impl From<hedgerow_storage::Error> for Error {
    fn from(error: hedgerow_storage::Error) -> Self {
        Self::Store(error)
    }
}

impl From<hedgerow_walker::Error> for Error {
    fn from(error: hedgerow_walker::Error) -> Self {
        match error {
            hedgerow_walker::Error::Store(error) => Self::Store(error),
            other => Self::Walk(other),
        }
    }
}

#[cfg(feature = "model")]
impl From<hedgerow_model::Error> for Error {
    fn from(error: hedgerow_model::Error) -> Self {
        Self::Model(error)
    }
}
