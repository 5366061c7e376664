//! Promise: the backward search finds exactly the sources whose walks an edge change altered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hedgerow::{
    Batch, CancelToken, Changes, Edge, Generation, KindIx, NodeIx, NodeName, NodeRef, Policy, Publish,
    Snapshot, Store, WalkOptions, Walker,
};

use crate::fixtures::graph_model::GraphModel;

fn store(path: &Path) -> Store {
    Store::options().create(true).open(path.join("store")).expect("the store opens")
}

fn pins(snapshot: &Snapshot) -> KindIx {
    snapshot.kind_ix("pin").expect("there are pins")
}

type AllHops = BTreeMap<NodeName, Vec<Vec<NodeName>>>;

/// The nodes that every walk of every source stands on, by the source's name.
fn all_hops(snapshot: &Snapshot, options: WalkOptions, policy: &Policy) -> AllHops {
    let walker = Walker::new(snapshot, options, policy).expect("valid walks");
    let hops_of = |source: NodeIx| {
        let walk = |walk| walker.hops(source, walk).map(|node| snapshot.name(node)).collect();
        (0..options.walks).map(walk).collect::<Vec<Vec<NodeName>>>()
    };
    snapshot.nodes_of(pins(snapshot)).map(|source| (snapshot.name(source), hops_of(source))).collect()
}

/// Publishes derived files at the present epoch, so that the store records the changes from here on.
fn publish_epoch(store: &Store) -> Snapshot {
    let before = store.snapshot();
    let derived = Publish { generation: Generation::new(1), refreshed: before.epoch(), files: vec![] };
    store.publish(derived, &CancelToken::new()).expect("published");
    before
}

/// Asserts that the search finds the sources whose walks differ before and after a batch, compared walk by walk.
fn assert_affected_sources(
    before: &Snapshot,
    old: &AllHops,
    store: &Store,
    options: WalkOptions,
    policy: &Policy,
    what: &str,
) -> AllHops {
    let after = store.snapshot();
    let changes = store.changes(before.epoch(), &after, &CancelToken::new()).expect("the changes");
    let new = all_hops(&after, options, policy);
    // The expected sources: those of which any walk differs.
    let expected: BTreeSet<NodeName> = new
        .iter()
        .filter(|(source, walks)| match old.get(*source) {
            Some(before) => before != *walks,
            None => walks.iter().any(|walk| !walk.is_empty()),
        })
        .map(|(source, _)| source.clone())
        .collect();
    let walker = Walker::new(&after, options, policy).expect("valid walks");
    let affected = walker.affected_sources(&changes, &CancelToken::new()).expect("not cancelled");
    assert!(affected.is_sorted(), "{what}");
    // A large batch is searched in parallel, with the same result.
    if changes.lists.len() > 20 {
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let again = pool.install(|| walker.affected_sources(&changes, &CancelToken::new()));
            assert_eq!(again.expect("not cancelled"), affected, "{what}, {threads} threads");
        }
        assert_limits(&walker, &changes, &affected, what);
    }
    let found: BTreeSet<NodeName> =
        affected.into_iter().filter(|&node| after.is_alive(node)).map(|node| after.name(node)).collect();
    assert_eq!(found, expected, "{what}");
    new
}

/// Asserts that a search with a limit finds all sources or none, and that the smallest limit at which it does is the same for any number
/// of threads.
fn assert_limits(walker: &Walker<'_>, changes: &Changes, affected: &[NodeIx], what: &str) {
    let within = |limit: u64, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let found = pool.install(|| walker.affected_sources_within(changes, limit, &CancelToken::new()));
        let found = found.expect("not cancelled");
        assert!(found.as_deref().is_none_or(|found| found == affected), "{what}, limit {limit}");
        found.is_some()
    };
    let (mut refused, mut allowed) = (0, 1 << 40);
    assert!(!within(refused, 1) && within(allowed, 1), "{what}");
    while allowed - refused > 1 {
        let middle = refused + (allowed - refused) / 2;
        *if within(middle, 1) { &mut allowed } else { &mut refused } = middle;
    }
    for threads in [2, 7] {
        assert!(!within(refused, threads) && within(allowed, threads), "{what}, {threads} threads");
    }
}

/// Twelve hundred batches of up to 1, 2 and 30 operations, since one search covers a whole batch. The graph has pins,
/// boards and users in three relations, one of them between pins, with weights, removed nodes and self-loops.
#[test]
fn the_backward_search_finds_exactly_the_sources_whose_walks_changed() {
    for seed in 0..40u64 {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        let mut model_graph = GraphModel::new(seed, 40);
        store.commit(&model_graph.initial_batch()).expect("a commit");
        let mut policy = Policy::default_for(&store.snapshot(), pins(&store.snapshot()));
        if seed % 4 == 3 {
            // One path through two relations: the walks alternate between them.
            policy.paths = vec![["board-pin", "board-pin", "near"].map(str::to_owned).to_vec()];
        }
        let options = WalkOptions { walks: 30, visits: 2 + seed as u32 % 3, seed, ..WalkOptions::default() };
        let mut old = all_hops(&store.snapshot(), options, &policy);
        for round in 0..30 {
            let before = publish_epoch(&store);
            let batch = model_graph.batch([1, 2, 30][round % 3]);
            store.commit(&batch).expect("a commit");
            old = assert_affected_sources(
                &before,
                &old,
                &store,
                options,
                &policy,
                &format!("seed {seed}, round {round}"),
            );
        }
    }
}

/// The changes double and halve the slot table of a large board, and half of its draws move at once. With a thousand pins the
/// board's list is chunked from the first change on.
#[test]
fn the_search_is_exact_when_a_slot_table_doubles() {
    for size in [254, 1022] {
        check_large_board(size);
    }
}

fn check_large_board(size: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let link = |batch: &mut Batch, board: &str, pin: usize| {
        let key = pin.to_string();
        let (board, pin) = (NodeRef { kind: "board", key: board }, NodeRef { kind: "pin", key: &key });
        batch.link(board, pin, Edge::default()).expect("a valid edge");
    };
    let mut batch = Batch::new();
    for pin in 0..size {
        link(&mut batch, "large", pin);
        link(&mut batch, ["x", "y", "z"][pin % 3], pin);
    }
    store.commit(&batch).expect("a commit");
    let policy = Policy::default_for(&store.snapshot(), pins(&store.snapshot()));
    let options = WalkOptions { walks: 20, ..WalkOptions::default() };
    let mut old = all_hops(&store.snapshot(), options, &policy);
    for step in 0..12 {
        let before = publish_epoch(&store);
        let mut batch = Batch::new();
        if step < 6 {
            link(&mut batch, "large", size + step);
        } else {
            let (board, key) = (NodeRef { kind: "board", key: "large" }, (size + 11 - step).to_string());
            batch.unlink(board, NodeRef { kind: "pin", key: &key }, None).expect("a valid edge");
        }
        store.commit(&batch).expect("a commit");
        old = assert_affected_sources(
            &before,
            &old,
            &store,
            options,
            &policy,
            &format!("{size} pins, step {step}"),
        );
    }
}
