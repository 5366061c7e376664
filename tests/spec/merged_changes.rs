//! Promise 2 for merges of stored changes: they go on beside refreshes and persists, and whatever comes between loses no row.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use hedgerow::{
    Batch, CancelToken, Conv, Edge, Engine, ModelError, NodeRef, Progress, RowComparison, Store,
    TrainOptions, WalkOptions,
};

use crate::fixtures::copy_folder;

/// The stage of a merge that reads the stored rows. Nothing else in a persist reads them.
const READING: &str = "matrices";
/// The stage in which a merge, like a publish, writes a file.
const WRITING: &str = "sections";

fn open(path: &Path, is_mapped: bool) -> Arc<Engine> {
    let store = Store::options().create(true).map_files(is_mapped).open(path).expect("the store opens");
    Arc::new(Engine::open(store).expect("the engine opens"))
}

fn digest(engine: &Engine) -> String {
    engine.digest(&CancelToken::new()).expect("a digest").digest
}

/// The digest of what a process finds that opens the store now.
fn stored_digest(path: &Path) -> String {
    let store = Store::options().read_only(true).open(path).expect("the store opens");
    digest(&Engine::open(store).expect("the engine opens"))
}

/// A trained store of 600 pins on boards of six. A change reaches few of them.
fn trained_store(path: &Path, is_mapped: bool) -> Arc<Engine> {
    let engine = open(path, is_mapped);
    let mut batch = Batch::new();
    for pin in 0..600 {
        for board in [pin / 6, (600 + (pin * 7 + 3) % 600) / 6] {
            add_edge(&mut batch, board, pin);
        }
    }
    engine.store().commit(&batch).expect("a commit");
    engine.store().checkpoint(&CancelToken::new()).expect("written");
    let walks = WalkOptions { walks: 24, top: 6, min_visits: 1, ..WalkOptions::default() };
    let options =
        TrainOptions { dim: 8, conv: Conv::PinSage, walks, epochs: 0, ..TrainOptions::new(["pin"]) };
    engine.training(&options).run(&CancelToken::new()).expect("trained");
    engine
}

fn add_edge(batch: &mut Batch, board: u32, pin: u32) {
    let (board, pin) = (format!("b{board}"), pin.to_string());
    let (board, pin) = (NodeRef { kind: "board", key: &board }, NodeRef { kind: "pin", key: &pin });
    batch.link(board, pin, Edge::default()).expect("valid");
}

/// Commits an edge that no earlier call committed, and brings it into the embeddings.
fn change(engine: &Engine, number: u32) {
    let mut batch = Batch::new();
    add_edge(&mut batch, number * 13 % 200, number * 37 % 600);
    engine.store().commit(&batch).expect("a commit");
    engine.refresh(false, &CancelToken::new()).expect("a refresh");
}

/// Changes and persists until a persist merges, and returns its result. `event` is called with the progress of the merge, and the number
/// of changes so far.
fn persist_until_a_merge(
    engine: &Arc<Engine>,
    event: impl Fn(&Progress, &AtomicU32) + Send + Sync + 'static,
) -> Result<(), ModelError> {
    let (changes, event) = (Arc::new(AtomicU32::new(0)), Arc::new(event));
    let reads = Arc::new(AtomicU32::new(0));
    for _ in 0..200 {
        change(engine, changes.fetch_add(1, Ordering::Relaxed));
        let cancel = CancelToken::new().observed({
            let (changes, event, reads) = (Arc::clone(&changes), Arc::clone(&event), Arc::clone(&reads));
            move |progress| {
                if progress.stage == READING {
                    reads.fetch_add(1, Ordering::Relaxed);
                }
                if reads.load(Ordering::Relaxed) > 0 {
                    event(&progress, &changes);
                }
            }
        });
        let persisted = engine.persist(&cancel);
        if reads.load(Ordering::Relaxed) > 0 {
            return persisted;
        }
        persisted.expect("stored");
    }
    panic!("200 changes of 600 rows are no reason to merge");
}

