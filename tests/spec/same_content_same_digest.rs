//! Promise 3: stores with the same nodes, edges, features and model have the same digest.
//!
//! The order of arrival and removals do not matter.

use std::sync::Arc;

use hedgerow::{Batch, CancelToken, Edge, Engine, NodeName, Store, TrainOptions, WalkOptions};

use crate::fixtures::graph_model::{DENSE, GraphModel};

fn engine(folder: &tempfile::TempDir, name: &str) -> Engine {
    let store = Store::options().create(true).open(folder.path().join(name)).expect("the store opens");
    Engine::open(Arc::new(store)).expect("the engine opens")
}

fn options() -> TrainOptions {
    let weights = [("board-pin", 1.0), ("pin-user", 0.5), ("near", 0.2), ("seen", 0.7)];
    TrainOptions {
        relations: weights.map(|(name, weight)| (name.to_owned(), weight)).into(),
        targets: vec!["pin".into()],
        dim: 8,
        walks: WalkOptions { walks: 50, ..WalkOptions::default() },
        epochs: 2,
        batch: 32,
        negatives: 8,
        held_out: 20,
        ..TrainOptions::default()
    }
}

/// One store takes random additions and removals. The other store takes the final content in reverse order, one edge in a
/// batch, with the ends of each edge swapped.
///
/// Both are trained. The draws of a training depend on stable ids, so both learn the same weights.
#[test]
fn the_order_of_arrival_and_removals_do_not_change_the_digest() {
    for seed in 0..12 {
        let folder = tempfile::tempdir().expect("a folder");
        // Given: a store after a history of additions and removals.
        let changed = engine(&folder, "changed");
        let mut model_graph = GraphModel::new(seed, 30).with_dislikes();
        changed.store().commit(&model_graph.initial_batch()).expect("a commit");
        for _ in 0..20 {
            changed.store().commit(&model_graph.batch(6)).expect("a commit");
        }

        // And: a store with the final content.
        let copied = engine(&folder, "copied");
        let mut batch = Batch::new();
        model_graph.declare_relations(&mut batch);
        copied.store().commit(&batch).expect("a commit");
        for (node, features) in model_graph.nodes.iter().rev() {
            let mut batch = Batch::new();
            batch.add_node(node.as_ref()).expect("a valid node");
            if let Some(values) = &features.dense {
                batch.set_dense(node.as_ref(), DENSE, values).expect("valid numbers");
            }
            let tokens: Vec<&String> = features.tokens.iter().rev().collect();
            batch.set_tokens(node.as_ref(), &tokens).expect("valid tokens");
            copied.store().commit(&batch).expect("a commit");
        }
        for ((relation, a, b), &(weight, time)) in model_graph.edges.iter().rev() {
            let mut batch = Batch::new();
            let edge = Edge { weight, time, relation: Some(relation), ..Edge::default() };
            batch.link(b.as_ref(), a.as_ref(), edge).expect("a valid edge");
            copied.store().commit(&batch).expect("a commit");
        }

        // Then: after equal trainings their digests are equal.
        let digests = [&changed, &copied].map(|engine| {
            engine.training(&options()).run(&CancelToken::new()).expect("a training");
            engine.digest(&CancelToken::new()).expect("a digest").digest
        });
        assert_eq!(digests[0], digests[1], "seed {seed}");
    }
}

/// One changed weight, edge, token, number or node changes the digest. A digest that ignored one would pass the test above.
#[test]
fn every_kind_of_change_changes_the_digest() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, "store");
    let mut model_graph = GraphModel::new(5, 30);
    engine.store().commit(&model_graph.initial_batch()).expect("a commit");
    engine.training(&options()).run(&CancelToken::new()).expect("a training");
    let (pin, board) = (name("pin:1"), name("board:1"));
    let mut seen = vec![engine.digest(&CancelToken::new()).expect("a digest").digest];
    // Commits one change, refreshes, and adds the digest to `seen`.
    let mut changed_by = |change: &dyn Fn(&mut Batch)| {
        let mut batch = Batch::new();
        change(&mut batch);
        engine.store().commit(&batch).expect("a commit");
        engine.refresh(false, &CancelToken::new()).expect("a refresh");
        seen.push(engine.digest(&CancelToken::new()).expect("a digest").digest);
    };
    changed_by(&|batch| {
        let edge = Edge { weight: 40.0, ..Edge::default() };
        batch.link(board.as_ref(), pin.as_ref(), edge).expect("a valid edge");
    });
    let (relation, a, b) = model_graph.edges.keys().next().expect("there are edges").clone();
    changed_by(&|batch| batch.unlink(a.as_ref(), b.as_ref(), Some(&relation)).expect("a valid edge"));
    changed_by(&|batch| batch.set_tokens(pin.as_ref(), &["word=w3", "word=w7"]).expect("valid tokens"));
    changed_by(&|batch| batch.set_dense(pin.as_ref(), DENSE, &[0.5, 0.25, -9.0]).expect("valid numbers"));
    changed_by(&|batch| batch.remove(pin.as_ref()).expect("a valid node"));
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), all, "two of the digests are equal");
}

fn name(text: &str) -> NodeName {
    text.parse().expect("a valid name")
}
