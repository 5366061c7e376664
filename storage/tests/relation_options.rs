//! Options of relations: they are set before the first edge, and are there after a reopening, a checkpoint and a bulk load.

use std::path::Path;
use std::time::Duration;

use hedgerow_storage::{
    Batch, BulkLoad, CancelToken, Edge, EdgeBuffer, NodeRef, RelationOptions, Store, TimeUnit,
};

const DAYS_30: Duration = Duration::from_hours(30 * 24);
const FADING: RelationOptions = RelationOptions { half_life: Some(DAYS_30), is_dislike: false };
const DISLIKES: RelationOptions = RelationOptions { half_life: None, is_dislike: true };

fn open(path: &Path) -> Store {
    Store::options().create(true).open(path).expect("it opens")
}

fn node<'a>(kind: &'a str, key: &'a str) -> NodeRef<'a> {
    NodeRef { kind, key }
}

fn edge(relation: &str, time: Option<i64>) -> Edge<'_> {
    Edge { relation: Some(relation), time, ..Edge::default() }
}

fn declared(declarations: &[(&str, RelationOptions)]) -> Batch {
    let mut batch = Batch::new();
    for &(relation, options) in declarations {
        batch.declare_relation(relation, options).expect("valid");
    }
    batch
}

fn options(store: &Store, relation: &str) -> RelationOptions {
    let snapshot = store.snapshot();
    snapshot.relation_options(snapshot.relation_ix(relation).expect("there"))
}

#[test]
fn options_are_there_after_a_reopening_and_after_a_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = open(&path);
    store.commit(&declared(&[("buys", FADING), ("hides", DISLIKES)])).expect("committed");
    let mut batch = Batch::new();
    batch.link(node("user", "1"), node("item", "2"), edge("views", None)).expect("valid");
    store.commit(&batch).expect("committed");
    for is_checkpointed in [false, true, true] {
        assert_eq!(options(&store, "buys"), FADING);
        assert_eq!(options(&store, "hides"), DISLIKES);
        assert_eq!(options(&store, "views"), RelationOptions::default());
        if is_checkpointed {
            store.checkpoint(&CancelToken::new()).expect("written");
        }
    }
    drop(store);
    let store = open(&path);
    assert_eq!((options(&store, "buys"), options(&store, "hides")), (FADING, DISLIKES));
    assert_eq!(store.snapshot().time_unit(), TimeUnit::Microseconds);
}

#[test]
fn a_relation_that_had_an_edge_keeps_its_options() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("store"));
    let (user, item) = (node("user", "1"), node("item", "2"));
    let mut batch = declared(&[("buys", FADING)]);
    batch.link(user, item, edge("buys", Some(5))).expect("valid");
    store.commit(&batch).expect("committed");
    // The same options again change nothing, also after the last edge has gone.
    let mut batch = Batch::new();
    batch.unlink(user, item, Some("buys")).expect("valid");
    store.commit(&batch).expect("committed");
    store.commit(&declared(&[("buys", FADING)])).expect("committed");
    let epoch = store.snapshot().epoch();
    for other in [DISLIKES, RelationOptions::default()] {
        let refused = store.commit(&declared(&[("buys", other)])).expect_err("refused");
        let refused = refused.to_string();
        assert!(refused.contains("others for buys"), "{refused}");
    }
    // An edge earlier in the batch counts too.
    let mut batch = Batch::new();
    batch.link(user, item, edge("likes", None)).expect("valid");
    batch.declare_relation("likes", DISLIKES).expect("valid");
    store.commit(&batch).expect_err("refused");
    assert_eq!(store.snapshot().epoch(), epoch);
    assert!(store.snapshot().relation_ix("likes").is_none());
}

#[test]
fn an_edge_without_a_time_is_refused_where_weights_have_a_half_life() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("store"));
    let (user, item) = (node("user", "1"), node("item", "2"));
    let mut batch = declared(&[("buys", FADING)]);
    batch.link(user, item, edge("buys", None)).expect("valid by itself");
    let refused = store.commit(&batch).expect_err("refused").to_string();
    assert!(refused.contains("a time, because the weights of buys have a half-life"), "{refused}");
    // Nothing of the batch is there, and the relation without a half-life takes the edge.
    assert_eq!(store.snapshot().relation_count(), 0);
    let mut batch = Batch::new();
    batch.link(user, item, edge("views", None)).expect("valid");
    store.commit(&batch).expect("committed");
}

#[test]
fn a_bulk_load_takes_the_same_options_and_refuses_the_same_edges() {
    let folder = tempfile::tempdir().expect("a folder");
    let (loaded, committed) = (open(&folder.path().join("loaded")), open(&folder.path().join("committed")));
    let edges = [("1", "2", "buys", Some(5)), ("1", "3", "hides", None), ("2", "3", "buys", Some(9))];
    let (mut load, mut links) = (BulkLoad::new(), EdgeBuffer::new());
    let mut batch = declared(&[("buys", FADING), ("hides", DISLIKES)]);
    load.declare_relation("buys", FADING).expect("valid");
    load.declare_relation("hides", DISLIKES).expect("valid");
    for (user, item, relation, time) in edges {
        batch.link(node("user", user), node("item", item), edge(relation, time)).expect("valid");
        links.link(node("user", user), node("item", item), edge(relation, time)).expect("valid");
    }
    load.links(&links).expect("valid");
    // Untimed edges of one relation do not hide those of another.
    let mut untimed = EdgeBuffer::new();
    untimed.link(node("user", "7"), node("item", "8"), edge("hides", None)).expect("valid");
    untimed.link(node("user", "7"), node("item", "8"), edge("buys", None)).expect("valid");
    load.links(&untimed).expect_err("refused");
    load.declare_relation("buys", DISLIKES).expect_err("it has edges");
    loaded.load(load, &CancelToken::new()).expect("loaded");
    committed.commit(&batch).expect("committed");
    let dump = |store: &Store| {
        let mut text = Vec::new();
        store.dump(&mut text, &CancelToken::new()).expect("dumped");
        let text = String::from_utf8(text).expect("text");
        let is_graph =
            |line: &&str| ["relation ", "node ", "edge "].iter().any(|start| line.starts_with(start));
        text.lines().filter(is_graph).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(dump(&loaded), dump(&committed));
    assert_eq!((options(&loaded, "buys"), options(&loaded, "hides")), (FADING, DISLIKES));
}
