//! Reads of all neighbors of random nodes, by number and by name.

use std::time::Instant;

use hedgerow::{List, NodeIx, NodeRef, Snapshot, Store};
use hedgerow_cli::synthetic::Random;

use crate::graph::RELATION;
use crate::measure::{Failure, best_rates, quantile};
use crate::store::Bench;

/// Reads that are timed one by one; a clock is read before and after.
const TIMED: usize = 20_000;

/// Reads; returns the rate by name.
pub(super) fn measure(bench: &mut Bench<'_>) -> Result<f64, Failure> {
    let store = Store::options().open(bench.path("store"))?;
    let snapshot = store.snapshot();
    let (items, reads) = (bench.setup.plan.items, bench.setup.reads);
    let mut random = Random::new(5);
    let pins: Vec<NodeIx> = (0..reads).map(|_| NodeIx::new(random.below(u64::from(items)) as u32)).collect();
    let names: Vec<String> = pins.iter().map(ToString::to_string).collect();
    let (offsets, targets) = flat(&snapshot);
    // Rates: flat arrays, lists by number, lists by name, in turn.
    let [bare, numbers, named] = best_rates(
        3,
        [
            &mut || {
                let lists = pins.iter().map(|pin| &targets[offsets[pin.index()]..offsets[pin.index() + 1]]);
                Ok(summed(lists, reads))
            },
            &mut || {
                let lists = snapshot.lists(RELATION);
                Ok(summed(pins.iter().flat_map(|&pin| lists.get(pin).runs()), reads))
            },
            &mut || {
                let lists = names.iter().flat_map(|name| by_name(&snapshot, name).runs());
                Ok(summed(lists, reads))
            },
        ],
    )?;
    let options = "all neighbors of random pins, read and summed";
    bench.record(
        "bare reads",
        bare / 1e6,
        "M reads/s",
        None,
        1,
        "flat arrays; all neighbors of random pins, summed",
    )?;
    let against = Some(("bare reads", numbers / bare));
    bench.record("reads by number", numbers / 1e6, "M reads/s", against, 1, options)?;
    bench.record(
        "reads by name",
        named / 1e6,
        "M reads/s",
        Some(("bare reads", named / bare)),
        1,
        options,
    )?;
    let lists = snapshot.lists(RELATION);
    // Reads that are timed one by one.
    let mut times = (Vec::new(), Vec::new());
    for (pin, name) in pins.iter().zip(&names).take(TIMED) {
        let since = Instant::now();
        summed(lists.get(*pin).runs(), 1);
        times.0.push(since.elapsed().as_secs_f64() * 1e9);
        let since = Instant::now();
        summed(by_name(&snapshot, name).runs(), 1);
        times.1.push(since.elapsed().as_secs_f64() * 1e9);
    }
    let clock = "each by itself, with the reading of the clock";
    for (what, times) in [("number", &mut times.0), ("name", &mut times.1)] {
        for (quantity, share) in [("p50", 0.5), ("p99", 0.99)] {
            let value = quantile(times, share);
            bench.record(&format!("read by {what} {quantity}"), value, "ns", None, 1, clock)?;
        }
    }
    Ok(named)
}

fn by_name<'a>(snapshot: &'a Snapshot, name: &str) -> List<'a> {
    let node = snapshot.lookup(NodeRef { kind: "pin", key: name });
    node.map_or(List::empty(), |node| snapshot.list(RELATION, node))
}

/// Reads every number of so many lists.
fn summed<'a>(lists: impl Iterator<Item = &'a [u32]>, reads: usize) -> f64 {
    let mut sum = 0;
    lists.for_each(|list| sum += list.iter().map(|&to| u64::from(to)).sum::<u64>());
    std::hint::black_box(sum);
    reads as f64
}

/// The same lists one after another.
fn flat(snapshot: &Snapshot) -> (Vec<usize>, Vec<u32>) {
    let (mut offsets, mut targets) = (vec![0], Vec::new());
    for node in (0..snapshot.bound()).map(NodeIx::new) {
        snapshot.list(RELATION, node).runs().for_each(|run| targets.extend_from_slice(run));
        offsets.push(targets.len());
    }
    (offsets, targets)
}
