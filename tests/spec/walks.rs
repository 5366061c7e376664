//! The walker's promises: draws are fair, stable and canonical, and the backward search finds exactly the
//! sources whose walks changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hedgerow::{
    Batch, Edge, Engine, Generation, KindIx, NodeIx, NodeName, NodeRef, Policy, Publish, RelationIx,
    Snapshot, Store, WalkOptions, Walker,
};

use crate::world::World;

fn store(path: &Path) -> Store {
    Store::options().create(true).open(path.join("store")).expect("the store opens")
}

fn link(batch: &mut Batch, board: &str, pin: &str, weight: f32) {
    let edge = Edge { weight, ..Edge::default() };
    batch
        .link(NodeRef { kind: "board", key: board }, NodeRef { kind: "pin", key: pin }, edge)
        .expect("a valid edge");
}

fn pins(snapshot: &Snapshot) -> KindIx {
    snapshot.kind_ix("pin").expect("there are pins")
}

/// Every node that every walk of every source stands on, by the source's name.
fn all_hops(
    snapshot: &Snapshot,
    options: WalkOptions,
    policy: &Policy,
) -> BTreeMap<NodeName, Vec<Vec<NodeName>>> {
    let walker = Walker::new(snapshot, options, policy).expect("valid walks");
    let hops_of = |source: NodeIx| {
        let walk = |walk| walker.hops(source, walk).map(|node| snapshot.name(node)).collect();
        (0..options.walks).map(walk).collect::<Vec<Vec<NodeName>>>()
    };
    snapshot.nodes_of(pins(snapshot)).map(|source| (snapshot.name(source), hops_of(source))).collect()
}

/// Walks compared one by one before and after a batch, against the search. Batches of many operations too, since
/// the search runs once for all of them.
#[test]
fn the_backward_search_finds_exactly_the_sources_whose_walks_changed() {
    for seed in 0..120u64 {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        let mut world = World::new(seed, 40);
        store.commit(&world.founding()).expect("a commit");
        let options = WalkOptions { walks: 40, seed, ..WalkOptions::default() };
        let before = store.snapshot();
        let policy = Policy::default_for(&before, pins(&before));
        // What changes is remembered for the sake of something derived.
        let derived = Publish { generation: Generation::new(1), refreshed: before.epoch(), files: vec![] };
        store.publish(derived).expect("published");
        let batch = world.batch([1, 2, 30][seed as usize % 3]);
        store.commit(&batch).expect("a commit");
        let after = store.snapshot();
        let changes = store.changes(before.epoch(), &after).expect("the changes");

        let (old, new) = (all_hops(&before, options, &policy), all_hops(&after, options, &policy));
        let expected: BTreeSet<NodeName> = new
            .iter()
            .filter(|(source, walks)| match old.get(*source) {
                Some(before) => before != *walks,
                None => walks.iter().any(|walk| !walk.is_empty()),
            })
            .map(|(source, _)| source.clone())
            .collect();
        let walker = Walker::new(&after, options, &policy).expect("valid walks");
        let found: BTreeSet<NodeName> = walker
            .reached(&changes)
            .into_iter()
            .filter(|&node| after.is_alive(node))
            .map(|node| after.name(node))
            .collect();
        assert_eq!(found, expected, "seed {seed}");
    }
}

/// Pearson's statistic is below its mean plus five standard deviations: a fair draw fails once in a million.
fn assert_fair(observed: &BTreeMap<String, u64>, expected: &BTreeMap<String, f64>, what: &str) {
    let total: u64 = observed.values().sum();
    let mut statistic = 0.0;
    for (name, share) in expected {
        let mean = share * total as f64;
        let count = observed.get(name).copied().unwrap_or(0) as f64;
        statistic += (count - mean).powi(2) / mean;
    }
    assert!(observed.keys().all(|name| expected.contains_key(name)), "{what}: an impossible outcome");
    let freedom = (expected.len() - 1) as f64;
    let bound = freedom + 5.0 * (2.0 * freedom).sqrt() + 5.0;
    assert!(statistic < bound, "{what}: chi-square {statistic:.1} with {freedom} degrees of freedom");
}