fn files_of_changes(engine: &Engine) -> Vec<String> {
    let derived = engine.store().derived().expect("trained");
    derived.names().filter(|name| name.starts_with("changed-rows")).map(str::to_owned).collect()
}

fn merged_files(path: &Path) -> usize {
    let names =
        std::fs::read_dir(path).expect("the folder").map(|entry| entry.expect("an entry").file_name());
    names.filter(|name| name.to_string_lossy().starts_with("merged-")).count()
}

fn assert_is_rebuild(engine: &Engine) {
    let compared = engine.verify(&CancelToken::new()).expect("compared").comparison;
    assert!(matches!(compared, RowComparison::Equal { .. }), "{compared}");
}

#[test]
fn after_a_merge_the_store_has_one_file_of_all_rows_and_the_same_rows() {
    for is_mapped in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store");
        let engine = trained_store(&path, is_mapped);
        persist_until_a_merge(&engine, |_, _| ()).expect("stored");
        assert_eq!(files_of_changes(&engine), [""; 0]);
        assert_eq!(merged_files(&path), 0);
        let right = digest(&engine);
        assert_eq!(stored_digest(&path), right);
        // The rows in memory go on from the merged files.
        change(&engine, 300);
        engine.persist(&CancelToken::new()).expect("stored");
        assert_eq!(files_of_changes(&engine).len(), 1);
        assert_ne!(digest(&engine), right);
        assert_eq!(stored_digest(&path), digest(&engine));
        assert_is_rebuild(&engine);
    }
}

/// Whoever refreshes, answers or persists while rows are merged would wait for ever, if the merge held a lock.
#[test]
fn refreshes_answers_and_persists_go_on_while_rows_are_merged() {
    for is_mapped in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store");
        let engine = trained_store(&path, is_mapped);
        let (other, steps) = (Arc::clone(&engine), Arc::new(AtomicU32::new(0)));
        let counted = Arc::clone(&steps);
        persist_until_a_merge(&engine, move |_, changes| {
            // At every step of the merge; some files of changes take in those before them.
            counted.fetch_add(1, Ordering::Relaxed);
            change(&other, changes.fetch_add(1, Ordering::Relaxed));
            other.similar(("pin", "7"), &hedgerow::Query::default(), &CancelToken::new()).expect("an answer");
            other.persist(&CancelToken::new()).expect("stored");
        })
        .expect("stored");
        assert!(steps.load(Ordering::Relaxed) > 4, "{steps:?} steps");
        assert!(!files_of_changes(&engine).is_empty(), "they were stored after the merge began");
        assert_eq!(merged_files(&path), 0);
        let right = digest(&engine);
        assert_eq!(stored_digest(&path), right);
        assert_is_rebuild(&engine);
        // Changes go to places behind those of the merge, and a later merge takes them in.
        persist_until_a_merge(&engine, |_, _| ()).expect("stored");
        assert_eq!(files_of_changes(&engine), [""; 0]);
        let right = digest(&engine);
        drop(engine);
        assert_eq!(digest(&open(&path, is_mapped)), right);
    }
}

#[test]
fn a_merge_that_is_cancelled_leaves_the_stored_rows_and_the_next_persist_merges() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let engine = trained_store(&path, false);
    let mut cancelled = 0;
    for stop_at in [READING, WRITING] {
        for _ in 0..40 {
            change(&engine, 1000 + cancelled);
            cancelled += 1;
            let cancel = CancelToken::new();
            let (flag, has_read) = (cancel.clone(), Mutex::new(false));
            let observed = cancel.observed(move |progress| {
                let mut has_read = has_read.lock().expect("no panic");
                *has_read |= progress.stage == READING;
                if *has_read && progress.stage == stop_at {
                    flag.cancel();
                }
            });
            let persisted = engine.persist(&observed);
            assert_eq!(stored_digest(&path), digest(&engine), "changed rows are stored before a merge");
            if let Err(error) = persisted {
                assert!(error.is_cancelled(), "{error}");
                break;
            }
        }
        assert!(!files_of_changes(&engine).is_empty(), "{stop_at}: no merge was cancelled");
        assert_eq!(merged_files(&path), 0, "{stop_at}");
    }
    engine.persist(&CancelToken::new()).expect("stored");
    assert_eq!(files_of_changes(&engine), [""; 0]);
    assert_eq!(stored_digest(&path), digest(&engine));
}

