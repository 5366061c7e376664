//! Promise 2 for stored rows: a persist stores the rows that refreshes changed, and after any mixture of refreshes, persists and
//! openings the rows are those of a rebuild.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use hedgerow::{
    Batch, CancelToken, CheckOptions, Conv, Edge, Engine, ModelError, NodeRef, Query, RelationIx,
    RowComparison, Store, TrainOptions, WalkOptions,
};

use crate::fixtures::copy_folder;
use crate::fixtures::graph_model::GraphModel;

fn open(path: &Path) -> Engine {
    let store = Store::options().create(true).open(path).expect("the store opens");
    Engine::open(Arc::new(store)).expect("the engine opens")
}

/// An engine whose rows are mapped, and whose readers' copy is made by the first answer.
fn open_mapped(path: &Path) -> Engine {
    let store = Store::options().create(true).map_files(true).open(path).expect("the store opens");
    Engine::open(Arc::new(store)).expect("the engine opens")
}

fn read(path: &Path) -> Engine {
    let store = Store::options().read_only(true).open(path).expect("the store opens");
    Engine::open(Arc::new(store)).expect("the engine opens")
}

fn digest(engine: &Engine) -> String {
    engine.digest(&CancelToken::new()).expect("a digest").digest
}

/// Sizes of the files that a model has in a store, by name.
fn files(engine: &Engine) -> BTreeMap<String, u64> {
    engine.store().sizes().files.into_iter().collect()
}

/// The number of files with changed rows.
fn changed_rows_files(engine: &Engine) -> usize {
    let derived = engine.store().derived().expect("trained");
    (0..99).take_while(|place| derived.has(&format!("changed-rows-{place}"))).count()
}

fn train(engine: &Engine) {
    train_layers(engine, Conv::Light);
}

fn train_layers(engine: &Engine, conv: Conv) {
    let walks = WalkOptions { walks: 24, top: 6, min_visits: 1, ..WalkOptions::default() };
    let options = TrainOptions { dim: 8, conv, walks, epochs: 0, ..TrainOptions::new(["pin"]) };
    engine.training(&options).run(&CancelToken::new()).expect("trained");
}

fn link(engine: &Engine, board: &str, pin: &str) {
    let mut batch = Batch::new();
    batch
        .link(NodeRef { kind: "board", key: board }, NodeRef { kind: "pin", key: pin }, Edge::default())
        .expect("valid");
    engine.store().commit(&batch).expect("a commit");
}

/// A trained store of 600 pins on boards of six. A change reaches few of them.
fn sparse_store(path: &Path) -> Engine {
    let engine = sparse_graph(path, 600);
    train(&engine);
    engine
}

fn sparse_graph(path: &Path, pins: u32) -> Engine {
    let engine = open(path);
    let mut batch = Batch::new();
    for pin in 0..pins {
        for board in [pin / 6, (pins + (pin * 7 + 3) % pins) / 6] {
            let (board, pin) = (format!("b{board}"), pin.to_string());
            let (board, pin) = (NodeRef { kind: "board", key: &board }, NodeRef { kind: "pin", key: &pin });
            batch.link(board, pin, Edge::default()).expect("valid");
        }
    }
    engine.store().commit(&batch).expect("a commit");
    engine.store().checkpoint(&CancelToken::new()).expect("written");
    engine
}

#[test]
fn any_mixture_of_refreshes_persists_and_openings_leaves_the_rows_of_a_rebuild() {
    let (mut most_files, mut whole_writes) = (0, 0);
    for seed in 0..6 {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store");
        let mut graph = GraphModel::new(seed, 300);
        let open = if seed % 2 == 0 { open } else { open_mapped };
        let mut engine = open(&path);
        engine.store().commit(&graph.initial_batch()).expect("a commit");
        train(&engine);
        for step in 0..40 {
            let batch = graph.batch(1);
            engine.store().commit(&batch).expect("a commit");
            let event = graph.random_below(8);
            if event < 6 {
                engine.refresh(false, &CancelToken::new()).expect("a refresh");
            }
            if event < 5 {
                engine.persist(&CancelToken::new()).expect("stored");
            }
            if event == 0 {
                engine.store().checkpoint(&CancelToken::new()).expect("written");
            }
            let stored = changed_rows_files(&engine);
            most_files = most_files.max(stored);
            whole_writes += usize::from(stored == 0 && event < 5);
            let context = format!("seed {seed}, step {step}, event {event}");
            if event < 3 {
                // What a reader in another process sees is what was stored last.
                let (reader, now) = (read(&path), engine.status());
                assert_eq!(
                    (reader.status().epoch, reader.status().embedded),
                    (now.epoch, now.embedded),
                    "{context}"
                );
                assert_eq!(digest(&reader), digest(&engine), "{context}");
                drop(engine);
                engine = open(&path);
                assert_eq!(engine.damage(), None, "{context}");
            }
            if event == 7 {
                drop(engine);
                engine = open(&path);
            }
            if event == 6 || step == 39 {
                engine.refresh(false, &CancelToken::new()).expect("a refresh");
                let refreshed = digest(&engine);
                let verified = engine.verify(&CancelToken::new()).expect("verified");
                assert!(matches!(verified.comparison, RowComparison::Equal { .. }), "{context}: {verified}");
                assert_eq!(digest(&engine), refreshed, "{context}");
            }
        }
    }
    assert!(most_files > 1 && whole_writes > 1, "{most_files} files, all rows written {whole_writes} times");
}

