//! Promise 4: every later version opens the stores that earlier versions wrote, with their whole content.
//!
//! `fixtures/store-1` was made by the command. It has edges with weights and times, tokens, two relations, and a model of six
//! pins with a refresh. After the refresh one node was removed and others were added, in the log only. `store-2` also has
//! positions of inputs, in its manifests and in its log. `store-3` has a dense number that is refused today. `store-1.txt`
//! and the like are their dumps. The manifests of `store-4` name a fingerprint of each file. `store-5` has rows of refreshes in
//! files of their own, and for readers the records since its checkpoint. Up to there rows are numbers of four bytes. In `store-6` they
//! are rounded to eight bits. The digests of the others are those of their rows once they are rounded. The files of `store-7` have
//! a checksum for each block; its model has factors. In `store-8` a relation has records of few nodes, and visits are bytes. `store-9` has
//! properties of each type, in its files and in its log. In `store-10` the weights of two relations fade, a third one holds dislikes, and
//! there are two models, one of which was trained twice.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use hedgerow::{CancelToken, CheckOptions, Engine, NodeRef, Position, Query, RowComparison, Store};

const DIGEST: &str = "8c17a68ade354bc33e3888bad3af4ab2c83fd17ede912db134fba95ec921fd1b";
const FINGERPRINTED_DIGEST: &str = "6d7818687289715fbfa27e51c84c1c424e64959a85b6a8a07db3a118a5516afb";
const CHANGED_ROWS_DIGEST: &str = "3f2c05cad5c13dacaec453ecf7f9b1f0f136d56ff8845af5a19aa6f84ce78e1e";
const BLOCKS_DIGEST: &str = "6d237c7b7d17cf9a0a8f71e9dd2ad0656c3cbcdc5d34e35f466cf2f6038f3b31";
const FEW_OWNERS_DIGEST: &str = "68a3edf1827cc75d8b144888d02e180f304f8dfc8f16c118746f411cc8678161";
const MAIN_DIGEST: &str = "2e1cb7c22dc5a59034dd4bdc6be49a42515eca75b763368936f046d30e25103e";
const NAMED_DIGEST: &str = "bd60b37e9ee0f83829ada9c87683b755193ec7bbb1be9d2dc78e2dd56cf77d22";
const ROUNDED_DIGEST: &str = "1082cd73a8b691a99da893127b4c090307d800b9400bf783e59dc9d9b79584af";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/spec/fixtures")
}

/// Copies the files of a store. The log and the journal are stored compressed, since they are mostly zeros.
pub(crate) fn unpack(name: &str, to: &Path) {
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

/// Unpacks a store, asserts that it is intact and that its dump is the stored one, and opens it.
pub(crate) fn open_and_compare(name: &str, path: &Path) -> Arc<Store> {
    unpack(name, path);
    let cancel = CancelToken::new();
    let options = CheckOptions { deep: true, read_only: false };
    let found = Store::check(path, options, &cancel).expect("a check");
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
fn a_store_of_format_1_has_its_content_and_its_digest() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_and_compare("store-1", &folder.path().join("store"));
    let cancel = CancelToken::new();
    let engine = Engine::open(store).expect("the engine opens");
    assert_eq!(engine.digest(&CancelToken::new()).expect("a digest").digest, DIGEST);
    let similar =
        engine.similar(NodeRef::new("pin", "1").expect("a name"), &Query::default(), &CancelToken::new());
    // The pin that was removed after the last refresh is an answer until the next refresh.
    assert_eq!(similar.expect("an answer").items.len(), 5);
    // Its rows were computed by an older version, so the first refresh is a rebuild.
    assert!(engine.refresh(false, &cancel).expect("it is refreshed").full);
    let refreshed = engine.digest(&CancelToken::new()).expect("a digest").digest;
    engine.persist(&cancel).expect("stored");
    drop(engine);
    // It is stored, so the next refresh continues from these rows, which are those of a rebuild.
    let store = Arc::new(Store::options().open(folder.path().join("store")).expect("it opens"));
    let engine = Engine::open(store).expect("the engine opens");
    assert_eq!(engine.digest(&CancelToken::new()).expect("a digest").digest, refreshed);
    assert!(!engine.refresh(false, &cancel).expect("it is refreshed").full);
    let verified = engine.verify(&cancel).expect("it is verified");
    assert!(matches!(verified.comparison, RowComparison::Equal { .. }), "{verified}");
}

#[test]
fn a_store_with_positions_has_its_content_and_its_positions() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_and_compare("store-2", &folder.path().join("store"));
    let clicks = Position { offset: 6, lines: 6, check: 0x8f1e_c1d3 };
    assert_eq!(store.position("clicks"), Some(clicks));
    // A read-only store has the published position, which is the older one.
    let reader = Store::options().read_only(true).open(folder.path().join("store")).expect("it opens");
    assert_eq!(reader.position("clicks").map(|position| position.offset), Some(4));
    assert_eq!(reader.position("other: two"), None);
}

