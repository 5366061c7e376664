//! Promise 1: memory that runs out ends a process, and costs no acknowledged commit.
//!
//! Rust ends a process whose allocation is refused. So a process of this binary opens a store, commits, refreshes and
//! publishes with an allocator that refuses the k-th allocation. Whatever k is, the store opens afterwards, sound, with every
//! commit that the process had acknowledged, and a refresh gives the bytes of a rebuild.
//!
//! `HEDGEROW_ROUNDS` is the number of k that are tried, `HEDGEROW_SEED` selects them.

mod failing_allocator;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use hedgerow::{
    Batch, CancelToken, CheckOptions, Edge, Engine, Error, Ids, NodeRef, StorageError, Store, TrainOptions,
    WalkOptions,
};
use hedgerow_test_support::{Random, fuzz_config};

use crate::failing_allocator::FailingAllocator;

#[global_allocator]
static ALLOCATOR: FailingAllocator = FailingAllocator;

const ROUNDS: u64 = 40;
const STORE: &str = "HEDGEROW_ALLOCATION_STORE";
const ALLOWED: &str = "HEDGEROW_ALLOCATION_ALLOWED";

fn batch(number: u64) -> Result<Batch, Error> {
    let mut random = Random::new(number);
    let mut batch = Batch::new();
    for _ in 0..60 {
        let (pin, board) = (random.below(40).to_string(), random.below(8).to_string());
        batch.link(
            NodeRef { kind: "pin", key: &pin },
            NodeRef { kind: "board", key: &board },
            Edge::default(),
        )?;
    }
    let key = number.to_string();
    batch.link(NodeRef { kind: "pin", key: &key }, NodeRef { kind: "done", key: "1" }, Edge::default())?;
    Ok(batch)
}

fn options() -> TrainOptions {
    TrainOptions {
        targets: vec!["pin".into()],
        dim: 8,
        walks: WalkOptions { walks: 16, top: 4, min_visits: 1, ..WalkOptions::default() },
        ids: Ids::On,
        epochs: 1,
        batch: 16,
        negatives: 8,
        held_out: 10,
        ..TrainOptions::default()
    }
}

/// Prints a line for the process that started this one.
fn print_line(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("the parent listens");
}

/// Opens the store, trains a model where there is none, and commits, refreshes and publishes twice. Prints each commit.
fn work(path: &Path) -> Result<(), Error> {
    let cancel = CancelToken::new();
    let engine = Engine::open(Arc::new(Store::options().create(true).open(path)?))?;
    for _ in 0..2 {
        let next = engine.store().snapshot().epoch().get() + 1;
        let epoch = engine.store().commit(&batch(next)?)?.epoch;
        print_line(&format!("committed {epoch}"));
        if engine.status().embedded.is_none() {
            engine.training(&options()).run(&cancel)?;
        }
        engine.refresh(false, &cancel)?;
        engine.persist(&cancel)?;
        engine.store().checkpoint(&cancel)?;
    }
    Ok(())
}

/// The process whose memory runs out.
#[test]
fn process_without_memory() {
    let Some(path) = std::env::var_os(STORE).map(PathBuf::from) else { return };
    let allowed = std::env::var(ALLOWED).ok().and_then(|text| text.parse().ok()).expect("a number");
    failing_allocator::allow(allowed);
    let done = work(&path);
    let made = failing_allocator::made();
    failing_allocator::allow(u64::MAX);
    // An error is as good an end as the end of the process.
    let end = done.map_or_else(|error| error.to_string(), |()| "all done".to_owned());
    print_line(&format!("allocations {made}, {end}"));
}

/// Runs the process; returns what it printed.
fn run(path: &Path, allowed: u64) -> String {
    let output = Command::new(std::env::current_exe().expect("this binary has a path"))
        .args(["process_without_memory", "--exact", "--nocapture"])
        .env(STORE, path)
        .env(ALLOWED, allowed.to_string())
        .stderr(Stdio::null())
        .output()
        .expect("this binary can be started");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn number_after(line: &str, word: &str) -> Option<u64> {
    line.strip_prefix(word)?.split([' ', ',']).next()?.parse().ok()
}

/// The store is sound, has the commits up to `epoch`, and a refresh gives the bytes of a rebuild.
fn check(path: &Path, epoch: u64) {
    let cancel = CancelToken::new();
    let problems = match Store::check(path, CheckOptions { deep: true, read_only: false }, &cancel) {
        // The process ended before there was a store.
        Err(error) if epoch == 0 => {
            return assert!(matches!(error, StorageError::NotAStore { .. }), "{error}");
        }
        checked => checked.expect("a check").problems,
    };
    assert_eq!(problems, []);
    let store = Arc::new(Store::options().open(path).expect("it opens"));
    let found = store.snapshot().epoch().get();
    assert!(found == epoch || found == epoch + 1, "epoch {found}, {epoch} was acknowledged");
    for batch in 1..=found {
        let key = batch.to_string();
        assert!(
            store.snapshot().lookup(NodeRef { kind: "pin", key: &key }).is_some(),
            "batch {batch} is lost"
        );
    }
    let engine = Engine::open(store).expect("the engine opens");
    if engine.status().embedded.is_some() {
        engine.refresh(false, &cancel).expect("a refresh");
        let refreshed = engine.digest(&cancel).expect("a digest").digest;
        engine.refresh(true, &cancel).expect("a rebuild");
        assert_eq!(engine.digest(&cancel).expect("a digest").digest, refreshed);
    }
}

#[test]
fn memory_that_runs_out_costs_no_acknowledged_commit() {
    let (rounds, seed) = (fuzz_config::rounds(ROUNDS), fuzz_config::clock_seed());
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().expect("a folder");
    // The allocations of a new store, and of one that has a model already.
    let path = folder.path().join("counted");
    let count = |said: &str| said.lines().find_map(|line| number_after(line, "allocations "));
    let counts =
        [run(&path, u64::MAX), run(&path, u64::MAX)].map(|said| count(&said).expect("it ended by itself"));
    let mut ended_early = 0;
    for round in 0..rounds {
        let path = folder.path().join(round.to_string());
        let (mut epoch, with_model) = (0, round % 2 == 1);
        if with_model {
            run(&path, u64::MAX);
            epoch = 2;
        }
        // Half of the refusals are early, where a store is opened.
        let most = counts[usize::from(with_model)];
        let bits = random.below(most.ilog2() + 1);
        let allowed = if round % 4 < 2 { random.below(most) } else { random.below(1_u64 << bits).min(most) };
        let said = run(&path, allowed);
        let acknowledged = said.lines().filter_map(|line| number_after(line, "committed "));
        epoch = acknowledged.fold(epoch, u64::max);
        ended_early += u64::from(!said.contains("all done"));
        eprintln!("round {round}: {allowed} of {most} allocations, epoch {epoch}, seed {seed}");
        check(&path, epoch);
    }
    assert!(ended_early > rounds / 2, "{ended_early} of {rounds} ended early, seed {seed}");
}
