//! The temporary folder of a test, which is kept after a failure.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A temporary folder. It is removed when dropped, except after a panic or a call of `keep`.
pub(crate) struct TestFolder(Option<TempDir>);

impl TestFolder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("hedgerow-torture-").tempdir();
        Self(Some(folder.expect("a temporary folder")))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.as_ref().expect("`keep` takes the folder by value").path()
    }

    /// Keeps the folder, and returns its path.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.0.take().expect("`keep` takes the folder by value").keep()
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        if let Some(folder) = self.0.take().filter(|_| std::thread::panicking()) {
            eprintln!("kept for inspection: {}", folder.keep().display());
        }
    }
}
