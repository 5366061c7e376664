//! The workload `refresh`: the time from a commit to exact embeddings, for one change and many, beside a rebuild.

use std::sync::Arc;
use std::time::Instant;

use hedgerow::{
    Batch, CancelToken, Edge, Engine, Ids, NodeIx, NodeRef, Positives, RefreshReport, Store, TrainOptions,
    WalkOptions,
};
use hedgerow_cli::synthetic::{Random, SyntheticGraph};

use crate::Options;
use crate::graph::{Graph, existing_edge, pins};
use crate::measure::{Failure, Recorder, Row, quantile};

/// Nodes of the smaller kind for each topic. Walks in a graph without topics visit few nodes twice, and the cost of a refresh
/// depends on how many they do.
const NODES_PER_TOPIC: u32 = 250;
/// Pins that have words, which changes of features replace.
const WORDED: u32 = 10_000;
const WORDS: u64 = 500;
/// Sizes of batches, and the number of each: fewer of the large, which take as long as a rebuild.
const BATCHES: [(u64, usize); 6] = [(1, 200), (10, 50), (100, 20), (1000, 5), (10_000, 2), (100_000, 1)];
/// Edges of a batch with very different weights, each a power of ten between 1 and 10,000: a heavy edge changes most draws of a list.
const WEIGHTED: u64 = 3000;
/// Edges of a commit in the stream that is not refreshed.
const LAZY: u64 = 100;
/// Edges of a commit in the streams that are refreshed eagerly.
const STREAMED: [u64; 2] = [10, 100];

/// PinSage as in production but for the walks, of which 200 make neighborhoods of up to 50.
fn train_options(min_visits: u32) -> TrainOptions {
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
        // It measures embeddings.
        factors: false,
        ..TrainOptions::default()
    }
}

pub(crate) fn run(options: &Options, recorder: &mut Recorder) -> Result<(), Failure> {
    let cancel = recorder.cancel.clone();
    let size = options.plan(1);
    let plan = options.plan((size.items.min(size.boards) / NODES_PER_TOPIC).max(1));
    recorder.note("making the graph");
    let Graph { store, synthetic, label, folder, .. } = Graph::new(plan, &cancel)?;
    let store = Arc::new(store);
    let mut random = Random::new(plan.seed);
    write_words(&store, plan.items.min(WORDED), &mut random, &cancel)?;
    let pins = pins(&store.snapshot());
    let changer = Changer { store: Arc::clone(&store), pins, synthetic, random, added: false };
    let mut bench = Bench {
        engine: Engine::open(Arc::clone(&store))?,
        store,
        changer,
        quick: options.quick,
        cancel,
        label,
        options: String::new(),
        recorder,
    };
    // Single changes and batches, each against a rebuild.
    bench.recorder.note("training, and embedding all nodes");
    bench.train(2)?;
    bench.recorder.note("rebuilding");
    let rebuild = bench.rebuild()?;
    bench.recorder.note("single edges");
    bench.single_edges(rebuild)?;
    bench.recorder.note("features of single nodes");
    bench.features(rebuild)?;
    bench.recorder.note("batches");
    bench.batches(rebuild)?;
    // Streams of commits.
    bench.recorder.note("a stream that is read, not refreshed");
    bench.lazy()?;
    bench.recorder.note("training again, with neighbors visited three times or more");
    bench.train(3)?;
    for edges in STREAMED {
        bench.stream(edges)?;
    }
    bench.recorder.note("edges of very different weights");
    bench.weighted_batch()?;
    drop(bench);
    drop(folder);
    Ok(())
}

/// Gives words to the first pins.
fn write_words(store: &Store, pins: u32, random: &mut Random, cancel: &CancelToken) -> Result<(), Failure> {
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

/// Adds and removes edges in turn: added ones are drawn as the graph was, removed ones are edges that it has.
struct Changer {
    store: Arc<Store>,
    pins: Vec<NodeIx>,
    synthetic: SyntheticGraph,
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
                let (pin, board) = self.synthetic.draw_edge();
                let (pin, board) = (pin.to_string(), board.to_string());
                batch.link(("pin", pin.as_str()), ("board", board.as_str()), Edge::default())?;
            } else {
                let (pin, board) = existing_edge(&snapshot, &self.pins, &mut self.random);
                batch.unlink(snapshot.name(pin).as_ref(), snapshot.name(board).as_ref(), None)?;
            }
        }
        Ok(batch)
    }
}

/// The refreshes after changes of one kind.
#[derive(Default)]
struct Refreshes {
    /// Milliseconds of the refresh, and with the commit before it.
    refresh: Vec<f64>,
    durable: Vec<f64>,
    /// Sources, neighborhoods, rows of every stage, summed.
    counts: Vec<u64>,
    /// Milliseconds for the affected sources, for walks and for layers, summed.
    stages: [f64; 3],
    rebuilt: usize,
}

impl Refreshes {
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
    cancel: CancelToken,
    label: String,
    options: String,
    recorder: &'a mut Recorder,
}

