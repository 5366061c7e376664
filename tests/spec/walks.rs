//! Promise: walks have exact transition probabilities, and are the same one by one, interleaved, dense, and with any
//! number of threads.

use std::collections::BTreeMap;
use std::path::Path;

use hedgerow::{
    Batch, CancelToken, Edge, Engine, KindIx, NodeIx, NodeRef, Policy, Snapshot, Store, Visit, WalkOptions,
    Walker,
};

use crate::fixtures::chi_square::assert_distribution;
use crate::fixtures::graph_model::GraphModel;

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

fn with_threads<T: Send>(threads: usize, job: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool").install(job)
}

fn assert_shares(observed: &BTreeMap<String, u64>, expected: &BTreeMap<String, f64>, what: &str) {
    assert!(observed.keys().all(|name| expected.contains_key(name)), "{what}: an impossible outcome");
    let counts: Vec<u64> = expected.keys().map(|name| observed.get(name).copied().unwrap_or(0)).collect();
    assert_distribution(&counts, &expected.values().copied().collect::<Vec<_>>(), what);
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
    // Count the first and the second visits of all walks.
    let mut first: BTreeMap<String, u64> = BTreeMap::new();
    let mut second: BTreeMap<String, u64> = BTreeMap::new();
    for walk in 0..options.walks {
        let visits: Vec<_> = walker.walk(source, walk).map(|node| snapshot.name(node).to_string()).collect();
        *first.entry(visits[0].clone()).or_default() += 1;
        if let Some(visit) = visits.get(1) {
            *second.entry(visit.clone()).or_default() += 1;
        }
    }
    // The transition probabilities from pin to pin, by hand. The second visit applies the step twice.
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
    assert_shares(&first, &once, "the first visit");
    assert_shares(&second, &twice, "the second visit");
}

/// The reference for a neighborhood, by its definition: visits counted, filtered, ordered and cut.
fn reference_neighborhood(
    walker: &Walker<'_>,
    snapshot: &Snapshot,
    options: WalkOptions,
    source: NodeIx,
) -> Vec<Visit> {
    let mut counts: BTreeMap<NodeIx, u32> = BTreeMap::new();
    for walk in 0..options.walks {
        for node in walker.walk(source, walk) {
            *counts.entry(node).or_default() += 1;
        }
    }
    let kept = counts.into_iter().filter(|&(node, count)| {
        node != source && count >= options.min_visits && snapshot.kind(node) == snapshot.kind(source)
    });
    let mut kept: Vec<Visit> = kept.map(|(node, count)| Visit { node, count }).collect();
    kept.sort_by_key(|visit| (std::cmp::Reverse(visit.count), snapshot.stable_id(visit.node)));
    kept.truncate(options.top as usize);
    kept
}

/// Dense walks of many sources and interleaved walks of few or one give the same neighborhoods as walks made one by
/// one. The graph has three relations, one within a kind, weights, isolated and removed nodes and self-loops. Some
/// lists changed since the checkpoint.
#[test]
fn neighborhoods_are_the_same_one_by_one_and_all_at_once_with_any_number_of_threads() {
    for seed in 0..12 {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        let mut model_graph = GraphModel::new(seed, if seed % 3 == 0 { 3000 } else { 60 });
        store.commit(&model_graph.initial_batch()).expect("a commit");
        store.checkpoint(&CancelToken::new()).expect("a checkpoint");
        for _ in 0..10 {
            store.commit(&model_graph.batch(20)).expect("a commit");
        }
        let snapshot = store.snapshot();
        let policy = Policy::default_for(&snapshot, pins(&snapshot));
        let options = WalkOptions {
            walks: 40,
            seed,
            top: 10,
            min_visits: 1 + seed as u32 % 3,
            ..WalkOptions::default()
        };
        let walker = Walker::new(&snapshot, options, &policy).expect("valid walks");
        // All nodes of the kind, removed ones included, are sources of dense walks.
        let sources: Vec<NodeIx> =
            (0..snapshot.bound()).map(NodeIx::new).filter(|&n| snapshot.kind(n) == pins(&snapshot)).collect();
        let few: Vec<NodeIx> = sources.iter().copied().step_by(7).take(300).collect();
        let cancel = CancelToken::new();
        let all = walker.neighborhoods(&sources, &cancel).expect("not cancelled");
        assert_eq!(all.len(), sources.len());
        for (place, &source) in sources.iter().enumerate() {
            let expected = reference_neighborhood(&walker, &snapshot, options, source);
            assert_eq!(all.of(place), expected, "seed {seed}, source {place}");
            assert_eq!(walker.neighborhood(source), expected, "seed {seed}, source {place}");
            // A walker without a large job before reads changed lists from the overlay, not flattened.
            let fresh = Walker::new(&snapshot, options, &policy).expect("valid walks");
            assert_eq!(fresh.neighborhood(source), expected, "seed {seed}, source {place}");
        }
        // Few sources are interleaved.
        let some = walker.neighborhoods(&few, &cancel).expect("not cancelled");
        for (place, &source) in few.iter().enumerate() {
            assert_eq!(some.of(place), walker.neighborhood(source), "seed {seed}, source {place}");
        }
        // The number of threads does not change the result.
        for threads in [1, 2, 7] {
            let again =
                with_threads(threads, || walker.neighborhoods(&sources, &cancel).expect("not cancelled"));
            assert_eq!(again, all, "seed {seed}, {threads} threads");
            let again = with_threads(threads, || walker.neighborhoods(&few, &cancel).expect("not cancelled"));
            assert_eq!(again, some, "seed {seed}, {threads} threads");
        }
        cancel.cancel();
        assert!(walker.neighborhoods(&sources, &cancel).is_err());
        // A large job of uniform walks reads spans, a small one reads lists, and both give the same walks.
        let uniform = |sources: &[NodeIx], hops| {
            let fresh = Walker::new(&snapshot, options, &policy).expect("valid walks");
            let walks = fresh.uniform_walks(sources, hops, seed, &CancelToken::new()).expect("memory");
            (0..5).map(|place| walks.of(place).take(3).collect()).collect::<Vec<Vec<NodeIx>>>()
        };
        let hops = snapshot.bound() as usize / 5 + 3;
        assert_eq!(uniform(&sources[..5], 3), uniform(&sources, hops), "seed {seed}");
    }
}

