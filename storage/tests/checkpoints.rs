//! Checkpoints and publishes: commits go on meanwhile, and what is shown later is what was written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hedgerow_storage::{
    Batch, CancelToken, Edge, Epoch, Error, Generation, NodeRef, PropertyType, Publish, RelationIx,
    SectionWriter, Store,
};

/// More commits than a checkpoint applies while others wait.
const MANY: u64 = 200;

fn node(text: &str) -> NodeRef<'_> {
    NodeRef::parse(text).expect("valid")
}

fn link(store: &Store, pin: &str) -> Epoch {
    let mut batch = Batch::new();
    batch.link(node(pin), node("board:1"), Edge::default()).expect("valid");
    store.commit(&batch).expect("committed").epoch
}

fn create(folder: &tempfile::TempDir) -> Store {
    Store::options().create(true).open(folder.path()).expect("created")
}

fn embeddings(value: f32) -> SectionWriter<'static> {
    let mut writer = SectionWriter::new(*b"EMBD", 1);
    writer.section(*b"rows\0\0\0\0", vec![value; 64]);
    writer
}

/// Publishes embeddings of generation 1 that are current.
fn publish(store: &Store, embeddings: Option<SectionWriter<'_>>) -> Result<(), Error> {
    let files = vec![("embeddings", embeddings)];
    let refreshed = store.snapshot().epoch();
    store.publish(Publish { generation: Generation::new(1), refreshed, files }, &CancelToken::new())
}

fn published_value(store: &Store) -> f32 {
    let derived = store.derived().expect("it was published");
    let file = derived.file("embeddings").expect("intact");
    file.section_f32(*b"rows\0\0\0\0").expect("there")[0]
}

#[test]
fn commits_that_arrive_while_files_are_written_are_shown_over_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(create(&folder));
    link(&store, "pin:0");
    let (committing, has_begun) = (Arc::clone(&store), AtomicBool::new(false));
    let cancel = CancelToken::new().observed(move |_| {
        if !has_begun.swap(true, Ordering::Relaxed) {
            for at in 1..=MANY {
                link(&committing, &format!("pin:{at}"));
            }
        }
    });
    store.checkpoint(&cancel).expect("written");
    let reader = Store::options().read_only(true).open(folder.path()).expect("opens");
    assert_eq!(reader.snapshot().epoch(), Epoch::new(1));
    let shown = store.snapshot();
    assert_eq!((shown.epoch(), shown.node_count()), (Epoch::new(1 + MANY), 2 + MANY));
    let board = shown.require(node("board:1")).expect("linked");
    assert_eq!(shown.degree(board) as u64, 1 + MANY);
    // The observer holds the store.
    drop((cancel, store));
    let again = Store::options().open(folder.path()).expect("opens").snapshot();
    assert_eq!((again.epoch(), again.node_count()), (Epoch::new(1 + MANY), 2 + MANY));
}

#[test]
fn a_checkpoint_is_worthwhile_once_the_log_is_long() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create(&folder);
    let mut batch = Batch::new();
    for (first, last, expected) in [(0, 10, false), (10, 70_000, true), (70_000, 70_010, false)] {
        batch.clear();
        for at in first..last {
            batch.add_node(node(&format!("pin:{at}"))).expect("valid");
        }
        let epoch = store.commit(&batch).expect("committed").epoch;
        assert_eq!(store.checkpoint_if_worthwhile(&CancelToken::new()).expect("written"), expected);
        let reader = Store::options().read_only(true).open(folder.path()).expect("opens");
        assert_eq!(reader.snapshot().epoch() == epoch, expected);
        assert!(!store.is_outdated().expect("a writer shows every commit"));
    }
}