#[test]
fn a_merge_is_dropped_if_all_rows_were_stored_meanwhile() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let engine = trained_store(&path, false);
    let (other, is_rebuilt) = (Arc::clone(&engine), Mutex::new(false));
    persist_until_a_merge(&engine, move |_, changes| {
        let mut is_rebuilt = is_rebuilt.lock().expect("no panic");
        if !std::mem::replace(&mut *is_rebuilt, true) {
            other.rebuild(&CancelToken::new()).expect("rebuilt");
            other.persist(&CancelToken::new()).expect("stored");
            change(&other, changes.fetch_add(1, Ordering::Relaxed));
            other.persist(&CancelToken::new()).expect("stored");
        }
    })
    .expect("stored");
    assert_eq!(files_of_changes(&engine).len(), 1, "that of the change after the rebuild");
    assert_eq!(merged_files(&path), 0);
    assert_eq!(stored_digest(&path), digest(&engine));
    assert_is_rebuild(&engine);
}

/// The folder as it is when the process is killed, at each step of a merge.
#[test]
fn a_process_that_is_killed_while_it_merges_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let engine = trained_store(&path, false);
    let copies = Arc::new(AtomicU32::new(0));
    let (from, to, taken) = (path.clone(), folder.path().to_path_buf(), Arc::clone(&copies));
    persist_until_a_merge(&engine, move |_, _| {
        let number = taken.fetch_add(1, Ordering::Relaxed);
        copy_folder(&from, &to.join(number.to_string()));
    })
    .expect("stored");
    let right = digest(&engine);
    let copies = copies.load(Ordering::Relaxed);
    assert!(copies > 4, "{copies} steps");
    let mut left_over = 0;
    for number in 0..copies {
        let copy = folder.path().join(number.to_string());
        left_over += merged_files(&copy);
        let engine = open(&copy, number % 2 == 0);
        assert_eq!(engine.store().damage(), [], "step {number}");
        assert_eq!(digest(&engine), right, "step {number}");
        assert_eq!(merged_files(&copy), 0, "step {number}");
        engine.persist(&CancelToken::new()).expect("stored");
        assert_eq!(files_of_changes(&engine), [""; 0], "step {number}");
        assert_eq!(stored_digest(&copy), right, "step {number}");
    }
    assert!(left_over > 0, "a file of a merge was there at some step");
}

/// A merge reads what earlier persists wrote, and must not give damage a new checksum.
#[test]
fn damage_that_a_merge_finds_is_told_and_all_rows_are_stored_again() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["embeddings", "neighborhoods", "changed-rows"] {
        let path = folder.path().join(name);
        let engine = trained_store(&path, false);
        for number in 0..200 {
            change(&engine, number);
            let files = files_with(&path, name);
            files.iter().for_each(flip);
            engine.persist(&CancelToken::new()).expect("stored");
            if engine.damage().is_some() {
                break;
            }
            files.iter().filter(|file| file.exists()).for_each(flip);
        }
        let damage = engine.damage().expect("a merge found it").to_string();
        assert!(damage.contains(name), "{damage}");
        let right = digest(&engine);
        assert_is_rebuild(&engine);
        drop(engine);
        let engine = open(&path, false);
        assert_eq!((engine.store().damage(), engine.damage()), (&[][..], None), "{name}");
        assert_eq!(digest(&engine), right, "{name}");
    }
}

fn files_with(path: &Path, name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).expect("the folder").map(|entry| entry.expect("an entry").path());
    let has_name =
        |path: &PathBuf| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name));
    entries.filter(has_name).collect()
}

/// Changes a bit in the middle of a file, where open maps of it see it.
fn flip(path: &PathBuf) {
    let mut bytes = std::fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 16;
    std::fs::write(path, &bytes).expect("written");
}
