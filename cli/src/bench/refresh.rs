//! The workload `refresh`: from a commit to exact embeddings, one change and many, beside a rebuild in the same run.

use std::sync::Arc;
use std::time::Instant;

use hedgerow::{
    Batch, CancelToken, Edge, Engine, Ids, NodeIx, NodeRef, Positives, RefreshReport, Store, TrainOptions,
    WalkOptions,
};

use crate::bench::graph::{Ends, Graph, Plan, existing, pins};
use crate::bench::{Row, quantile};
use crate::core::failure::Failure;
use crate::synthetic::Random;

/// Pins that have words, which changes of features take from each other.
const WORDED: u32 = 10_000;
const WORDS: u64 = 500;
/// Sizes of batches, and how many of each: fewer of the large, which take as long as a rebuild.
const BATCHES: [(u64, usize); 6] = [(1, 200), (10, 50), (100, 20), (1000, 5), (10_000, 2), (100_000, 1)];
/// Edges of a commit in the stream that is not refreshed.
const LAZY: u64 = 100;
/// Edges of a commit in the streams that are refreshed eagerly.
const STREAMED: [u64; 2] = [10, 100];

/// What the workload is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) plan: Plan,
    pub(crate) quick: bool,
}

/// PinSage as in production but for the walks, of which 200 make neighbourhoods of up to 50.
fn options(min_visits: u32) -> TrainOptions {
    TrainOptions {
        targets: vec!["pin".to_owned()],
        dim: 128,
        layers: 2,
        walks: WalkOptions { walks: 200, top: 50, min_visits, ..WalkOptions::default() },
        ids: Ids::On,
        epochs: 1,
        pairs_per_epoch: 4096,
        positives: Positives::Walks,
        held_out: 0,
        ..TrainOptions::default()
    }
}

pub(crate) fn run(
    setup: Setup,
    cancel: &CancelToken,
    note: &dyn Fn(&str),
    rows: &mut dyn FnMut(Row) -> Result<(), Failure>,
) -> Result<(), Failure> {
    note("making the graph");
    let Graph { store, label, _folder: folder, .. } = Graph::make(setup.plan, cancel)?;
    let store = Arc::new(store);
    let mut random = Random(setup.plan.seed);
    word(&store, setup.plan.items.min(WORDED), &mut random, cancel)?;
    let snapshot = store.snapshot();
    let pins = pins(&snapshot);
    let boards = snapshot.kind_ix("board").and_then(|kind| snapshot.nodes_of(kind).next());
    let first = |node: Option<&NodeIx>| node.map_or(0, |node| node.get());
    let ends = Ends::new(
        Plan { seed: setup.plan.seed + 1, ..setup.plan },
        first(pins.first()),
        first(boards.as_ref()),
    );
    let changer = Changer { store: Arc::clone(&store), pins, ends, random, added: false };
    let mut bench = Bench {
        engine: Engine::open(Arc::clone(&store))?,
        store,
        changer,
        quick: setup.quick,
        cancel,
        label,
        options: String::new(),
        rows,
    };
    note("training, and embedding all nodes");
    bench.train(2)?;
    note("rebuilding");
    let rebuild = bench.rebuild()?;
    note("single edges");
    bench.single_edges(rebuild)?;
    note("features of single nodes");
    bench.features(rebuild)?;
    note("batches");
    bench.batches(rebuild)?;
    note("a stream that is read, not refreshed");
    bench.lazy()?;
    note("training again, with neighbors visited three times or more");
    bench.train(3)?;
    for edges in STREAMED {
        bench.stream(edges)?;
    }
    drop(bench);
    drop(folder);
    Ok(())
}

/// Gives words to the first pins.
fn word(store: &Store, pins: u32, random: &mut Random, cancel: &CancelToken) -> Result<(), Failure> {
    let mut batch = Batch::new();
    for pin in 0..pins {
        let words = [random.below(WORDS), random.below(WORDS)].map(|word| format!("w{word}"));
        batch.set_tokens(NodeRef::new("pin", &pin.to_string())?, &words)?;
        if batch.len() == 1000 || pin + 1 == pins {
            cancel.check()?;
            store.commit(&batch)?;
            batch.clear();
        }
    }
    Ok(())
}

/// Edges come and go in turn: what comes is drawn as the graph was, what goes is one that there is.
struct Changer {
    store: Arc<Store>,
    pins: Vec<NodeIx>,
    ends: Ends,
    random: Random,
    added: bool,
}

