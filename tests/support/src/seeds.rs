//! The seeds of the fuzz targets in `fuzz/seeds`: small inputs made from fixtures, and each input that once failed.

use std::fs;
use std::path::{Path, PathBuf};

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target)
}

/// Passes each seed of a target to its function, in the order of their names.
///
/// # Panics
/// If there is none.
pub fn for_each_seed(target: &str, mut run: impl FnMut(&[u8])) {
    let folder = folder(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    for path in paths {
        // A panic in the target is preceded by the seed's name in the output of the test.
        eprintln!("{}", path.display());
        run(&fs::read(&path).expect("a readable seed"));
    }
}

/// Writes a seed that is made from a fixture.
///
/// # Panics
/// If it cannot be written.
pub fn write_seed(target: &str, name: &str, bytes: &[u8]) {
    fs::create_dir_all(folder(target)).expect("a folder");
    fs::write(folder(target).join(name), bytes).expect("a file");
}
