//! Promise: a draw is uniform or proportional to weight, and an edge change moves few draws. The order in which edges
//! came does not matter.

use std::path::Path;

use hedgerow::{Batch, Edge, List, NodeIx, NodeRef, RelationIx, Snapshot, Store, stable_draw};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::fixtures::chi_square::assert_distribution;

const HUB: (&str, &str) = ("board", "hub");

fn store(path: &Path) -> Store {
    Store::options().create(true).open(path.join("store")).expect("the store opens")
}

fn link(batch: &mut Batch, pin: usize, weight: f32) {
    let edge = Edge { weight, ..Edge::default() };
    let (hub, key) = (NodeRef { kind: HUB.0, key: HUB.1 }, pin.to_string());
    batch.link(hub, NodeRef { kind: "pin", key: &key }, edge).expect("a valid edge");
}

fn unlink(batch: &mut Batch, pin: usize) {
    let (hub, key) = (NodeRef { kind: HUB.0, key: HUB.1 }, pin.to_string());
    batch.unlink(hub, NodeRef { kind: "pin", key: &key }, None).expect("a valid edge");
}

/// The hub's neighbors in the only relation.
fn hub(snapshot: &Snapshot) -> List<'_> {
    let Some(hub) = snapshot.lookup(NodeRef { kind: HUB.0, key: HUB.1 }) else { return List::empty() };
    snapshot.list(RelationIx::new(0), hub)
}

fn keys(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(|draw| draw.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The pin that each key draws.
fn draws(snapshot: &Snapshot, count: u64) -> Vec<Option<usize>> {
    let list = hub(snapshot);
    let pin = |at: usize| snapshot.name(list.neighbor(at)).key.parse().expect("pins are numbers");
    let names: Vec<usize> = (0..list.degree()).map(pin).collect();
    keys(count).map(|key| stable_draw(&list, key).map(|at| names[at])).collect()
}

#[test]
fn draws_are_uniform_at_every_degree() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut held = 0;
    for degree in [1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65, 100, 1000, 4097, 32_768, 32_769, 100_000] {
        let mut batch = Batch::new();
        (held..degree).for_each(|pin| link(&mut batch, pin, 1.0));
        held = degree;
        store.commit(&batch).expect("a commit");
        let snapshot = store.snapshot();
        let list = hub(&snapshot);
        let mut drawn = vec![0u64; degree];
        for key in keys((degree as u64 * 30).max(20_000)) {
            drawn[stable_draw(&list, key).expect("not empty")] += 1;
        }
        assert_distribution(&drawn, &vec![1.0 / degree as f64; degree], &format!("degree {degree}"));
    }
}

/// One hash names several slots, which are tried in turn. A bias in the later slots would show in the pairs of draws of
/// consecutive keys.
#[test]
fn draws_of_different_keys_are_independent() {
    const DEGREE: usize = 40;
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut batch = Batch::new();
    (0..DEGREE).for_each(|pin| link(&mut batch, pin, 1.0));
    store.commit(&batch).expect("a commit");
    let snapshot = store.snapshot();
    let list = hub(&snapshot);
    let drawn: Vec<usize> = keys(200_000).map(|key| stable_draw(&list, key).expect("not empty")).collect();
    let mut pairs = vec![0u64; DEGREE * DEGREE];
    drawn.chunks_exact(2).for_each(|pair| pairs[pair[0] * DEGREE + pair[1]] += 1);
    assert_distribution(&pairs, &vec![1.0 / (DEGREE * DEGREE) as f64; DEGREE * DEGREE], "pairs");
}

/// Eight lists grow to 600 neighbors one by one and shrink again. On average an edge changes at most 2.5/degree of the
/// draws, also if the average ends right after a table was doubled.
#[test]
fn one_edge_changes_few_draws() {
    const DRAWS: u64 = 500;
    const DEGREE: usize = 600;
    const HUBS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    // The neighbors drawn at all hubs.
    let drawn = |snapshot: &Snapshot| -> Vec<Option<NodeIx>> {
        let of_hub = |key: &&str| {
            let hub = snapshot.lookup(NodeRef { kind: HUB.0, key });
            let list = hub.map_or(List::empty(), |hub| snapshot.list(RelationIx::new(0), hub));
            keys(DRAWS).map(|key| stable_draw(&list, key).map(|at| list.neighbor(at))).collect::<Vec<_>>()
        };
        HUBS.iter().flat_map(of_hub).collect()
    };
    // The share of changed draws times the degree, after each edge.
    let changed_at = |grow: bool| -> Vec<f64> {
        let mut before = drawn(&store.snapshot());
        let steps: Vec<usize> = if grow { (0..DEGREE).collect() } else { (0..DEGREE).rev().collect() };
        let change = |pin: usize| {
            let (mut batch, key) = (Batch::new(), pin.to_string());
            for hub in HUBS {
                let key = format!("{hub}{key}");
                let (hub, pin) = (NodeRef { kind: HUB.0, key: hub }, NodeRef { kind: "pin", key: &key });
                if grow {
                    batch.link(hub, pin, Edge::default()).expect("a valid edge");
                } else {
                    batch.unlink(hub, pin, None).expect("a valid edge");
                }
            }
            store.commit(&batch).expect("a commit");
            let after = drawn(&store.snapshot());
            let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            before = after;
            changed as f64 / (DRAWS * HUBS.len() as u64) as f64 * (pin + 1) as f64
        };
        steps.into_iter().map(change).collect()
    };
    // Up to every degree the mean is below the bound, in both directions.
    let growing = changed_at(true);
    let mut shrinking = changed_at(false);
    shrinking.reverse();
    for (what, changed) in [("growing", growing), ("shrinking", shrinking)] {
        for until in [32, 33, 64, 65, 100, 128, 129, 256, 257, 500, 512, 513, DEGREE] {
            let mean = changed[..until].iter().sum::<f64>() / until as f64;
            assert!(mean < 2.5, "{what} to degree {until}: {mean:.2}/degree of the draws change");
        }
    }
}

/// Lists with the same edges draw the same neighbors, in whatever order these and other, removed edges were linked.
#[test]
fn draws_do_not_depend_on_the_order_of_arrival() {
    let mut rng = StdRng::seed_from_u64(4);
    for degree in [3, 47, 70, 300] {
        let mut expected = None;
        for round in 0..4 {
            let folder = tempfile::tempdir().expect("a folder");
            let store = store(folder.path());
            let mut pins: Vec<usize> = (0..2 * degree).collect();
            pins.shuffle(&mut rng);
            for part in pins.chunks(1 + degree / (1 + round)) {
                let mut batch = Batch::new();
                for &pin in part {
                    link(&mut batch, pin, 1.0);
                }
                store.commit(&batch).expect("a commit");
            }
            pins.shuffle(&mut rng);
            let removed: Vec<usize> = pins.into_iter().filter(|&pin| pin >= degree).collect();
            for part in removed.chunks(1 + degree / (4 - round)) {
                let mut batch = Batch::new();
                for &pin in part {
                    unlink(&mut batch, pin);
                }
                store.commit(&batch).expect("a commit");
            }
            let drawn = draws(&store.snapshot(), 500);
            assert_eq!(
                expected.get_or_insert_with(|| drawn.clone()),
                &drawn,
                "degree {degree}, round {round}"
            );
        }
    }
}

#[test]
fn weighted_draws_are_in_proportion_to_weight() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let weights: Vec<f32> = (0..120).map(|pin| 0.25 + (pin % 7) as f32 * 0.4).collect();
    let mut batch = Batch::new();
    weights.iter().enumerate().for_each(|(pin, &weight)| link(&mut batch, pin, weight));
    store.commit(&batch).expect("a commit");
    let mut drawn = vec![0u64; weights.len()];
    draws(&store.snapshot(), 200_000).into_iter().flatten().for_each(|pin| drawn[pin] += 1);
    let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    let shares: Vec<f64> = weights.iter().map(|&weight| f64::from(weight) / sum).collect();
    assert_distribution(&drawn, &shares, "weights");
}

