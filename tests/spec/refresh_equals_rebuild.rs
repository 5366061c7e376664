//! Promise 2: after any sequence of operations, a refresh gives the bytes of a rebuild.
//!
//! The bytes of all neighborhoods and embeddings are compared. A dirty node's embedding, computed on request, equals the one
//! that the refresh gives.
//!
//! This command runs 100,000 sequences: `HEDGEROW_ROUNDS=50 cargo test --release -p hedgerow-cli --test spec refresh_equals`

use std::path::Path;
use std::sync::Arc;

use hedgerow::{
    Batch, CancelToken, Conv, Edge, Embedded, Engine, Epoch, Error, ErrorKind, Ids, Loss, ModelError,
    NewNode, NodeName, NodeRef, Pooling, Query, Recipient, RefreshReason, RowComparison, Store, TrainOptions,
    WalkOptions,
};
use hedgerow_test_support::fuzz_config;

use crate::fixtures::copy_folder;
use crate::fixtures::graph_model::GraphModel;

const SEQUENCES: u64 = 2000;

fn open(path: &Path) -> Engine {
    let store = Store::options().create(true).open(path).expect("the store opens");
    Engine::open(Arc::new(store)).expect("the engine opens")
}

fn options(seed: u64) -> TrainOptions {
    TrainOptions {
        targets: if seed.is_multiple_of(3) { vec!["pin".into(), "board".into()] } else { vec!["pin".into()] },
        relations: relations(seed),
        dim: 8,
        layers: [2, 1, 2, 3][seed as usize % 4],
        conv: if seed.is_multiple_of(2) { Conv::PinSage } else { Conv::Light },
        walks: WalkOptions {
            walks: 24,
            top: 6,
            min_visits: 1 + seed as u32 % 2,
            seed,
            ..WalkOptions::default()
        },
        ids: [Ids::Auto, Ids::On, Ids::Off][seed as usize % 3],
        damping: !seed.is_multiple_of(5),
        popularity: !seed.is_multiple_of(7),
        pooling: [Pooling::Importance, Pooling::Importance, Pooling::Mean, Pooling::Max][seed as usize % 4],
        degree_input: seed.is_multiple_of(11),
        loss: if seed.is_multiple_of(4) { Loss::Margin } else { Loss::Softmax },
        epochs: 1,
        batch: 32,
        negatives: 8,
        hard_negatives: seed as u32 % 2,
        held_out: 10,
        seed,
        // A fit takes longer than the rest of a sequence.
        factors: seed.is_multiple_of(40),
        ..TrainOptions::default()
    }
}

/// All relations alike, some weighted, or some left out.
fn relations(seed: u64) -> Vec<(String, f32)> {
    let weights: &[(&str, f32)] = match seed % 4 {
        1 => &[("board-pin", 1.0), ("near", 0.3), ("pin-user", 0.1), ("seen", 0.6)],
        2 => &[("board-pin", 0.4), ("pin-user", 1.0)],
        _ => &[],
    };
    weights.iter().map(|&(name, weight)| (name.to_owned(), weight)).collect()
}

/// The digest, and the scores for histories of two pins and for users, who dislike some pins. The scores depend on degrees, which are not part of the digest.
type Observed = (String, Vec<Vec<(NodeName, u32)>>);

/// The digest and scores of the engine's present state.
fn observe(engine: &Engine) -> Observed {
    let pin = |key: usize| NodeName::new("pin", key.to_string()).expect("a name");
    let scores = |key: usize| {
        let audience = if key < 15 {
            Recipient::History(vec![pin(key), pin(key + 1)])
        } else {
            Recipient::Node(NodeName::new("user", (key - 15).to_string()).expect("a name"))
        };
        let query = Query { k: 100, include_seen: true, ..Query::default() };
        // A pin that is not in the graph has no items, before and after a rebuild.
        let items = engine
            .recommend(&audience, &query, &CancelToken::new())
            .map_or_else(|_| Vec::new(), |ranked| ranked.items);
        items.into_iter().map(|item| (item.node, item.score.to_bits())).collect()
    };
    (engine.digest(&CancelToken::new()).expect("a digest").digest, (0..20).map(scores).collect())
}

