//! Work for the real command, what each of its steps does to the reference, and the process while it runs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::graph::{Change, Graph};

/// Rows that `import` makes durable together.
const IMPORT_BATCH: usize = 100_000;
const BOARDS: u32 = 700;
const PINS: u32 = 2500;

/// What says that a step is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A line for each step.
    ByLine,
    /// The end of the process, for all of them.
    ByEnd,
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: &'static str,
    pub(crate) told: Told,
    /// What is one batch, in order; a line that changes nothing is an empty one.
    pub(crate) steps: Vec<Vec<Change>>,
    pub(crate) trains: bool,
    arguments: Vec<String>,
    input: String,
}

pub(crate) fn hedgerow(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hedgerow"));
    command.args(arguments).args(["--output", "jsonl", "--quiet"]);
    command
}

/// Runs a command that nothing disturbs.
pub(crate) fn undisturbed(arguments: &[&str]) {
    let output = hedgerow(arguments).output().expect("the command starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A store with a small world in it and a model of it.
pub(crate) fn found(store: &str) {
    undisturbed(&["generate", store, "--items", "2000", "--boards", "600", "--edges", "12000"]);
    let light = ["--dim", "8", "--walks", "50", "--pairs-per-epoch", "2000", "--held-out", "50"];
    undisturbed(&[&["train", store, "--target", "pin", "--epochs", "1"], &light[..]].concat());
}

impl Job {
    /// Some work on a store that holds this graph; files that it needs are written beside the store.
    pub(crate) fn draw(store: &Path, graph: &Graph, rng: &mut StdRng) -> Self {
        match rng.random_range(0..20) {
            0..6 => Self::apply(store, graph, rng, "none"),
            6..10 => Self::apply(store, graph, rng, "eager"),
            10 => Self::import(store, rng, "import", 2_000..25_000),
            // So much that a checkpoint follows.
            11 => Self::import(store, rng, "import and checkpoint", 80_000..90_000),
            12 => Self::describe(store, rng),
            13..15 => Self::train(store, rng),
            15..17 => Self::refresh(store, rng),
            _ => Self::console(store, graph, rng),
        }
    }

    /// Edges into a store that need not be there yet.
    pub(crate) fn import(store: &Path, rng: &mut StdRng, name: &'static str, rows: Range<u32>) -> Self {
        let mut text = String::from("board,pin,weight,time\n");
        let mut changes = Vec::new();
        for _ in 0..rng.random_range(rows) {
            let (ends, worth) = ((rng.random_range(0..120), rng.random_range(0..500)), worth(rng));
            line(&mut text, &format!("{},{},{},{}", ends.0, ends.1, worth.0, time(worth.1)));
            changes.push(Change::Link(ends, worth));
        }
        let file = beside(store, "edges.csv", &text);
        let steps = changes.chunks(IMPORT_BATCH).map(<[Change]>::to_vec).collect();
        Self::new(name, Told::ByEnd, steps, &["import", &shown(store), "--edges", &file], String::new())
    }

    fn describe(store: &Path, rng: &mut StdRng) -> Self {
        let mut text = String::from("pin,about\n");
        let mut step = Vec::new();
        for _ in 0..rng.random_range(1..1500) {
            let (pin, word) = (rng.random_range(0..PINS), rng.random_range(0..40));
            line(&mut text, &format!("{pin},w{word} x{}", word % 7));
            let words = [format!("about=w{word}"), format!("about=x{}", word % 7)];
            step.push(Change::Words(pin, BTreeSet::from(words)));
        }
        let file = beside(store, "pins.csv", &text);
        let arguments = ["import", &shown(store), "--nodes", &file, "--kind", "pin", "--tokens", "about"];
        Self::new("describe", Told::ByEnd, vec![step], &arguments, String::new())
    }

    fn apply(store: &Path, graph: &Graph, rng: &mut StdRng, refresh: &'static str) -> Self {
        let (most, name) = if refresh == "none" { (60, "apply") } else { (15, "apply and refresh") };
        let steps: Vec<Vec<Change>> =
            (0..rng.random_range(1..most)).map(|_| (0..10).map(|_| edge(graph, rng)).collect()).collect();
        let mut text = String::new();
        for change in steps.iter().flatten() {
            match change {
                Change::Link((board, pin), (weight, at)) => {
                    line(&mut text, &format!("+,board:{board},pin:{pin},{weight},{}", time(*at)));
                }
                Change::Unlink((board, pin)) => line(&mut text, &format!("-,board:{board},pin:{pin}")),
                Change::Remove(_) | Change::Words(..) => unreachable!("only edges were drawn"),
            }
        }
        let arguments = ["apply", &shown(store), "-", "--batch", "10", "--refresh", refresh];
        Self::new(name, Told::ByLine, steps, &arguments, text)
    }

    fn console(store: &Path, graph: &Graph, rng: &mut StdRng) -> Self {
        let mut after = graph.clone();
        let (mut text, mut steps) = (String::new(), Vec::new());
        for _ in 0..rng.random_range(10..80) {
            let change = match rng.random_range(0..20) {
                0 => None,
                1 => {
                    let at = rng.random_range(0..after.nodes.len());
                    after.nodes.keys().nth(at).map(|node| Change::Remove(*node))
                }
                _ => Some(edge(&after, rng)),
            };
            match &change {
                None => line(&mut text, "refresh"),
                Some(Change::Link((board, pin), (weight, at))) => {
                    let at = at.map_or(String::new(), |at| format!(" --time {at}"));
                    line(&mut text, &format!("link board:{board} pin:{pin} --weight {weight}{at}"));
                }
                Some(Change::Unlink((board, pin))) => {
                    line(&mut text, &format!("unlink board:{board} pin:{pin}"));
                }
                Some(Change::Remove(node)) => line(&mut text, &format!("remove {node}")),
                Some(Change::Words(..)) => unreachable!("the console has no verb for words"),
            }
            let step: Vec<Change> = change.into_iter().collect();
            after.apply(&step);
            steps.push(step);
        }
        Self::new("console", Told::ByLine, steps, &["console", &shown(store)], text)
    }

    fn train(store: &Path, rng: &mut StdRng) -> Self {
        let (epochs, seed) = (rng.random_range(1..3).to_string(), rng.random_range(0..99).to_string());
        let arguments = ["train", &shown(store), "--target", "pin", "--epochs", &epochs, "--seed", &seed];
        let light = ["--dim", "8", "--walks", "50", "--pairs-per-epoch", "2000", "--held-out", "50"];
        let job =
            Self::new("train", Told::ByEnd, Vec::new(), &[&arguments, &light[..]].concat(), String::new());
        Self { trains: true, ..job }
    }

    fn refresh(store: &Path, rng: &mut StdRng) -> Self {
        let store = shown(store);
        let full = ["refresh", &store, "--full"];
        let arguments = if rng.random_range(0..3) == 0 { &full[..] } else { &full[..2] };
        Self::new("refresh", Told::ByEnd, Vec::new(), arguments, String::new())
    }

    fn new(
        name: &'static str,
        told: Told,
        steps: Vec<Vec<Change>>,
        arguments: &[&str],
        input: String,
    ) -> Self {
        let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
        Self { name, told, steps, trains: false, arguments, input }
    }

    pub(crate) fn start(&self) -> Running {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let mut command = hedgerow(&arguments);
        let since = Instant::now();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let (mut input, text) = (child.stdin.take().expect("a pipe"), self.input.clone());
        // The pipe breaks when its reader dies; that is the point.
        let feeder = std::thread::spawn(move || drop(input.write_all(text.as_bytes())));
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        let counter = std::thread::spawn(move || {
            whole_lines(lines, || {
                count.fetch_add(1, Ordering::Relaxed);
            })
        });
        Running { child, feeder, counter, seen, since }
    }
}

/// Lines up to the end of a pipe; what follows the last line feed is none.
pub(crate) fn whole_lines(mut from: impl BufRead, mut each: impl FnMut()) -> usize {
    let (mut count, mut text) = (0, Vec::new());
    while from.read_until(b'\n', &mut text).is_ok_and(|read| read > 0) {
        if text.ends_with(b"\n") {
            count += 1;
            each();
        }
        text.clear();
    }
    count
}

/// A process at work.
pub(crate) struct Running {
    pub(crate) child: Child,
    feeder: JoinHandle<()>,
    counter: JoinHandle<usize>,
    /// Lines so far.
    seen: Arc<AtomicUsize>,
    since: Instant,
}

/// When to stop a process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// So long after its start.
    After(Duration),
    /// So long after it printed so many lines.
    Line(usize, Duration),
}

/// What a process had come to.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Lines that it had printed.
    pub(crate) lines: usize,
    /// Whether it had done all that it was to do.
    pub(crate) done: bool,
    /// What it said where it failed by itself.
    pub(crate) failure: Option<String>,
}

