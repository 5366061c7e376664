//! Opening a store, with and without changes in its log, and the checkpoint that writes them.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use hedgerow::{CancelToken, Store};

use crate::measure::{Failure, best_seconds};
use crate::store::commits::Edges;
use crate::store::{Bench, files};

const ROUNDS: usize = 3;
/// Changes of a commit that fills the log.
const BATCH: usize = 1000;

/// Opens, and writes a checkpoint; `single` is the rate of commits of one edge when nothing else goes on.
pub(super) fn measure(bench: &mut Bench<'_>, single: f64) -> Result<(), Failure> {
    let path = bench.path("store");
    let cancel = bench.cancel.clone();
    Store::options().open(&path)?.checkpoint(&cancel)?;
    let reading = best_seconds(ROUNDS, || read(&path))?;
    let opened = open(&path, false)?;
    let against = |seconds: f64| Some(("reading its files, time", seconds / reading));
    bench.record(
        "open",
        opened * 1e3,
        "ms",
        against(opened),
        1,
        "after a checkpoint; lists read into memory",
    )?;
    let mapped = open(&path, true)?;
    bench.record(
        "open, low memory",
        mapped * 1e3,
        "ms",
        against(mapped),
        1,
        "after a checkpoint; lists mapped",
    )?;

    let store = Store::options().open(&path)?;
    let (plan, logged) = (bench.setup.plan, bench.setup.logged);
    let mut edges = Edges::new(plan.items, plan.boards, 77);
    for _ in 0..logged.div_ceil(BATCH) {
        cancel.check()?;
        edges.commit(&store, BATCH)?;
    }
    drop(store);
    let replayed = open(&path, false)?;
    let log = format!("{logged} changes in the log, in batches of {BATCH}");
    let against = Some(("open, time", replayed / opened));
    bench.record("open with a log", replayed * 1e3, "ms", against, 1, &log)?;
    checkpoint(bench, single, &log, &cancel)
}

fn checkpoint(bench: &mut Bench<'_>, single: f64, log: &str, cancel: &CancelToken) -> Result<(), Failure> {
    let path = bench.path("store");
    let store = Store::options().open(&path)?;
    let before = files(&path)?;
    let (done, plan) = (AtomicBool::new(false), bench.setup.plan);
    let (commits, seconds) = std::thread::scope(|scope| {
        let committing = scope.spawn(|| -> Result<(u64, f64), Failure> {
            let mut edges = Edges::new(plan.items, plan.boards, 78);
            let (mut count, mut longest) = (0, 0.0_f64);
            while !done.load(Ordering::Relaxed) {
                let since = Instant::now();
                edges.commit(&store, 1)?;
                longest = longest.max(since.elapsed().as_secs_f64());
                // A commit that waited for the checkpoint is not one during it.
                count += u64::from(!done.load(Ordering::Relaxed));
            }
            Ok((count, longest))
        });
        let since = Instant::now();
        let written = store.checkpoint(cancel);
        done.store(true, Ordering::Relaxed);
        let seconds = since.elapsed().as_secs_f64();
        let commits = committing.join().expect("a thread that commits does not panic");
        written.map_err(Failure::from).and(commits).map(|commits| (commits, seconds))
    })?;
    let after = files(&path)?;
    let new =
        after.iter().filter(|path| !before.contains(path) && !path.starts_with(store.path().join("log")));
    let bytes = new.map(|path| fs::metadata(path).map_or(0, |known| known.len())).sum::<u64>() as f64;
    let plain = best_seconds(2, || write(&bench.path("plain"), bytes as usize))?;
    bench.record("checkpoint", seconds, "s", Some(("a plain write, time", seconds / plain)), 1, log)?;
    let rate = bytes / seconds / 1e6;
    let against = Some(("a plain write with fsync", plain / seconds));
    bench.record("checkpoint", rate, "MB/s", against, 1, "of files written, and read back")?;
    let during = commits.0 as f64 / seconds;
    let against = Some(("when nothing else goes on", during / single));
    bench.record("commits of one edge during a checkpoint", during, "1/s", against, 1, log)?;
    let longest = commits.1;
    let against = Some(("the checkpoint, time", longest / seconds));
    bench.record("longest commit during a checkpoint", longest * 1e3, "ms", against, 1, log)
}

/// The seconds until the store is open; its closing is not counted.
fn open(path: &Path, low_memory: bool) -> Result<f64, Failure> {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let since = Instant::now();
        let store = Store::options().low_memory(low_memory).open(path)?;
        best = best.min(since.elapsed().as_secs_f64());
        drop(store);
    }
    Ok(best)
}

fn read(folder: &Path) -> Result<(), Failure> {
    for path in files(folder)? {
        std::hint::black_box(fs::read(&path)?);
    }
    Ok(())
}

fn write(path: &Path, bytes: usize) -> Result<(), Failure> {
    let chunk = vec![1_u8; 1 << 20];
    let mut file = File::create(path)?;
    for start in (0..bytes).step_by(chunk.len()) {
        file.write_all(&chunk[..chunk.len().min(bytes - start)])?;
    }
    Ok(file.sync_all()?)
}
