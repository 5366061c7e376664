//! Promise 1: an acknowledged commit survives a power cut at a random moment. A batch is there whole or not at all.
//!
//! The store is on a device of its own. At the cut the state of the device is copied, and the next round continues on the
//! copy, as after a restart.

use std::fs;
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hedgerow_test_support::fuzz_config;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::disk_image::{Cache, DiskImage};
use crate::job::{Ended, Job, Moment, create_trained_store, whole_lines};
use crate::kill::JobDurations;
use crate::round_counts::RoundCounts;
use crate::store_check::StoreUnderTest;
use crate::test_folder::TestFolder;

const ROUNDS: u64 = 3;
/// The number of rounds after which a new store is created.
const ROUNDS_PER_STORE: u64 = 3;
/// The moment of the cut of a job of unknown duration.
const DEFAULT_MOMENT: Duration = Duration::from_millis(300);
/// The number of lines before the cut of a writer that does not sync.
const LINES_BEFORE_CUT: usize = 300;

/// A new image. `None`, with a message, where images cannot be mounted.
fn create_image(test_folder: &TestFolder) -> Option<DiskImage> {
    match DiskImage::create(test_folder.path(), "first") {
        Ok(image) => Some(image),
        Err(reason) => {
            // Written directly, since the test runner shows the captured output of failed tests only.
            let _ = writeln!(io::stderr(), "skipped: no power cuts here: {reason}");
            None
        }
    }
}

#[test]
fn every_step_acknowledged_before_a_power_cut_is_in_the_store_and_whole() {
    let test_folder = TestFolder::new();
    let Some(first) = create_image(&test_folder) else { return };
    let (rounds, seed) = (fuzz_config::rounds(ROUNDS), fuzz_config::clock_seed());
    eprintln!("power: {rounds} rounds, seed {seed}");
    let (mut rng, mut durations, mut counts) =
        (StdRng::seed_from_u64(seed), JobDurations::default(), RoundCounts::default());
    let (mut previous, mut cuts_during_write, mut unflushed) = (None, 0, 0);
    measure(first.path(), &mut rng, &mut durations);
    drop(first);
    for round in 0..rounds {
        if round % ROUNDS_PER_STORE == 0 {
            previous = None;
        }
        // Given: the store of the last round, or a new one.
        let (image, mut tested) =
            previous.take().unwrap_or_else(|| create_store_on_image(&test_folder, round));
        let job = Job::random(&tested.path, &tested.graph, &mut rng);
        // When: the power is cut during a random job.
        let moment = durations.random_moment(&job, &mut rng).unwrap_or(Moment::After(DEFAULT_MOMENT));
        let cache = if rng.random_range(0..2) == 0 { Cache::Kept } else { Cache::Lost };
        unflushed += u64::from(cache == Cache::Lost);
        let kill_first = rng.random_range(0..2) == 0;
        let (ended, copy, during_write) =
            run_and_cut(&job, moment, kill_first, cache, &test_folder, &image, &format!("cut-{round}"));
        cuts_during_write += u64::from(during_write);
        counts.round(!ended.done);
        drop(image);
        // Then: the store on the copy passes its check.
        tested.path = copy.path().join("store");
        match tested.check(&job, &ended, rng.random_range(0..8) == 0) {
            Ok(checked) => {
                counts.checked(checked);
                previous = Some((copy, tested));
            }
            Err(fault) => {
                counts.fault(&fault);
                let kept = TestFolder::new().keep().join("store");
                let copied = Command::new("cp").arg("-r").args([&tested.path, &kept]).status();
                assert!(
                    copied.is_ok_and(|status| status.success()),
                    "the store is kept in {}",
                    kept.display()
                );
                let kept = kept.display();
                eprintln!("power: round {round} of seed {seed}, {}: {fault}; kept in {kept}", job.name);
            }
        }
    }
    drop(previous);
    eprintln!(
        "power: {cuts_during_write} of {rounds} cuts in the middle of a write, {unflushed} lost what was not flushed"
    );
    counts.conclude("power", seed);
}

/// Runs twelve random jobs to their end, to measure their durations on such a device.
fn measure(folder: &Path, rng: &mut StdRng, durations: &mut JobDurations) {
    let path = folder.join("store");
    create_trained_store(&path.display().to_string());
    let mut tested = StoreUnderTest::read(path);
    for _ in 0..12 {
        let job = Job::random(&tested.path, &tested.graph, rng);
        let since = Instant::now();
        let ended = job.start().end();
        durations.record(&job, since.elapsed());
        tested
            .check(&job, &ended, false)
            .unwrap_or_else(|fault| panic!("{}, not interrupted: {fault}", job.name));
    }
}

/// Creates an image with a trained store.
fn create_store_on_image(test_folder: &TestFolder, round: u64) -> (DiskImage, StoreUnderTest) {
    let image = DiskImage::create(test_folder.path(), &format!("new-{round}")).expect("there was one before");
    let path = image.path().join("store");
    create_trained_store(&path.display().to_string());
    let tested = StoreUnderTest::read(path);
    (image, tested)
}

/// Starts a job, and cuts the power at a moment.
///
/// The process is killed before its interrupted writes can continue, so every acknowledgement comes from before the cut. With
/// `kill_first` it is killed right before the cut.
fn run_and_cut(
    job: &Job,
    moment: Moment,
    kill_first: bool,
    cache: Cache,
    test_folder: &TestFolder,
    image: &DiskImage,
    name: &str,
) -> (Ended, DiskImage, bool) {
    let mut running = job.start();
    running.wait(moment);
    if kill_first {
        // The last write of the process may still run.
        running.child.kill().expect("it is killed, or has ended");
    }
    let (copy, during_write) = image.cut(cache, test_folder.path(), name, || {
        running.child.kill().expect("it is killed, or has ended");
    });
    (running.end(), copy, during_write)
}

/// The method itself is tested: the power cut of a writer that does not sync must lose acknowledged lines.
#[test]
fn a_writer_that_does_not_sync_loses_what_it_acknowledged() {
    let test_folder = TestFolder::new();
    let Some(image) = create_image(&test_folder) else { return };
    let file = image.path().join("lines");
    let script = "i=0; while :; do i=$((i + 1)); echo \"line $i\" >> \"$1\"; echo \"$i\"; done";
    let mut child = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()
        .expect("there is a shell");
    let lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let (sender, receiver) = mpsc::channel();
    let counter = std::thread::spawn(move || {
        whole_lines(lines, || {
            let _ = sender.send(());
        })
    });
    assert_eq!(receiver.iter().take(LINES_BEFORE_CUT).count(), LINES_BEFORE_CUT, "the writer ended early");
    let (copy, _) = image.cut(Cache::Kept, test_folder.path(), "control", || {
        child.kill().expect("it runs until it is killed");
    });
    child.wait().expect("it ended");
    let acknowledged = counter.join().expect("the counter ends with the pipe");
    let kept =
        fs::File::open(copy.path().join("lines")).map_or(0, |file| whole_lines(BufReader::new(file), || {}));
    eprintln!("power, without a sync: {acknowledged} lines acknowledged, {kept} of them there after the cut");
    assert!(
        acknowledged > 0 && kept < acknowledged,
        "{acknowledged} lines acknowledged, {kept} there: the method would find nothing"
    );
}
