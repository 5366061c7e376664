//! Promise: a store that this version of the format was written by is opened by every later one, with all that is in it.
//!
//! `fixtures/store-1` was made by the command: edges with weights and times, tokens, two relations, a model of six pins, a
//! refresh, and after it a removed node and new ones that only the log knows. Beside it is what `dump` said of it. `store-2` has
//! positions of inputs besides, in its manifests and in its log.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;
use hedgerow::{CancelToken, CheckOptions, Engine, NodeRef, Position, Query, Store};

const DIGEST: &str = "b714d023443e63b676cc44f8cec4ea21ec1c099f6814cf08d7107bd1d07febf8";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/spec/fixtures")
}

/// Copies the files of a store; the file of the log is kept compressed, since most of it is zeros.
fn unpack(name: &str, to: &Path) {
    let from = fixtures().join(name);
    fs::create_dir_all(to.join("log/blobs")).expect("a folder");
    for folder in ["", "log"] {
        for entry in fs::read_dir(from.join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
            if let Some(name) = name.strip_suffix(".gz") {
                let mut bytes = Vec::new();
                let file = fs::File::open(&path).expect("a file");
                GzDecoder::new(file).read_to_end(&mut bytes).expect("a compressed file");
                fs::write(to.join(folder).join(name), bytes).expect("a file");
            } else if path.is_file() {
                fs::copy(&path, to.join(folder).join(name)).expect("a file");
            }
        }
    }
}

/// Opens a store that is sound, and is what was said of it when it was made.
fn as_it_was(name: &str, path: &Path) -> Arc<Store> {
    unpack(name, path);
    let cancel = CancelToken::new();
    let options = CheckOptions { deep: true, read_only: false };
    let found = Store::check(path, options, &cancel).expect("it can be looked at");
    assert_eq!(found.problems, []);
    let store = Arc::new(Store::options().open(path).expect("it opens"));
    assert_eq!(store.damage(), []);
    let mut dumped = Vec::new();
    store.dump(&mut dumped, &cancel).expect("text");
    let dumped = String::from_utf8(dumped).expect("UTF-8");
    let is_graph = |line: &&str| !line.starts_with("manifest") && !line.starts_with("file");
    let lines: Vec<&str> = dumped.lines().filter(is_graph).collect();
    let expected = fs::read_to_string(fixtures().join(format!("{name}.txt"))).expect("a file");
    assert_eq!(lines, expected.lines().collect::<Vec<_>>());
    store
}

#[test]
fn a_store_of_format_1_is_what_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = as_it_was("store-1", &folder.path().join("store"));
    let cancel = CancelToken::new();
    let engine = Engine::open(store).expect("the engine opens");
    assert_eq!(engine.digest(&CancelToken::new()).expect("a digest").digest, DIGEST);
    let similar = engine.similar(NodeRef::new("pin", "1").expect("a name"), &Query::default());
    // The pin that was removed since is there until the next refresh.
    assert_eq!(similar.expect("an answer").items.len(), 5);
    // Its rows were not computed as they are now.
    assert!(engine.refresh(false, &cancel).expect("it is refreshed").full);
    let refreshed = engine.digest(&CancelToken::new()).expect("a digest").digest;
    engine.refresh(true, &cancel).expect("it is rebuilt");
    assert_eq!(engine.digest(&CancelToken::new()).expect("a digest").digest, refreshed);
}

#[test]
fn a_store_with_positions_is_what_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = as_it_was("store-2", &folder.path().join("store"));
    let clicks = Position { offset: 6, lines: 6, check: 0x8f1e_c1d3 };
    assert_eq!(store.position("clicks"), Some(clicks));
    let reader = Store::options().read_only(true).open(folder.path().join("store")).expect("it opens");
    assert_eq!(reader.position("clicks").map(|position| position.offset), Some(4));
    assert_eq!(reader.position("other: two"), None);
}

#[test]
fn a_reader_opens_a_store_of_format_1_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    unpack("store-1", &path);
    let store = Store::options().read_only(true).open(&path).expect("it opens");
    let engine = Engine::open(Arc::new(store)).expect("the engine opens");
    assert_eq!(engine.digest(&CancelToken::new()).expect("a digest").digest, DIGEST);
}
