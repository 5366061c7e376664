//! What was found damaged, and how it is made good. Knows nothing of how that is done.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::types::error::Error;

/// Damage that was found when a store was opened or checked, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// The file, or the folder of the log.
    pub path: PathBuf,
    /// Where in it: a section, a record.
    pub place: String,
    /// What was found.
    pub what: String,
    /// What was done, or is to be done.
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

    /// Sorts damage, for which there is a remedy, from other errors.
    ///
    /// # Errors
    /// All but [`Error::Damaged`].
    pub(crate) fn from_result<T>(result: Result<T, Error>, remedy: &str) -> Result<Result<T, Self>, Error> {
        match result {
            Ok(value) => Ok(Ok(value)),
            Err(Error::Damaged { path, place, what }) => Ok(Err(Self::new(&path, &place, &what, remedy))),
            Err(other) => Err(other),
        }
    }

    /// The error, where there is no remedy after all.
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