/// Its manifest names length and checksum of each file, and the record that its log continues.
#[test]
fn a_store_with_fingerprints_has_its_content_and_its_digest() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_and_compare("store-4", &folder.path().join("store"));
    assert_eq!(store.position("clicks").map(|position| position.lines), Some(1));
    let engine = Engine::open(store).expect("the engine opens");
    assert_eq!(engine.digest(&CancelToken::new()).expect("a digest").digest, FINGERPRINTED_DIGEST);
}

/// The rows of both are those of a training or a rebuild, and of refreshes that stored what changed. A batch is in the log only.
#[test]
fn a_store_with_changed_rows_has_its_content_and_its_digest() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, digest, is_rounded) in [
        ("store-5", CHANGED_ROWS_DIGEST, false),
        ("store-6", ROUNDED_DIGEST, true),
        ("store-7", BLOCKS_DIGEST, true),
        ("store-8", FEW_OWNERS_DIGEST, true),
    ] {
        let path = folder.path().join(name);
        let engine = Engine::open(open_and_compare(name, &path)).expect("the engine opens");
        let cancel = CancelToken::new();
        assert_eq!(engine.digest(&cancel).expect("a digest").digest, digest);
        let reader = Store::options().read_only(true).open(&path).expect("it opens");
        let has = |name: &str| reader.derived().is_some_and(|derived| derived.has(name));
        assert!(has("changed-rows-0") && has("records"));
        let reader = Engine::open(Arc::new(reader)).expect("the engine opens");
        assert_eq!(reader.digest(&cancel).expect("a digest").digest, digest);
        // Rows of an earlier version are rebuilt.
        assert_eq!(engine.refresh(false, &cancel).expect("it is refreshed").full, !is_rounded);
        let verified = engine.verify(&cancel).expect("it is verified");
        assert!(matches!(verified.comparison, RowComparison::Equal { .. }), "{verified}");
    }
}

#[test]
fn a_store_with_properties_has_its_values_and_its_label() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = open_and_compare("store-9", &path);
    let film = NodeRef::new("film", "1").expect("a name");
    let price = |store: &Store| {
        let snapshot = store.snapshot();
        let film = snapshot.require(film).expect("there");
        let property = snapshot.property_ix(snapshot.kind(film), "price").expect("there");
        snapshot.value(film, property).map(|value| value.to_string())
    };
    assert_eq!(price(&store).as_deref(), Some("5"));
    // A reader sees the files of the checkpoint, and not the log.
    let reader = Store::options().read_only(true).open(&path).expect("it opens");
    assert_eq!(price(&reader).as_deref(), Some("4.5"));
    store.checkpoint(&CancelToken::new()).expect("a checkpoint");
    let reader = Store::options().read_only(true).open(&path).expect("it opens");
    assert_eq!(price(&reader).as_deref(), Some("5"));
}

#[test]
fn a_store_with_fading_weights_and_two_models_has_its_edges_and_their_digests() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_and_compare("store-10", &folder.path().join("store"));
    let snapshot = store.snapshot();
    let options = |name: &str| snapshot.relation_options(snapshot.relation_ix(name).expect("there"));
    assert_eq!(options("likes").half_life, Some(Duration::from_hours(24 * 30)));
    assert!(options("likes-dislike").is_dislike);
    let cancel = CancelToken::new();
    for (name, digest) in [("main", MAIN_DIGEST), ("tonight", NAMED_DIGEST)] {
        let engine = Engine::open_model(store.clone(), name).expect("the engine opens");
        assert_eq!(engine.digest(&cancel).expect("a digest").digest, digest, "{name}");
        // The last edges are in the log only.
        assert!(!engine.refresh(false, &cancel).expect("it is refreshed").full, "{name}");
        let verified = engine.verify(&cancel).expect("it is verified");
        assert!(matches!(verified.comparison, RowComparison::Equal { .. }), "{name}: {verified}");
    }
}

/// A program that does not know properties must not open a store whose log may have some. The manifest tells it, from the first opening on.
#[test]
fn a_store_of_before_properties_is_of_this_format_once_it_was_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let version = |name: &str| fs::read(path.join(name)).expect("a file")[16];
    unpack("store-8", &path);
    assert_eq!(version("MANIFEST"), 4);
    drop(Store::options().read_only(true).open(&path).expect("it opens"));
    assert_eq!(version("MANIFEST"), 4);
    drop(Store::options().open(&path).expect("it opens"));
    assert_eq!(["MANIFEST", "MANIFEST.copy", "MANIFEST.previous"].map(version), [7, 7, 7]);
}

#[test]
fn a_store_of_format_1_opens_read_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    unpack("store-1", &path);
    let store = Store::options().read_only(true).open(&path).expect("it opens");
    let engine = Engine::open(Arc::new(store)).expect("the engine opens");
    assert_eq!(engine.digest(&CancelToken::new()).expect("a digest").digest, DIGEST);
}