/// The bits of an embedding and its epoch, or `None` for a node that is not in the graph.
fn embedding<E>(answer: &Result<Embedded, E>) -> Option<(Vec<u32>, Epoch)> {
    let embedded = answer.as_ref().ok()?;
    Some((embedded.vector.iter().map(|value| value.to_bits()).collect(), embedded.epoch))
}

/// The state that a refresh has left, and the state after a rebuild.
fn refreshed_and_rebuilt(engine: &Engine) -> (Observed, Observed) {
    let refreshed = observe(engine);
    engine.refresh(true, &CancelToken::new()).expect("a rebuild");
    (refreshed, observe(engine))
}

/// Runs one random sequence of commits, interruptions and refreshes.
fn run(seed: u64) {
    // Given: a trained engine over a random graph.
    let folder = tempfile::tempdir().expect("a folder");
    let mut path = folder.path().join("store");
    let mut model_graph = GraphModel::new(seed, 40).with_dislikes();
    let mut engine = open(&path);
    engine.store().commit(&model_graph.initial_batch()).expect("a commit");
    let trained = engine.training(&options(seed)).run(&CancelToken::new());
    if let Err(ModelError::Collapsed { .. }) = trained {
        // The few units of a layer may all be dead. Starting weights are not judged, and refreshes are the same.
        let untrained = TrainOptions { epochs: 0, ..options(seed) };
        engine.training(&untrained).run(&CancelToken::new()).expect("starting weights");
    } else {
        trained.expect("a training");
    }
    let mut partial = 0;
    for step in 0..8 {
        // When: some batches are committed, and then one of several events happens.
        for _ in 0..=model_graph.random_below(3) {
            let batch = model_graph.batch(4);
            engine.store().commit(&batch).expect("a commit");
        }
        match model_graph.random_below(10) {
            0 => {
                drop(engine);
                engine = open(&path);
            }
            // A kill: a copy of the files is opened, which the writer has not closed.
            3 => {
                let now = folder.path().join(format!("killed-{step}"));
                copy_folder(&path, &now);
                drop(engine);
                engine = open(&now);
                path = now;
            }
            // A cancelled refresh.
            4 => {
                let cancelled = CancelToken::new();
                cancelled.cancel();
                engine.refresh(false, &cancelled).expect_err("a cancellation");
            }
            // Commits during a refresh, in the order in which the reference model made them.
            5 => {
                let batches: Vec<Batch> = (0..3).map(|_| model_graph.batch(2)).collect();
                let store = Arc::clone(engine.store());
                std::thread::scope(|scope| {
                    scope.spawn(move || {
                        for batch in &batches {
                            store.commit(batch).expect("a commit");
                        }
                    });
                    engine.refresh(false, &CancelToken::new()).expect("a refresh");
                });
            }
            1 => engine.store().checkpoint(&CancelToken::new()).expect("a checkpoint"),
            2 => {
                engine.refresh(false, &CancelToken::new()).expect("a refresh");
                engine.persist(&CancelToken::new()).expect("stored");
            }
            _ => {}
        }
        // Then: three nodes, read before the refresh, have the embeddings of the refresh.
        let read: Vec<NodeName> = (0..3).map(|_| model_graph.random_node("pin")).collect();
        let now = |name: &NodeName| embedding(&engine.embedding_now(name.as_ref(), &CancelToken::new()));
        let before: Vec<_> = read.iter().map(now).collect();
        let report = engine.refresh(false, &CancelToken::new()).expect("a refresh");
        partial += u32::from(!report.full);
        for (name, before) in read.iter().zip(before) {
            let after = embedding(&engine.embedding(name.as_ref()));
            assert_eq!(before, after, "seed {seed}, step {step}: {name} read before the refresh and after");
        }
        // And: the refreshed state equals the rebuilt one.
        if step % 3 == 2 {
            let (refreshed, rebuilt) = refreshed_and_rebuilt(&engine);
            assert_eq!(refreshed, rebuilt, "seed {seed}, step {step}");
        }
    }
    let (refreshed, rebuilt) = refreshed_and_rebuilt(&engine);
    assert_eq!(refreshed, rebuilt, "seed {seed}, at the end");
    assert!(partial > 0, "seed {seed}: every refresh was a rebuild, so nothing was compared");
    assert_eq!(model_graph.difference(&engine.store().snapshot()), None, "seed {seed}");
}

