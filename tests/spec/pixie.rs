//! Promise: Pixie's answers are what walks visit, boosted where several query nodes agree, and depend on nothing but the
//! graph's content, the policy, the options and the queries.

use hedgerow::{
    Batch, EarlyStop, Edge, ErrorKind, NodeIx, NodeName, NodeRef, PixieAnswer, PixieOptions, Policy,
    Snapshot, Store, pixie,
};
use tempfile::TempDir;

use crate::world::World;

/// Walks of one visit each, as many as may be asked for.
const ONE_VISIT: PixieOptions = PixieOptions { seed: 1, budget: 100_000, visits: 1, stop: 0.5, early: None };

/// A store of boards and pins, linked by weight; the folder lives as long as it is held.
fn boards(edges: &[(&str, &str, f32)]) -> (TempDir, Snapshot) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder, "store");
    let mut batch = Batch::new();
    for &(board, pin, weight) in edges {
        let (board, pin) = (NodeRef { kind: "board", key: board }, NodeRef { kind: "pin", key: pin });
        batch.link(board, pin, Edge { weight, ..Edge::default() }).expect("a valid edge");
    }
    store.commit(&batch).expect("a commit");
    let snapshot = store.snapshot();
    (folder, snapshot)
}

fn open(folder: &TempDir, name: &str) -> Store {
    Store::options().create(true).open(folder.path().join(name)).expect("the store opens")
}

fn pin(snapshot: &Snapshot, key: &str) -> NodeIx {
    snapshot.require(NodeRef { kind: "pin", key }).expect("it is there")
}

fn pins(snapshot: &Snapshot) -> Policy {
    Policy::default_for(snapshot, snapshot.kind_ix("pin").expect("there are pins"))
}

/// The answer for pins of equal weight.
fn ask(snapshot: &Snapshot, keys: &[&str], options: &PixieOptions) -> PixieAnswer {
    let queries: Vec<_> = keys.iter().map(|key| (pin(snapshot, key), 1.0)).collect();
    pixie(snapshot, &pins(snapshot), &queries, 1000, options).expect("an answer")
}

/// Names, scores to the bit, and visits.
fn told(snapshot: &Snapshot, answer: &PixieAnswer) -> Vec<(NodeName, u32, u32)> {
    let items = answer.items.iter();
    items.map(|item| (snapshot.name(item.node), item.score.to_bits(), item.visits)).collect()
}

fn keys(snapshot: &Snapshot, answer: &PixieAnswer) -> Vec<String> {
    answer.items.iter().map(|item| snapshot.name(item.node).key).collect()
}

/// ```text
///   pin:a --1-- board:x --2-- pin:b        from a, to x by 1/4, to y by 3/4
///   pin:a --3-- board:y --1-- pin:c        from x: a 1/3, b 2/3; from y: a 3/5, c 1/5, b 1/5
///                board:y --1-- pin:b       first visits: a .5333, b .3167, c .15
/// ```
/// From b it goes to a .4222, b .5111, c .0667 and from c to a .6, b .2, c .2: second visits a .5081, b .3607, c .1311.
#[test]
fn shares_of_visits_are_the_exact_probabilities() {
    let edges = [("x", "a", 1.0), ("x", "b", 2.0), ("y", "a", 3.0), ("y", "c", 1.0), ("y", "b", 1.0)];
    let (_folder, snapshot) = boards(&edges);
    let twice = PixieOptions { visits: 2, ..ONE_VISIT };
    for (options, b, c) in [(ONE_VISIT, 0.3167, 0.15), (twice, 0.3167 + 0.3607 / 2.0, 0.15 + 0.1311 / 2.0)] {
        let answer = ask(&snapshot, &["a"], &options);
        assert_eq!((keys(&snapshot, &answer), answer.walks), (vec!["b".into(), "c".into()], 100_000));
        for (item, share) in answer.items.iter().zip([b, c]) {
            let found = f64::from(item.visits) / 100_000.0;
            // Five standard deviations; a walk visits a node twice at most.
            assert!((found - share).abs() < 0.01, "{found} visits a walk, expected {share}");
            assert_eq!(item.score, item.visits as f32, "one query node has nothing to be boosted by");
        }
    }
}

