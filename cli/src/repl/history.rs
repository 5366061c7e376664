//! Where the lines that were typed are kept from one session to the next, readable by their owner alone.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The file of `HEDGEROW_HISTORY`, or one in the user's folder of state, which is made when it is not there; none where the
/// variable is empty, or where there is no such folder.
pub(super) fn file() -> Option<PathBuf> {
    if let Some(file) = env::var_os("HEDGEROW_HISTORY") {
        return (!file.is_empty()).then(|| PathBuf::from(file));
    }
    let state = env::var_os("XDG_STATE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let state = state.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local/state")))?;
    let folder = state.join("hedgerow");
    make(&folder).ok()?;
    Some(folder.join("history"))
}

#[cfg(unix)]
fn make(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)
}