/// A graph of one kind and one relation: every hop is a visit.
///
/// ```text
///   a -- b -- c      d to itself      e alone
/// ```
#[test]
fn a_graph_of_one_kind_with_loops_and_isolated_nodes_is_walked() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut batch = Batch::new();
    for (one, other) in [("a", "b"), ("b", "c"), ("d", "d")] {
        let (one, other) = (NodeRef { kind: "user", key: one }, NodeRef { kind: "user", key: other });
        batch.link(one, other, Edge::default()).expect("a valid edge");
    }
    batch.add_node(NodeRef { kind: "user", key: "e" }).expect("a valid node");
    store.commit(&batch).expect("a commit");
    let snapshot = store.snapshot();
    let policy = Policy::default_for(&snapshot, snapshot.kind_ix("user").expect("there are users"));
    let options = WalkOptions { walks: 2000, ..WalkOptions::default() };
    let walker = Walker::new(&snapshot, options, &policy).expect("valid walks");
    let node = |key| snapshot.require(NodeRef { kind: "user", key }).expect("it is there");
    let names = |key| -> Vec<(String, u32)> {
        walker
            .neighborhood(node(key))
            .iter()
            .map(|visit| (snapshot.name(visit.node).key, visit.count))
            .collect()
    };
    // From a every walk visits b first. Half of the walks continue, to a or c, and a quarter of all return to b.
    let of_a: BTreeMap<String, u32> = names("a").into_iter().collect();
    assert_eq!(of_a.keys().collect::<Vec<_>>(), ["b", "c"]);
    assert!((2400..2600).contains(&of_a["b"]) && (430..570).contains(&of_a["c"]), "{of_a:?}");
    assert_eq!((names("d"), names("e")), (vec![], vec![]));
    let uniform =
        walker.uniform_walks(&[node("d"), node("e"), node("a")], 5, 1, &CancelToken::new()).expect("memory");
    let walks: Vec<Vec<NodeIx>> = (0..3).map(|place| uniform.of(place).collect()).collect();
    assert_eq!((walks[0].len(), walks[1].len(), walks[2].len()), (5, 0, 5));
    assert!(walks[0].iter().all(|&at| at == node("d")) && walks[2][0] == node("b"));
}

