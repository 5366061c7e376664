//! Promises 1 and 5: concurrent commits and reads, with a kill in the middle, form one order that every thread agrees with.
//!
//! A process commits from several threads, reads from others, and makes checkpoints. Each thread records its calls in a file.
//! The process is killed, the store is opened, and the next process goes on. [`History::check`] has the rules.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hedgerow::{Batch, CancelToken, Edge, NodeIx, NodeRef, RelationIx, Snapshot, Store};
use hedgerow_test_support::fuzz_config;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::history::{BatchId, Commit, History, Read, Recovered, Seen};
use crate::publisher::{ROLE, STORE, role};
use crate::test_folder::TestFolder;

const HISTORIES: u64 = 50;
const WRITERS: u64 = 3;
const READERS: u64 = 2;
/// Processes that work on one store, one after another.
const LIVES: u64 = 3;
/// The longest life of a process, from the opening of the store on.
const MAX_LIFE: Duration = Duration::from_millis(120);
/// The environment variable with the number of the life.
const LIFE: &str = "HEDGEROW_TORTURE_LIFE";
const REGISTER: NodeRef<'_> = NodeRef { kind: "register", key: "last" };

/// The process that is killed.
#[test]
fn history_process() {
    let Some(path) = role("history") else { return };
    let life: u64 = std::env::var(LIFE).ok().and_then(|text| text.parse().ok()).expect("a life");
    let store = Arc::new(Store::options().create(true).open(&path).expect("the store opens"));
    let started = Instant::now();
    let log = move |thread: u64| {
        File::create(path.with_extension(format!("{life}.{thread}")))
            .expect("a file for the calls of a thread")
    };
    std::thread::scope(|scope| {
        for thread in 0..WRITERS {
            let (store, log) = (Arc::clone(&store), log(thread));
            scope.spawn(move || write(&store, thread, life, started, log));
        }
        for thread in WRITERS..WRITERS + READERS {
            let (store, log) = (Arc::clone(&store), log(thread));
            scope.spawn(move || read(&store, started, log));
        }
        // The parent kills the process; it ends by itself only where the parent died.
        while started.elapsed() < Duration::from_mins(1) {
            store.checkpoint(&CancelToken::new()).expect("a checkpoint");
            std::thread::sleep(Duration::from_millis(3));
        }
        std::process::exit(1);
    });
}

fn nanoseconds(started: Instant) -> u64 {
    started.elapsed().as_nanos() as u64
}

/// A kill may cut a line short, which then has no end.
fn record(log: &mut File, line: &str) {
    log.write_all(format!("{line}\n").as_bytes()).expect("room for a line");
}

fn write(store: &Store, thread: u64, life: u64, started: Instant, mut log: File) {
    for number in life * 1_000_000.. {
        let batch = BatchId { thread, number };
        let (key, token) = (batch.to_string(), format!("by={batch}"));
        let pin = NodeRef { kind: "pin", key: &key };
        let mut changes = Batch::new();
        for board in 0..batch.edges() {
            changes
                .link(pin, NodeRef { kind: "board", key: &board.to_string() }, Edge::default())
                .expect("valid");
        }
        changes.set_tokens(REGISTER, &[token]).expect("valid");
        record(&mut log, &format!("begun {number}"));
        let from = nanoseconds(started);
        let epoch = store.commit(&changes).expect("a commit").epoch;
        record(&mut log, &format!("commit {number} {from} {} {epoch}", nanoseconds(started)));
    }
}

fn read(store: &Store, started: Instant, mut log: File) {
    loop {
        let from = nanoseconds(started);
        let snapshot = store.snapshot();
        let to = nanoseconds(started);
        let Seen { epoch, batches, hash, register, torn } = look(&snapshot, |_| {});
        let register = register.map_or("none".to_owned(), |batch| batch.to_string());
        record(&mut log, &format!("read {from} {to} {epoch} {batches} {hash} {register} {torn}"));
    }
}

fn parse_batch(text: &str) -> Option<BatchId> {
    let (thread, number) = text.split_once('-')?;
    Some(BatchId { thread: thread.parse().ok()?, number: number.parse().ok()? })
}