/// ```text
///   pin:a --1-- board:x --2-- pin:b        from a, to x by 1/4, to y by 3/4
///   pin:a --3-- board:y --1-- pin:c        from x: a 1/3, b 2/3; from y: a 3/5, c 1/5, b 1/5
///                board:y --1-- pin:b       first visits: a .5333, b .3167, c .15
/// ```
#[test]
fn walk_frequencies_are_the_exact_probabilities_on_a_weighted_graph() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut batch = Batch::new();
    for (board, pin, weight) in
        [("x", "a", 1.0), ("x", "b", 2.0), ("y", "a", 3.0), ("y", "c", 1.0), ("y", "b", 1.0)]
    {
        link(&mut batch, board, pin, weight);
    }
    store.commit(&batch).expect("a commit");
    let snapshot = store.snapshot();
    let policy = Policy::default_for(&snapshot, pins(&snapshot));
    let options = WalkOptions { walks: 100_000, ..WalkOptions::default() };
    let walker = Walker::new(&snapshot, options, &policy).expect("valid walks");
    let source = snapshot.require(NodeRef { kind: "pin", key: "a" }).expect("it is there");
    let mut first: BTreeMap<String, u64> = BTreeMap::new();
    let mut second: BTreeMap<String, u64> = BTreeMap::new();
    for walk in 0..options.walks {
        let visits: Vec<_> = walker.walk(source, walk).map(|node| snapshot.name(node).to_string()).collect();
        *first.entry(visits[0].clone()).or_default() += 1;
        if let Some(visit) = visits.get(1) {
            *second.entry(visit.clone()).or_default() += 1;
        }
    }
    // Transition probabilities pin -> pin, by hand; the second visit is the first step applied twice.
    let step = |from: &str| -> BTreeMap<String, f64> {
        let boards: &[(&str, f64)] = match from {
            "pin:a" => &[("x", 0.25), ("y", 0.75)],
            "pin:b" => &[("x", 2.0 / 3.0), ("y", 1.0 / 3.0)],
            _ => &[("y", 1.0)],
        };
        let mut to = BTreeMap::new();
        for (board, share) in boards {
            let pins: &[(&str, f64)] = match *board {
                "x" => &[("pin:a", 1.0 / 3.0), ("pin:b", 2.0 / 3.0)],
                _ => &[("pin:a", 0.6), ("pin:b", 0.2), ("pin:c", 0.2)],
            };
            for (pin, part) in pins {
                *to.entry((*pin).to_owned()).or_default() += share * part;
            }
        }
        to
    };
    let once = step("pin:a");
    let mut twice: BTreeMap<String, f64> = BTreeMap::new();
    for (through, share) in &once {
        for (to, part) in step(through) {
            *twice.entry(to).or_default() += share * part;
        }
    }
    assert_fair(&first, &once, "the first visit");
    assert_fair(&second, &twice, "the second visit");
}

#[test]
fn draws_are_uniform_at_every_degree() {
    for degree in [1usize, 2, 3, 5, 8, 31, 32, 33, 64, 100, 127, 128, 1000, 4097] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        let mut batch = Batch::new();
        for pin in 0..degree {
            link(&mut batch, "hub", &pin.to_string(), 1.0);
        }
        store.commit(&batch).expect("a commit");
        let snapshot = store.snapshot();
        let hub = snapshot.require(NodeRef { kind: "board", key: "hub" }).expect("it is there");
        let list = snapshot.list(RelationIx::new(0), hub);
        let mut drawn: BTreeMap<String, u64> = BTreeMap::new();
        for key in 0..(degree as u64 * 50).max(5000) {
            let at = hedgerow::pick(&list, key.wrapping_mul(0x9e37_79b9_7f4a_7c15)).expect("not empty");
            *drawn.entry(snapshot.name(list.neighbor(at)).key).or_default() += 1;
        }
        let expected = (0..degree).map(|pin| (pin.to_string(), 1.0 / degree as f64)).collect();
        assert_fair(&drawn, &expected, &format!("degree {degree}"));
    }
}

