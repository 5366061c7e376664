//! The workload `walk`: hops, neighbourhoods, the reach of an edge, and what all of it takes.

use hedgerow::{CancelToken, NodeIx, Policy, Snapshot, WalkOptions, Walker};

use crate::bench::graph::{Graph, Plan, pins};
use crate::bench::reach;
use crate::bench::reference::Flat;
use crate::bench::{Row, best_rates, with_threads};
use crate::core::failure::Failure;
use crate::synthetic::Random;

const WORKLOAD: &str = "walk";
/// Hops of a plain walk.
const HOPS: usize = 100;
/// Sources on which hops are counted, and those whose neighbourhoods are made by themselves.
const SAMPLE: usize = 20_000;

/// What the workload is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) plan: Plan,
    /// The sizes, in nodes, of the graphs on which reach is measured, smallest first.
    pub(crate) curve: &'static [u32],
    /// Edges changed on each of them.
    pub(crate) changes: usize,
    /// Plain hops, and hops of the baseline, in a round.
    pub(crate) hops: usize,
    /// Rounds, of which the best counts.
    pub(crate) rounds: usize,
}

/// Options that neighbourhoods are usually compared with.
fn options() -> WalkOptions {
    WalkOptions { walks: 100, ..WalkOptions::default() }
}

fn described(options: &WalkOptions) -> String {
    let WalkOptions { walks, visits, stop, top, min_visits, .. } = options;
    format!("W={walks} L={visits} alpha={stop} T={top} min_visits={min_visits}")
}

fn walker(snapshot: &Snapshot, options: WalkOptions) -> Result<Walker<'_>, Failure> {
    let kind = snapshot.kind_ix("pin").ok_or_else(|| Failure::Refused("the graph has no pins".to_owned()))?;
    Ok(Walker::new(snapshot, options, &Policy::default_for(snapshot, kind))?)
}

/// Rates on one snapshot.
struct Rates {
    reference: f64,
    uniform: f64,
    few: f64,
    all: f64,
    hops_per_source: f64,
}

fn rates(snapshot: &Snapshot, setup: Setup, rounds: usize, cancel: &CancelToken) -> Result<Rates, Failure> {
    let linked = |node: &NodeIx| !snapshot.list(Graph::RELATION, *node).is_empty();
    let pins: Vec<NodeIx> = pins(snapshot).into_iter().filter(linked).collect();
    let walker = walker(snapshot, options())?;
    let flat = Flat::new(snapshot, Graph::RELATION)?;
    let sources: Vec<NodeIx> = (0..setup.hops / HOPS).map(|at| pins[at * 7919 % pins.len()]).collect();
    let few: Vec<NodeIx> = pins.iter().step_by((pins.len() / SAMPLE).max(5)).copied().collect();
    let hops_of = |&source: &NodeIx| -> usize {
        (0..options().walks).map(|walk| walker.hops(source, walk).count()).sum()
    };
    let sample = few.len().min(2000);
    let hops_per_source = few[..sample].iter().map(hops_of).sum::<usize>() as f64 / sample as f64;
    let mut seed = 0;
    let mut end = 0;
    let best = best_rates(
        rounds,
        [
            &mut || {
                seed += 1;
                end ^= flat.walk(&pins, setup.hops, seed);
                Ok(setup.hops as f64)
            },
            &mut || Ok(walker.uniform_walks(&sources, HOPS, 1, cancel)?.len() as f64 * HOPS as f64),
            &mut || Ok(walker.neighborhoods(&few, cancel)?.len() as f64),
            &mut || Ok(walker.neighborhoods(&pins, cancel)?.len() as f64),
        ],
    )?;
    let [reference, uniform, few, all] = best;
    assert!(end < u64::MAX, "the sum of node numbers is smaller");
    Ok(Rates { reference, uniform, few, all, hops_per_source })
}

/// Hops of one walk after another, as a host would make them without this crate's walker.
fn naive(snapshot: &Snapshot, setup: Setup) -> Result<f64, Failure> {
    let pins = pins(snapshot);
    let mut random = Random(3);
    let best = best_rates(
        2,
        [&mut || {
            let mut hops = 0;
            for walk in 0..setup.hops / HOPS / 10 {
                let mut at = pins[walk * 7919 % pins.len()];
                for _ in 0..HOPS {
                    let list = snapshot.list(Graph::RELATION, at);
                    if list.is_empty() {
                        break;
                    }
                    at = list.neighbor(random.below(list.degree() as u64) as usize);
                    hops += 1;
                }
            }
            Ok(f64::from(hops))
        }],
    )?;
    Ok(best[0])
}