/// Reads everything in a snapshot.
fn look(snapshot: &Snapshot, mut visit: impl FnMut(BatchId)) -> Seen {
    let mut seen = Seen { epoch: snapshot.epoch().get(), ..Seen::default() };
    for node in (0..snapshot.bound()).map(NodeIx::new).filter(|&node| snapshot.is_alive(node)) {
        let name = snapshot.name(node);
        let Some(batch) = (name.kind == "pin").then(|| parse_batch(&name.key)).flatten() else { continue };
        let edges: u64 = (0..snapshot.relation_count())
            .map(|at| snapshot.list(RelationIx::new(at as u16), node).degree() as u64)
            .sum();
        seen.torn += u64::from(edges != batch.edges());
        seen.batches += 1;
        seen.hash ^= batch.hash();
        visit(batch);
    }
    let register = snapshot.lookup(REGISTER).map(|node| snapshot.tokens(node));
    seen.register = register.and_then(|tokens| parse_batch(tokens.first()?.strip_prefix("by=")?));
    seen
}

fn recover(path: &Path) -> Recovered {
    let store = Store::options().open(path).expect("the store opens after a kill");
    assert_eq!(store.damage(), [], "a kill is no damage");
    let mut recovered = Recovered::default();
    let seen = look(&store.snapshot(), |batch| {
        recovered.batches.insert(batch);
    });
    Recovered { epoch: seen.epoch, register: seen.register, torn: seen.torn, ..recovered }
}

/// Reads the files that the threads of a life wrote.
fn history_of(path: &Path, life: u64) -> History {
    let mut history = History::default();
    for thread in 0..WRITERS + READERS {
        let text = fs::read_to_string(path.with_extension(format!("{life}.{thread}"))).unwrap_or_default();
        // A call whose line was cut is one that did not return.
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse().expect("a number");
            match words[0] {
                "begun" => {
                    history.begun.insert(BatchId { thread, number: number(1) });
                }
                "commit" => history.commits.push(Commit {
                    batch: BatchId { thread, number: number(1) },
                    from: number(2),
                    to: number(3),
                    epoch: number(4),
                }),
                _ => history.reads.push(Read {
                    thread,
                    from: number(1),
                    to: number(2),
                    seen: Seen {
                        epoch: number(3),
                        batches: number(4),
                        hash: number(5),
                        register: parse_batch(words[6]),
                        torn: number(7),
                    },
                }),
            }
        }
    }
    history
}

#[test]
fn every_history_with_a_kill_is_one_order_of_whole_batches() {
    let (histories, seed) = (fuzz_config::rounds(HISTORIES), fuzz_config::clock_seed());
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut commits, mut reads, mut under_way) = (0, 0, 0);
    for round in 0..histories {
        let folder = TestFolder::new();
        let path = folder.path().join("store");
        let mut before = Recovered::default();
        for life in 0..LIVES {
            // When: a process works and is killed.
            let mut child = Command::new(std::env::current_exe().expect("this binary has a path"))
                .args(["histories::history_process", "--exact", "--nocapture"])
                .envs([(ROLE, "history"), (LIFE, &life.to_string())])
                .env(STORE, &path)
                .stdout(Stdio::null())
                .spawn()
                .expect("this binary can be started");
            let last = path.with_extension(format!("{life}.{}", WRITERS + READERS - 1));
            while !last.exists() {
                assert!(
                    child.try_wait().expect("a child").is_none(),
                    "round {round}, seed {seed}: it ended by itself"
                );
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(MAX_LIFE.mul_f64(rng.random_range(0.0..1.0)));
            child.kill().expect("it is killed");
            child.wait().expect("it ends");
            // Then: its calls and the recovered store agree.
            let (history, after) = (history_of(&path, life), recover(&path));
            let checked = history.check(&before, &after);
            assert_eq!(checked, Ok(()), "round {round}, life {life}, seed {seed}");
            commits += history.commits.len();
            reads += history.reads.len();
            under_way += after.batches.len() - before.batches.len() - history.commits.len();
            before = after;
        }
    }
    eprintln!(
        "histories: {histories} with {} kills, {commits} commits, {under_way} under way at a kill and there, {reads} reads; \
         seed {seed}",
        histories * LIVES
    );
    assert!(commits > 0 && reads > 0, "nothing was committed or read, seed {seed}");
}