/// A list grown to 512 neighbours one by one and taken down again, a whole number of doublings of its table: on
/// average an edge changes no more than 2.5 / degree of the draws.
#[test]
fn one_edge_changes_few_draws() {
    const DRAWS: u64 = 2000;
    const DEGREE: usize = 512;
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let draws = |snapshot: &Snapshot| -> Vec<Option<String>> {
        let Some(hub) = snapshot.lookup(NodeRef { kind: "board", key: "hub" }) else {
            return vec![None; DRAWS as usize];
        };
        let list = snapshot.list(RelationIx::new(0), hub);
        let key = |draw: u64| draw.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let name = |at| snapshot.name(list.neighbor(at)).key;
        (0..DRAWS).map(|draw| hedgerow::pick(&list, key(draw)).map(name)).collect()
    };
    let changed_at = |grow: bool| {
        let mut before = draws(&store.snapshot());
        let mut total = 0.0;
        let steps: Vec<usize> = if grow { (0..DEGREE).collect() } else { (0..DEGREE).rev().collect() };
        for pin in steps {
            let mut batch = Batch::new();
            let (hub, pin_key) = (NodeRef { kind: "board", key: "hub" }, pin.to_string());
            let end = NodeRef { kind: "pin", key: &pin_key };
            if grow {
                batch.link(hub, end, Edge::default()).expect("a valid edge");
            } else {
                batch.unlink(hub, end, None).expect("a valid edge");
            }
            store.commit(&batch).expect("a commit");
            let after = draws(&store.snapshot());
            let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            total += changed as f64 / DRAWS as f64 * (pin + 1) as f64;
            before = after;
        }
        total / DEGREE as f64
    };
    let (growing, shrinking) = (changed_at(true), changed_at(false));
    assert!(growing < 2.5, "growing: {growing:.2} / degree of the draws change");
    assert!(shrinking < 2.5, "shrinking: {shrinking:.2} / degree of the draws change");
}

/// A reweighted edge moves only the draws inside the band of weight that changed.
#[test]
fn a_changed_weight_moves_its_own_share_of_draws() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut batch = Batch::new();
    for pin in 0..100 {
        link(&mut batch, "hub", &pin.to_string(), 2.0);
    }
    link(&mut batch, "hub", "0", 3.0);
    store.commit(&batch).expect("a commit");
    let before = store.snapshot();
    let mut batch = Batch::new();
    link(&mut batch, "hub", "1", 3.0);
    store.commit(&batch).expect("a commit");
    let after = store.snapshot();
    let hub = before.require(NodeRef { kind: "board", key: "hub" }).expect("it is there");
    let (old, new) = (before.list(RelationIx::new(0), hub), after.list(RelationIx::new(0), hub));
    let draws = 20_000u64;
    let changed = (0..draws)
        .map(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .filter(|&key| hedgerow::pick(&old, key) != hedgerow::pick(&new, key))
        .count();
    let share = changed as f64 / draws as f64;
    assert!(share < 2.0 / 100.0, "{share} of the draws changed, the edge gained 1 of 202 in weight");
    assert!(changed > 0, "a heavier edge must be drawn more often");
}

#[test]
fn a_neighborhood_is_ordered_by_visits_and_leaves_out_the_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = std::sync::Arc::new(store(folder.path()));
    let mut world = World::new(2, 40);
    store.commit(&world.founding()).expect("a commit");
    let engine = Engine::open(store.clone()).expect("the engine opens");
    let snapshot = store.snapshot();
    let mut seen = 0;
    for source in snapshot.nodes_of(pins(&snapshot)) {
        let name = snapshot.name(source);
        let listed = engine.neighborhood(name.as_ref(), usize::MAX).expect("a neighbourhood");
        assert!(listed.iter().all(|entry| entry.node != name && entry.visits >= 2));
        assert!(listed.windows(2).all(|pair| pair[0].visits >= pair[1].visits));
        let sum: f32 = listed.iter().map(|entry| entry.importance).sum();
        assert!(listed.is_empty() || (sum - 1.0).abs() < 1e-5, "importances add up to {sum}");
        seen += listed.len();
    }
    assert!(seen > 0, "no neighbourhood had anyone in it");
}
