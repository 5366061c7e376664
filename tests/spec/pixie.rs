//! Promise: Pixie's answers are the nodes that walks visit most, boosted for nodes that several query nodes lead to.
//! They are a function of the graph's content, the policy, the options and the queries.

use hedgerow::{
    Batch, EarlyStop, Edge, ErrorKind, NodeIx, NodeName, NodeRef, PixieAnswer, PixieOptions, Policy,
    Snapshot, Store, pixie,
};
use tempfile::TempDir;

use crate::fixtures::graph_model::GraphModel;

/// The largest number of walks, of one visit each.
const ONE_VISIT: PixieOptions = PixieOptions { seed: 1, budget: 100_000, visits: 1, stop: 0.5, early: None };

/// The snapshot of a store of boards and pins with weighted edges, and the folder that keeps it on disk.
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

/// The answer for query pins of equal weight.
fn answer_of(snapshot: &Snapshot, keys: &[&str], options: &PixieOptions) -> PixieAnswer {
    let queries: Vec<_> = keys.iter().map(|key| (pin(snapshot, key), 1.0)).collect();
    pixie(snapshot, &pins(snapshot), &queries, 1000, options).expect("an answer")
}

/// The names, the bits of the scores, and the visits.
fn scores_and_visits(snapshot: &Snapshot, answer: &PixieAnswer) -> Vec<(NodeName, u32, u32)> {
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
/// From b: a .4222, b .5111, c .0667. From c: a .6, b .2, c .2. Second visits: a .5081, b .3607, c .1311.
#[test]
fn shares_of_visits_are_the_exact_probabilities() {
    let edges = [("x", "a", 1.0), ("x", "b", 2.0), ("y", "a", 3.0), ("y", "c", 1.0), ("y", "b", 1.0)];
    let (_folder, snapshot) = boards(&edges);
    let twice = PixieOptions { visits: 2, ..ONE_VISIT };
    for (options, b, c) in [(ONE_VISIT, 0.3167, 0.15), (twice, 0.3167 + 0.3607 / 2.0, 0.15 + 0.1311 / 2.0)] {
        let answer = answer_of(&snapshot, &["a"], &options);
        assert_eq!((keys(&snapshot, &answer), answer.walks), (vec!["b".into(), "c".into()], 100_000));
        for (item, share) in answer.items.iter().zip([b, c]) {
            let found = f64::from(item.visits) / 100_000.0;
            // The bound is five standard deviations. A walk visits a node at most twice.
            assert!((found - share).abs() < 0.01, "{found} visits a walk, expected {share}");
            assert_eq!(item.score, item.visits as f32, "the score of one query node is the visits");
        }
    }
}

/// ```text
///   pin:a --3-- board:x --1-- pin:both --1-- board:y --3-- pin:b --3-- board:w
///   pin:a --3-- board:z --9-- pin:one
/// ```
/// Of the walks from a, 3 in 8 visit `one` and 1 in 8 visit `both`. Of the walks from b, 1 in 8 visit `both`.
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
    let answer = answer_of(&snapshot, &["a", "b"], &ONE_VISIT);
    assert_eq!(keys(&snapshot, &answer), ["both", "one"]);
    assert!(answer.items[0].visits < answer.items[1].visits, "{:?}", answer.items);
    let boost = answer.items[0].score / answer.items[0].visits as f32;
    assert!((boost - 2.0).abs() < 0.01, "a boost of {boost} for equal visits from two query nodes");
}

/// Two query pins on one board. If their walks were coupled, they would visit every pin equally often.
#[test]
fn walks_of_different_query_nodes_are_independent() {
    let edges: Vec<(&str, &str, f32)> =
        ["a", "b", "c", "d", "e", "f", "g", "h"].map(|pin| ("x", pin, 1.0)).to_vec();
    let (_folder, snapshot) = boards(&edges);
    let answer = answer_of(&snapshot, &["a", "b"], &ONE_VISIT);
    assert_eq!(answer.items.len(), 6);
    let different = answer.items.iter().filter(|item| item.score != 2.0 * item.visits as f32).count();
    assert!(different >= 4, "{different} of 6 pins have different visits from the two query pins");
}

