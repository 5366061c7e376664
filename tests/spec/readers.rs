//! Promise 5: readers never block on the writer and never see half a batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hedgerow::{
    Batch, CancelToken, Edge, Engine, ErrorKind, NodeRef, Query, RelationIx, Store, TrainEvent, TrainOptions,
    WalkOptions,
};

use crate::fixtures::graph_model::GraphModel;

/// Each batch adds three edges, so every snapshot has a multiple of three.
#[test]
fn a_snapshot_never_has_half_a_batch() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Store::options().create(true).open(folder.path().join("store")).expect("it opens"));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while !done.load(Ordering::Relaxed) {
                let snapshot = store.snapshot();
                if snapshot.relation_count() > 0 {
                    let edges = snapshot.edge_count(RelationIx::new(0));
                    assert!(edges.is_multiple_of(3), "{edges} edges");
                    assert!(edges >= seen, "a later snapshot has fewer edges");
                    seen = edges;
                }
            }
            seen
        });
        for round in 0..60 {
            let mut batch = Batch::new();
            for pin in 0..3 {
                let key = (round * 3 + pin).to_string();
                batch
                    .link(
                        NodeRef { kind: "board", key: "b" },
                        NodeRef { kind: "pin", key: &key },
                        Edge::default(),
                    )
                    .expect("a valid edge");
            }
            store.commit(&batch).expect("a commit");
        }
        done.store(true, Ordering::Relaxed);
        reader.join().expect("the reader saw nothing wrong");
    });
    assert_eq!(store.snapshot().edge_count(RelationIx::new(0)), 180);
}

/// During refreshes, every answer equals one that was given between two refreshes, with its epoch.
#[test]
fn readers_see_the_old_embeddings_or_the_new_ones_during_a_refresh() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Store::options().create(true).open(folder.path().join("store")).expect("it opens"));
    // Given: a trained engine.
    let mut batch = Batch::new();
    for edge in 0..600usize {
        let (board, pin) = ((edge / 6).to_string(), (edge * 7 % 200).to_string());
        batch
            .link(NodeRef { kind: "board", key: &board }, NodeRef { kind: "pin", key: &pin }, Edge::default())
            .expect("a valid edge");
    }
    store.commit(&batch).expect("a commit");
    let engine = Engine::open(store).expect("the engine opens");
    let options = TrainOptions {
        targets: vec!["pin".into()],
        dim: 8,
        epochs: 1,
        walks: WalkOptions { walks: 50, ..WalkOptions::default() },
        // Answers from the graph change with a commit.
        factors: false,
        ..TrainOptions::default()
    };
    engine.training(&options).run(&CancelToken::new()).expect("a training");
    let pin = NodeRef { kind: "pin", key: "7" };
    let answer = || {
        let ranked = engine
            .similar(pin, &Query { k: 30, ..Query::default() }, &CancelToken::new())
            .expect("an answer");
        (ranked.epoch, format!("{:?}", ranked.items))
    };
    // When: one thread asks without pause, and another commits and refreshes.
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = Vec::new();
            while !done.load(Ordering::Relaxed) {
                seen.push(answer());
            }
            seen
        });
        let mut published = vec![answer()];
        for round in 0..20usize {
            let mut batch = Batch::new();
            for edge in 0..5 {
                let (board, at) = ((round * 3 + edge).to_string(), (round * 11 + edge).to_string());
                batch
                    .link(
                        NodeRef { kind: "board", key: &board },
                        NodeRef { kind: "pin", key: &at },
                        Edge::default(),
                    )
                    .expect("a valid edge");
            }
            engine.store().commit(&batch).expect("a commit");
            engine.refresh(false, &CancelToken::new()).expect("a refresh");
            published.push(answer());
        }
        done.store(true, Ordering::Relaxed);
        // Then: each answer is one of those between two refreshes.
        for seen in reader.join().expect("the reader got answers") {
            assert!(published.contains(&seen), "an answer of epoch {:?} that was never published", seen.0);
        }
    });
}

/// A training reads the graph of its start. The new generation contains what was committed and refreshed meanwhile, with
/// the bytes of a rebuild.
#[test]
fn embeddings_of_a_training_contain_the_edges_committed_during_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Store::options().create(true).open(folder.path().join("store")).expect("it opens"));
    let mut model_graph = GraphModel::new(21, 60);
    store.commit(&model_graph.initial_batch()).expect("a commit");
    let engine = Engine::open(store).expect("the engine opens");
    let options = TrainOptions {
        targets: vec!["pin".into()],
        dim: 8,
        epochs: 3,
        walks: WalkOptions { walks: 50, ..WalkOptions::default() },
        ..TrainOptions::default()
    };
    engine.training(&options).run(&CancelToken::new()).expect("a first generation");
    let mut committed = 0;
    let mut between = |_: &TrainEvent| {
        engine.store().commit(&model_graph.batch(5)).expect("a commit during the training");
        engine.refresh(false, &CancelToken::new()).expect("a refresh during the training");
        committed += 1;
    };
    let report =
        engine.training(&options).observer(&mut between).run(&CancelToken::new()).expect("a training");
    assert!(committed > 3 && report.generation.get() == 2);
    let status = engine.status();
    assert_eq!((status.embedded, status.dirty_nodes), (Some(status.epoch), 0));
    let trained = engine.digest(&CancelToken::new()).expect("a digest").digest;
    engine.refresh(true, &CancelToken::new()).expect("a rebuild");
    assert_eq!(engine.digest(&CancelToken::new()).expect("a digest").digest, trained);
}

/// A reader opens the published files beside the writer, and cannot write.
#[test]
fn a_second_writer_is_refused_and_a_reader_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let store = Store::options().create(true).open(&path).expect("it opens");
    let mut batch = Batch::new();
    batch
        .link(NodeRef { kind: "board", key: "1" }, NodeRef { kind: "pin", key: "1" }, Edge::default())
        .expect("a valid edge");
    store.commit(&batch).expect("a commit");
    store.checkpoint(&CancelToken::new()).expect("a checkpoint");

    let refused = Store::options().open(&path).expect_err("a second writer is refused");
    assert_eq!(hedgerow::Error::from(refused).kind(), ErrorKind::Locked);
    let reader = Store::options().read_only(true).open(&path).expect("a reader opens");
    assert_eq!(reader.snapshot().node_count(), 2);
    let outdated = || [&reader, &store].map(|store| store.is_outdated().expect("a manifest"));
    assert_eq!(outdated(), [false, false]);
    batch
        .link(NodeRef { kind: "board", key: "1" }, NodeRef { kind: "pin", key: "2" }, Edge::default())
        .expect("valid");
    store.commit(&batch).expect("a commit");
    assert_eq!(outdated(), [false, false], "the commit is not published yet");
    store.checkpoint(&CancelToken::new()).expect("a checkpoint");
    assert_eq!(outdated(), [true, false]);
    let refused = reader.commit(&batch).expect_err("a reader cannot commit");
    assert_eq!(hedgerow::Error::from(refused).kind(), ErrorKind::ReadOnly);
}
