//! Promise 6, in the library's API: bad input is refused before anything is written.
//!
//! Unusual nodes and queries have documented answers.

use std::sync::Arc;

use hedgerow::{
    Batch, CancelToken, Edge, Embedder, Engine, Error, ErrorKind, NodeRef, Query, Recipient, Store,
    TrainOptions, WalkOptions,
};

fn store(folder: &tempfile::TempDir) -> Arc<Store> {
    Arc::new(Store::options().create(true).open(folder.path().join("store")).expect("the store opens"))
}

fn pin(key: &str) -> NodeRef<'_> {
    NodeRef { kind: "pin", key }
}

fn board(key: &str) -> NodeRef<'_> {
    NodeRef { kind: "board", key }
}

fn options() -> TrainOptions {
    TrainOptions {
        targets: vec!["pin".into()],
        dim: 8,
        epochs: 1,
        walks: WalkOptions { walks: 50, ..WalkOptions::default() },
        ..TrainOptions::default()
    }
}

fn kind(error: impl Into<Error>) -> ErrorKind {
    error.into().kind()
}

#[test]
fn a_batch_refuses_invalid_weights_keys_kinds_and_numbers() {
    let mut batch = Batch::new();
    for weight in [f32::NAN, f32::INFINITY, 0.0, -1.0] {
        let edge = Edge { weight, ..Edge::default() };
        let refused = batch.link(board("1"), pin("1"), edge).expect_err("a bad weight");
        assert_eq!(kind(refused), ErrorKind::Invalid, "weight {weight}");
    }
    let long = "k".repeat(513);
    for key in ["", long.as_str()] {
        let refused = batch.add_node(pin(key)).expect_err("a bad key");
        assert_eq!(kind(refused), ErrorKind::Invalid);
    }
    for name in ["", "two words", "a:b", "a,b"] {
        let refused = batch.add_node(NodeRef { kind: name, key: "1" }).expect_err("a bad kind");
        assert_eq!(kind(refused), ErrorKind::Invalid, "kind {name:?}");
    }
    let refused = batch.set_dense(pin("1"), "image", &[1.0, f32::NAN]).expect_err("not a number");
    assert_eq!(kind(refused), ErrorKind::Invalid);
    assert!(batch.is_empty(), "a refused operation is not in the batch");
}

/// The last operation of each batch is invalid, so its first operation is not applied either.
#[test]
fn a_batch_with_one_bad_operation_is_refused_as_a_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder);
    let mut batch = Batch::new();
    batch.set_dense(pin("1"), "image", &[1.0, 2.0]).expect("valid numbers");
    store.commit(&batch).expect("a commit");
    let before = store.snapshot();

    let mut wrong_width = Batch::new();
    wrong_width.link(board("1"), pin("2"), Edge::default()).expect("a valid edge");
    wrong_width.set_dense(pin("2"), "image", &[1.0, 2.0, 3.0]).expect("valid by itself");
    assert_eq!(kind(store.commit(&wrong_width).expect_err("a wrong width")), ErrorKind::Invalid);

    let mut unknown = Batch::new();
    unknown.link(board("1"), pin("2"), Edge::default()).expect("a valid edge");
    unknown.remove(pin("99")).expect("valid by itself");
    assert_eq!(kind(store.commit(&unknown).expect_err("an unknown node")), ErrorKind::NotFound);

    let after = store.snapshot();
    assert_eq!((after.epoch(), after.node_count()), (before.epoch(), 1));
    assert_eq!(after.relation_count(), 0);
    assert!(after.lookup(board("1")).is_none());
}

#[test]
fn calls_that_need_a_model_are_refused_before_a_training() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Engine::open(store(&folder)).expect("the engine opens");
    let cancel = CancelToken::new();
    assert_eq!(kind(engine.digest(&CancelToken::new()).expect_err("untrained")), ErrorKind::NotTrained);
    assert_eq!(kind(engine.refresh(false, &cancel).expect_err("untrained")), ErrorKind::NotTrained);
    assert_eq!(
        kind(engine.similar(pin("1"), &Query::default(), &CancelToken::new()).expect_err("untrained")),
        ErrorKind::NotTrained
    );
    // A training needs nodes, edges and valid options.
    let unknown = engine.training(&options()).run(&cancel).expect_err("an empty graph");
    assert_eq!(kind(unknown), ErrorKind::NotFound);

    let mut batch = Batch::new();
    batch.add_node(pin("1")).expect("a valid node");
    engine.store().commit(&batch).expect("a commit");
    let no_edges = engine.training(&options()).run(&cancel).expect_err("no edges");
    assert!(no_edges.to_string().contains("nothing to train on"), "{no_edges}");
    for invalid in [
        TrainOptions { dim: 0, ..options() },
        TrainOptions { temperature: f32::NAN, ..options() },
        TrainOptions { batch: 0, ..options() },
        TrainOptions { targets: vec![], ..options() },
        TrainOptions { walks: WalkOptions { stop: 1.0, ..WalkOptions::default() }, ..options() },
    ] {
        let refused = engine.training(&invalid).run(&cancel).expect_err("a bad option");
        assert_eq!(kind(refused), ErrorKind::Invalid);
    }
    assert_eq!(engine.status().generation, None);
}

