//! The workload `store`: bringing a graph in, commits, opening, checkpoints, hubs and reading, each beside what the machine or
//! another way does in the same run. Owns the order, and the folder and graph that all of it works on.

mod bulk;
mod commits;
mod hub;
mod opening;
mod reads;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hedgerow::{BulkLoad, CancelToken, NodeIx, Store};
use tempfile::TempDir;

use crate::bench::Row;
use crate::bench::graph::{Ends, Plan};
use crate::core::failure::Failure;

/// What the workload is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) plan: Plan,
    /// How long each rate is taken.
    pub(crate) span: Duration,
    /// Changes in the log when it is opened.
    pub(crate) tail: usize,
    /// Neighbours of the hub.
    pub(crate) hub: u32,
    /// Edges that the hub gets and loses.
    pub(crate) changes: usize,
    /// Reads of random nodes.
    pub(crate) reads: usize,
}

/// The folder, the graph, and the way for rows out.
struct Bench<'a> {
    setup: Setup,
    cancel: &'a CancelToken,
    folder: TempDir,
    label: String,
    rows: &'a mut dyn FnMut(Row) -> Result<(), Failure>,
}

/// What a figure is compared with: its name, and the figure divided by it.
type Against = Option<(&'static str, f64)>;

impl Bench<'_> {
    fn put(
        &mut self,
        case: &str,
        value: f64,
        unit: &'static str,
        against: Against,
        threads: usize,
        options: &str,
    ) -> Result<(), Failure> {
        self.cancel.check()?;
        (self.rows)(Row {
            workload: "store",
            case: case.to_owned(),
            value,
            unit,
            baseline: against.map(|(name, _)| name),
            ratio: against.map(|(_, ratio)| ratio),
            threads,
            graph: self.label.clone(),
            options: options.to_owned(),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// All rows; `say` is told what is going on.
pub(crate) fn run(
    setup: Setup,
    cancel: &CancelToken,
    say: &dyn Fn(&str),
    rows: &mut dyn FnMut(Row) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let folder = tempfile::Builder::new().prefix("hedgerow-bench-").tempdir();
    let folder =
        folder.map_err(|source| Failure::file(&std::env::temp_dir(), "create a folder in", source))?;
    let Plan { items, boards, seed, .. } = setup.plan;
    say("making the graph");
    let graph = Ends::new(setup.plan, 0, items).edges();
    let label =
        format!("{items} pins, {boards} boards, {} edges, power-law both ends, seed {seed}", graph.len());
    let mut bench = Bench { setup, cancel, folder, label, rows };

    say("loading and importing");
    let imported = bulk::measure(&mut bench, graph)?;
    say("committing");
    let single = commits::measure(&mut bench)?;
    say("opening, and a checkpoint");
    opening::measure(&mut bench, single)?;
    say("reading");
    let read = reads::measure(&mut bench)?;
    say("a hub");
    hub::measure(&mut bench)?;
    #[cfg(feature = "sqlite")]
    {
        say("the same in SQLite");
        sqlite::measure(&mut bench, &sqlite::Own { imported, single, read })?;
    }
    #[cfg(not(feature = "sqlite"))]
    {
        let _ = (imported, read);
        say(
            "not measured beside SQLite: build with `cargo build --release -p hedgerow-cli --features sqlite`",
        );
    }
    Ok(())
}

/// A graph of pins and boards, named by their numbers, in a new store.
fn load(
    path: &Path,
    plan: Plan,
    graph: Vec<(NodeIx, NodeIx)>,
    cancel: &CancelToken,
) -> Result<(Store, f64), Failure> {
    let since = Instant::now();
    let mut load = BulkLoad::new();
    load.nodes("pin", (0..plan.items).map(|item| item.to_string()))?;
    load.nodes("board", (0..plan.boards).map(|board| board.to_string()))?;
    load.edges(None, graph, None)?;
    let store = Store::options().create(true).open(path)?;
    store.load(load, cancel)?;
    Ok((store, since.elapsed().as_secs_f64()))
}

/// How long the best of some rounds of a job takes, in seconds.
fn best(rounds: usize, mut job: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let mut best = f64::INFINITY;
    for _ in 0..rounds {
        let since = Instant::now();
        job()?;
        best = best.min(since.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// The files of a folder and of those in it.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |source| Failure::file(folder, "read", source);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}