impl Changer {
    fn batch(&mut self, edges: u64) -> Result<Batch, Failure> {
        let snapshot = self.store.snapshot();
        let mut batch = Batch::new();
        for _ in 0..edges {
            self.added = !self.added;
            if self.added {
                let (pin, board) = self.ends.draw();
                batch.link(snapshot.name(pin).as_ref(), snapshot.name(board).as_ref(), Edge::default())?;
            } else {
                let (pin, board) = existing(&snapshot, &self.pins, &mut self.random);
                batch.unlink(snapshot.name(pin).as_ref(), snapshot.name(board).as_ref(), None)?;
            }
        }
        Ok(batch)
    }
}

/// What changes of one kind came to.
#[derive(Default)]
struct Found {
    /// Milliseconds of the refresh, and with the commit before it.
    refresh: Vec<f64>,
    durable: Vec<f64>,
    /// Sources, neighborhoods, rows of every stage, summed.
    counts: Vec<u64>,
    /// Milliseconds of reach, walks and layers, summed.
    stages: [f64; 3],
    rebuilt: usize,
}

impl Found {
    fn add(&mut self, report: &RefreshReport, durable: f64) {
        self.refresh.push(report.seconds * 1e3);
        self.durable.push(durable);
        self.rebuilt += usize::from(report.full);
        let stages = [report.ms.reach, report.ms.walks, report.ms.layers];
        self.stages.iter_mut().zip(stages).for_each(|(sum, stage)| *sum += stage);
        let counts = [report.sources, report.neighborhoods].into_iter().chain(report.rows.iter().copied());
        self.counts.resize(2 + report.rows.len(), 0);
        self.counts.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }

    fn mean(&self) -> f64 {
        self.refresh.iter().sum::<f64>() / self.refresh.len().max(1) as f64
    }

    /// Mean counts, in words.
    fn counted(&self) -> String {
        let mean = |sum: &u64| format!("{:.1}", *sum as f64 / self.refresh.len().max(1) as f64);
        let [sources, neighborhoods, rows @ ..] = &self.counts[..] else { return String::new() };
        let rows: Vec<String> = rows.iter().map(mean).collect();
        let [reach, walks, layers] = self.stages.map(|sum| sum / self.refresh.len().max(1) as f64);
        format!(
            "{} sources, {} neighborhoods, rows {}; reach {reach:.2}, walks {walks:.2}, layers {layers:.2} ms each",
            mean(sources),
            mean(neighborhoods),
            rows.join(" / ")
        )
    }
}

struct Bench<'a> {
    store: Arc<Store>,
    engine: Engine,
    changer: Changer,
    quick: bool,
    cancel: &'a CancelToken,
    label: String,
    options: String,
    rows: &'a mut dyn FnMut(Row) -> Result<(), Failure>,
}

