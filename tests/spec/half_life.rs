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

/// The same events, a hundred half-lives earlier: nothing but differences of times counts.
#[test]
fn a_list_whose_edges_all_are_older_by_half_lives_draws_alike() {
    let folder = tempfile::tempdir().expect("a folder");
    let edges: Vec<(f32, i64)> =
        (0..50).map(|at| (1.0 + at as f32 / 8.0, TODAY - i64::from(at) * 11 * DAY)).collect();
    let earlier: Vec<(f32, i64)> =
        edges.iter().map(|&(weight, time)| (weight, time - 100 * 30 * DAY)).collect();
    let (now, then) =
        (board(&folder.path().join("now"), &edges), board(&folder.path().join("then"), &earlier));
    assert_eq!(draws(&now.snapshot(), 5000), draws(&then.snapshot(), 5000));
}

/// A newer edge takes draws from the others. Only when the largest weight passes a power of two, about once a half-life, are the
/// draws of the others redistributed.
#[test]
fn an_edge_of_today_changes_few_draws_unless_the_largest_weight_passes_a_power_of_two() {
    const DRAWS: u64 = 20_000;
    let folder = tempfile::tempdir().expect("a folder");
    // The first edge is a day behind the moment at which the largest weight passes a power of two.
    let start = TODAY / (30 * DAY) * 30 * DAY + DAY;
    let edges: Vec<(f32, i64)> = (0..200).map(|at| (1.0, start - i64::from(at) * DAY / 4)).collect();
    let store = board(folder.path(), &edges);
    let mut before = draws(&store.snapshot(), DRAWS);
    let mut moved = Vec::new();
    for day in 1..=31 {
        let mut batch = Batch::new();
        let edge = Edge { time: Some(start + day * DAY), ..Edge::default() };
        batch
            .link(NodeRef { kind: "board", key: "b" }, pin(&(day + 200).to_string()), edge)
            .expect("an edge");
        store.commit(&batch).expect("a commit");
        let after = draws(&store.snapshot(), DRAWS);
        let changed = before.iter().zip(&after).filter(|(old, new)| old != new).count();
        moved.push(changed as f64 / DRAWS as f64);
        before = after;
    }
    // On most days about the share of the new edge moves; on one day most draws do.
    let many = moved.iter().filter(|&&share| share > 0.2).count();
    assert!((1..=2).contains(&many), "{moved:?}");
    let few: Vec<f64> = moved.into_iter().filter(|share| *share <= 0.2).collect();
    assert!(few.iter().sum::<f64>() / few.len() as f64 <= 0.06, "{few:?}");
}