/// All rows; `say` is told what is going on.
pub(crate) fn run(
    setup: Setup,
    cancel: &CancelToken,
    say: &dyn Fn(&str),
    rows: &mut dyn FnMut(Row) -> Result<(), Failure>,
) -> Result<(), Failure> {
    say("making the graph");
    let graph = Graph::make(setup.plan, cancel)?;
    let snapshot = graph.store.snapshot();
    let plain = format!("{HOPS} hops a walk");
    let stable = described(&options());
    let row = |case: &str, value, unit, baseline, ratio, threads, options: &str| Row {
        workload: WORKLOAD,
        case: case.to_owned(),
        value,
        unit,
        baseline,
        ratio,
        threads,
        graph: graph.label.clone(),
        options: options.to_owned(),
    };
    let edges = snapshot.edge_count(Graph::RELATION) as f64;
    graph.size(WORKLOAD, rows)?;

    say("walking with one thread");
    let one = with_threads(1, || rates(&snapshot, setup, setup.rounds, cancel))?;
    let million = |rate: f64| rate / 1e6;
    let step = one.all * one.hops_per_source;
    rows(row("reference", million(one.reference), "M hops/s", None, None, 1, "128 walks, flat arrays"))?;
    let naive = naive(&snapshot, setup)?;
    rows(row(
        "naive",
        million(naive),
        "M hops/s",
        Some("reference"),
        Some(naive / one.reference),
        1,
        &plain,
    ))?;
    let uniform = Some(one.uniform / one.reference);
    rows(row("uniform", million(one.uniform), "M hops/s", Some("reference"), uniform, 1, &plain))?;
    let per_hop = Some(one.uniform / step);
    rows(row("stable", million(step), "M hops/s", Some("uniform, time per hop"), per_hop, 1, &stable))?;
    rows(row("neighborhoods of all", one.all / 1e3, "k nodes/s", None, None, 1, &stable))?;
    let few = Some(one.few / one.all);
    rows(row("neighborhoods of few", one.few / 1e3, "k nodes/s", Some("of all"), few, 1, &stable))?;

    say("walking with two threads");
    let two = with_threads(2, || rates(&snapshot, setup, setup.rounds.div_ceil(2), cancel))?;
    let once = Some("one thread");
    let ratio = Some(two.uniform / one.uniform);
    rows(row("uniform", million(two.uniform), "M hops/s", once, ratio, 2, &plain))?;
    rows(row("neighborhoods of all", two.all / 1e3, "k nodes/s", once, Some(two.all / one.all), 2, &stable))?;
    rows(row("neighborhoods of few", two.few / 1e3, "k nodes/s", once, Some(two.few / one.few), 2, &stable))?;

    say("walking over lists that changed");
    let changed = graph.change((edges / 100.0) as usize, cancel)?;
    let overlay = with_threads(1, || rates(&changed, setup, setup.rounds.div_ceil(2), cancel))?;
    let settled = Some("no list changed");
    let options_of = |options: &str| format!("{options}; 1 % of edges changed since the checkpoint");
    let ratio = Some(overlay.uniform / one.uniform);
    rows(row("uniform", million(overlay.uniform), "M hops/s", settled, ratio, 1, &options_of(&plain)))?;
    let ratio = Some(overlay.all / one.all);
    rows(row(
        "neighborhoods of all",
        overlay.all / 1e3,
        "k nodes/s",
        settled,
        ratio,
        1,
        &options_of(&stable),
    ))?;
    drop((snapshot, changed, graph));

    for &nodes in setup.curve {
        say(&format!("changing edges of {nodes} nodes"));
        reach::measure(nodes, setup.changes, setup.plan.seed, cancel, rows)?;
    }
    Ok(())
}

/// Walks as a refresh makes them.
pub(crate) fn refreshing(snapshot: &Snapshot) -> Result<(Walker<'_>, String), Failure> {
    let options = WalkOptions::default();
    Ok((walker(snapshot, options)?, described(&options)))
}