#[test]
fn a_heavier_query_node_has_more_influence() {
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

/// Of the walks from a, 16, 8 and 4 in 36 visit three pins, and 1 in 36 visits each of four others.
#[test]
fn an_early_stop_takes_fewer_walks_to_the_same_leaders() {
    let mut edges = vec![("x", "a", 4.0), ("x", "first", 16.0), ("x", "second", 8.0), ("x", "third", 4.0)];
    edges.extend(["d", "e", "f", "g"].map(|rare| ("x", rare, 1.0)));
    let (_folder, snapshot) = boards(&edges);
    let all = answer_of(&snapshot, &["a"], &ONE_VISIT);
    assert_eq!((all.walks, all.stopped_early), (100_000, false));
    assert_eq!(keys(&snapshot, &all)[..3], ["first", "second", "third"]);

    let early = EarlyStop { nodes: 3, visits: 200 };
    let few = answer_of(&snapshot, &["a"], &PixieOptions { early: Some(early), ..ONE_VISIT });
    assert!(few.stopped_early && (1000..4000).contains(&few.walks), "{} walks", few.walks);
    assert_eq!(keys(&snapshot, &few)[..3], keys(&snapshot, &all)[..3]);
    assert!(few.items[..3].iter().all(|item| item.visits >= 200), "{:?}", few.items);

    // Only seven pins can be visited, so eight pins never reach the target.
    let never = EarlyStop { nodes: 8, visits: 1 };
    let checked = answer_of(&snapshot, &["a"], &PixieOptions { early: Some(never), ..ONE_VISIT });
    assert_eq!(checked, all, "checks for an early stop change the answer");
}

/// One store takes additions and removals. The other one takes the final content, in reverse order.
#[test]
fn the_order_of_edges_and_of_queries_does_not_change_the_answer() {
    for seed in 0..20 {
        let folder = tempfile::tempdir().expect("a folder");
        // Given: two stores with the same content.
        let (changed, copied) = (open(&folder, "changed"), open(&folder, "copied"));
        let mut model_graph = GraphModel::new(seed, 30);
        changed.commit(&model_graph.initial_batch()).expect("a commit");
        for _ in 0..10 {
            changed.commit(&model_graph.batch(6)).expect("a commit");
        }
        let mut batch = Batch::new();
        model_graph.declare_relations(&mut batch);
        for node in model_graph.nodes.keys().rev() {
            batch.add_node(node.as_ref()).expect("a valid node");
        }
        for ((relation, a, b), &(weight, time)) in model_graph.edges.iter().rev() {
            let edge = Edge { weight, time, relation: Some(relation), ..Edge::default() };
            batch.link(b.as_ref(), a.as_ref(), edge).expect("a valid edge");
        }
        copied.commit(&batch).expect("a commit");

        let early = (seed % 2 == 0).then_some(EarlyStop { nodes: 5, visits: 40 });
        // When: both answer the same queries. Few walks leave ties; many walks take a turn or two until they stop early.
        let budget = if seed % 3 == 0 { 60 } else { 3000 };
        let options = PixieOptions { seed, budget, early, ..PixieOptions::default() };
        let names: Vec<&NodeName> =
            model_graph.nodes.keys().filter(|name| name.kind == "pin").take(4).collect();
        let [one, other] = [(&changed, false), (&copied, true)].map(|(store, backwards)| {
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
            (scores_and_visits(&snapshot, &answer), answer.walks, answer.stopped_early)
        });
        // Then: the answers are equal.
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
        // The store has no relation yet.
        assert_eq!(answer_of(&store.snapshot(), &["lone", "alone"], &options), nothing);
    }
    let mut batch = Batch::new();
    for key in ["a", "b"] {
        let board = NodeRef { kind: "board", key: "x" };
        batch.link(board, NodeRef { kind: "pin", key }, Edge::default()).expect("a valid edge");
    }
    store.commit(&batch).expect("a commit");
    let snapshot = store.snapshot();
    assert_eq!(answer_of(&snapshot, &["lone", "alone"], &ONE_VISIT), nothing);
    let beside = answer_of(&snapshot, &["lone", "a", "alone"], &ONE_VISIT);
    assert_eq!(
        beside,
        answer_of(&snapshot, &["a"], &ONE_VISIT),
        "query nodes without an edge take none of the budget"
    );
    assert_eq!((keys(&snapshot, &beside), beside.walks), (vec!["b".to_owned()], 100_000));
}

/// Users like pins and boards through one relation, so walks from pins also stand on boards.
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
    let answer = answer_of(&snapshot, &["a"], &ONE_VISIT);
    assert_eq!(scores_and_visits(&snapshot, &answer).len(), 1);
    assert_eq!(keys(&snapshot, &answer), ["b"]);
    let share = f64::from(answer.items[0].visits) / f64::from(answer.walks);
    assert!((share - 0.25).abs() < 0.01, "{share} of the walks visit one of four");
}

#[test]
fn invalid_queries_are_refused_with_the_expected_values() {
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
    let message = format!("{query} board:x: found kind board, expected kind pin, as in the policy");
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
    let message = option("budget", "1, expected at least one walk for each query node");
    refused(&[(a, 1.0), (b, 1.0)], 1, one_walk, &message);
}
