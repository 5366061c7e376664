//! Promise 3: two stores that hold the same nodes, edges, features and model give the same digest, however
//! they came to be.

use std::sync::Arc;

use hedgerow::{Batch, CancelToken, Edge, Engine, NodeName, Store, TrainOptions, WalkOptions};

use crate::fixtures::graph_model::{DENSE, GraphModel};

fn engine(folder: &tempfile::TempDir, name: &str) -> Engine {
    let store = Store::options().create(true).open(folder.path().join(name)).expect("the store opens");
    Engine::open(Arc::new(store)).expect("the engine opens")
}

fn options() -> TrainOptions {
    TrainOptions {
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

/// One store lives through a history of additions and removals; the other is given the outcome only, backwards,
/// one edge a batch, the ends of every edge swapped. Training is part of it: what it draws is addressed by
/// stable ids, so both learn the same weights.
#[test]
fn order_of_arrival_and_removals_do_not_show() {
    for seed in 0..12 {
        let folder = tempfile::tempdir().expect("a folder");
        let lived = engine(&folder, "lived");
        let mut model_graph = GraphModel::new(seed, 30);
        lived.store().commit(&model_graph.initial_batch()).expect("a commit");
        for _ in 0..20 {
            lived.store().commit(&model_graph.batch(6)).expect("a commit");
        }

        let given = engine(&folder, "given");
        for (node, features) in model_graph.nodes.iter().rev() {
            let mut batch = Batch::new();
            batch.add_node(node.as_ref()).expect("a valid node");
            if let Some(values) = &features.dense {
                batch.set_dense(node.as_ref(), DENSE, values).expect("valid numbers");
            }
            let tokens: Vec<&String> = features.tokens.iter().rev().collect();
            batch.set_tokens(node.as_ref(), &tokens).expect("valid tokens");
            given.store().commit(&batch).expect("a commit");
        }
        for ((relation, a, b), &(weight, time)) in model_graph.edges.iter().rev() {
            let mut batch = Batch::new();
            let edge = Edge { weight, time, relation: Some(relation) };
            batch.link(b.as_ref(), a.as_ref(), edge).expect("a valid edge");
            given.store().commit(&batch).expect("a commit");
        }

        let digests = [&lived, &given].map(|engine| {
            engine.training(&options()).run(&CancelToken::new()).expect("a training");
            engine.digest(&CancelToken::new()).expect("a digest").digest
        });
        assert_eq!(digests[0], digests[1], "seed {seed}");
    }
}

/// The digest must not be blind: one edge, one token, one number changes it.
#[test]
fn a_digest_notices_every_kind_of_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder, "store");
    let mut model_graph = GraphModel::new(3, 30);
    engine.store().commit(&model_graph.initial_batch()).expect("a commit");
    engine.training(&options()).run(&CancelToken::new()).expect("a training");
    let (pin, board) = (name("pin:1"), name("board:1"));
    let mut seen = vec![engine.digest(&CancelToken::new()).expect("a digest").digest];
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