/// ```text
///   pin:a --3-- board:x --1-- pin:both --1-- board:y --3-- pin:b --3-- board:w
///   pin:a --3-- board:z --9-- pin:one
/// ```
/// Of the walks from a, 3 in 8 visit `one` and 1 in 8 `both`, as of the walks from b.
#[test]
fn a_node_that_both_query_nodes_lead_to_is_preferred_to_one_with_more_visits() {
    let (_folder, snapshot) = boards(&[
        ("x", "a", 3.0),
        ("x", "both", 1.0),
        ("y", "both", 1.0),
        ("y", "b", 3.0),
        ("w", "b", 3.0),
        ("z", "a", 3.0),
        ("z", "one", 9.0),
    ]);
    let answer = ask(&snapshot, &["a", "b"], &ONE_VISIT);
    assert_eq!(keys(&snapshot, &answer), ["both", "one"]);
    assert!(answer.items[0].visits < answer.items[1].visits, "{:?}", answer.items);
    let boost = answer.items[0].score / answer.items[0].visits as f32;
    assert!((boost - 2.0).abs() < 0.01, "{boost} for a node with equal visits of two");
}

/// Twins on one board. If their walks went on together they would visit every pin equally often.
#[test]
fn walks_of_different_query_nodes_are_independent() {
    let edges: Vec<(&str, &str, f32)> =
        ["a", "b", "c", "d", "e", "f", "g", "h"].map(|pin| ("x", pin, 1.0)).to_vec();
    let (_folder, snapshot) = boards(&edges);
    let answer = ask(&snapshot, &["a", "b"], &ONE_VISIT);
    assert_eq!(answer.items.len(), 6);
    let apart = answer.items.iter().filter(|item| item.score != 2.0 * item.visits as f32).count();
    assert!(apart >= 4, "{apart} of 6 pins were visited differently by the twins' walks");
}

#[test]
fn a_heavier_query_node_has_more_say() {
    let (_folder, snapshot) =
        boards(&[("x", "a", 1.0), ("x", "of_a", 1.0), ("y", "b", 1.0), ("y", "of_b", 1.0)]);
    let (a, b) = (pin(&snapshot, "a"), pin(&snapshot, "b"));
    for (weights, first) in [([1.0, 9.0], "of_b"), ([9.0, 1.0], "of_a")] {
        let queries = [(a, weights[0]), (b, weights[1])];
        let answer = pixie(&snapshot, &pins(&snapshot), &queries, 10, &ONE_VISIT).expect("an answer");
        assert_eq!(keys(&snapshot, &answer)[0], first);
        let ratio = f64::from(answer.items[0].visits) / f64::from(answer.items[1].visits);
        assert!((8.0..10.0).contains(&ratio), "{ratio} times the visits for 9 times the weight");
    }
    let (once, more) = ([(a, 2.0), (b, 1.0)], [(b, 1.0), (a, 0.5), (a, 1.5)]);
    let [once, more] = [&once[..], &more[..]]
        .map(|queries| pixie(&snapshot, &pins(&snapshot), queries, 10, &ONE_VISIT).expect("an answer"));
    assert_eq!(once, more, "a node given twice counts once, with both weights");
}

