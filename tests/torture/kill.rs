//! Promise 1: an acknowledged commit survives SIGKILL at a random moment of any verb. A batch is there whole or not at all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hedgerow_test_support::fuzz_config;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::job::{Acknowledged, Ended, Job, Moment, create_trained_store, run_command};
use crate::round_counts::RoundCounts;
use crate::store_check::{Checked, Fault, StoreUnderTest};
use crate::test_folder::TestFolder;

const ROUNDS: u64 = 50;
/// The number of rounds after which a new store is created.
const ROUNDS_PER_STORE: u64 = 60;
/// One in so many rounds kills the command that creates a store.
const ROUNDS_PER_CREATION: u64 = 6;

/// The duration of each kind of job. The first job of each kind runs to its end, to be measured.
#[derive(Default)]
pub(crate) struct JobDurations(BTreeMap<&'static str, Duration>);

impl JobDurations {
    /// Records the duration of a job that ran to its end.
    pub(crate) fn record(&mut self, job: &Job, duration: Duration) {
        // Jobs of one kind differ in duration. Recent jobs weigh more, so that most jobs are stopped before their end.
        let average = self.0.entry(job.name).or_insert(duration);
        *average = (*average + duration) / 2;
    }

    /// A random moment to stop a job: at any time, soon after its start, or soon after one of its lines. `None` for a job of
    /// unknown duration.
    pub(crate) fn random_moment(&self, job: &Job, rng: &mut StdRng) -> Option<Moment> {
        let duration = self.0.get(job.name)?.mul_f64(1.05);
        let share: f64 = rng.random_range(0.0..1.0);
        Some(match rng.random_range(0..4) {
            0 | 1 if job.acknowledged == Acknowledged::ByLine => {
                let soon = Duration::from_micros(rng.random_range(0..3000));
                Moment::Line(rng.random_range(1..=job.steps.len()), soon)
            }
            0 => {
                // From 20 microseconds on, each order of magnitude is equally likely.
                let orders = (duration.as_secs_f64() / 20e-6).max(1.0);
                Moment::After(Duration::from_secs_f64(20e-6 * orders.powf(share)))
            }
            _ => Moment::After(duration.mul_f64(share)),
        })
    }
}

#[test]
fn every_step_acknowledged_before_a_kill_is_in_the_store_and_whole() {
    let (rounds, seed) = (fuzz_config::rounds(ROUNDS), fuzz_config::clock_seed());
    eprintln!("kill: {rounds} rounds, seed {seed}");
    let (mut rng, mut durations, mut counts) =
        (StdRng::seed_from_u64(seed), JobDurations::default(), RoundCounts::default());
    let mut previous = None;
    for round in 0..rounds {
        if round % ROUNDS_PER_STORE == 0 {
            previous = None;
        }
        if round % ROUNDS_PER_CREATION == ROUNDS_PER_CREATION - 1 {
            kill_during_creation(round, &mut rng, &mut durations, &mut counts);
            continue;
        }
        // Given: the store of the last round, or a new one.
        let (folder, mut tested) = previous.take().unwrap_or_else(|| {
            let folder = TestFolder::new();
            let path = folder.path().join("store");
            create_trained_store(&path.display().to_string());
            (folder, StoreUnderTest::read(path))
        });
        let job = Job::random(&tested.path, &tested.graph, &mut rng);
        // When: a random job is killed.
        let ended = run_and_kill(&job, &mut rng, &mut durations);
        // Then: the store passes its check.
        counts.round(!ended.done);
        match tested.check(&job, &ended, rng.random_range(0..8) == 0) {
            Ok(checked) => {
                counts.checked(checked);
                previous = Some((folder, tested));
            }
            Err(fault) => {
                counts.fault(&fault);
                let kept = folder.keep();
                eprintln!(
                    "kill: round {round} of seed {seed}, {}: {fault}; kept in {}",
                    job.name,
                    kept.display()
                );
            }
        }
    }
    counts.conclude("kill", seed);
}

/// Starts a job and kills it at a random moment. A job of unknown duration runs to its end.
fn run_and_kill(job: &Job, rng: &mut StdRng, durations: &mut JobDurations) -> Ended {
    let moment = durations.random_moment(job, rng);
    let since = Instant::now();
    let mut running = job.start();
    if let Some(moment) = moment {
        running.wait(moment);
        running.child.kill().expect("it is killed, or has ended");
    }
    let ended = running.end();
    if ended.done {
        durations.record(job, since.elapsed());
    }
    ended
}

/// Kills an import that creates a store. The folder then has a store that passes its check, or is usable for a new one.
fn kill_during_creation(
    round: u64,
    rng: &mut StdRng,
    durations: &mut JobDurations,
    counts: &mut RoundCounts,
) {
    let folder = TestFolder::new();
    let mut tested = StoreUnderTest::absent(folder.path().join("store"));
    let job = Job::import(&tested.path, rng, "import into a new store", 2_000..25_000);
    let ended = run_and_kill(&job, rng, durations);
    counts.round(!ended.done);
    let is_there = tested.path.join("MANIFEST").is_file();
    let checked =
        if is_there || ended.done { tested.check(&job, &ended, false) } else { Ok(Checked::default()) };
    // The same import, run again, completes the store.
    let checked = checked.and_then(|_| {
        let again = job.start().end();
        tested.check(&job, &again, false)
    });
    match checked {
        Ok(_) => run_command(&["stats", &tested.path.display().to_string()]),
        Err(fault) => {
            counts.fault(&fault);
            eprintln!("kill: round {round}, a new store: {fault}; kept in {}", folder.keep().display());
        }
    }
}

/// The check itself is tested: an older copy of a store is a loss, and an extra edge is a torn state.
#[test]
fn the_check_finds_a_lost_step_and_an_extra_edge() {
    let folder = TestFolder::new();
    let (path, copy_before) = (folder.path().join("store"), folder.path().join("before"));
    let shown = path.display().to_string();
    create_trained_store(&shown);
    let mut rng = StdRng::seed_from_u64(1);
    let mut tested = StoreUnderTest::read(path.clone());
    copy(&path, &copy_before);
    let job = std::iter::repeat_with(|| Job::random(&path, &tested.graph, &mut rng));
    let job = job.into_iter().find(|job| job.name == "apply" && job.steps.len() > 3).expect("one of many");
    // An extra edge after the job is a torn state.
    let ended = job.start().end();
    let earlier = tested.graph.clone();
    run_command(&["link", &shown, "board:9999", "pin:9999"]);
    assert!(matches!(tested.check(&job, &ended, false), Err(Fault::Torn(_))));
    // The store of before the job is a loss.
    std::fs::remove_dir_all(&path).expect("the store is removed");
    copy(&copy_before, &path);
    assert!(tested.graph == earlier);
    assert!(matches!(tested.check(&job, &ended, false), Err(Fault::Lost(_))));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let copied = std::process::Command::new("cp").arg("-r").args([from, to]).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} is copied", from.display());
}
