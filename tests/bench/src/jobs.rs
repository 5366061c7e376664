//! The workload `jobs`: processes that do one thing and end, with their time, their largest memory and the bytes they write, beside
//! one read of all files of the store.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use hedgerow::{CancelToken, Engine, Ids, TrainOptions};

use crate::Options;
use crate::graph::Graph;
use crate::measure::{Failure, Recorder, Row};
use crate::process;
use crate::process::Process;

/// Processes of each verb, of which the best counts: machines are shared.
const ROUNDS: u64 = 5;
const DIM: usize = 128;

pub(crate) fn run(options: &Options, recorder: &mut Recorder) -> Result<(), Failure> {
    let cancel = recorder.cancel.clone();
    recorder.note("making the graph");
    let Graph { store, label, folder, .. } = Graph::new(options.plan(1), &cancel)?;
    recorder.note("embedding all nodes");
    let engine = Engine::open(store)?;
    let train = TrainOptions {
        dim: DIM,
        ids: Ids::On,
        epochs: 0,
        // They would be fitted for minutes.
        factors: false,
        ..TrainOptions::new(["pin"])
    };
    engine.training(&train).run(&cancel)?;
    drop(engine);

    let path = folder.path().join("store");
    // Verbs of each round, so that what slows one down slows the others too.
    let mut best: Vec<(&str, Option<Process>)> =
        ["link", "refresh", "similar", "recommend", "stats"].map(|verb| (verb, None)).into();
    let mut reading = f64::INFINITY;
    for round in 0..ROUNDS {
        cancel.check()?;
        recorder.note(&format!("round {}", round + 1));
        reading = reading.min(read_all(&path)?);
        let (board, pin) = (format!("board:{}", round * 7), format!("pin:{}", round * 31 + 1));
        for (verb, best) in &mut best {
            let nodes = match *verb {
                "link" => vec![board.as_str(), &pin],
                "similar" => vec![pin.as_str()],
                "recommend" => vec![board.as_str()],
                _ => Vec::new(),
            };
            let job = process(verb, &path, &nodes, &cancel)?;
            *best = Some(best.map_or(job, |best| Process {
                seconds: best.seconds.min(job.seconds),
                memory: least(best.memory, job.memory),
                written: least(best.written, job.written),
            }));
        }
    }

    let options = format!("dim {DIM}, best of {ROUNDS}, files in the page cache");
    let mut record = |case: String, value: f64, unit, against| {
        let (graph, options) = (label.clone(), options.clone());
        let threads = rayon::current_num_threads();
        recorder.rows.push(Row { workload: "jobs", case, value, unit, against, threads, graph, options });
    };
    record("reading all files".to_owned(), reading, "s", None);
    for (verb, job) in best {
        let Some(Process { seconds, memory, written }) = job else { continue };
        record(verb.to_owned(), seconds, "s", Some(("reading all files", seconds / reading)));
        for (fact, bytes) in [("memory", memory), ("written", written)] {
            if let Some(bytes) = bytes {
                record(format!("{verb}, {fact}"), bytes / 1e6, "MB", None);
            }
        }
    }
    // All rows written and computed once, which no job of one edge should come near.
    let full = process("refresh", &path, &["--full"], &cancel)?;
    record(
        "refresh --full".to_owned(),
        full.seconds,
        "s",
        Some(("reading all files", full.seconds / reading)),
    );
    Ok(())
}

/// The seconds of one read of every file of a store.
fn read_all(store: &Path) -> Result<f64, Failure> {
    let mut chunk = vec![0; 1 << 20];
    let since = Instant::now();
    for entry in fs::read_dir(store)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "hg") {
            let mut file = File::open(path)?;
            while file.read(&mut chunk)? > 0 {}
        }
    }
    Ok(since.elapsed().as_secs_f64())
}

/// Runs a verb on a store in a process of its own.
fn process(verb: &str, store: &Path, words: &[&str], cancel: &CancelToken) -> Result<Process, Failure> {
    let before = ["hedgerow".as_ref(), verb.as_ref(), store.as_os_str()];
    process::run(before.into_iter().chain(words.iter().map(AsRef::as_ref)), cancel)
}

/// The smaller of two figures, where there are any.
fn least(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).reduce(f64::min)
}