/// One edge among 600 pins: neither the rows nor the graph's files are written again.
#[test]
fn a_persist_writes_what_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let engine = sparse_store(&path);
    let names = |engine: &Engine| -> Vec<String> {
        let names = std::fs::read_dir(engine.store().path()).expect("the folder");
        names.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
    };
    let before = names(&engine);
    link(&engine, "b3", "77");
    engine.refresh(false, &CancelToken::new()).expect("a refresh");
    engine.persist(&CancelToken::new()).expect("stored");
    let is_new = |name: &&String| name.contains(".hg") && !before.contains(name);
    let after = names(&engine);
    let mut new: Vec<&str> = after.iter().filter(is_new).filter_map(|name| name.split('.').next()).collect();
    new.sort_unstable();
    assert_eq!(new, ["changed-rows-0", "records"]);
    let sizes = files(&engine);
    assert!(sizes["changed-rows-0"] + sizes["records"] < sizes["embeddings"] / 4, "{sizes:?}");
    // A second persist of the same rows writes nothing.
    engine.persist(&CancelToken::new()).expect("stored");
    assert_eq!(names(&engine).len(), after.len());
}

/// The node came after the last checkpoint, so a reader has it from the records alone.
#[test]
fn a_reader_has_the_nodes_that_came_since_the_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let engine = sparse_store(&path);
    link(&engine, "b3", "new");
    link(&engine, "b4", "new");
    engine.refresh(false, &CancelToken::new()).expect("a refresh");
    engine.persist(&CancelToken::new()).expect("stored");
    link(&engine, "b5", "newer");
    let reader = read(&path);
    assert_eq!(reader.status().dirty_nodes, 0);
    let similar = |engine: &Engine| {
        engine.similar(("pin", "new"), &Query::default(), &CancelToken::new()).expect("an answer").items
    };
    assert_eq!(similar(&reader), similar(&engine));
    assert!(!similar(&reader).is_empty());
    reader
        .similar(("pin", "newer"), &Query::default(), &CancelToken::new())
        .expect_err("a node that was not stored");
    // After a checkpoint it is in the graph's files, and a reader has the last commit too.
    engine.store().checkpoint(&CancelToken::new()).expect("written");
    assert!(!files(&engine).contains_key("records"));
    assert_eq!(read(&path).status().epoch, engine.status().epoch);
}

/// Each bit of a file that a persist wrote counts: a flipped one is told, and gives no other answer.
#[test]
fn a_flipped_bit_in_the_files_of_a_persist_is_found_and_changes_no_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let engine = sparse_store(&path);
    link(&engine, "b3", "77");
    engine.refresh(false, &CancelToken::new()).expect("a refresh");
    engine.persist(&CancelToken::new()).expect("stored");
    let right = digest(&engine);
    let sizes = files(&engine);
    drop(engine);
    for (name, flips) in [("changed-rows-0", 12), ("records", 6)] {
        for flip in 0..flips {
            let is_file = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(name);
            let mut entries =
                std::fs::read_dir(&path).expect("the folder").map(|entry| entry.expect("an entry"));
            let file = entries.find(is_file).expect("the file").path();
            let sound = std::fs::read(&file).expect("a file");
            let mut damaged = sound.clone();
            damaged[flip * sizes[name] as usize / flips] ^= 1 << (flip % 8);
            std::fs::write(&file, &damaged).expect("written");
            let options = CheckOptions { deep: false, read_only: false };
            let found = Store::check(&path, options, &CancelToken::new()).expect("a check");
            assert_eq!(found.problems.len(), 1, "{name}, flip {flip}: {found}");
            assert!(Store::options().read_only(true).open(&path).is_err(), "{name}, flip {flip}");
            // A process that maps the files finds it when it reads the rows. It has records in its log.
            let copy = folder.path().join(format!("{name}-{flip}-mapped"));
            copy_folder(&path, &copy);
            let engine = open_mapped(&copy);
            let is_told = !engine.store().damage().is_empty() || engine.damage().is_some();
            assert!(is_told || name == "records", "{name}, flip {flip}");
            engine.refresh(false, &CancelToken::new()).expect("a refresh");
            assert_eq!(digest(&engine), right, "{name}, flip {flip}, mapped");
            drop(engine);
            // A writer computes the rows again; in a copy, so that the next flip meets the same store.
            let copy = folder.path().join(format!("{name}-{flip}"));
            copy_folder(&path, &copy);
            let engine = open(&copy);
            assert_ne!(engine.store().damage(), [], "{name}, flip {flip}");
            engine.refresh(false, &CancelToken::new()).expect("a refresh");
            assert_eq!(digest(&engine), right, "{name}, flip {flip}");
            drop(engine);
            std::fs::write(&file, &sound).expect("written");
        }
    }
    assert_eq!(digest(&read(&path)), right);
}