#[test]
fn a_policy_that_leads_nowhere_is_refused_or_walks_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut batch = Batch::new();
    link(&mut batch, "x", "a", 1.0);
    store.commit(&batch).expect("a commit");
    let snapshot = store.snapshot();
    let policy = |paths: &[&[&str]]| Policy {
        kind: "pin".to_owned(),
        paths: paths.iter().map(|path| path.iter().map(|name| (*name).to_owned()).collect()).collect(),
        weights: Vec::new(),
        moment: 0,
    };
    let walker = |paths: &[&[&str]]| Walker::new(&snapshot, WalkOptions::default(), &policy(paths));
    assert!(walker(&[&["board-pin"], &[]]).is_err());
    let source = snapshot.require(NodeRef { kind: "pin", key: "a" }).expect("it is there");
    // No path; an unknown relation; an unknown relation after a known one; a relation that never leads back to a pin.
    let nowhere: [&[&[&str]]; 4] = [&[], &[&["likes"]], &[&["board-pin", "likes"]], &[&["board-pin"]]];
    for paths in nowhere {
        let walker = walker(paths).expect("valid walks");
        assert_eq!(walker.neighborhood(source), []);
        let many = vec![source; 600];
        let all = walker.neighborhoods(&many, &CancelToken::new()).expect("not cancelled");
        assert!(all.len() == 600 && all.iter().all(<[Visit]>::is_empty), "{paths:?}");
    }
}

/// A model from outside named a path of 100,000 relations: the keys of its walks took gigabytes and half a minute. Such a
/// path is refused, and paths that no walk follows cost nothing.
#[test]
fn a_policy_of_more_hops_than_walks_should_make_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut batch = Batch::new();
    link(&mut batch, "x", "a", 1.0);
    link(&mut batch, "x", "b", 1.0);
    store.commit(&batch).expect("a commit");
    let snapshot = store.snapshot();
    let policy = |paths: usize, length: usize| Policy {
        kind: "pin".to_owned(),
        paths: vec![vec!["board-pin".to_owned(); length]; paths],
        weights: Vec::new(),
        moment: 0,
    };
    let walker = |options, paths, length| Walker::new(&snapshot, options, &policy(paths, length));
    let most = WalkOptions { walks: 100_000, visits: 64, ..WalkOptions::default() };
    for (options, paths, length, message) in [
        (WalkOptions::default(), 1, 100_000, "at most 64 relations in a path"),
        (WalkOptions::default(), 100_000, 1, "at most 65,535 paths"),
        (most, 1, 4, "at most 16,777,216 hops"),
    ] {
        let refused = walker(options, paths, length).err().expect("refused").to_string();
        assert!(refused.contains(message), "{refused}");
    }
    assert!(walker(most, 1, 2).is_ok());
    let source = snapshot.require(NodeRef { kind: "pin", key: "a" }).expect("it is there");
    let of = |paths| walker(WalkOptions::default(), paths, 2).expect("valid walks").neighborhood(source);
    assert_eq!(of(65_535), of(1));
}

/// A user was added and removed. The relation has no edges left, so the default policy must have no path through it.
#[test]
fn a_relation_that_lost_its_edges_does_not_show_in_the_default_policy() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut batch = Batch::new();
    link(&mut batch, "x", "a", 1.0);
    store.commit(&batch).expect("a commit");
    let before = Policy::default_for(&store.snapshot(), pins(&store.snapshot()));
    let (user, pin) = (NodeRef { kind: "user", key: "u" }, NodeRef { kind: "pin", key: "a" });
    let mut batch = Batch::new();
    batch.link(user, pin, Edge::default()).expect("a valid edge");
    store.commit(&batch).expect("a commit");
    assert_ne!(Policy::default_for(&store.snapshot(), pins(&store.snapshot())), before);
    let mut batch = Batch::new();
    batch.remove(user).expect("a valid node");
    store.commit(&batch).expect("a commit");
    assert_eq!(Policy::default_for(&store.snapshot(), pins(&store.snapshot())), before);
}

/// Boards x and y as above, and a board z: the second hop of a uniform walk leads to a pin with the probability
/// computed below.
#[test]
fn uniform_walks_have_the_exact_probabilities_and_do_not_depend_on_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut batch = Batch::new();
    for (board, pin, weight) in [
        ("x", "a", 1.0),
        ("x", "b", 2.0),
        ("y", "a", 3.0),
        ("y", "c", 1.0),
        ("y", "b", 1.0),
        ("z", "c", 1.0),
        ("z", "a", 1.0),
    ] {
        link(&mut batch, board, pin, weight);
    }
    store.commit(&batch).expect("a commit");
    let snapshot = store.snapshot();
    let policy = Policy::default_for(&snapshot, pins(&snapshot));
    let walker = Walker::new(&snapshot, WalkOptions::default(), &policy).expect("valid walks");
    let source = snapshot.require(NodeRef { kind: "pin", key: "a" }).expect("it is there");
    let sources = &vec![source; 50_000][..];
    let uniform =
        |sources, hops, seed| walker.uniform_walks(sources, hops, seed, &CancelToken::new()).expect("memory");
    let walks = uniform(sources, 2, 9);
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for place in 0..walks.len() {
        let end = walks.of(place).last().expect("no pin is isolated");
        *ends.entry(snapshot.name(end).to_string()).or_default() += 1;
    }
    // Expected shares. From a: x 1/5, y 3/5, z 1/5. From x: a 1/3, b 2/3; from y: a 3/5, b and c 1/5; from z: a and c 1/2.
    let a = 1.0 / 15.0 + 9.0 / 25.0 + 0.1;
    let (b, c) = (2.0 / 15.0 + 3.0 / 25.0, 3.0 / 25.0 + 0.1);
    let expected = [("pin:a", a), ("pin:b", b), ("pin:c", c)].map(|(name, share)| (name.to_owned(), share));
    assert_shares(&ends, &expected.into_iter().collect(), "ends");
    for threads in [1, 2, 7] {
        assert_eq!(with_threads(threads, || uniform(sources, 2, 9)), walks, "{threads} threads");
    }
    assert_ne!(uniform(sources, 2, 10), walks);
    assert!(uniform(&[], 2, 9).is_empty());
    assert_eq!(uniform(sources, 0, 9).of(7).count(), 0);
}

