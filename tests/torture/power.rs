//! Promise 1: power cut at a random moment. The store lies on a device of its own; at the cut it is copied as it is, and the copy
//! is what the machine finds when it starts again. Work goes on there.

use std::fs;
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::check::Subject;
use crate::image::{Cache, Image};
use crate::job::{Ended, Job, Moment, found, whole_lines};
use crate::kill::Lengths;
use crate::settings::{self, Ground};
use crate::tally::Tally;

const ROUNDS: u64 = 3;
/// Every so many rounds the store is a new one.
const NEW: u64 = 3;
/// The cut of a job of which it is not known how long it takes.
const UNKNOWN: Duration = Duration::from_millis(300);
/// Lines before the cut of a writer that does not sync.
const CONTROL: usize = 300;

/// A folder for images; says why where there can be none.
fn image(ground: &Ground) -> Option<Image> {
    match Image::create(ground.path(), "first") {
        Ok(image) => Some(image),
        Err(why) => {
            // The test runner shows what it captures of failed tests only.
            let _ = writeln!(io::stderr(), "skipped: no power cuts here: {why}");
            None
        }
    }
}

#[test]
fn what_was_acknowledged_before_a_power_cut_is_there_and_whole() {
    let ground = Ground::new();
    let Some(first) = image(&ground) else { return };
    let (rounds, seed) = (settings::rounds(ROUNDS), settings::seed());
    eprintln!("power: {rounds} rounds, seed {seed}");
    let (mut rng, mut lengths, mut tally) =
        (StdRng::seed_from_u64(seed), Lengths::default(), Tally::default());
    let (mut old, mut at_work, mut unflushed) = (None, 0, 0);
    measure(first.path(), &mut rng, &mut lengths);
    drop(first);
    for round in 0..rounds {
        if round % NEW == 0 {
            old = None;
        }
        let (image, mut subject) = old.take().unwrap_or_else(|| settle(&ground, round));
        let job = Job::draw(&subject.path, &subject.graph, &mut rng);
        let moment = lengths.moment(&job, &mut rng).unwrap_or(Moment::After(UNKNOWN));
        let cache = if rng.random_range(0..2) == 0 { Cache::Kept } else { Cache::Lost };
        unflushed += u64::from(cache == Cache::Lost);
        let first = rng.random_range(0..2) == 0;
        let (ended, copy, was_at_work) =
            run_and_cut(&job, moment, first, cache, &ground, &image, &format!("cut-{round}"));
        at_work += u64::from(was_at_work);
        tally.round(!ended.done);
        drop(image);
        subject.path = copy.path().join("store");
        match subject.check(&job, &ended, rng.random_range(0..8) == 0) {
            Ok(checked) => {
                tally.checked(checked);
                old = Some((copy, subject));
            }
            Err(fault) => {
                tally.fault(&fault);
                let kept = Ground::new().keep().join("store");
                let copied = Command::new("cp").arg("-r").args([&subject.path, &kept]).status();
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
    drop(old);
    eprintln!(
        "power: {at_work} of {rounds} cuts in the middle of a write, {unflushed} lost what was not flushed"
    );
    tally.conclude("power", seed);
}

/// Lets every kind of work run once to its end, for its length on such a device.
fn measure(folder: &Path, rng: &mut StdRng, lengths: &mut Lengths) {
    let path = folder.join("store");
    found(&path.display().to_string());
    let mut subject = Subject::found(path);
    for _ in 0..12 {
        let job = Job::draw(&subject.path, &subject.graph, rng);
        let since = Instant::now();
        let ended = job.start().end();
        lengths.keep(&job, since.elapsed());
        subject
            .check(&job, &ended, false)
            .unwrap_or_else(|fault| panic!("{}, undisturbed: {fault}", job.name));
    }
}

/// A store with a model on an image of its own.
fn settle(ground: &Ground, round: u64) -> (Image, Subject) {
    let image = Image::create(ground.path(), &format!("new-{round}")).expect("there was one before");
    let path = image.path().join("store");
    found(&path.display().to_string());
    let subject = Subject::found(path);
    (image, subject)
}

/// Starts a job, and cuts the power after a while. Whatever the process said, it had said of what was on the device: it is
/// killed before anything that the cut interrupted may go on, or `first`, right before the cut.
fn run_and_cut(
    job: &Job,
    moment: Moment,
    first: bool,
    cache: Cache,
    ground: &Ground,
    image: &Image,
    name: &str,
) -> (Ended, Image, bool) {
    let mut running = job.start();
    running.wait(moment);
    if first {
        // Its last write may go on.
        running.child.kill().expect("it is killed, or has ended");
    }
    let (copy, at_work) = image.cut(cache, ground.path(), name, || {
        running.child.kill().expect("it is killed, or has ended");
    });
    (running.end(), copy, at_work)
}

/// The method finds what it is to find: a writer that acknowledges without syncing loses what it said.
#[test]
fn a_writer_that_does_not_sync_loses_what_it_acknowledged() {
    let ground = Ground::new();
    let Some(image) = image(&ground) else { return };
    let file = image.path().join("lines");
    let script = "i=0; while :; do i=$((i + 1)); echo \"line $i\" >> \"$1\"; echo \"$i\"; done";
    let mut child = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()
        .expect("there is a shell");
    let lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let (told, heard) = mpsc::channel();
    let counter = std::thread::spawn(move || {
        whole_lines(lines, || {
            let _ = told.send(());
        })
    });
    assert_eq!(heard.iter().take(CONTROL).count(), CONTROL, "the writer ended early");
    let (copy, _) = image
        .cut(Cache::Kept, ground.path(), "control", || child.kill().expect("it runs until it is killed"));
    child.wait().expect("it ended");
    let told = counter.join().expect("the counter ends with the pipe");
    let kept =
        fs::File::open(copy.path().join("lines")).map_or(0, |file| whole_lines(BufReader::new(file), || {}));
    eprintln!("power, without a sync: {told} lines acknowledged, {kept} of them there after the cut");
    assert!(
        told > 0 && kept < told,
        "{told} lines acknowledged, {kept} there: the method would find nothing"
    );
}
