//! Promise 2 where weights fade: an embedding depends on events and never on the clock.
//!
//! An edge of weight w and time t counts as w * 2^(t / half-life). `refresh_equals_rebuild` and `affected_sources` have such a relation in
//! their random graphs.

use std::path::Path;
use std::time::Duration;

use hedgerow::{Batch, Edge, NodeIx, NodeRef, RelationIx, RelationOptions, Snapshot, Store, stable_draw};

use crate::fixtures::chi_square::assert_distribution;

const DAY: i64 = 86_400_000_000;
/// A present day: some 55 years after 1970.
const TODAY: i64 = 20_000 * DAY;
const FADING: RelationOptions =
    RelationOptions { half_life: Some(Duration::from_hours(24 * 30)), is_dislike: false };

fn pin(key: &str) -> NodeRef<'_> {
    NodeRef { kind: "pin", key }
}

/// A board with pins 0, 1, 2 and so on, each with the weight and time of its edge.
fn board(path: &Path, edges: &[(f32, i64)]) -> Store {
    let store = Store::options().create(true).open(path).expect("it opens");
    let mut batch = Batch::new();
    batch.declare_relation("board-pin", FADING).expect("valid");
    for (key, &(weight, time)) in edges.iter().enumerate() {
        let edge = Edge { weight, time: Some(time), ..Edge::default() };
        batch.link(NodeRef { kind: "board", key: "b" }, pin(&key.to_string()), edge).expect("an edge");
    }
    store.commit(&batch).expect("a commit");
    store
}

/// The pins that some keys draw, by their number.
fn draws(snapshot: &Snapshot, count: u64) -> Vec<usize> {
    let board = snapshot.require(NodeRef { kind: "board", key: "b" }).expect("a board");
    let list = snapshot.list(RelationIx::new(0), board);
    let number = |node: NodeIx| snapshot.name(node).key.parse().expect("a number");
    (0..count)
        .map(|key| stable_draw(&list, key.wrapping_mul(0x9e37_79b9_7f4a_7c15)).expect("the list has pins"))
        .map(|at| number(list.neighbor(at)))
        .collect()
}

#[test]
fn draws_are_in_proportion_to_weights_that_halve_with_each_half_life() {
    let folder = tempfile::tempdir().expect("a folder");
    // Ages from today to five half-lives, with weights from 1 to 4.
    let edges: Vec<(f32, i64)> =
        (0..100).map(|at| (1.0 + (at % 4) as f32, TODAY - i64::from(at) * 3 * DAY / 2)).collect();
    let store = board(folder.path(), &edges);
    let mut drawn = vec![0_u64; edges.len()];
    for pin in draws(&store.snapshot(), 200_000) {
        drawn[pin] += 1;
    }
    let faded =
        |&(weight, time): &(f32, i64)| f64::from(weight) * ((time - TODAY) as f64 / (30 * DAY) as f64).exp2();
    let sum: f64 = edges.iter().map(faded).sum();
    let shares: Vec<f64> = edges.iter().map(|edge| faded(edge) / sum).collect();
    assert_distribution(&drawn, &shares, "faded weights");
}

/// Edges of a year and a half come one by one, a few hours apart. Each takes about its share of the draws, also where it is the first of a
/// new power of two.
#[test]
fn a_new_edge_changes_few_more_draws_than_it_gets() {
    const DRAWS: u64 = 2_000;
    const HOURS: i64 = 9;
    let folder = tempfile::tempdir().expect("a folder");
    let start = TODAY - 500 * DAY;
    let edges: Vec<(f32, i64)> = vec![(1.0, start)];
    let store = board(folder.path(), &edges);
    let mut before = draws(&store.snapshot(), DRAWS);
    let (mut moved, mut gained) = (0, 0);
    for step in 1..=1300 {
        let mut batch = Batch::new();
        let edge = Edge { time: Some(start + step * HOURS * DAY / 24), ..Edge::default() };
        batch.link(NodeRef { kind: "board", key: "b" }, pin(&step.to_string()), edge).expect("an edge");
        store.commit(&batch).expect("a commit");
        let after = draws(&store.snapshot(), DRAWS);
        moved += before.iter().zip(&after).filter(|(old, new)| old != new).count();
        gained += after.iter().filter(|&&new| new == step as usize).count();
        before = after;
    }
    let times = moved as f64 / gained as f64;
    assert!(
        (1.0..2.5).contains(&times),
        "{moved} draws moved, and the new edges got {gained}: {times:.2} times"
    );
}

/// Old edges change nothing in the draws of newer ones but their share: a list without them draws alike where it draws a newer edge.
#[test]
fn edges_older_than_a_draws_own_class_do_not_move_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let newer: Vec<(f32, i64)> = (0..40).map(|at| (1.0, TODAY - i64::from(at) * DAY)).collect();
    let mut all = newer.clone();
    all.extend((0..60).map(|at| (1.0, TODAY - 400 * DAY - i64::from(at) * 5 * DAY)));
    let (with, without) = (board(&folder.path().join("a"), &all), board(&folder.path().join("b"), &newer));
    let (with, without) = (draws(&with.snapshot(), 20_000), draws(&without.snapshot(), 20_000));
    let moved = with.iter().zip(&without).filter(|(one, other)| one != other).count();
    let old = with.iter().filter(|&&pin| pin >= newer.len()).count();
    // The old edges have a share of 2^-13, or 2 draws.
    assert!(old <= 10 && moved <= 2 * old + 10, "{moved} draws moved, {old} of them to old edges");
}