/// Of the walks from a, shares of 16, 8 and 4 in 36 go to three pins, one each to four others.
#[test]
fn an_early_stop_takes_fewer_walks_to_the_same_leaders() {
    let mut edges = vec![("x", "a", 4.0), ("x", "first", 16.0), ("x", "second", 8.0), ("x", "third", 4.0)];
    edges.extend(["d", "e", "f", "g"].map(|rare| ("x", rare, 1.0)));
    let (_folder, snapshot) = boards(&edges);
    let all = ask(&snapshot, &["a"], &ONE_VISIT);
    assert_eq!((all.walks, all.stopped_early), (100_000, false));
    assert_eq!(keys(&snapshot, &all)[..3], ["first", "second", "third"]);

    let early = EarlyStop { nodes: 3, visits: 200 };
    let few = ask(&snapshot, &["a"], &PixieOptions { early: Some(early), ..ONE_VISIT });
    assert!(few.stopped_early && (1000..4000).contains(&few.walks), "{} walks", few.walks);
    assert_eq!(keys(&snapshot, &few)[..3], keys(&snapshot, &all)[..3]);
    assert!(few.items[..3].iter().all(|item| item.visits >= 200), "{:?}", few.items);

    // There are seven pins to visit, so eight never have their visits.
    let never = EarlyStop { nodes: 8, visits: 1 };
    let checked = ask(&snapshot, &["a"], &PixieOptions { early: Some(never), ..ONE_VISIT });
    assert_eq!(checked, all, "checking changes nothing");
}

/// One store lives through additions and removals; the other is given the outcome, backwards.
#[test]
fn order_of_arrival_and_of_queries_do_not_show() {
    for seed in 0..20 {
        let folder = tempfile::tempdir().expect("a folder");
        let (lived, given) = (open(&folder, "lived"), open(&folder, "given"));
        let mut world = World::new(seed, 30);
        lived.commit(&world.founding()).expect("a commit");
        for _ in 0..10 {
            lived.commit(&world.batch(6)).expect("a commit");
        }
        let mut batch = Batch::new();
        for node in world.nodes.keys().rev() {
            batch.add_node(node.as_ref()).expect("a valid node");
        }
        for ((relation, a, b), &(weight, time)) in world.edges.iter().rev() {
            let edge = Edge { weight, time, relation: Some(relation) };
            batch.link(b.as_ref(), a.as_ref(), edge).expect("a valid edge");
        }
        given.commit(&batch).expect("a commit");

        let early = (seed % 2 == 0).then_some(EarlyStop { nodes: 5, visits: 40 });
        // Few walks leave ties, many a turn or two to stop after.
        let budget = if seed % 3 == 0 { 60 } else { 3000 };
        let options = PixieOptions { seed, budget, early, ..PixieOptions::default() };
        let names: Vec<&NodeName> = world.nodes.keys().filter(|name| name.kind == "pin").take(4).collect();
        let [one, other] = [(&lived, false), (&given, true)].map(|(store, backwards)| {
            let snapshot = store.snapshot();
            let query = |(at, name): (usize, &&NodeName)| {
                (snapshot.require(name.as_ref()).expect("it is there"), 1.0 + at as f32)
            };
            let mut queries: Vec<_> = names.iter().enumerate().map(query).collect();
            if backwards {
                queries.reverse();
            }
            let answer = pixie(&snapshot, &pins(&snapshot), &queries, 15, &options).expect("an answer");
            assert!(!answer.items.is_empty(), "seed {seed}");
            (told(&snapshot, &answer), answer.walks, answer.stopped_early)
        });
        assert_eq!(one, other, "seed {seed}");
    }
}

#[test]
fn query_nodes_without_an_edge_make_no_walks() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder, "store");
    let mut batch = Batch::new();
    for lone in ["lone", "alone"] {
        batch.add_node(NodeRef { kind: "pin", key: lone }).expect("a valid node");
    }
    store.commit(&batch).expect("a commit");
    let nothing = PixieAnswer { items: vec![], walks: 0, stopped_early: false };
    let early = PixieOptions { early: Some(EarlyStop { nodes: 1, visits: 1 }), ..ONE_VISIT };
    for options in [ONE_VISIT, early] {
        // At first there is not even a relation.
        assert_eq!(ask(&store.snapshot(), &["lone", "alone"], &options), nothing);
    }
    let mut batch = Batch::new();
    for key in ["a", "b"] {
        let board = NodeRef { kind: "board", key: "x" };
        batch.link(board, NodeRef { kind: "pin", key }, Edge::default()).expect("a valid edge");
    }
    store.commit(&batch).expect("a commit");
    let snapshot = store.snapshot();
    assert_eq!(ask(&snapshot, &["lone", "alone"], &ONE_VISIT), nothing);
    let beside = ask(&snapshot, &["lone", "a", "alone"], &ONE_VISIT);
    assert_eq!(beside, ask(&snapshot, &["a"], &ONE_VISIT), "they take none of the budget");
    assert_eq!((keys(&snapshot, &beside), beside.walks), (vec!["b".to_owned()], 100_000));
}