/// An edge that gets heavier only gains draws, and one that gets lighter only loses draws. This holds as long as the largest
/// weight stays below the same power of two.
#[test]
fn a_changed_weight_moves_only_draws_to_or_from_its_edge() {
    const DRAWS: u64 = 50_000;
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut batch = Batch::new();
    (0..100).for_each(|pin| link(&mut batch, pin, 2.0 + (pin % 3) as f32 * 0.9));
    store.commit(&batch).expect("a commit");
    let before = draws(&store.snapshot(), DRAWS);
    let mut batch = Batch::new();
    link(&mut batch, 1, 3.5);
    store.commit(&batch).expect("a commit");
    let after = draws(&store.snapshot(), DRAWS);
    let changed: Vec<_> = before.iter().zip(&after).filter(|(old, new)| old != new).collect();
    assert!(
        changed.iter().all(|(_, new)| **new == Some(1)),
        "a draw moved to another edge than the heavier one"
    );
    let share = changed.len() as f64 / DRAWS as f64;
    // The edge gained 0.6 of a total weight of 286, which is a share of 0.002.
    assert!((0.001..0.006).contains(&share), "{share} of the draws changed");
    let mut batch = Batch::new();
    link(&mut batch, 1, 2.9);
    store.commit(&batch).expect("a commit");
    assert_eq!(draws(&store.snapshot(), DRAWS), before, "the old weight does not give the old draws");
}

#[test]
fn a_hub_of_a_million_neighbors_draws_evenly_and_hardly_moves() {
    const DEGREE: usize = 1_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(folder.path());
    let mut batch = Batch::new();
    (0..DEGREE).for_each(|pin| link(&mut batch, pin, 1.0));
    store.commit(&batch).expect("a commit");
    let before = store.snapshot();
    let drawn: Vec<_> =
        keys(200_000).map(|key| stable_draw(&hub(&before), key).expect("not empty")).collect();
    let mut tenths = vec![0u64; 1000];
    for at in &drawn {
        tenths[at * 1000 / DEGREE] += 1;
    }
    assert_distribution(&tenths, &vec![0.001; 1000], "thousandths of the hub's list");
    let mut batch = Batch::new();
    link(&mut batch, DEGREE, 1.0);
    unlink(&mut batch, 77);
    store.commit(&batch).expect("a commit");
    let after = store.snapshot();
    let node =
        |snapshot: &Snapshot, key| stable_draw(&hub(snapshot), key).map(|at| hub(snapshot).neighbor(at));
    let changed = keys(200_000).filter(|&key| node(&before, key) != node(&after, key)).count();
    assert!(changed < 20, "{changed} of 200,000 draws changed");
}