impl Running {
    /// Waits for a moment, or for the end of the process where that comes before.
    pub(crate) fn wait(&mut self, moment: Moment) {
        match moment {
            Moment::After(length) => std::thread::sleep(length.saturating_sub(self.since.elapsed())),
            Moment::Line(lines, length) => {
                while self.seen.load(Ordering::Relaxed) < lines && !self.counter.is_finished() {
                    std::thread::sleep(Duration::from_micros(50));
                }
                std::thread::sleep(length);
            }
        }
    }

    /// Waits for the end of a process that ends by itself or was killed.
    pub(crate) fn end(mut self) -> Ended {
        let mut said = String::new();
        let mut errors = self.child.stderr.take().expect("a pipe");
        errors.read_to_string(&mut said).expect("the command prints UTF-8");
        let status = self.child.wait().expect("it ended");
        self.feeder.join().expect("the feeder ends with the pipe");
        let lines = self.counter.join().expect("the counter ends with the pipe");
        let failure = status.code().filter(|&code| code != 0).map(|code| format!("exit code {code}: {said}"));
        Ended { lines, done: status.success(), failure }
    }
}

/// An edge to add, most of the time, or one to remove, most of the time one that is there.
fn edge(graph: &Graph, rng: &mut StdRng) -> Change {
    let ends = (rng.random_range(0..BOARDS), rng.random_range(0..PINS));
    match rng.random_range(0..10) {
        0..6 => Change::Link(ends, worth(rng)),
        6 => Change::Unlink(ends),
        _ => {
            // The next edge from a random place on, which is found without counting.
            let at = graph.edges.range(ends..).next().or_else(|| graph.edges.iter().next());
            Change::Unlink(at.map_or(ends, |(ends, _)| *ends))
        }
    }
}

fn worth(rng: &mut StdRng) -> (f32, Option<i64>) {
    let weight = if rng.random_range(0..3) == 0 { 0.25 + rng.random_range(0..12) as f32 * 0.5 } else { 1.0 };
    (weight, (rng.random_range(0..4) == 0).then(|| rng.random_range(0..100_000)))
}

fn time(at: Option<i64>) -> String {
    at.map_or(String::new(), |at| at.to_string())
}

fn line(text: &mut String, words: &str) {
    writeln!(text, "{words}").expect("writing to a string");
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Writes a file for a job, and returns its name.
fn beside(store: &Path, name: &str, text: &str) -> String {
    let path = store.parent().expect("a store is in a folder").join(name);
    std::fs::write(&path, text).expect("a file beside the store");
    path.display().to_string()
}