/// ```text
///   board:1 --- pin:1, pin:2, pin:3        pin:alone      user:1
/// ```
#[test]
fn unusual_nodes_and_queries_have_documented_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Engine::open(store(&folder)).expect("the engine opens");
    let mut batch = Batch::new();
    for key in ["1", "2", "3"] {
        batch.link(board("1"), pin(key), Edge::default()).expect("a valid edge");
    }
    batch.add_node(pin("alone")).expect("a valid node");
    batch.add_node(NodeRef { kind: "user", key: "1" }).expect("a valid node");
    engine.store().commit(&batch).expect("a commit");
    engine.training(&options()).run(&CancelToken::new()).expect("a training");

    // Answers of `similar`.
    let many = Query { k: 1000, ..Query::default() };
    assert_eq!(
        engine.similar(pin("1"), &many, &CancelToken::new()).expect("an answer").items.len(),
        3,
        "k beyond the nodes"
    );
    assert_eq!(
        engine.similar(pin("alone"), &many, &CancelToken::new()).expect("an answer").items.len(),
        3,
        "an isolated node"
    );
    assert!(engine.neighborhood(pin("alone"), 10).expect("an answer").is_empty());
    assert_eq!(
        kind(engine.similar(pin("9"), &many, &CancelToken::new()).expect_err("unknown")),
        ErrorKind::NotFound
    );
    let other_kind = engine.similar(board("1"), &many, &CancelToken::new()).expect_err("not embedded");
    assert_eq!(kind(other_kind), ErrorKind::NotEmbedded);

    // Recommendations leave out what the node is linked to. A user without history gets popular nodes.
    let unseen = engine
        .recommend(&Recipient::Node(board("1").to_name()), &many, &CancelToken::new())
        .expect("an answer");
    assert_eq!(unseen.items.len(), 1, "the board is linked to all pins but one");
    let cold = engine.recommend(
        &Recipient::Node(NodeRef { kind: "user", key: "1" }.to_name()),
        &many,
        &CancelToken::new(),
    );
    assert_eq!(cold.expect("an answer").items.len(), 4, "a user without history gets the popular nodes");

    // An embedder returns all vectors or none.
    let embedder: &dyn Embedder = &engine;
    let vectors = embedder.embed(&[pin("1"), pin("2")]).expect("vectors");
    assert_eq!(vectors[0].len(), embedder.dimension().expect("it is trained"));
    assert!(embedder.embed(&[pin("1"), pin("9")]).is_err(), "all or none");

    // A node has no embedding until the refresh after its commit.
    let mut batch = Batch::new();
    batch.link(board("1"), pin("late"), Edge::default()).expect("a valid edge");
    engine.store().commit(&batch).expect("a commit");
    let early = engine.similar(pin("late"), &many, &CancelToken::new()).expect_err("not refreshed yet");
    assert!(early.to_string().contains("refresh"), "{early}");
    engine.refresh(false, &CancelToken::new()).expect("a refresh");
    assert_eq!(engine.similar(pin("late"), &many, &CancelToken::new()).expect("an answer").items.len(), 4);
}

/// A full disk or a removed folder makes the write fail. The computed embeddings stay in memory.
#[test]
fn a_failed_persist_leaves_the_embeddings_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Engine::open(store(&folder)).expect("the engine opens");
    let mut batch = Batch::new();
    for key in ["1", "2", "3"] {
        batch.link(board("1"), pin(key), Edge::default()).expect("a valid edge");
    }
    engine.store().commit(&batch).expect("a commit");
    engine.training(&options()).run(&CancelToken::new()).expect("a training");
    batch.clear();
    batch.link(board("1"), pin("4"), Edge::default()).expect("a valid edge");
    engine.store().commit(&batch).expect("a commit");
    engine.refresh(false, &CancelToken::new()).expect("a refresh");
    let before = engine.digest(&CancelToken::new()).expect("a digest");
    std::fs::remove_dir_all(folder.path().join("store")).expect("the folder is removed");
    assert_eq!(kind(engine.persist(&CancelToken::new()).expect_err("nowhere to write")), ErrorKind::Io);
    assert_eq!(engine.digest(&CancelToken::new()).expect("a digest"), before);
}
