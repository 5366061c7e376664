//! How much is asked for, by the environment, and the folders in which it happens.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, expected a whole number")))
}

pub(crate) fn rounds(default: u64) -> u64 {
    variable("HEDGEROW_ROUNDS").unwrap_or(default)
}

pub(crate) fn seconds(default: u64) -> u64 {
    variable("HEDGEROW_SECONDS").unwrap_or(default)
}

/// Another one every time, so that many small runs see as much as a long one.
pub(crate) fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64);
    variable("HEDGEROW_SEED").unwrap_or_else(|| now() % 1_000_000)
}

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
