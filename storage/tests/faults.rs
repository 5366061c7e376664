//! Unusual states of a store's folder, and the resulting errors: never a panic, a hang or a wrong answer.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hedgerow_storage::{
    Batch, CancelToken, Edge, Epoch, Error, Generation, NodeRef, Publish, SectionWriter, Store,
};

fn node(text: &str) -> NodeRef<'_> {
    NodeRef::parse(text).expect("valid")
}

fn link(store: &Store, a: &str, b: &str) -> Result<Epoch, Error> {
    let mut batch = Batch::new();
    batch.link(node(a), node(b), Edge::default())?;
    Ok(store.commit(&batch)?.epoch)
}

fn open(path: &Path) -> Result<Store, Error> {
    Store::options().open(path)
}

/// A store with every kind of file, and a record in the log.
fn sample(path: &Path) {
    let store = Store::options().create(true).open(path).expect("created");
    let mut batch = Batch::new();
    for at in 0..40 {
        let (pin, board) = (format!("pin:{at}"), format!("board:{}", at % 7));
        batch.link(node(&pin), node(&board), Edge::default()).expect("valid");
        batch.set_tokens(node(&pin), &[format!("t{}", at % 5)]).expect("valid");
        batch.set_dense(node(&pin), "photo", &[at as f32, 1.0]).expect("valid");
    }
    let epoch = store.commit(&batch).expect("committed").epoch;
    store.checkpoint(&CancelToken::new()).expect("written");
    let mut writer = SectionWriter::new(*b"EMBD", 1);
    writer.section(*b"rows\0\0\0\0", vec![1.0_f32; 64]);
    let files = vec![("embeddings", Some(writer))];
    store
        .publish(Publish { generation: Generation::new(1), refreshed: epoch, files }, &CancelToken::new())
        .expect("published");
    link(&store, "pin:0", "board:5").expect("committed");
}

#[test]
fn a_log_that_was_replaced_by_an_older_one_is_made_good_by_the_journal_or_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    sample(&path);
    let log = path.join("log");
    let copy = |from: &Path, to: &Path| {
        fs::create_dir_all(to.join("blobs")).expect("made");
        for entry in fs::read_dir(from).expect("there") {
            let file = entry.expect("readable").path();
            if file.is_file() {
                fs::copy(&file, to.join(file.file_name().expect("named"))).expect("copied");
            }
        }
    };
    let older = folder.path().join("older");
    copy(&log, &older);
    let put_back = || {
        fs::remove_dir_all(&log).expect("removed");
        copy(&older, &log);
    };
    let epoch = link(&open(&path).expect("intact"), "pin:1", "board:6").expect("committed");
    put_back();
    assert_eq!(open(&path).expect("the journal has it").snapshot().epoch(), epoch);
    put_back();
    fs::remove_file(path.join("JOURNAL")).expect("removed");
    match open(&path) {
        Err(Error::Damaged { path: named, place, .. }) => {
            assert_eq!(named, log);
            assert!(place.starts_with("record "), "{place}");
        }
        other => panic!("{:?}", other.map(|store| store.snapshot().epoch())),
    }
    fs::remove_dir_all(&log).expect("removed");
    assert!(matches!(open(&path), Err(Error::Damaged { .. })));
}

#[test]
fn a_second_writer_is_refused_and_the_lock_is_released_on_drop() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = Store::options().create(true).open(&path).expect("created");
    match open(&path) {
        Err(Error::Locked { pid, .. }) => assert_eq!(pid, std::process::id()),
        other => panic!("{other:?}"),
    }
    drop(store);
    for _ in 0..20 {
        drop(open(&path).expect("free"));
    }
}

#[test]
fn only_a_store_or_an_empty_folder_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let create = |path: &Path| Store::options().create(true).open(path);
    let foreign = folder.path().join("foreign");
    fs::create_dir(&foreign).expect("made");
    fs::write(foreign.join("thesis.txt"), "years").expect("written");
    assert!(matches!(create(&foreign), Err(Error::NotAStore { .. })));
    assert_eq!(fs::read_dir(&foreign).expect("there").count(), 1, "nothing was left there");
    assert!(matches!(create(&foreign.join("thesis.txt")), Err(Error::NotAStore { .. })));
    let missing = folder.path().join("missing");
    assert!(matches!(open(&missing), Err(Error::NotAStore { .. })));
    assert!(!missing.exists());
    fs::create_dir(&missing).expect("made");
    assert!(matches!(open(&missing), Err(Error::NotAStore { .. })));
    drop(create(&missing).expect("an empty folder will do"));
    drop(create(&missing).expect("a store is opened"));
    // An interrupted creation is continued; a store that lost its manifests is not such a folder.
    let lose =
        || ["MANIFEST", "MANIFEST.copy"].map(|name| fs::remove_file(missing.join(name)).expect("removed"));
    lose();
    let store = create(&missing).expect("nothing was committed");
    link(&store, "pin:1", "board:1").expect("committed");
    drop(store);
    lose();
    assert!(matches!(create(&missing), Err(Error::Damaged { .. })));
}

