//! The workload `store`: loading and importing a graph, commits, opening, checkpoints, hubs and reads, each beside the machine or
//! another way in the same run. Owns the order, and the folder and graph that all of them work on.

mod commits;
mod hub;
mod import;
mod opening;
mod reads;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hedgerow::{CancelToken, NodeIx, Store};
use hedgerow_cli::synthetic::{Plan, SyntheticGraph};
use tempfile::TempDir;

use crate::Options;
use crate::graph::{gather, label};
use crate::measure::{self, Against, Failure, Recorder, Row};

/// The sizes of what is measured.
#[derive(Clone, Copy, Debug)]
struct Setup {
    plan: Plan,
    /// The time over which each rate is taken.
    span: Duration,
    /// Changes in the log when it is opened.
    logged: usize,
    /// Neighbors of the hub.
    hub: u32,
    /// Edges that the hub gets and loses.
    changes: usize,
    /// Reads of random nodes.
    reads: usize,
}

impl Setup {
    fn new(options: &Options) -> Self {
        let plan = options.plan(1);
        if options.quick {
            let span = Duration::from_millis(100);
            Self { plan, span, logged: 2000, hub: 1000, changes: 40, reads: 10_000 }
        } else {
            let span = Duration::from_secs(3);
            Self { plan, span, logged: 100_000, hub: 1_000_000, changes: 1000, reads: 1_000_000 }
        }
    }
}

/// The folder, the graph, and the recorder of figures.
struct Bench<'a> {
    setup: Setup,
    cancel: CancelToken,
    folder: TempDir,
    label: String,
    recorder: &'a mut Recorder,
}

impl Bench<'_> {
    /// Records a figure, unless the run is cancelled.
    fn record(
        &mut self,
        case: &str,
        value: f64,
        unit: &'static str,
        against: Against,
        threads: usize,
        options: &str,
    ) -> Result<(), Failure> {
        self.cancel.check()?;
        self.recorder.rows.push(Row {
            workload: "store",
            case: case.to_owned(),
            value,
            unit,
            against,
            threads,
            graph: self.label.clone(),
            options: options.to_owned(),
        });
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

pub(crate) fn run(options: &Options, recorder: &mut Recorder) -> Result<(), Failure> {
    let (setup, cancel, folder) = (Setup::new(options), recorder.cancel.clone(), measure::folder()?);
    recorder.note("making the graph");
    let edges = SyntheticGraph::new(setup.plan).edges(&cancel)?;
    let label = label(setup.plan, edges.len() as u64);
    let mut bench = Bench { setup, cancel, folder, label, recorder };

    bench.recorder.note("loading and importing");
    let imported = import::measure(&mut bench, edges)?;
    bench.recorder.note("committing");
    let single = commits::measure(&mut bench)?;
    bench.recorder.note("opening, and a checkpoint");
    opening::measure(&mut bench, single)?;
    bench.recorder.note("reading");
    let read = reads::measure(&mut bench)?;
    bench.recorder.note("a hub");
    hub::measure(&mut bench)?;
    #[cfg(feature = "sqlite")]
    {
        bench.recorder.note("the same in SQLite");
        sqlite::measure(&mut bench, &sqlite::Own { imported, single, read })?;
    }
    #[cfg(not(feature = "sqlite"))]
    {
        let _ = (imported, read);
        bench.recorder.note("not measured beside SQLite: add `--features sqlite` to `cargo run`");
    }
    Ok(())
}

/// Loads a graph of pins and boards into a new store; returns the store and the seconds.
fn load(
    path: &Path,
    (pins, boards): (u32, u32),
    edges: Vec<(NodeIx, NodeIx)>,
    cancel: &CancelToken,
) -> Result<(Store, f64), Failure> {
    let since = Instant::now();
    let load = gather(pins, boards, edges)?;
    let store = Store::options().create(true).open(path)?;
    store.load(load, cancel)?;
    Ok((store, since.elapsed().as_secs_f64()))
}

/// The files of a folder and of those in it.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}
