//! The workload `walk`: hops, neighborhoods and affected sources a second, and the size of the graph.

use hedgerow::{CancelToken, NodeIx, Policy, Snapshot, WalkOptions, Walker};

use hedgerow_cli::synthetic::Random;

use crate::graph::{Graph, RELATION, pins};
use crate::measure::{Against, Failure, Recorder, Row, best_rates, with_threads};
use crate::reference_walk::FlatLists;
use crate::{Options, affected_sources};

const WORKLOAD: &str = "walk";
/// Nodes of the graphs on which affected sources are measured; the last one with `--full` only.
const CURVE: [u32; 3] = [100_000, 1_000_000, 10_000_000];
const QUICK: [u32; 2] = [1_000, 10_000];
/// Hops of a uniform walk.
const HOPS: usize = 100;
/// Sources whose neighborhoods are made by themselves.
const SAMPLE: usize = 20_000;

/// The sizes of what is measured.
#[derive(Clone, Copy, Debug)]
struct Setup {
    /// The sizes, in nodes, of the graphs on which affected sources are measured, smallest first.
    curve: &'static [u32],
    /// Edges changed on each of them.
    changes: usize,
    /// Uniform hops, and hops of the baseline, in a round.
    hops: usize,
    /// Rounds, of which the best counts.
    rounds: usize,
}

impl Setup {
    fn new(options: &Options) -> Self {
        match (options.quick, options.full) {
            (true, _) => Self { curve: &QUICK, changes: 50, hops: 100_000, rounds: 1 },
            (false, full) => {
                let curve = if full { &CURVE[..] } else { &CURVE[..2] };
                Self { curve, changes: 1000, hops: 10_000_000, rounds: 5 }
            }
        }
    }
}

/// Options that neighborhoods are usually compared with.
fn walk_options() -> WalkOptions {
    WalkOptions { walks: 100, ..WalkOptions::default() }
}

fn described(options: &WalkOptions) -> String {
    let WalkOptions { walks, visits, stop, top, min_visits, .. } = options;
    format!("W={walks} L={visits} alpha={stop} T={top} min_visits={min_visits}")
}