#[test]
fn readers_open_while_the_writer_publishes_and_see_one_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = Arc::new(Store::options().create(true).open(&path).expect("created"));
    let done = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        move || {
            for at in 0..60_u64 {
                let refreshed = link(&store, &format!("pin:{at}"), "board:1").expect("committed");
                let mut file = SectionWriter::new(*b"EMBD", 1);
                file.section(*b"epoch\0\0\0", vec![refreshed.get()]);
                let files = vec![("embeddings", Some(file))];
                let generation = Generation::new(1);
                store
                    .publish(Publish { generation, refreshed, files }, &CancelToken::new())
                    .expect("published");
            }
            done.store(true, Ordering::Release);
        }
    });
    let mut seen = 0;
    while !done.load(Ordering::Acquire) || seen == 0 {
        let reader = Store::options().read_only(true).open(&path).expect("always whole");
        let graph = reader.snapshot();
        let epoch = graph.epoch().get();
        assert_eq!(graph.node_count(), if epoch == 0 { 0 } else { epoch + 1 });
        if let Some(derived) = reader.derived() {
            let file = derived.file("embeddings").expect("published");
            assert_eq!(file.section_u64(*b"epoch\0\0\0").expect("there"), [epoch]);
        }
        assert!(matches!(link(&reader, "pin:1", "board:1"), Err(Error::ReadOnly { .. })));
        seen += 1;
    }
    writer.join().expect("the writer goes on");
}

#[test]
fn what_is_refused_leaves_the_store_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::options().create(true).open(folder.path()).expect("created");
    let mut batch = Batch::new();
    batch.set_dense(node("pin:1"), "photo", &[1.0, 2.0]).expect("valid");
    store.commit(&batch).expect("committed");
    batch.clear();
    batch.link(node("pin:2"), node("board:2"), Edge::default()).expect("valid");
    batch.set_dense(node("pin:2"), "photo", &[1.0]).expect("valid");
    assert!(matches!(store.commit(&batch), Err(Error::Invalid { .. })));
    batch.clear();
    batch.link(node("pin:2"), node("board:2"), Edge::default()).expect("valid");
    batch.remove(node("pin:3")).expect("valid");
    assert!(matches!(store.commit(&batch), Err(Error::UnknownNode { .. })));
    let graph = store.snapshot();
    assert_eq!((graph.epoch(), graph.bound(), graph.relation_count()), (Epoch::new(1), 1, 0));
    let kinds = (0..300).try_fold(Batch::new(), |mut batch, at| {
        batch.add_node(NodeRef { kind: &format!("k{at}"), key: "1" })?;
        Ok::<_, Error>(batch)
    });
    assert!(matches!(store.commit(&kinds.expect("valid")), Err(Error::Limit { limit: 255, .. })));
    // A batch without effect keeps the epoch.
    batch.clear();
    batch.add_node(node("pin:1")).expect("valid");
    batch.unlink(node("pin:1"), node("pin:9"), None).expect("valid");
    let commit = store.commit(&batch).expect("committed");
    assert_eq!((commit.epoch, commit.edges_absent), (Epoch::new(1), 1));
}

#[test]
fn a_cancelled_checkpoint_leaves_no_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    sample(&path);
    let store = open(&path).expect("intact");
    let names = || {
        let mut names: Vec<_> =
            fs::read_dir(&path).expect("there").map(|entry| entry.expect("readable").file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let cancel = CancelToken::new();
    cancel.cancel();
    assert!(matches!(store.checkpoint(&cancel), Err(Error::Cancelled)));
    assert_eq!(names(), before);
    store.checkpoint(&CancelToken::new()).expect("written");
    assert_eq!(store.snapshot().node_count(), 47);
}

#[test]
fn a_removed_node_keeps_its_number_for_its_key_and_comes_back_fresh() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    sample(&path);
    let store = open(&path).expect("intact");
    let old = store.snapshot().require(node("pin:3")).expect("alive");
    let mut batch = Batch::new();
    batch.remove(node("pin:3")).expect("valid");
    let commit = store.commit(&batch).expect("committed");
    assert_eq!((commit.nodes_removed, commit.edges_removed, commit.features_changed), (1, 1, 1));
    assert_eq!(store.snapshot().lookup(node("pin:3")), None);
    batch.clear();
    batch.add_node(node("pin:3")).expect("valid");
    assert_eq!(store.commit(&batch).expect("committed").nodes_added, 1);
    let graph = store.snapshot();
    assert_eq!(graph.lookup(node("pin:3")), Some(old));
    assert_eq!((graph.degree(old), graph.tokens(old).len(), graph.dense(old, "photo")), (0, 0, None));
}

#[test]
fn a_backup_of_damage_is_refused_and_names_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    sample(&path);
    let store = open(&path).expect("intact");
    let cancel = CancelToken::new();
    store.backup(folder.path().join("sound"), &cancel).expect("copied");
    let file = path.join("topology.1.hg");
    let mut torn = fs::read(&file).expect("readable");
    torn[200] ^= 1;
    fs::write(&file, torn).expect("written");
    match store.backup(folder.path().join("torn"), &cancel) {
        Err(Error::Damaged { path: named, .. }) => assert_eq!(named, file),
        other => panic!("{other:?}"),
    }
    assert!(matches!(open(&folder.path().join("torn")), Err(Error::NotAStore { .. })));
}

#[test]
fn a_file_that_was_written_to_is_read_again_though_it_was_checked_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    sample(&path);
    let mapped = || Store::options().low_memory(true).read_only(true).open(&path);
    drop(open(&path).expect("intact, and noted"));
    assert_eq!(mapped().expect("trusted").snapshot().node_count(), 47);
    let file = path.join("topology.1.hg");
    let mut torn = fs::read(&file).expect("readable");
    torn[200] ^= 1;
    fs::write(&file, torn).expect("written");
    match mapped() {
        Err(Error::Damaged { path: named, .. }) => assert_eq!(named, file),
        other => panic!("{:?}", other.map(|store| store.snapshot().epoch())),
    }
}
