//! Shared by the fuzz targets. Each target passes its bytes to a function of the module `fuzzing` of a crate, which that
//! crate's tests call with the same seeds.

use std::fs;
use std::path::PathBuf;

/// An empty folder for a target. The folder of an earlier run of the target is replaced.
pub fn folder(target: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("hedgerow-fuzz-{target}-{}", std::process::id()));
    fs::remove_dir_all(&folder).ok();
    fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
    folder
}
