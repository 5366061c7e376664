//! Damage found in a store, and its remedy. Knows nothing of how repairs are done.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::types::error::Error;

/// Damage found when a store was opened or checked, and its remedy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Damage {
    /// The file, or the folder of the log.
    pub path: PathBuf,
    /// The place in the file: a section, a record.
    pub place: String,
    /// The content found.
    pub what: String,
    /// The repair that was done, or that is needed.
    pub remedy: String,
}

impl Damage {
    pub(crate) fn new(path: &Path, place: &str, what: &str, remedy: impl Into<String>) -> Self {
        Self {
            path: path.to_path_buf(),
            place: place.to_owned(),
            what: what.to_owned(),
            remedy: remedy.into(),
        }
    }

    /// Separates damage, which has a remedy, from other errors.
    ///
    /// # Errors
    /// Every error but [`Error::Damaged`].
    pub(crate) fn from_result<T>(result: Result<T, Error>, remedy: &str) -> Result<Result<T, Self>, Error> {
        match result {
            Ok(value) => Ok(Ok(value)),
            Err(Error::Damaged { path, place, what }) => Ok(Err(Self::new(&path, &place, &what, remedy))),
            Err(other) => Err(other),
        }
    }

    /// The damage as an error, where there is no remedy after all.
    pub(crate) fn into_error(self) -> Error {
        Error::damaged(&self.path, self.place, self.what)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, place, what, remedy } = self;
        write!(f, "{} was damaged at {place}: {what}; {remedy}", path.display())
    }
}