impl Bench<'_> {
    fn train(&mut self, min_visits: u32) -> Result<(), Failure> {
        let options = options(min_visits);
        self.options = format!(
            "{:?} dim {} layers {} W={} T={} min_visits {min_visits}",
            options.conv, options.dim, options.layers, options.walks.walks, options.walks.top
        );
        self.engine.training(&options).run(self.cancel)?;
        Ok(())
    }

    fn print(
        &mut self,
        case: &str,
        value: f64,
        unit: &'static str,
        rebuild: Option<f64>,
        more: &str,
    ) -> Result<(), Failure> {
        let options =
            if more.is_empty() { self.options.clone() } else { format!("{}; {more}", self.options) };
        (self.rows)(Row {
            workload: "refresh",
            case: case.to_owned(),
            value,
            unit,
            baseline: rebuild.map(|_| "rebuild"),
            ratio: rebuild.map(|rebuild| rebuild / value),
            threads: rayon::current_num_threads(),
            graph: self.label.clone(),
            options,
        })
    }

    /// Milliseconds of the faster of two.
    fn rebuild(&mut self) -> Result<f64, Failure> {
        let mut best = f64::INFINITY;
        for _ in 0..2 {
            best = best.min(self.engine.refresh(true, self.cancel)?.seconds * 1e3);
        }
        self.print("rebuild", best, "ms", None, "")?;
        let memory = self.engine.memory()? as f64 / self.changer.pins.len() as f64;
        self.print("memory of rows, neighborhoods and reverse lists", memory, "bytes/node", None, "")?;
        Ok(best)
    }

    /// A commit and the refresh after it.
    fn follow(&self, batch: &Batch, found: &mut Found) -> Result<(), Failure> {
        self.cancel.check()?;
        let since = Instant::now();
        self.store.commit(batch)?;
        let report = self.engine.refresh(false, self.cancel)?;
        found.add(&report, since.elapsed().as_secs_f64() * 1e3);
        Ok(())
    }

    fn quantiles(&mut self, what: &str, mut found: Found, rebuild: f64) -> Result<(), Failure> {
        let counted = found.counted();
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let value = quantile(&mut found.refresh, share);
            self.print(&format!("{what} {name}"), value, "ms", Some(rebuild), &counted)?;
        }
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let value = quantile(&mut found.durable, share);
            self.print(&format!("{what} with its commit {name}"), value, "ms", Some(rebuild), &counted)?;
        }
        Ok(())
    }

    fn single_edges(&mut self, rebuild: f64) -> Result<(), Failure> {
        let mut found = Found::default();
        for _ in 0..if self.quick { 50 } else { 1000 } {
            let batch = self.changer.batch(1)?;
            self.follow(&batch, &mut found)?;
        }
        self.quantiles("one edge", found, rebuild)
    }

    fn features(&mut self, rebuild: f64) -> Result<(), Failure> {
        let mut found = Found::default();
        let worded = self.changer.pins.len().min(WORDED as usize) as u64;
        for _ in 0..if self.quick { 50 } else { 1000 } {
            let mut batch = Batch::new();
            let random = &mut self.changer.random;
            let (pin, word) = (random.below(worded).to_string(), format!("w{}", random.below(WORDS)));
            batch.set_tokens(NodeRef::new("pin", &pin)?, &[word])?;
            self.follow(&batch, &mut found)?;
        }
        self.quantiles("one node's features", found, rebuild)
    }

    fn batches(&mut self, rebuild: f64) -> Result<(), Failure> {
        for (edges, times) in BATCHES {
            let mut found = Found::default();
            for _ in 0..if self.quick { 1 } else { times } {
                let batch = self.changer.batch(edges)?;
                self.follow(&batch, &mut found)?;
            }
            let more =
                format!("{}; {} of {} by a rebuild", found.counted(), found.rebuilt, found.refresh.len());
            self.print(&format!("{edges} edges, mean"), found.mean(), "ms", Some(rebuild), &more)?;
        }
        Ok(())
    }

    /// Commits without refreshes, then reads of single nodes.
    fn lazy(&mut self) -> Result<(), Failure> {
        let batches = (0..if self.quick { 5 } else { 100 }).map(|_| self.changer.batch(LAZY));
        let batches: Vec<Batch> = batches.collect::<Result<_, Failure>>()?;
        let since = Instant::now();
        for batch in &batches {
            self.store.commit(batch)?;
        }
        let rate = batches.len() as f64 * LAZY as f64 / since.elapsed().as_secs_f64();
        let more = format!("commits of {LAZY} edges");
        self.print("stream, durable and not refreshed", rate, "edges/s", None, &more)?;
        let snapshot = self.store.snapshot();
        let mut times = Vec::new();
        for _ in 0..if self.quick { 20 } else { 1000 } {
            self.cancel.check()?;
            let pins = &self.changer.pins;
            let pin = snapshot.name(pins[self.changer.random.below(pins.len() as u64) as usize]);
            let since = Instant::now();
            self.engine.embedding_now(pin.as_ref(), self.cancel)?;
            times.push(since.elapsed().as_secs_f64() * 1e3);
        }
        let more = format!("{} dirty nodes", self.store.dirty_nodes());
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let value = quantile(&mut times, share);
            self.print(&format!("first read of a dirty node {name}"), value, "ms", None, &more)?;
        }
        Ok(())
    }

    fn stream(&mut self, each: u64) -> Result<(), Failure> {
        let (mut found, mut edges) = (Found::default(), 0);
        let batches = (0..if self.quick { 200 } else { 3000 } / each).map(|_| self.changer.batch(each));
        let batches: Vec<Batch> = batches.collect::<Result<_, Failure>>()?;
        let since = Instant::now();
        for batch in &batches {
            edges += batch.len();
            self.follow(batch, &mut found)?;
        }
        let rate = edges as f64 / since.elapsed().as_secs_f64();
        let more = format!("commits of {each} edges; {}", found.counted());
        self.print("stream, durable and refreshed", rate, "edges/s", None, &more)
    }
}