impl Bench<'_> {
    fn train(&mut self, min_visits: u32) -> Result<(), Failure> {
        let options = train_options(min_visits);
        self.options = format!(
            "{:?} dim {} layers {} W={} T={} min_visits {min_visits}",
            options.conv, options.dim, options.layers, options.walks.walks, options.walks.top
        );
        self.engine.training(&options).run(&self.cancel)?;
        Ok(())
    }

    /// Records a figure, with its ratio to the time of a rebuild where that is given.
    fn record(&mut self, case: &str, value: f64, unit: &'static str, rebuild: Option<f64>, more: &str) {
        let options =
            if more.is_empty() { self.options.clone() } else { format!("{}; {more}", self.options) };
        self.recorder.rows.push(Row {
            workload: "refresh",
            case: case.to_owned(),
            value,
            unit,
            against: rebuild.map(|rebuild| ("rebuild", rebuild / value)),
            threads: rayon::current_num_threads(),
            graph: self.label.clone(),
            options,
        });
    }

    /// Measures the faster of two rebuilds, in milliseconds.
    fn rebuild(&mut self) -> Result<f64, Failure> {
        let mut best = f64::INFINITY;
        for _ in 0..2 {
            best = best.min(self.engine.refresh(true, &self.cancel)?.seconds * 1e3);
        }
        self.record("rebuild", best, "ms", None, "");
        let memory = self.engine.memory()? as f64 / self.changer.pins.len() as f64;
        self.record("memory of rows, neighborhoods and reverse lists", memory, "bytes/node", None, "");
        Ok(best)
    }

    /// Commits a batch, and refreshes.
    fn follow(&self, batch: &Batch, found: &mut Refreshes) -> Result<(), Failure> {
        self.cancel.check()?;
        let since = Instant::now();
        self.store.commit(batch)?;
        let report = self.engine.refresh(false, &self.cancel)?;
        found.add(&report, since.elapsed().as_secs_f64() * 1e3);
        Ok(())
    }

    fn quantiles(&mut self, what: &str, mut found: Refreshes, rebuild: f64) {
        let counted = found.counted();
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let value = quantile(&mut found.refresh, share);
            self.record(&format!("{what} {name}"), value, "ms", Some(rebuild), &counted);
        }
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let value = quantile(&mut found.durable, share);
            self.record(&format!("{what} with its commit {name}"), value, "ms", Some(rebuild), &counted);
        }
    }

    fn single_edges(&mut self, rebuild: f64) -> Result<(), Failure> {
        let mut found = Refreshes::default();
        for _ in 0..if self.quick { 50 } else { 1000 } {
            let batch = self.changer.batch(1)?;
            self.follow(&batch, &mut found)?;
        }
        self.quantiles("one edge", found, rebuild);
        Ok(())
    }

    fn features(&mut self, rebuild: f64) -> Result<(), Failure> {
        let mut found = Refreshes::default();
        let worded = self.changer.pins.len().min(WORDED as usize) as u64;
        for _ in 0..if self.quick { 50 } else { 1000 } {
            let mut batch = Batch::new();
            let random = &mut self.changer.random;
            let (pin, word) = (random.below(worded).to_string(), format!("w{}", random.below(WORDS)));
            batch.set_tokens(NodeRef::new("pin", &pin)?, &[word])?;
            self.follow(&batch, &mut found)?;
        }
        self.quantiles("one node's features", found, rebuild);
        Ok(())
    }

    fn batches(&mut self, rebuild: f64) -> Result<(), Failure> {
        for (edges, times) in BATCHES {
            let mut found = Refreshes::default();
            for _ in 0..if self.quick { 1 } else { times } {
                let batch = self.changer.batch(edges)?;
                self.follow(&batch, &mut found)?;
            }
            let more =
                format!("{}; {} of {} by a rebuild", found.counted(), found.rebuilt, found.refresh.len());
            self.record(&format!("{edges} edges, mean"), found.mean(), "ms", Some(rebuild), &more);
        }
        Ok(())
    }

    /// A batch of edges with very different weights, against a rebuild of the graph with them.
    fn weighted_batch(&mut self) -> Result<(), Failure> {
        let mut batch = Batch::new();
        for _ in 0..WEIGHTED {
            let (pin, board) = self.changer.synthetic.draw_edge();
            let weight = 10f32.powi(self.changer.random.below(5) as i32);
            let (pin, board) = (pin.to_string(), board.to_string());
            let edge = Edge { weight, ..Edge::default() };
            batch.link(("pin", pin.as_str()), ("board", board.as_str()), edge)?;
        }
        let mut found = Refreshes::default();
        self.follow(&batch, &mut found)?;
        let rebuild = self.engine.refresh(true, &self.cancel)?.seconds * 1e3;
        let more = format!("{}; {} of 1 by a rebuild", found.counted(), found.rebuilt);
        let case = format!("{WEIGHTED} edges of very different weights");
        self.record(&case, found.mean(), "ms", Some(rebuild), &more);
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
        self.record("stream, durable and not refreshed", rate, "edges/s", None, &more);
        let snapshot = self.store.snapshot();
        let mut times = Vec::new();
        for _ in 0..if self.quick { 20 } else { 1000 } {
            self.cancel.check()?;
            let pins = &self.changer.pins;
            let pin = snapshot.name(pins[self.changer.random.below(pins.len() as u64) as usize]);
            let since = Instant::now();
            self.engine.embedding_now(pin.as_ref(), &self.cancel)?;
            times.push(since.elapsed().as_secs_f64() * 1e3);
        }
        let more = format!("{} dirty nodes", self.store.dirty_nodes());
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let value = quantile(&mut times, share);
            self.record(&format!("first read of a dirty node {name}"), value, "ms", None, &more);
        }
        Ok(())
    }

    fn stream(&mut self, each: u64) -> Result<(), Failure> {
        let (mut found, mut edges) = (Refreshes::default(), 0);
        let batches = (0..if self.quick { 200 } else { 3000 } / each).map(|_| self.changer.batch(each));
        let batches: Vec<Batch> = batches.collect::<Result<_, Failure>>()?;
        let since = Instant::now();
        for batch in &batches {
            edges += batch.len();
            self.follow(batch, &mut found)?;
        }
        let rate = edges as f64 / since.elapsed().as_secs_f64();
        let more = format!("commits of {each} edges; {}", found.counted());
        self.record("stream, durable and refreshed", rate, "edges/s", None, &more);
        Ok(())
    }
}
