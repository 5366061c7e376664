//! Promise 1: the command, killed with SIGKILL at a random moment of whatever it does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::check::{Checked, Fault, Subject};
use crate::job::{Ended, Job, Moment, Told, found, undisturbed};
use crate::settings::{self, Ground};
use crate::tally::Tally;

const ROUNDS: u64 = 50;
/// Rounds after which another store is taken.
const AGE: u64 = 60;
/// Every so many rounds a store is killed while it comes into being.
const NEW: u64 = 6;

/// How long each kind of work takes when nothing disturbs it: the first of its kind is let through.
#[derive(Default)]
pub(crate) struct Lengths(BTreeMap<&'static str, Duration>);

impl Lengths {
    pub(crate) fn keep(&mut self, job: &Job, length: Duration) {
        // Work of one kind differs in length: more weight for what was last, so that most of it is stopped before its end.
        let before = self.0.entry(job.name).or_insert(length);
        *before = (*before + length) / 2;
    }

    /// A moment at which to stop: anywhere in the length of the work, within its first steps, or soon after one of its lines.
    pub(crate) fn moment(&self, job: &Job, rng: &mut StdRng) -> Option<Moment> {
        let length = self.0.get(job.name)?.mul_f64(1.05);
        let share: f64 = rng.random_range(0.0..1.0);
        Some(match rng.random_range(0..4) {
            0 | 1 if job.told == Told::ByLine => {
                let soon = Duration::from_micros(rng.random_range(0..3000));
                Moment::Line(rng.random_range(1..=job.steps.len()), soon)
            }
            0 => {
                // From 20 microseconds on, every order of magnitude alike.
                let orders = (length.as_secs_f64() / 20e-6).max(1.0);
                Moment::After(Duration::from_secs_f64(20e-6 * orders.powf(share)))
            }
            _ => Moment::After(length.mul_f64(share)),
        })
    }
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there_and_whole() {
    let (rounds, seed) = (settings::rounds(ROUNDS), settings::seed());
    eprintln!("kill: {rounds} rounds, seed {seed}");
    let (mut rng, mut lengths, mut tally) =
        (StdRng::seed_from_u64(seed), Lengths::default(), Tally::default());
    let mut ground = None;
    for round in 0..rounds {
        if round % AGE == 0 {
            ground = None;
        }
        if round % NEW == NEW - 1 {
            newcomer(round, &mut rng, &mut lengths, &mut tally);
            continue;
        }
        let (folder, mut subject) = ground.take().unwrap_or_else(|| {
            let folder = Ground::new();
            let path = folder.path().join("store");
            found(&path.display().to_string());
            (folder, Subject::found(path))
        });
        let job = Job::draw(&subject.path, &subject.graph, &mut rng);
        let ended = run_and_kill(&job, &mut rng, &mut lengths);
        tally.round(!ended.done);
        match subject.check(&job, &ended, rng.random_range(0..8) == 0) {
            Ok(checked) => {
                tally.checked(checked);
                ground = Some((folder, subject));
            }
            Err(fault) => {
                tally.fault(&fault);
                let kept = folder.keep();
                eprintln!(
                    "kill: round {round} of seed {seed}, {}: {fault}; kept in {}",
                    job.name,
                    kept.display()
                );
            }
        }
    }
    tally.conclude("kill", seed);
}

fn run_and_kill(job: &Job, rng: &mut StdRng, lengths: &mut Lengths) -> Ended {
    let moment = lengths.moment(job, rng);
    let since = Instant::now();
    let mut running = job.start();
    if let Some(moment) = moment {
        running.wait(moment);
        running.child.kill().expect("it is killed, or has ended");
    }
    let ended = running.end();
    if ended.done {
        lengths.keep(job, since.elapsed());
    }
    ended
}

/// A store that was killed while it came into being is one, or a place for one.
fn newcomer(round: u64, rng: &mut StdRng, lengths: &mut Lengths, tally: &mut Tally) {
    let folder = Ground::new();
    let mut subject = Subject::nothing(folder.path().join("store"));
    let job = Job::import(&subject.path, rng, "import into a new store", 2_000..25_000);
    let ended = run_and_kill(&job, rng, lengths);
    tally.round(!ended.done);
    let is_there = subject.path.join("MANIFEST").is_file();
    let checked =
        if is_there || ended.done { subject.check(&job, &ended, false) } else { Ok(Checked::default()) };
    // What was interrupted is done again, and gives what it would have given.
    let checked = checked.and_then(|_| {
        let again = job.start().end();
        subject.check(&job, &again, false)
    });
    match checked {
        Ok(_) => undisturbed(&["stats", &subject.path.display().to_string()]),
        Err(fault) => {
            tally.fault(&fault);
            eprintln!("kill: round {round}, a new store: {fault}; kept in {}", folder.keep().display());
        }
    }
}

/// The checks find what they are to find.
#[test]
fn a_store_that_was_put_back_has_lost_and_one_that_was_added_to_is_torn() {
    let folder = Ground::new();
    let (path, before) = (folder.path().join("store"), folder.path().join("before"));
    let shown = path.display().to_string();
    found(&shown);
    let mut rng = StdRng::seed_from_u64(1);
    let mut subject = Subject::found(path.clone());
    copy(&path, &before);
    let job = std::iter::repeat_with(|| Job::draw(&path, &subject.graph, &mut rng));
    let job = job.into_iter().find(|job| job.name == "apply" && job.steps.len() > 3).expect("one of many");
    let ended = job.start().end();
    let earlier = subject.graph.clone();
    undisturbed(&["link", &shown, "board:9999", "pin:9999"]);
    assert!(matches!(subject.check(&job, &ended, false), Err(Fault::Torn(_))));
    std::fs::remove_dir_all(&path).expect("the store can go");
    copy(&before, &path);
    assert!(subject.graph == earlier);
    assert!(matches!(subject.check(&job, &ended, false), Err(Fault::Lost(_))));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let copied = std::process::Command::new("cp").arg("-r").args([from, to]).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} is copied", from.display());
}