/// Blocks of mapped rows are verified when they are first used. Whoever uses a damaged one gets rows that were computed again.
#[test]
fn damage_of_mapped_rows_changes_no_answer_and_is_told_by_who_reads_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    train_layers(&sparse_graph(&path, 3000), Conv::PinSage);
    let cancel = CancelToken::new();
    let change = |engine: &Engine| -> Result<(), ModelError> {
        link(engine, "b3", "77");
        engine.refresh(false, &cancel)?;
        engine.persist(&cancel)
    };
    let similar = |engine: &Engine| {
        engine.similar(("pin", "77"), &Query::default(), &CancelToken::new()).expect("answered").items
    };
    let copy = folder.path().join("intact");
    copy_folder(&path, &copy);
    let intact = open(&copy);
    change(&intact).expect("refreshed and stored");
    let right = (similar(&intact), digest(&intact));
    let (mut at_once, mut later) = (0, 0);
    for (name, flips) in [("embeddings", 16), ("model", 10)] {
        for flip in 0..flips {
            let copy = folder.path().join(format!("{name}-{flip}"));
            copy_folder(&path, &copy);
            let entries = std::fs::read_dir(&copy).expect("the folder").map(|entry| entry.expect("an entry"));
            let is_file = |path: &std::path::PathBuf| {
                path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name))
            };
            let file = entries.map(|entry| entry.path()).find(is_file).expect("the file");
            let mut bytes = std::fs::read(&file).expect("a file");
            let at = (2 * flip + 1) * bytes.len() / (2 * flips);
            bytes[at] ^= 1 << (flip % 8);
            std::fs::write(&file, &bytes).expect("written");
            let context = format!("{name}, flip {flip}");

            let store = Store::options().map_files(true).open(&copy).expect("the store opens");
            let opened = Engine::open(Arc::new(store));
            if name == "model" {
                // Parameters cannot be computed again. Those that nothing reads do no harm.
                let found = opened.and_then(|engine| {
                    change(&engine)?;
                    Ok((similar(&engine), engine.digest(&cancel)?.digest))
                });
                match found {
                    Ok(found) => assert_eq!(found, right, "{context}"),
                    Err(error) => assert!(error.to_string().contains("model."), "{context}: {error}"),
                }
                continue;
            }
            let engine = opened.expect("rows are computed again");
            change(&engine).expect("refreshed and stored");
            assert_eq!((similar(&engine), digest(&engine)), right, "{context}");
            let is_told = |engine: &Engine| !engine.store().damage().is_empty() || engine.damage().is_some();
            *if is_told(&engine) { &mut at_once } else { &mut later } += 1;
            // All rows are read.
            let compared = engine.verify(&cancel).expect("compared").comparison;
            assert!(matches!(compared, RowComparison::Equal { .. }), "{context}: {compared}");
            assert!(is_told(&engine), "{context}");
            drop(engine);
            let engine = open(&copy);
            assert!(engine.store().damage().is_empty(), "{context}: the rows were stored again");
            assert_eq!(digest(&engine), right.1, "{context}");
        }
    }
    assert!(at_once > 0 && later > 0, "{at_once} told at once, {later} later");
}