fn walker(snapshot: &Snapshot, options: WalkOptions) -> Result<Walker<'_>, Failure> {
    let kind = snapshot.kind_ix("pin").ok_or("the graph has no pins")?;
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
    let linked = |node: &NodeIx| !snapshot.list(RELATION, *node).is_empty();
    let pins: Vec<NodeIx> = pins(snapshot).into_iter().filter(linked).collect();
    let walker = walker(snapshot, walk_options())?;
    let flat = FlatLists::new(snapshot, RELATION)?;
    let sources: Vec<NodeIx> = (0..setup.hops / HOPS).map(|at| pins[at * 7919 % pins.len()]).collect();
    let few: Vec<NodeIx> = pins.iter().step_by((pins.len() / SAMPLE).max(5)).copied().collect();
    let hops_of = |&source: &NodeIx| -> usize {
        (0..walk_options().walks).map(|walk| walker.hops(source, walk).count()).sum()
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

/// Hops of one walk after another, as a host would make them without the walker.
fn naive(snapshot: &Snapshot, setup: Setup) -> Result<f64, Failure> {
    let pins = pins(snapshot);
    let mut random = Random::new(3);
    let best = best_rates(
        2,
        [&mut || {
            let mut hops = 0;
            for walk in 0..setup.hops / HOPS / 10 {
                let mut at = pins[walk * 7919 % pins.len()];
                for _ in 0..HOPS {
                    let list = snapshot.list(RELATION, at);
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

pub(crate) fn run(options: &Options, recorder: &mut Recorder) -> Result<(), Failure> {
    let (setup, cancel) = (Setup::new(options), recorder.cancel.clone());
    recorder.note("making the graph");
    let graph = Graph::new(options.plan(1), &cancel)?;
    graph.record_size(WORKLOAD, recorder);
    let mut bench = Bench { setup, cancel, graph, recorder };

    bench.recorder.note("walking with one thread");
    let one = bench.one_thread()?;
    bench.recorder.note("walking with two threads");
    bench.two_threads(&one)?;
    bench.recorder.note("walking over lists that changed");
    bench.changed_lists(&one)?;

    let Bench { graph, recorder, .. } = bench;
    drop(graph);
    for &nodes in setup.curve {
        recorder.note(&format!("changing edges of {nodes} nodes"));
        affected_sources::measure(nodes, setup.changes, options.seed, recorder)?;
    }
    Ok(())
}

/// The graph, and the recorder of figures.
struct Bench<'a> {
    setup: Setup,
    cancel: CancelToken,
    graph: Graph,
    recorder: &'a mut Recorder,
}

impl Bench<'_> {
    fn rates(&self, snapshot: &Snapshot, threads: usize, rounds: usize) -> Result<Rates, Failure> {
        with_threads(threads, || rates(snapshot, self.setup, rounds, &self.cancel))
    }

    /// Measures every case with one thread, and the naive loop.
    fn one_thread(&mut self) -> Result<Rates, Failure> {
        let snapshot = self.graph.store.snapshot();
        let one = self.rates(&snapshot, 1, self.setup.rounds)?;
        let naive = naive(&snapshot, self.setup)?;
        let step = one.all * one.hops_per_source;
        let (plain, stable) = (plain(), described(&walk_options()));
        let reference = |rate: f64| Some(("reference", rate / one.reference));
        self.hops("reference", one.reference, None, 1, "128 walks, flat arrays");
        self.hops("naive", naive, reference(naive), 1, &plain);
        self.hops("uniform", one.uniform, reference(one.uniform), 1, &plain);
        self.hops("stable", step, Some(("uniform, time per hop", one.uniform / step)), 1, &stable);
        self.neighborhoods("all", one.all, None, 1, &stable);
        self.neighborhoods("few", one.few, Some(("of all", one.few / one.all)), 1, &stable);
        Ok(one)
    }

    fn two_threads(&mut self, one: &Rates) -> Result<(), Failure> {
        let two = self.rates(&self.graph.store.snapshot(), 2, self.setup.rounds.div_ceil(2))?;
        let stable = described(&walk_options());
        let against = |two: f64, one: f64| Some(("one thread", two / one));
        self.hops("uniform", two.uniform, against(two.uniform, one.uniform), 2, &plain());
        self.neighborhoods("all", two.all, against(two.all, one.all), 2, &stable);
        self.neighborhoods("few", two.few, against(two.few, one.few), 2, &stable);
        Ok(())
    }

    /// Measures with one thread after every hundredth edge has changed, so that walks read the overlay.
    fn changed_lists(&mut self, one: &Rates) -> Result<(), Failure> {
        let edges = self.graph.store.snapshot().edge_count(RELATION);
        let changed = self.graph.change(edges as usize / 100, &self.cancel)?;
        let overlay = self.rates(&changed, 1, self.setup.rounds.div_ceil(2))?;
        let options = |options: String| format!("{options}; 1 % of edges changed since the checkpoint");
        let against = |overlay: f64, one: f64| Some(("no list changed", overlay / one));
        let (plain, stable) = (options(plain()), options(described(&walk_options())));
        self.hops("uniform", overlay.uniform, against(overlay.uniform, one.uniform), 1, &plain);
        self.neighborhoods("all", overlay.all, against(overlay.all, one.all), 1, &stable);
        Ok(())
    }

    fn hops(&mut self, case: &str, rate: f64, against: Against, threads: usize, options: &str) {
        self.record(case.to_owned(), rate / 1e6, "M hops/s", against, threads, options);
    }

    fn neighborhoods(&mut self, of: &str, rate: f64, against: Against, threads: usize, options: &str) {
        self.record(format!("neighborhoods of {of}"), rate / 1e3, "k nodes/s", against, threads, options);
    }

    fn record(
        &mut self,
        case: String,
        value: f64,
        unit: &'static str,
        against: Against,
        threads: usize,
        options: &str,
    ) {
        let (workload, graph, options) = (WORKLOAD, self.graph.label.clone(), options.to_owned());
        self.recorder.rows.push(Row { workload, case, value, unit, against, threads, graph, options });
    }
}

/// Uniform walks, in words.
fn plain() -> String {
    format!("{HOPS} hops a walk")
}

/// A walker with the options of a refresh, and these in words.
pub(crate) fn refresh_walker(snapshot: &Snapshot) -> Result<(Walker<'_>, String), Failure> {
    let options = WalkOptions::default();
    Ok((walker(snapshot, options)?, described(&options)))
}