/// A label has no value of a node, and a declared property none either: each alone makes the file of properties stale.
#[test]
fn a_label_and_a_property_without_values_are_in_the_next_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut batch = Batch::new();
    for (property, label) in
        [("title", None), ("title", Some("title")), ("price", Some("title")), ("price", None)]
    {
        let store = create(&folder);
        batch.clear();
        batch.declare_property("pin", property, PropertyType::Text).expect("valid");
        batch.set_label("pin", label).expect("valid");
        store.commit(&batch).expect("committed");
        store.checkpoint(&CancelToken::new()).expect("written");
        drop(store);
        let reader = Store::options().read_only(true).open(folder.path()).expect("opens").snapshot();
        let pin = reader.kind_ix("pin").expect("declared with the property");
        assert!(reader.property_ix(pin, property).is_some());
        assert_eq!(reader.label(pin).map(|at| reader.property(at).name), label);
    }
}

#[test]
fn a_file_that_was_never_published_cannot_be_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create(&folder);
    link(&store, "pin:1");
    match publish(&store, None) {
        Err(Error::Invalid { what, .. }) => assert_eq!(what, "derived file to keep"),
        other => panic!("{other:?}"),
    }
    assert!(store.derived().is_none());
    publish(&store, Some(embeddings(1.0))).expect("published");
    publish(&store, None).expect("it is there now");
    assert_eq!(published_value(&store), 1.0);
}

#[test]
fn where_the_newest_derived_files_are_damaged_those_of_the_publish_before_are_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = create(&folder);
    link(&store, "pin:1");
    publish(&store, Some(embeddings(1.0))).expect("published");
    link(&store, "pin:2");
    publish(&store, Some(embeddings(2.0))).expect("published");
    drop(store);
    let file = folder.path().join("embeddings.2.hg");
    let mut torn = std::fs::read(&file).expect("the newest");
    torn[200] ^= 1;
    std::fs::write(&file, torn).expect("written");
    for round in 0..2 {
        let store = Store::options().open(folder.path()).expect("opens");
        let remedies: Vec<&str> = store.damage().iter().map(|damage| damage.remedy.as_str()).collect();
        let told = "the files of the previous publish were used; a refresh brings them up to date";
        assert_eq!(remedies, [told][round.min(1)..]);
        assert_eq!(published_value(&store), 1.0);
        // The nodes of the second link are not in them.
        assert_eq!(store.dirty_nodes(), 2);
    }
}

/// A reader has no log. Few records since the checkpoint come to it in a file, many in the graph's files.
#[test]
fn a_publish_of_many_changes_writes_the_graph_instead_of_records() {
    const EDGES: u64 = 100_000;
    let folder = tempfile::tempdir().expect("a folder");
    let store = create(&folder);
    let commit = |from: u64, to: u64| {
        let mut batch = Batch::new();
        for at in from..to {
            let (pin, board) = (format!("pin:{at}"), format!("board:{}", at % 100));
            batch.link(node(&pin), node(&board), Edge::default()).expect("valid");
        }
        store.commit(&batch).expect("committed");
    };
    let newest_topology = |store: &Store| {
        let number = |name: &str| name.strip_prefix("topology.")?.strip_suffix(".hg")?.parse::<u64>().ok();
        let names = std::fs::read_dir(store.path()).expect("there").map(|entry| entry.expect("readable"));
        names.filter_map(|entry| number(entry.file_name().to_str()?)).max().expect("a topology")
    };
    // Each step: the edges before it and after it, and whether the graph's files have them after a publish.
    let mut before = newest_topology(&store);
    for (from, to, is_in_files) in [(0, 10, false), (10, EDGES, true), (EDGES, EDGES + 10, false)] {
        commit(from, to);
        publish(&store, Some(embeddings(to as f32))).expect("published");
        let now = newest_topology(&store);
        assert_eq!(now > before, is_in_files, "up to {to}");
        before = now;
        assert_eq!(store.derived().expect("published").has("records"), !is_in_files, "up to {to}");
        let reader = Store::options().read_only(true).open(folder.path()).expect("opens");
        assert_eq!(reader.snapshot().epoch(), store.snapshot().epoch());
        assert_eq!(reader.snapshot().edge_count(RelationIx::new(0)), to);
        assert_eq!(published_value(&reader), to as f32);
    }
    drop(store);
    let store = Store::options().open(folder.path()).expect("opens");
    assert_eq!(store.snapshot().edge_count(RelationIx::new(0)), EDGES + 10);
}
