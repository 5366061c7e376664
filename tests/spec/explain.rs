//! Promise: a refresh explains each changed embedding by a chain of reasons that ends at a committed change.

use std::collections::BTreeMap;
use std::sync::Arc;

use hedgerow::{
    CancelToken, Conv, Engine, Ids, NodeName, RefreshExplanation, RefreshReason, Store, TrainOptions,
    WalkOptions,
};

use crate::fixtures::graph_model::{EdgeName, Features, GraphModel};

const PINS: usize = 30;

fn options(seed: u64) -> TrainOptions {
    TrainOptions {
        targets: vec!["pin".into()],
        dim: 8,
        layers: 2,
        conv: if seed.is_multiple_of(2) { Conv::PinSage } else { Conv::Light },
        walks: WalkOptions { walks: 24, top: 6, min_visits: 2, seed, ..WalkOptions::default() },
        ids: Ids::On,
        epochs: 1,
        batch: 32,
        negatives: 8,
        held_out: 0,
        ..TrainOptions::default()
    }
}

/// A copy of the reference model's content.
struct Graph {
    nodes: BTreeMap<NodeName, Features>,
    edges: BTreeMap<EdgeName, (f32, Option<i64>)>,
}

impl Graph {
    fn of(model_graph: &GraphModel) -> Self {
        Self { nodes: model_graph.nodes.clone(), edges: model_graph.edges.clone() }
    }
}

fn bits(engine: &Engine, pin: &NodeName) -> Option<Vec<u32>> {
    let embedded = engine.embedding(pin.as_ref()).ok()?;
    Some(embedded.vector.iter().map(|value| value.to_bits()).collect())
}

/// Asserts that the last reason names something that differs between the two graphs.
fn assert_cause(explanation: &RefreshExplanation, before: &Graph, after: &Graph, place: &str) {
    let last =
        explanation.reasons.last().unwrap_or_else(|| panic!("{place}: changed, but no reason is given"));
    let degree = |model_graph: &Graph, node: &NodeName| {
        model_graph.edges.keys().filter(|(_, a, b)| a == node || b == node).count()
    };
    match last {
        RefreshReason::Features { node } => {
            assert_ne!(before.nodes.get(node), after.nodes.get(node), "{place}: {node}");
        }
        RefreshReason::AddedOrRemoved { node } => {
            assert_ne!(before.nodes.contains_key(node), after.nodes.contains_key(node), "{place}: {node}");
        }
        RefreshReason::Degree { node } | RefreshReason::NeighborDegree { neighbor: node, .. } => {
            assert_ne!(degree(before, node), degree(after, node), "{place}: {node}");
        }
        RefreshReason::Walks { at, was, now, relation, edges, .. } => {
            assert_ne!(was, now, "{place}");
            assert!(!edges.is_empty(), "{place}: the list of {at} did not change");
            for end in edges {
                let (a, b) = if at <= end { (at, end) } else { (end, at) };
                let edge = |model_graph: &Graph| {
                    model_graph.edges.get(&(relation.clone(), a.clone(), b.clone())).map(|edge| edge.0)
                };
                assert_ne!(edge(before), edge(after), "{place}: {at} to {end}");
            }
        }
        RefreshReason::OwnRow { .. } | RefreshReason::NeighborRow { .. } | RefreshReason::Rebuild => {
            panic!("{place}: the chain ends with {last:?}, which is no committed change")
        }
    }
}

#[test]
fn every_changed_embedding_is_explained_by_a_committed_change() {
    let mut kinds = BTreeMap::new();
    for seed in 0..25 {
        // Given: a trained engine over a random graph.
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path().join("store")).expect("a store");
        let engine = Engine::open(Arc::new(store)).expect("an engine");
        let mut model_graph = GraphModel::new(seed, PINS);
        engine.store().commit(&model_graph.initial_batch()).expect("a commit");
        engine.training(&options(seed)).run(&CancelToken::new()).expect("a training");
        for step in 0..20 {
            // When: a batch is committed, and the refresh explains a random pin.
            let pin = NodeName::new("pin", model_graph.random_below(PINS).to_string()).expect("a name");
            let before = Graph::of(&model_graph);
            let old = bits(&engine, &pin);
            engine.store().commit(&model_graph.batch(2)).expect("a commit");
            let place = format!("seed {seed}, step {step}, {pin}");
            match engine.refresh_explained(pin.as_ref(), &CancelToken::new()) {
                Ok((report, explanation)) => {
                    // Then: a changed embedding has a cause that differs between the graphs.
                    let changed = old != bits(&engine, &pin);
                    if report.full {
                        assert_eq!(explanation.reasons, [RefreshReason::Rebuild], "{place}");
                        continue;
                    }
                    // A change of the node's weight in histories is also reported, and leaves the embedding equal.
                    assert!(explanation.changed || !changed, "{place}: changed, but not explained");
                    if changed {
                        assert_cause(&explanation, &before, &Graph::of(&model_graph), &place);
                        let name = format!("{:?}", explanation.reasons[0]);
                        let name = name.split(' ').next().unwrap_or_default().to_owned();
                        *kinds.entry(name).or_insert(0) += 1;
                    }
                }
                // A pin that is not in the graph has no explanation.
                Err(error) => {
                    assert!(!model_graph.nodes.contains_key(&pin), "{place}: {error}");
                    engine.refresh(false, &CancelToken::new()).expect("a refresh");
                }
            }
        }
    }
    // The chains start with reasons of several kinds.
    for kind in ["NeighborRow", "OwnRow", "Walks"] {
        assert!(kinds.contains_key(kind), "no {kind} among {kinds:?}");
    }
}
