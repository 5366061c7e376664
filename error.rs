//! One error for hosts, with a kind to decide by.

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;

/// Everything that a call of this library can fail with.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The store refused or failed.
    Store(hedgerow_storage::Error),
    /// A walk cannot be made as asked.
    Walk(hedgerow_walker::Error),
    /// The model refused or failed.
    #[cfg(feature = "model")]
    Model(hedgerow_model::Error),
}

/// What a host may want to decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A node, kind or relation that is not there.
    NotFound,
    /// A value that is not acceptable.
    Invalid,
    /// Another process has the store.
    Locked,
    /// The folder is not a store.
    NotAStore,
    /// A newer version of this library wrote the store.
    NewerVersion,
    /// A file does not hold what was written to it.
    Damaged,
    /// There are no embeddings yet: train.
    NotTrained,
    /// There is no embedding of this node: it came after the last refresh, or its kind is not embedded.
    NotEmbedded,
    /// A change was asked of a store that is open read-only.
    ReadOnly,
    /// The store holds something already.
    NotEmpty,
    /// The caller cancelled.
    Cancelled,
    /// The operating system refused something; what was there before is intact.
    Io,
    /// A write or sync failed earlier: nothing is written until the store is opened again.
    Broken,
    /// More than can be held or taken at once.
    Limit,
    /// What was asked does not fit how things are.
    Refused,
    /// A training that learned nothing any more.
    Diverged,
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => kind_of_store(error),
            Self::Walk(error) => kind_of_walk(error),
            #[cfg(feature = "model")]
            Self::Model(error) => kind_of_model(error),
        }
    }

    /// The node, as `kind:key`, that was asked for and is not in the store, if that is the failure.
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

    /// The file that the failure is about, if it is about one.
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
        Store::Damaged { .. } => ErrorKind::Damaged,
        Store::Invalid { .. } => ErrorKind::Invalid,
        Store::UnknownNode { .. } => ErrorKind::NotFound,
        Store::Limit { .. } => ErrorKind::Limit,
        Store::ReadOnly { .. } => ErrorKind::ReadOnly,
        Store::NotEmpty { .. } => ErrorKind::NotEmpty,
        Store::Cancelled => ErrorKind::Cancelled,
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
        Model::UnknownKind { .. } => ErrorKind::NotFound,
        Model::Threads { .. } => ErrorKind::Io,
        Model::Diverged { .. } => ErrorKind::Diverged,
        Model::NothingToResume
        | Model::GraphChanged { .. }
        | Model::OtherPairs { .. }
        | Model::NotWarm { .. }
        | Model::HalfWay
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
