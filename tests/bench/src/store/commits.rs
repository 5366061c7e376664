//! Durable commits a second, beside the rate at which the machine makes four kilobytes durable.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hedgerow::{Batch, Edge, NodeRef, Store};
use hedgerow_cli::synthetic::Random;

use crate::measure::{Failure, best_rates};
use crate::store::Bench;

/// Rounds in which all rates are taken in turn, the best of which counts: a sync waits for the processor, too.
pub(super) const ROUNDS: usize = 12;
const PAGE: usize = 4096;
const PAGES: u64 = 1024;
/// Threads that commit at the same time.
const MANY: usize = 8;
const BATCH: usize = 1000;

/// All rates; returns commits of one edge a second, on one thread.
pub(super) fn measure(bench: &mut Bench<'_>) -> Result<f64, Failure> {
    let store = Store::options().open(bench.path("store"))?;
    // A file for bare syncs beside the store.
    let mut file = full(&bench.path("raw"))?;
    let span = bench.setup.span / ROUNDS as u32;
    // Every round has edges of its own: a commit that changes nothing writes nothing.
    let seeds = AtomicU64::new(1000);
    let seed = || seeds.fetch_add(MANY as u64, Ordering::Relaxed);
    let [raw, one, many, batches] = {
        let bench = &*bench;
        best_rates(
            ROUNDS,
            [
                &mut || {
                    bench.cancel.check()?;
                    Ok(raw(&mut file, span)?)
                },
                &mut || commits(bench, &store, 1, 1, span, seed()),
                &mut || commits(bench, &store, MANY, 1, span, seed()),
                &mut || commits(bench, &store, 1, BATCH, span, seed()),
            ],
        )?
    };
    // Each rate stands beside the one of bare syncs.
    let name = "raw fsync";
    bench.record(
        name,
        raw,
        "1/s",
        None,
        1,
        "4 KiB written in place, fdatasync, in a file that has its size",
    )?;
    bench.record(
        "commits of one edge",
        one,
        "1/s",
        Some((name, one / raw)),
        1,
        "each durable before the next",
    )?;
    let options = "each durable before its thread's next";
    bench.record("commits of one edge", many, "1/s", Some((name, many / raw)), MANY, options)?;
    let options = "batches of 1000 edges; the ratio is of batches";
    let edges = batches * BATCH as f64;
    bench.record("commits of batches", edges / 1e3, "k edges/s", Some((name, batches / raw)), 1, options)?;
    Ok(one)
}

/// A file that has its size, so that a write in it changes the data alone.
fn full(path: &Path) -> std::io::Result<File> {
    let mut file = File::create(path)?;
    file.write_all(&vec![0; PAGE * PAGES as usize])?;
    file.sync_all()?;
    Ok(file)
}

/// Writes and syncs for so long; returns how often.
fn raw(file: &mut File, span: Duration) -> std::io::Result<f64> {
    let (since, mut count) = (Instant::now(), 0_u64);
    while since.elapsed() < span {
        file.seek(SeekFrom::Start(count % PAGES * PAGE as u64))?;
        file.write_all(&[count as u8; PAGE])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(count as f64)
}

/// Commits for so long, by so many threads, of so many edges each; returns their number.
fn commits(
    bench: &Bench<'_>,
    store: &Store,
    threads: usize,
    size: usize,
    span: Duration,
    seed: u64,
) -> Result<f64, Failure> {
    let (done, failed) = (AtomicU64::new(0), Mutex::new(None));
    let since = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (done, failed, plan, cancel) = (&done, &failed, bench.setup.plan, &bench.cancel);
            scope.spawn(move || {
                let mut edges = Edges::new(plan.items, plan.boards, seed + thread as u64);
                while since.elapsed() < span && !cancel.is_cancelled() {
                    match edges.commit(store, size) {
                        Ok(()) => done.fetch_add(1, Ordering::Relaxed),
                        Err(error) => return *failed.lock().expect("nobody panics with it") = Some(error),
                    };
                }
            });
        }
    });
    bench.cancel.check()?;
    match failed.into_inner().expect("nobody panics with it") {
        Some(failure) => Err(failure),
        None => Ok(done.into_inner() as f64),
    }
}

/// Edges between nodes that the store has, each unlike the last.
pub(super) struct Edges {
    random: Random,
    items: u64,
    boards: u64,
    batch: Batch,
}

impl Edges {
    pub(super) fn new(items: u32, boards: u32, seed: u64) -> Self {
        let (items, boards) = (u64::from(items), u64::from(boards));
        Self { random: Random::new(seed), items, boards, batch: Batch::new() }
    }

    /// Commits so many of them as one batch.
    pub(super) fn commit(&mut self, store: &Store, size: usize) -> Result<(), Failure> {
        self.batch.clear();
        for _ in 0..size {
            let (pin, board) =
                (self.random.below(self.items).to_string(), self.random.below(self.boards).to_string());
            let (pin, board) = (NodeRef::new("pin", &pin)?, NodeRef::new("board", &board)?);
            // A weight that the edge, where it is there, hardly has.
            let weight = 2.0 + self.random.below(1 << 20) as f32;
            self.batch.link(pin, board, Edge { weight, ..Edge::default() })?;
        }
        let commit = store.commit(&self.batch)?;
        assert!(
            commit.edges_added + commit.edges_changed > 0,
            "a commit that changes nothing is not measured"
        );
        Ok(())
    }
}
