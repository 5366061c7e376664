//! The package for Python beside the library: the same calls in both, on the same store and edges.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;

use hedgerow::{
    BulkLoad, CancelToken, Edge, EdgeBuffer, Engine, NodeName, NodeRef, Query, Recipient, Store, TrainOptions,
};
use hedgerow_cli::synthetic::{Degrees, Plan, SyntheticGraph};
use rayon::prelude::*;
use serde_json::Value;

use crate::Options;
use crate::graph::label;
use crate::measure::{self, Failure, Recorder, Row, best_seconds};

/// The package's half of the calls.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../python/benches/speed.py");
/// Answers to a question.
const K: usize = 20;
/// Rows that a thread puts into one buffer, and recipients that are answered together.
const ROWS: usize = 50_000;
const TOGETHER: usize = 512;

/// Measures with the interpreter that `HEDGEROW_PYTHON` names, or `python3`; the package and pyarrow have to be installed there.
pub(crate) fn run(options: &Options, recorder: &mut Recorder) -> Result<(), Failure> {
    let python = std::env::var_os("HEDGEROW_PYTHON").unwrap_or_else(|| "python3".into());
    let found = Command::new(&python).args(["-c", "import hedgerow, pyarrow"]).output();
    if !found.is_ok_and(|ran| ran.status.success()) {
        let name = python.display();
        return Err(format!(
            "{name} does not import hedgerow and pyarrow; name one that does in HEDGEROW_PYTHON"
        )
        .into());
    }
    let (items, boards, edges, users) =
        if options.quick { (2_000, 1_000, 30_000, 200) } else { (40_000, 20_000, 2_000_000, 10_000) };
    let plan = Plan { items, boards, edges, topics: 40, degrees: Degrees::Flat, seed: options.seed };
    let (folder, cancel) = (measure::folder()?, recorder.cancel.clone());
    let rows: Vec<(String, String)> = SyntheticGraph::new(plan)
        .edges(&cancel)?
        .into_iter()
        .map(|(pin, board)| (pin.to_string(), (board.get() - items).to_string()))
        .collect();
    recorder.note("edges from memory");
    let mut number = 0;
    let linked = best_seconds(3, || {
        number += 1;
        load(&rows, &folder.path().join(format!("rust-{number}")), &cancel).map(drop)
    })?;
    recorder.note("a model to ask");
    let path = folder.path().join("store");
    let engine = Engine::open(Arc::new(load(&rows, &path, &cancel)?))?;
    let train = TrainOptions { epochs: 0, ..TrainOptions::new(["pin"]) };
    engine.training(&train).run(&cancel)?;
    recorder.note("questions");
    let query = Query { k: K, ..Query::default() };
    let recipients: Vec<Recipient> =
        (0..users).map(|board| Ok(Recipient::Node(name("board", board)?))).collect::<Result<_, Failure>>()?;
    let recommended = best_seconds(3, || {
        let recommender = engine.recommender(&query)?;
        recipients.chunks(TOGETHER).try_for_each(|some| recommender.recommend(some, &cancel).map(drop))?;
        Ok(())
    })?;
    let pins: Vec<NodeName> = (0..1000).map(|pin| name("pin", pin)).collect::<Result<_, _>>()?;
    // By cosine alone, since two hops would hide what a call costs.
    let cosine = Query { cosine: true, ..query };
    let similar = best_seconds(5, || {
        pins.iter().try_for_each(|pin| engine.similar(pin.as_ref(), &cosine, &cancel).map(drop))?;
        Ok(())
    })? / 1000.0;
    drop(engine);
    recorder.note("the same in Python");
    let mut csv = String::from("pin,board\n");
    rows.iter().try_for_each(|(pin, board)| writeln!(csv, "{pin},{board}"))?;
    let file = folder.path().join("edges.csv");
    std::fs::write(&file, csv)?;
    let ran = Command::new(&python)
        .arg(SCRIPT)
        .args([&path, &file, &folder.path().join("python")])
        .arg(users.to_string())
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !ran.status.success() {
        return Err("the script in Python failed".into());
    }
    let taken: Value = serde_json::from_slice(&ran.stdout)?;
    let seconds = |case: &str| taken[case].as_f64().ok_or("a time is missing");
    let (link, recommend, one) = (seconds("link")?, seconds("recommend")?, seconds("similar")?);
    let count = rows.len() as f64;
    let mut record = |case: &str, value: f64, unit: &'static str, against: Option<(&'static str, f64)>| {
        recorder.rows.push(Row {
            workload: "python",
            case: case.to_owned(),
            value,
            unit,
            against,
            threads: rayon::current_num_threads(),
            graph: label(plan, rows.len() as u64),
            options: String::new(),
        });
    };
    record("link a pyarrow table", count / link / 1e6, "M edges/s", Some(("the library", linked / link)));
    record("recommend to all users at once", recommend, "s", Some(("the library", recommend / recommended)));
    record("similar by cosine, one node", one * 1e6, "us", Some(("the library", one / similar)));
    record("similar by cosine, above the library", (one - similar) * 1e6, "us", None);
    record("embeddings, first call in an epoch", seconds("embeddings")? * 1e3, "ms", None);
    record("embeddings, later calls", seconds("embeddings again")? * 1e6, "us", None);
    Ok(())
}

fn name(kind: &str, number: u32) -> Result<NodeName, Failure> {
    Ok(NodeName::new(kind, number.to_string())?)
}

/// A store with these edges, as the package loads them.
fn load(rows: &[(String, String)], path: &std::path::Path, cancel: &CancelToken) -> Result<Store, Failure> {
    let buffer = |rows: &[(String, String)]| {
        let mut buffer = EdgeBuffer::new();
        for (pin, board) in rows {
            let (pin, board) = (NodeRef { kind: "pin", key: pin }, NodeRef { kind: "board", key: board });
            buffer.link(pin, board, Edge::default())?;
        }
        Ok::<_, Failure>(buffer)
    };
    let buffers: Vec<EdgeBuffer> = rows.par_chunks(ROWS).map(buffer).collect::<Result<_, _>>()?;
    let mut load = BulkLoad::new();
    buffers.iter().try_for_each(|buffer| load.links(buffer))?;
    let store = Store::options().create(true).open(path)?;
    store.load(load, cancel)?;
    Ok(store)
}