/// Before the first answer there is no copy for readers. It comes as of the last refresh, also after an interrupted one.
#[test]
fn the_first_answer_of_a_mapped_store_is_as_of_the_last_refresh() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    drop(sparse_store(&path));
    let answer = |engine: &Engine| engine.similar(("pin", "77"), &Query::default(), &CancelToken::new());
    let engine = open_mapped(&path);
    link(&engine, "b3", "77");
    engine.refresh(false, &CancelToken::new()).expect("a refresh");
    let status = engine.status();
    assert_eq!((status.embedded, status.dirty_nodes), (Some(status.epoch), 0));
    let first = answer(&engine).expect("an answer");
    assert_eq!(first.epoch, status.epoch);
    drop(engine);
    // A host that reads the files, and has its copy from the start.
    let read = open(&path);
    read.refresh(false, &CancelToken::new()).expect("a refresh");
    assert_eq!(answer(&read).expect("an answer").items, first.items);
    link(&read, "b4", "77");
    drop(read);
    // A refresh that is interrupted before the first answer leaves no rows to answer from.
    let engine = open_mapped(&path);
    let cancelled = CancelToken::new();
    let observed = cancelled.observed({
        let cancelled = cancelled.clone();
        move |progress| {
            if progress.stage == "walks" {
                cancelled.cancel();
            }
        }
    });
    engine.refresh(false, &observed).expect_err("a cancellation");
    let refused = answer(&engine).map(|ranked| ranked.items);
    assert!(matches!(refused, Err(ModelError::PartlyRefreshed)), "{refused:?}");
    engine.refresh(false, &CancelToken::new()).expect("a refresh");
    assert_eq!(answer(&engine).expect("an answer").epoch, engine.status().epoch);
}

/// Files that a reader has open are replaced and removed, also those of which it has not read a section yet.
#[test]
fn a_reader_keeps_the_publish_that_it_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let engine = sparse_store(&path);
    let persist = |engine: &Engine| {
        engine.refresh(false, &CancelToken::new()).expect("a refresh");
        engine.persist(&CancelToken::new()).expect("stored");
    };
    link(&engine, "b3", "77");
    persist(&engine);
    let (right, read_before) = (digest(&engine), read(&path));
    let opened_before =
        Store::options().read_only(true).map_files(true).open(&path).expect("the store opens");
    for round in 0..2 {
        for pin in 0..3 {
            link(&engine, "b9", &(round * 10 + pin).to_string());
            persist(&engine);
        }
        engine.rebuild(&CancelToken::new()).expect("a rebuild");
        engine.persist(&CancelToken::new()).expect("all rows are stored");
        engine.store().checkpoint(&CancelToken::new()).expect("written");
    }
    assert_ne!(digest(&engine), right);
    assert_eq!(digest(&read_before), right);
    let opened = Engine::open(Arc::new(opened_before)).expect("the engine opens");
    assert_eq!(opened.damage(), None);
    assert_eq!(digest(&opened), right);
}

/// A host that refreshes often and persists rarely stores all that changed since, in one file.
#[test]
fn changes_of_many_refreshes_are_stored_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let engine = sparse_store(&path);
    for pin in 0..12 {
        link(&engine, "b50", &(pin * 40).to_string());
        engine.refresh(false, &CancelToken::new()).expect("a refresh");
    }
    engine.persist(&CancelToken::new()).expect("stored");
    assert_eq!(changed_rows_files(&engine), 1);
    let right = digest(&engine);
    drop(engine);
    assert_eq!(digest(&open(&path)), right);
}

/// Publishes leave the graph's files alone. The files of the checkpoint before must still be there, with the log since: otherwise
/// a flipped bit in the graph could not be repaired after a persist.
#[test]
fn the_graph_has_two_copies_after_persists_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let engine = sparse_store(&path);
    link(&engine, "b1", "500");
    engine.store().checkpoint(&CancelToken::new()).expect("written");
    for pin in ["77", "78", "79"] {
        link(&engine, "b3", pin);
        engine.refresh(false, &CancelToken::new()).expect("a refresh");
        engine.persist(&CancelToken::new()).expect("stored");
    }
    let (right, degree) = (digest(&engine), engine.store().snapshot().edge_count(RelationIx::new(0)));
    drop(engine);
    let newest = |name: &str| {
        let names =
            std::fs::read_dir(&path).expect("the folder").map(|entry| entry.expect("an entry").path());
        let number = |path: &std::path::PathBuf| -> Option<u64> {
            let file = path.file_name()?.to_str()?.strip_prefix(name)?.strip_suffix(".hg")?;
            file.trim_start_matches('.').parse().ok()
        };
        names.filter_map(|path| Some((number(&path)?, path))).max().expect("a file").1
    };
    let topology = newest("topology");
    let mut bytes = std::fs::read(&topology).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&topology, bytes).expect("written");
    let engine = open(&path);
    assert!(engine.store().damage().iter().any(|damage| damage.path == topology));
    assert_eq!(engine.store().snapshot().edge_count(RelationIx::new(0)), degree);
    assert_eq!(digest(&engine), right);
    drop(engine);
    assert!(open(&path).store().damage().is_empty());
}
