//! How much is asked for, by the environment, and the folders in which it happens.

use std::path::{Path, PathBuf};

pub(crate) use hedgerow_test_support::fuzz_config::{clock_seed as seed, rounds, seconds};
use tempfile::TempDir;

/// A temporary folder that stays where a test panics, or is told to keep it.
pub(crate) struct Ground(Option<TempDir>);

impl Ground {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("hedgerow-torture-").tempdir();
        Self(Some(folder.expect("a temporary folder")))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.as_ref().expect("it is kept at the end only").path()
    }

    /// Leaves the folder where it is.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.0.take().expect("it is kept at the end only").keep()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Some(folder) = self.0.take().filter(|_| std::thread::panicking()) {
            eprintln!("kept for inspection: {}", folder.keep().display());
        }
    }
}