/// Half of the sequences run on one thread, half on four. The next test compares numbers of threads directly.
#[test]
fn after_random_operations_a_refresh_gives_the_bytes_of_a_rebuild() {
    let (first, rounds) = (fuzz_config::seed(0), fuzz_config::rounds(1));
    std::thread::scope(|scope| {
        for (half, threads) in [(0, 1), (1, 4)] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            scope.spawn(move || {
                let seeds = (first..first + SEQUENCES * rounds).filter(|seed| seed % 2 == half);
                seeds.for_each(|seed| pool.install(|| run(seed)));
            });
        }
    });
}

#[test]
fn the_number_of_threads_does_not_change_weights_or_embeddings() {
    let digest = |threads: usize| {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = open(&folder.path().join("store"));
        let mut model_graph = GraphModel::new(11, 60);
        engine.store().commit(&model_graph.initial_batch()).expect("a commit");
        let options = TrainOptions { threads, epochs: 3, ..options(4) };
        engine.training(&options).run(&CancelToken::new()).expect("a training");
        for _ in 0..5 {
            engine.store().commit(&model_graph.batch(10)).expect("a commit");
            engine.refresh(false, &CancelToken::new()).expect("a refresh");
        }
        engine.digest(&CancelToken::new()).expect("a digest").digest
    };
    let one = digest(1);
    assert_eq!(one, digest(2));
    assert_eq!(one, digest(7));
}

/// A cancelled refresh leaves rows of the old epoch beside rows of the new one. The next refresh must not use them.
#[test]
fn after_a_cancelled_refresh_the_next_one_is_exact() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(&folder.path().join("store"));
    let mut model_graph = GraphModel::new(5, 60);
    engine.store().commit(&model_graph.initial_batch()).expect("a commit");
    engine.training(&options(4)).run(&CancelToken::new()).expect("a training");
    let before = engine.digest(&CancelToken::new()).expect("a digest");
    engine.store().commit(&model_graph.batch(3)).expect("a commit");
    let cancelled = CancelToken::new();
    cancelled.cancel();
    assert!(engine.refresh(false, &cancelled).expect_err("a cancellation").is_cancelled());
    let status = engine.status();
    assert_eq!(status.embedded, Some(before.epoch), "readers still see the old epoch");
    engine.refresh(false, &CancelToken::new()).expect("a refresh");
    let (refreshed, rebuilt) = refreshed_and_rebuilt(&engine);
    assert_eq!(refreshed, rebuilt);
}

