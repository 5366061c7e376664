//! The file that keeps typed lines from one console to the next. Only its owner can read it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The file of `HEDGEROW_HISTORY`, or a file in the user's state folder, which is created if needed. None if the variable is
/// empty or there is no state folder.
pub(super) fn file() -> Option<PathBuf> {
    if let Some(file) = env::var_os("HEDGEROW_HISTORY") {
        return (!file.is_empty()).then(|| PathBuf::from(file));
    }
    let state = env::var_os("XDG_STATE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let state = state.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local/state")))?;
    let folder = state.join("hedgerow");
    create(&folder).ok()?;
    Some(folder.join("history"))
}

#[cfg(unix)]
fn create(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)
}