/// Users like pins and boards by one relation, so walks from pins end on boards too.
#[test]
fn only_nodes_of_the_query_nodes_kind_are_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder, "store");
    let mut batch = Batch::new();
    for (kind, key) in [("pin", "a"), ("pin", "b"), ("board", "x"), ("board", "y")] {
        let edge = Edge { relation: Some("likes"), ..Edge::default() };
        let user = NodeRef { kind: "user", key: "1" };
        batch.link(user, NodeRef { kind, key }, edge).expect("a valid edge");
    }
    store.commit(&batch).expect("a commit");
    let snapshot = store.snapshot();
    let answer = ask(&snapshot, &["a"], &ONE_VISIT);
    assert_eq!(told(&snapshot, &answer).len(), 1);
    assert_eq!(keys(&snapshot, &answer), ["b"]);
    let share = f64::from(answer.items[0].visits) / f64::from(answer.walks);
    assert!((share - 0.25).abs() < 0.01, "{share} of the walks visit one of four");
}

#[test]
fn what_cannot_be_asked_is_refused_with_advice() {
    let (_folder, snapshot) = boards(&[("x", "a", 1.0), ("x", "b", 1.0)]);
    let (a, b) = (pin(&snapshot, "a"), pin(&snapshot, "b"));
    let board = snapshot.require(NodeRef { kind: "board", key: "x" }).expect("it is there");
    let refused = |queries: &[(NodeIx, f32)], k, options: PixieOptions, message: &str| {
        let error = pixie(&snapshot, &pins(&snapshot), queries, k, &options).expect_err(message);
        assert_eq!(error.to_string(), message);
        assert_eq!(hedgerow::Error::from(error).kind(), ErrorKind::Invalid);
    };
    let query = "invalid query node";
    for (weight, found) in [(0.0, "0"), (-1.0, "-1"), (f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let message = format!("{query} pin:b: found weight {found}, expected a finite number above 0");
        refused(&[(a, 1.0), (b, weight)], 1, ONE_VISIT, &message);
    }
    let message = format!("{query} board:x: found kind board, expected kind pin, whose walks these are");
    refused(&[(a, 1.0), (board, 1.0)], 1, ONE_VISIT, &message);

    let option = |name: &str, rest: &str| format!("invalid walk option {name}: found {rest}");
    refused(&[], 1, ONE_VISIT, &option("queries", "none, expected one node or more"));
    refused(&[(a, 1.0)], 0, ONE_VISIT, &option("k", "0, expected 1 or more"));
    for (options, name, rest) in [
        (PixieOptions { budget: 0, ..ONE_VISIT }, "budget", "0, expected 1 to 100,000 walks"),
        (PixieOptions { budget: 100_001, ..ONE_VISIT }, "budget", "100001, expected 1 to 100,000 walks"),
        (PixieOptions { visits: 65, ..ONE_VISIT }, "visits", "65, expected 1 to 64"),
        (PixieOptions { stop: 1.0, ..ONE_VISIT }, "stop", "1, expected 0 or more and below 1"),
    ] {
        refused(&[(a, 1.0)], 1, options, &option(name, rest));
    }
    for (nodes, visits, name) in [(0, 1, "early nodes"), (1, 0, "early visits")] {
        let options = PixieOptions { early: Some(EarlyStop { nodes, visits }), ..ONE_VISIT };
        refused(&[(a, 1.0)], 1, options, &option(name, "0, expected 1 or more"));
    }
    let one_walk = PixieOptions { budget: 1, ..ONE_VISIT };
    let message = option("budget", "1, expected a walk or more for every query node");
    refused(&[(a, 1.0), (b, 1.0)], 1, one_walk, &message);
}
