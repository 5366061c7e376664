//! The graph that is measured on: pins on boards, power-law degrees at both ends, within topics where they are asked for,
//! loaded into a temporary store.

use std::path::Path;

use hedgerow::{Batch, BulkLoad, CancelToken, Edge, NodeIx, RelationIx, Snapshot, Store};
use tempfile::TempDir;

use crate::bench::Row;
use crate::core::failure::Failure;
use crate::synthetic::Random;

/// An end is the node of rank N u^2.2 for a uniform u, so the degree of rank r falls as r^-0.55.
const POWER: f64 = 2.2;
/// Changes of a commit.
const BATCH: usize = 10_000;
/// Of a hundred edges, how many keep to their board's topic.
const WITHIN_PERCENT: u64 = 80;

/// How large the graph is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) items: u32,
    pub(crate) boards: u32,
    pub(crate) edges: u64,
    /// Of equal size; 1 is a graph without any.
    pub(crate) topics: u32,
    pub(crate) seed: u64,
}

/// A store that is removed when this is dropped.
pub(crate) struct Graph {
    pub(crate) store: Store,
    pub(crate) label: String,
    /// Edges per second of loading, and the bytes of the lists.
    pub(crate) load_rate: f64,
    pub(super) _folder: TempDir,
}

impl Graph {
    pub(crate) fn make(plan: Plan, cancel: &CancelToken) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("hedgerow-bench-").tempdir();
        let folder =
            folder.map_err(|source| Failure::file(&std::env::temp_dir(), "create a folder in", source))?;
        let mut load = BulkLoad::new();
        let pins = load.nodes("pin", (0..plan.items).map(|item| item.to_string()))?;
        let boards = load.nodes("board", (0..plan.boards).map(|board| board.to_string()))?;
        load.edges(None, Ends::new(plan, pins.start, boards.start).edges(), None)?;
        let store = Store::options().create(true).open(Path::new(folder.path()).join("store"))?;
        let since = std::time::Instant::now();
        let loaded = store.load(load, cancel)?;
        let load_rate = loaded.edges_added as f64 / since.elapsed().as_secs_f64();
        let label = format!(
            "{} pins, {} boards, {} edges, power-law both ends{}, seed {}",
            plan.items,
            plan.boards,
            loaded.edges_added,
            if plan.topics > 1 { format!(", {} topics", plan.topics) } else { String::new() },
            plan.seed
        );
        Ok(Self { store, label, load_rate, _folder: folder })
    }

    /// What loading it took, and the room it takes.
    pub(crate) fn size(
        &self,
        workload: &'static str,
        rows: &mut dyn FnMut(Row) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let entries = 2.0 * self.store.snapshot().edge_count(Self::RELATION) as f64;
        let bytes = self.store.sizes().files.get("topology").copied().unwrap_or(0) as f64;
        let load = ("load", self.load_rate / 1e6, "M edges/s", rayon::current_num_threads());
        for (case, value, unit, threads) in [load, ("memory", bytes / entries, "bytes per neighbor entry", 1)]
        {
            rows(Row {
                workload,
                case: case.to_owned(),
                value,
                unit,
                baseline: None,
                ratio: None,
                threads,
                graph: self.label.clone(),
                options: String::new(),
            })?;
        }
        Ok(())
    }

    /// Changes so many edges by degree, and returns what the graph then is.
    pub(crate) fn change(&self, edges: usize, cancel: &CancelToken) -> Result<Snapshot, Failure> {
        let before = self.store.snapshot();
        let (pins, mut random) = (pins(&before), Random(11));
        let mut batch = Batch::new();
        for number in 0..edges {
            change(&mut batch, &before, &pins, number % 2 == 0, &mut random)?;
            if batch.len() >= BATCH {
                cancel.check()?;
                self.store.commit(&batch)?;
                batch.clear();
            }
        }
        self.store.commit(&batch)?;
        Ok(self.store.snapshot())
    }

    /// The one relation that there is.
    pub(crate) const RELATION: RelationIx = RelationIx::new(0);
}

/// All pins of a graph made here.
pub(crate) fn pins(snapshot: &Snapshot) -> Vec<NodeIx> {
    snapshot.kind_ix("pin").map_or_else(Vec::new, |kind| snapshot.nodes_of(kind).collect())
}

/// Draws ends of edges in proportion to the degrees of the graph.
pub(super) struct Ends {
    plan: Plan,
    pins: Vec<u32>,
    boards: Vec<u32>,
    random: Random,
}

impl Ends {
    pub(super) fn new(plan: Plan, first_pin: u32, first_board: u32) -> Self {
        let mut random = Random(plan.seed);
        let mut shuffled = |first: u32, count: u32| {
            let mut nodes: Vec<u32> = (first..first + count).collect();
            for at in (1..nodes.len()).rev() {
                nodes.swap(at, random.below(at as u64 + 1) as usize);
            }
            nodes
        };
        let (pins, boards) = (shuffled(first_pin, plan.items), shuffled(first_board, plan.boards));
        Self { plan, pins, boards, random }
    }

    /// A pin and a board. The topic of either is its rank modulo the number of topics.
    pub(super) fn draw(&mut self) -> (NodeIx, NodeIx) {
        let topics = self.plan.topics.max(1) as usize;
        let pin = self.rank(self.pins.len());
        let board = self.rank(self.boards.len());
        let within = topics > 1 && self.random.below(100) < WITHIN_PERCENT;
        let pin =
            if within { (pin / topics * topics + board % topics).min(self.pins.len() - 1) } else { pin };
        (NodeIx::new(self.pins[pin]), NodeIx::new(self.boards[board]))
    }

    /// Distinct edges, some 1 in 50 fewer than asked for.
    pub(super) fn edges(&mut self) -> Vec<(NodeIx, NodeIx)> {
        let mut edges: Vec<(NodeIx, NodeIx)> = (0..self.plan.edges).map(|_| self.draw()).collect();
        edges.sort_unstable();
        edges.dedup();
        edges
    }

    fn rank(&mut self, nodes: usize) -> usize {
        let uniform = self.random.below(1 << 53) as f64 / (1_u64 << 53) as f64;
        (nodes as f64 * uniform.powf(POWER)) as usize
    }
}

/// Adds an edge to a batch, or takes one away, drawn by degree at both ends.
pub(crate) fn change(
    batch: &mut Batch,
    snapshot: &Snapshot,
    pins: &[NodeIx],
    add: bool,
    random: &mut Random,
) -> Result<(), Failure> {
    let ((pin, board), (_, other)) = (existing(snapshot, pins, random), existing(snapshot, pins, random));
    let pin = snapshot.name(pin);
    if add {
        batch.link(pin.as_ref(), snapshot.name(other).as_ref(), Edge::default())?;
    } else {
        batch.unlink(pin.as_ref(), snapshot.name(board).as_ref(), None)?;
    }
    Ok(())
}

/// An edge that there is, taken in proportion to the degree of its pin by way of a uniform pin's board.
pub(super) fn existing(snapshot: &Snapshot, pins: &[NodeIx], random: &mut Random) -> (NodeIx, NodeIx) {
    loop {
        let through = snapshot.list(Graph::RELATION, pins[random.below(pins.len() as u64) as usize]);
        if through.is_empty() {
            continue;
        }
        let board = through.neighbor(random.below(through.degree() as u64) as usize);
        let others = snapshot.list(Graph::RELATION, board);
        if !others.is_empty() {
            return (others.neighbor(random.below(others.degree() as u64) as usize), board);
        }
    }
}
