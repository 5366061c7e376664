//! Limits that a graph reaches late, and names that share a stable id: a batch is refused before anything is written.

use std::sync::Arc;

use crate::bulk::load::BulkLoad;
use crate::graph::graph_state::GraphState;
use crate::graph::plan::{MAX_NODES, MAX_RELATIONS, max_neighbors, plan};
use crate::store::handle::Store;
use crate::types::batch::{Batch, Edge};
use crate::types::cancel::CancelToken;
use crate::types::error::Error;
use crate::types::ids::NodeIx;
use crate::types::names::NodeRef;

fn node(text: &str) -> NodeRef<'_> {
    NodeRef::parse(text).expect("valid")
}

/// A store with one edge.
fn store(folder: &tempfile::TempDir) -> Store {
    let store = Store::options().create(true).open(folder.path()).expect("created");
    store.commit(&link("pin:1", None)).expect("committed");
    store
}

fn link(pin: &str, relation: Option<&str>) -> Batch {
    let mut batch = Batch::new();
    batch.link(node(pin), node("board:1"), Edge { relation, ..Edge::default() }).expect("valid");
    batch
}

fn state(store: &Store) -> GraphState {
    GraphState::clone(&store.snapshot().0)
}

/// The limit that a batch would exceed, and the number that it would lead to.
fn limit<T>(result: Result<T, Error>) -> Option<(&'static str, u64, u64)> {
    match result {
        Ok(_) => None,
        Err(Error::Limit { what, limit, found }) => Some((what, limit, found)),
        Err(other) => panic!("{other}"),
    }
}

/// The number after the last one overflowed.
#[test]
fn the_last_number_is_given_to_a_node_and_no_further_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut full = state(&store(&folder));
    full.bound = u32::MAX - 1;
    let mut batch = Batch::new();
    batch.add_node(node("pin:2")).expect("valid");
    assert_eq!(limit(plan(&full, &batch)), None);
    batch.add_node(node("pin:3")).expect("valid");
    assert_eq!(limit(plan(&full, &batch)), Some(("nodes", MAX_NODES, MAX_NODES + 1)));
}

#[test]
fn a_relation_over_the_limit_is_refused_and_known_ones_are_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut full = state(&store(&folder));
    full.relations = vec![Arc::clone(&full.relations[0]); MAX_RELATIONS];
    assert_eq!(limit(plan(&full, &link("pin:2", None))), None);
    let most = MAX_RELATIONS as u64;
    assert_eq!(limit(plan(&full, &link("pin:2", Some("likes")))), Some(("relations", most, most + 1)));
}

/// An edge to a new node was not counted, so that nothing kept a degree below the largest one.
#[test]
fn a_node_with_too_many_neighbors_gets_no_other_one_and_loses_them_as_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder);
    let mut batch = Batch::new();
    for at in 0..=max_neighbors(None) {
        batch.link(node(&format!("pin:{at}")), node("board:1"), Edge::default()).expect("valid");
    }
    batch.add_node(node("pin:single")).expect("valid");
    store.commit(&batch).expect("a batch may exceed the limit once");
    let most = max_neighbors(None) as u64;
    for pin in ["pin:new", "pin:single"] {
        let refused = limit(store.commit(&link(pin, None)));
        assert_eq!(refused, Some(("neighbors of a node", most, most + 1)), "{pin}");
    }
    // Another relation, another weight and a removal are no new neighbor.
    store.commit(&link("pin:new", Some("likes"))).expect("committed");
    let heavy = Edge { weight: 2.0, ..Edge::default() };
    batch.clear();
    batch.link(node("pin:1"), node("board:1"), heavy).expect("valid");
    batch.unlink(node("pin:2"), node("board:1"), None).expect("valid");
    let changed = store.commit(&batch).expect("committed");
    assert_eq!((changed.edges_changed, changed.edges_removed), (1, 1));
    store.commit(&link("pin:new", None)).expect("there is room");
}

#[test]
fn a_load_over_the_limit_of_neighbors_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::options().create(true).open(folder.path()).expect("created");
    let mut load = BulkLoad::new();
    load.nodes("board", ["1"]).expect("valid");
    let pins = load.nodes("pin", (0..=max_neighbors(None)).map(|at| at.to_string())).expect("valid");
    let edges = pins.map(|pin| (NodeIx::new(0), NodeIx::new(pin))).collect();
    load.edges(None, edges, None).expect("valid");
    let most = max_neighbors(None) as u64;
    let refused = limit(store.load(load, &CancelToken::new()));
    assert_eq!(refused, Some(("neighbors of a node", most, most + 1)));
    assert_eq!(store.snapshot().node_count(), 0);
}

#[test]
fn a_name_with_the_stable_id_of_another_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder);
    let mut known = Batch::new();
    known.add_node(node("pin:2")).expect("valid");
    known.forge(node("pin:1").stable_id());
    let mut new = Batch::new();
    for pin in ["pin:8", "pin:2"] {
        new.add_node(node(pin)).expect("valid");
    }
    new.forge(node("pin:8").stable_id());
    for (batch, other) in [(known, "pin:1"), (new, "pin:8")] {
        let error = store.commit(&batch).expect_err("they are two").to_string();
        let expected = format!("found 'pin:2', expected a key whose stable id is not that of {other}");
        assert!(error.contains(&expected), "{error}");
    }
    assert_eq!(store.snapshot().bound(), 2);
}