/// A cancelled refresh has already made rows for new nodes, which readers do not know yet.
/// A digest looked up their names in the readers' graph, and the embedding of a new node mixed rows of two epochs.
/// Both calls are now refused until the next refresh.
#[test]
fn after_a_cancelled_refresh_nothing_is_computed_from_its_partial_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(&folder.path().join("store"));
    engine.store().commit(&GraphModel::new(6, 60).initial_batch()).expect("a commit");
    engine.training(&options(4)).run(&CancelToken::new()).expect("a training");
    // Given: a trained engine, and a new pin that is not embedded yet.
    let (board, pin) = (NodeRef { kind: "board", key: "0" }, NodeRef { kind: "pin", key: "new" });
    let mut batch = Batch::new();
    batch.link(board, pin, Edge::default()).expect("a valid edge");
    engine.store().commit(&batch).expect("a commit");
    let (cancel, before) = (CancelToken::new(), engine.digest(&CancelToken::new()).expect("a digest"));
    // A refresh cancelled before its start changes nothing.
    let (canceller, early) = (cancel.clone(), CancelToken::new());
    early.cancel();
    assert!(engine.refresh(false, &early).expect_err("a cancellation").is_cancelled());
    assert_eq!(engine.digest(&CancelToken::new()).expect("a digest"), before);
    // When: a refresh is cancelled between its layers.
    let within = cancel.observed(move |progress| {
        if progress.stage == "layer" {
            canceller.cancel();
        }
    });
    assert!(engine.refresh(false, &within).expect_err("a cancellation").is_cancelled());
    // Then: calls that would read its rows are refused, and readers answer from the old epoch.
    let refused = [
        engine.digest(&CancelToken::new()).map(|_| ()),
        engine.embed_new_node(&NewNode::default()).map(|_| ()),
    ];
    for refused in refused {
        assert_eq!(Error::from(refused.expect_err("a refresh is incomplete")).kind(), ErrorKind::Refused);
    }
    assert!(
        engine.similar(NodeRef { kind: "pin", key: "1" }, &Query::default(), &CancelToken::new()).is_ok(),
        "readers have the old epoch"
    );
    // And: the next refresh is a rebuild.
    assert!(engine.refresh(false, &CancelToken::new()).expect("a refresh").full);
    let (refreshed, rebuilt) = refreshed_and_rebuilt(&engine);
    assert_eq!(refreshed, rebuilt);
}

/// Without layers the embeddings come from the inputs, which are rounded too.
/// A refresh, a read of a dirty node, and stored changes must give the bytes of a rebuild there as well.
#[test]
fn a_model_without_layers_is_refreshed_and_stored_as_it_is_rebuilt() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let mut engine = open(&path);
    let mut model_graph = GraphModel::new(12, 60);
    engine.store().commit(&model_graph.initial_batch()).expect("a commit");
    let options = TrainOptions { layers: 0, conv: Conv::Light, ids: Ids::On, ..options(11) };
    engine.training(&options).run(&CancelToken::new()).expect("a training");
    for round in 0..6 {
        engine.store().commit(&model_graph.batch(3)).expect("a commit");
        let pin = model_graph.nodes.keys().find(|name| name.kind == "pin").expect("a pin").clone();
        let now = engine.embedding_now(pin.as_ref(), &CancelToken::new()).expect("a vector").vector;
        engine.refresh(false, &CancelToken::new()).expect("a refresh");
        assert_eq!(engine.embedding(pin.as_ref()).expect("a vector").vector, now, "round {round}");
        engine.persist(&CancelToken::new()).expect("stored");
        drop(engine);
        engine = open(&path);
        // It stores nothing, so the next round adds to the stored changes.
        let verified = engine.verify(&CancelToken::new()).expect("verified").comparison;
        assert!(matches!(verified, RowComparison::Equal { .. }), "round {round}: {verified}");
    }
}

/// A store is closed between commit and refresh. Opening it finds the dirty nodes in the log.
#[test]
fn nodes_dirty_at_a_close_are_refreshed_after_reopening() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let engine = open(&path);
    let mut model_graph = GraphModel::new(8, 60);
    engine.store().commit(&model_graph.initial_batch()).expect("a commit");
    engine.training(&options(4)).run(&CancelToken::new()).expect("a training");
    engine.store().commit(&model_graph.batch(30)).expect("a commit");
    let dirty = engine.store().dirty_nodes();
    assert!(dirty > 0);
    drop(engine);
    let engine = open(&path);
    assert_eq!(engine.store().dirty_nodes(), dirty);
    engine.refresh(false, &CancelToken::new()).expect("a refresh");
    assert_eq!(engine.store().dirty_nodes(), 0);
    let (refreshed, rebuilt) = refreshed_and_rebuilt(&engine);
    assert_eq!(refreshed, rebuilt);
}