#[test]
fn a_neighborhood_is_ordered_by_visits_and_leaves_out_the_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = std::sync::Arc::new(store(folder.path()));
    let mut model_graph = GraphModel::new(2, 40);
    store.commit(&model_graph.initial_batch()).expect("a commit");
    let engine = Engine::open(store.clone()).expect("the engine opens");
    let snapshot = store.snapshot();
    let mut seen = 0;
    for source in snapshot.nodes_of(pins(&snapshot)) {
        let name = snapshot.name(source);
        let listed = engine.neighborhood(name.as_ref(), usize::MAX).expect("a neighborhood");
        assert!(listed.iter().all(|entry| entry.node != name && entry.visits >= 2));
        assert!(listed.windows(2).all(|pair| pair[0].visits >= pair[1].visits));
        let sum: f32 = listed.iter().map(|entry| entry.importance).sum();
        assert!(listed.is_empty() || (sum - 1.0).abs() < 1e-5, "importances sum to {sum}");
        seen += listed.len();
    }
    assert!(seen > 0, "all neighborhoods were empty");
}

/// A walk ends before it would step on an excluded node and is the same up to there, in every way of making walks.
#[test]
fn walks_end_before_excluded_nodes_and_are_the_same_up_to_there() {
    for seed in 0..20 {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        store.commit(&GraphModel::new(seed, 300).initial_batch()).expect("a commit");
        let snapshot = store.snapshot();
        let policy = Policy::default_for(&snapshot, pins(&snapshot));
        let options = WalkOptions { walks: 30, min_visits: 1, top: 1000, seed, ..WalkOptions::default() };
        let excluded: Vec<bool> = (0..snapshot.bound())
            .map(|node| {
                let node = NodeIx::new(node);
                snapshot.kind(node) != pins(&snapshot) && snapshot.stable_id(node).get().is_multiple_of(3)
            })
            .collect();
        let open = Walker::new(&snapshot, options, &policy).expect("valid walks");
        let walker = Walker::new(&snapshot, options, &policy).expect("valid walks").excluding(&excluded);
        let sources: Vec<NodeIx> = snapshot.nodes_of(pins(&snapshot)).collect();
        // Walks one by one: each equals the whole walk, cut before the first excluded node.
        let mut ended = 0;
        let mut counted: Vec<BTreeMap<NodeIx, u32>> = Vec::new();
        for &source in &sources {
            let mut visits = BTreeMap::new();
            for walk in 0..options.walks {
                let whole: Vec<NodeIx> = open.hops(source, walk).collect();
                let up_to = whole.iter().position(|node| excluded[node.index()]);
                ended += usize::from(up_to.is_some());
                let expected = &whole[..up_to.unwrap_or(whole.len())];
                assert_eq!(walker.hops(source, walk).collect::<Vec<_>>(), expected, "seed {seed}");
                for node in walker.walk(source, walk).filter(|&node| node != source) {
                    *visits.entry(node).or_default() += 1;
                }
            }
            counted.push(visits);
        }
        assert!(ended > 100, "seed {seed}: only {ended} walks came to an excluded node");
        // Dense walks of all sources and interleaved walks of one source give the same counts.
        let dense = walker.neighborhoods(&sources, &CancelToken::new()).expect("neighborhoods");
        for (at, &source) in sources.iter().enumerate() {
            let of = |visits: &[Visit]| {
                visits.iter().map(|visit| (visit.node, visit.count)).collect::<BTreeMap<_, _>>()
            };
            assert_eq!(of(dense.of(at)), counted[at], "seed {seed}");
            assert_eq!(of(&walker.neighborhood(source)), counted[at], "seed {seed}");
        }
    }
}
