//! The graph that is measured on: pins on boards, power-law degrees at both ends, loaded into a temporary store. It also
//! draws the edges that change.

use std::time::Instant;

use hedgerow::{Batch, BulkLoad, CancelToken, Edge, NodeIx, RelationIx, Snapshot, Store};
use hedgerow_cli::synthetic::{Plan, Random, SyntheticGraph, commit_full};
use tempfile::TempDir;

use crate::measure::{self, Failure, Recorder, Row};

/// The one relation that there is.
pub(crate) const RELATION: RelationIx = RelationIx::new(0);

/// A store that is removed when this is dropped.
pub(crate) struct Graph {
    pub(crate) store: Store,
    /// The generator, which draws more edges like those of the graph.
    pub(crate) synthetic: SyntheticGraph,
    pub(crate) label: String,
    /// Edges loaded per second.
    pub(crate) load_rate: f64,
    pub(crate) folder: TempDir,
}

impl Graph {
    pub(crate) fn new(plan: Plan, cancel: &CancelToken) -> Result<Self, Failure> {
        let folder = measure::folder()?;
        let mut synthetic = SyntheticGraph::new(plan);
        let load = synthetic.load(cancel)?;
        let store = Store::options().create(true).open(folder.path().join("store"))?;
        let since = Instant::now();
        let edges = store.load(load, cancel)?.edges_added;
        let load_rate = edges as f64 / since.elapsed().as_secs_f64();
        Ok(Self { store, synthetic, label: label(plan, edges), load_rate, folder })
    }

    /// Records the rate of loading the graph, and the room that it takes.
    pub(crate) fn record_size(&self, workload: &'static str, recorder: &mut Recorder) {
        let entries = 2.0 * self.store.snapshot().edge_count(RELATION) as f64;
        let bytes = self.store.sizes().files.get("topology").copied().unwrap_or(0) as f64;
        let load = ("load", self.load_rate / 1e6, "M edges/s", rayon::current_num_threads());
        for (case, value, unit, threads) in [load, ("memory", bytes / entries, "bytes per neighbor entry", 1)]
        {
            recorder.rows.push(Row {
                workload,
                case: case.to_owned(),
                value,
                unit,
                against: None,
                threads,
                graph: self.label.clone(),
                options: String::new(),
            });
        }
    }

    /// Changes so many edges, drawn by degree, and returns the graph after that.
    pub(crate) fn change(&self, edges: usize, cancel: &CancelToken) -> Result<Snapshot, Failure> {
        let before = self.store.snapshot();
        let (pins, mut random) = (pins(&before), Random::new(11));
        let mut batch = Batch::new();
        for number in 0..edges {
            change(&mut batch, &before, &pins, number % 2 == 0, &mut random)?;
            commit_full(&self.store, &mut batch, cancel)?;
        }
        self.store.commit(&batch)?;
        Ok(self.store.snapshot())
    }
}

/// The graph of a plan, in words, for the column `graph`.
pub(crate) fn label(plan: Plan, edges: u64) -> String {
    let Plan { items, boards, topics, seed, .. } = plan;
    let topics = if topics > 1 { format!(", {topics} topics") } else { String::new() };
    format!("{items} pins, {boards} boards, {edges} edges, power-law both ends{topics}, seed {seed}")
}

/// A bulk load of pins, which are numbered first, and boards, both named by their numbers, with their edges.
pub(crate) fn gather(pins: u32, boards: u32, edges: Vec<(NodeIx, NodeIx)>) -> Result<BulkLoad, Failure> {
    let mut load = BulkLoad::new();
    load.nodes("pin", (0..pins).map(|pin| pin.to_string()))?;
    load.nodes("board", (0..boards).map(|board| board.to_string()))?;
    load.edges(None, edges, None)?;
    Ok(load)
}

/// All pins of a graph made here.
pub(crate) fn pins(snapshot: &Snapshot) -> Vec<NodeIx> {
    snapshot.kind_ix("pin").map_or_else(Vec::new, |kind| snapshot.nodes_of(kind).collect())
}

/// Adds an edge to a batch, or takes one away, drawn by degree at both ends.
pub(crate) fn change(
    batch: &mut Batch,
    snapshot: &Snapshot,
    pins: &[NodeIx],
    add: bool,
    random: &mut Random,
) -> Result<(), Failure> {
    let (pin, board) = existing_edge(snapshot, pins, random);
    let (_, other) = existing_edge(snapshot, pins, random);
    let pin = snapshot.name(pin);
    if add {
        batch.link(pin.as_ref(), snapshot.name(other).as_ref(), Edge::default())?;
    } else {
        batch.unlink(pin.as_ref(), snapshot.name(board).as_ref(), None)?;
    }
    Ok(())
}

/// An edge of the graph, taken in proportion to the degree of its pin by way of a uniform pin's board.
pub(crate) fn existing_edge(snapshot: &Snapshot, pins: &[NodeIx], random: &mut Random) -> (NodeIx, NodeIx) {
    loop {
        let through = snapshot.list(RELATION, pins[random.below(pins.len() as u64) as usize]);
        if through.is_empty() {
            continue;
        }
        let board = through.neighbor(random.below(through.degree() as u64) as usize);
        let others = snapshot.list(RELATION, board);
        if !others.is_empty() {
            return (others.neighbor(random.below(others.degree() as u64) as usize), board);
        }
    }
}