/// One edge of a high weight changes most draws of a long list, and each draw then takes thousands of tries. The search for its sources
/// took longer than a rebuild. It must end before, and a light edge of the same list must not end it.
#[test]
fn a_refresh_after_a_heavy_edge_of_a_long_list_is_a_rebuild() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(&folder.path().join("store"));
    let link = |batch: &mut Batch, pin: u32, board: u32, weight: f32| {
        let (pin, board) = (pin.to_string(), board.to_string());
        let edge = Edge { weight, ..Edge::default() };
        batch.link(("pin", pin.as_str()), ("board", board.as_str()), edge).expect("a valid edge");
    };
    let mut batch = Batch::new();
    for pin in 0..2000 {
        link(&mut batch, pin, 0, 1.5);
        link(&mut batch, pin, 1 + pin % 50, 1.0);
    }
    engine.store().commit(&batch).expect("a commit");
    let options = TrainOptions { dim: 8, epochs: 0, ..TrainOptions::new(["pin"]) };
    engine.training(&options).run(&CancelToken::new()).expect("a training");
    for (pin, weight, is_rebuilt) in [(1, 1.0, false), (2, 10_000.0, true), (3, 1.0, false)] {
        let mut batch = Batch::new();
        link(&mut batch, pin, 0, weight);
        engine.store().commit(&batch).expect("a commit");
        assert_eq!(
            engine.refresh(false, &CancelToken::new()).expect("a refresh").full,
            is_rebuilt,
            "weight {weight}"
        );
    }
    let (refreshed, rebuilt) = refreshed_and_rebuilt(&engine);
    assert_eq!(refreshed, rebuilt);
}

/// A refresh becomes a rebuild in two ways: too many changed lists, or so many dirty nodes that the lists are not read.
#[test]
fn a_refresh_of_too_many_changes_is_a_rebuild_and_reports_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(&folder.path().join("store"));
    let mut model_graph = GraphModel::new(3, 200);
    engine.store().commit(&model_graph.initial_batch()).expect("a commit");
    engine.training(&options(4)).run(&CancelToken::new()).expect("a training");
    let rows = engine.digest(&CancelToken::new()).expect("a digest").nodes;
    let pin = model_graph.nodes.keys().find(|name| name.kind == "pin").expect("a pin").clone();
    let mut rebuilds = [false; 2];
    // Commit at least this many operations, then refresh.
    for operations in [1, 5, 25, 40, 60, 80, 300, 1000] {
        let mut batch = model_graph.batch(1);
        while batch.len() < operations {
            let more = model_graph.batch(operations);
            engine.store().commit(&batch).expect("a commit");
            batch = more;
        }
        engine.store().commit(&batch).expect("a commit");
        let dirty = engine.store().dirty_nodes();
        // The refresh explains a pin, where the graph still contains it.
        let has_pin = model_graph.nodes.contains_key(&pin);
        let (report, reasons) = if has_pin {
            let (report, explanation) =
                engine.refresh_explained(pin.as_ref(), &CancelToken::new()).expect("a refresh");
            (report, explanation.reasons)
        } else {
            (engine.refresh(false, &CancelToken::new()).expect("a refresh"), Vec::new())
        };
        assert_eq!(report.full && has_pin, reasons == [RefreshReason::Rebuild], "{operations} operations");
        if report.full {
            rebuilds[usize::from(dirty > rows)] = true;
            assert!(report.dirty_nodes > 0 && report.dirty_nodes <= dirty, "{report:?}");
        }
        let (refreshed, rebuilt) = refreshed_and_rebuilt(&engine);
        assert_eq!(refreshed, rebuilt, "{operations} operations");
    }
    assert_eq!(rebuilds, [true; 2], "rebuilds by changed lists, and by dirty nodes");
    // Five matrices of eight numbers a row: the inputs, two layers, the unit vectors and the readers' copy of them.
    assert!(engine.memory().expect("a model") >= rows * 5 * 8 * 4);
}
