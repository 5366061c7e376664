//! Random jobs for the command, their changes of the reference graph, and the running process.

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

use crate::reference_graph::{Change, Graph};

/// Rows that `import` commits together.
const IMPORT_BATCH: usize = 100_000;
const BOARDS: u32 = 700;
const PINS: u32 = 2500;

/// The output that acknowledges the steps of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// One line for each step.
    ByLine,
    /// The end of the process, for all steps.
    ByEnd,
}

/// A run of the command.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: &'static str,
    pub(crate) acknowledged: Acknowledged,
    /// The batches in order. A line of output that changes nothing has an empty batch.
    pub(crate) steps: Vec<Vec<Change>>,
    pub(crate) trains: bool,
    arguments: Vec<String>,
    input: String,
}

/// The command with JSON lines as its output.
pub(crate) fn hedgerow(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hedgerow"));
    command.args(arguments).args(["--output", "jsonl", "--quiet"]);
    command
}

/// Runs the command to its end, and asserts that it succeeds.
pub(crate) fn run_command(arguments: &[&str]) {
    let output = hedgerow(arguments).output().expect("the command starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Creates a store with a small synthetic graph and a model.
pub(crate) fn create_trained_store(store: &str) {
    run_command(&["generate", store, "--items", "2000", "--boards", "600", "--edges", "12000"]);
    let light = ["--dim", "8", "--walks", "50", "--pairs-per-epoch", "2000", "--held-out", "50"];
    run_command(&[&["train", store, "--target", "pin", "--epochs", "1"], &light[..]].concat());
}

impl Job {
    /// A random job on a store with this graph. Its input files are written beside the store.
    pub(crate) fn random(store: &Path, graph: &Graph, rng: &mut StdRng) -> Self {
        match rng.random_range(0..20) {
            0..6 => Self::apply(store, graph, rng, "none"),
            6..10 => Self::apply(store, graph, rng, "eager"),
            10 => Self::import(store, rng, "import", 2_000..25_000),
            // So many rows that a checkpoint follows.
            11 => Self::import(store, rng, "import and checkpoint", 80_000..90_000),
            12 => Self::import_tokens(store, rng),
            13..15 => Self::train(store, rng),
            15..17 => Self::refresh(store, rng),
            _ => Self::console(store, graph, rng),
        }
    }

    /// An import of random edges. The store need not exist.
    pub(crate) fn import(store: &Path, rng: &mut StdRng, name: &'static str, rows: Range<u32>) -> Self {
        let mut text = String::from("board,pin,weight,time\n");
        let mut changes = Vec::new();
        for _ in 0..rng.random_range(rows) {
            let (ends, weight_and_time) =
                ((rng.random_range(0..120), rng.random_range(0..500)), random_weight_and_time(rng));
            push_line(
                &mut text,
                &format!("{},{},{},{}", ends.0, ends.1, weight_and_time.0, time_text(weight_and_time.1)),
            );
            changes.push(Change::Link(ends, weight_and_time));
        }
        let file = write_beside(store, "edges.csv", &text);
        let steps = changes.chunks(IMPORT_BATCH).map(<[Change]>::to_vec).collect();
        Self::new(
            name,
            Acknowledged::ByEnd,
            steps,
            &["import", &path_text(store), "--edges", &file],
            String::new(),
        )
    }

    /// An import of random tokens of pins.
    fn import_tokens(store: &Path, rng: &mut StdRng) -> Self {
        let mut text = String::from("pin,about\n");
        let mut step = Vec::new();
        for _ in 0..rng.random_range(1..1500) {
            let (pin, word) = (rng.random_range(0..PINS), rng.random_range(0..40));
            push_line(&mut text, &format!("{pin},w{word} x{}", word % 7));
            let words = [format!("about=w{word}"), format!("about=x{}", word % 7)];
            step.push(Change::SetTokens(pin, BTreeSet::from(words)));
        }
        let file = write_beside(store, "pins.csv", &text);
        let arguments = ["import", &path_text(store), "--nodes", &file, "--kind", "pin", "--tokens", "about"];
        Self::new("import tokens", Acknowledged::ByEnd, vec![step], &arguments, String::new())
    }

    /// An `apply` of random edge changes, ten in a batch.
    fn apply(store: &Path, graph: &Graph, rng: &mut StdRng, refresh: &'static str) -> Self {
        let (most, name) = if refresh == "none" { (60, "apply") } else { (15, "apply and refresh") };
        let steps: Vec<Vec<Change>> = (0..rng.random_range(1..most))
            .map(|_| (0..10).map(|_| random_edge_change(graph, rng)).collect())
            .collect();
        let mut text = String::new();
        for change in steps.iter().flatten() {
            match change {
                Change::Link((board, pin), (weight, at)) => {
                    push_line(&mut text, &format!("+,board:{board},pin:{pin},{weight},{}", time_text(*at)));
                }
                Change::Unlink((board, pin)) => push_line(&mut text, &format!("-,board:{board},pin:{pin}")),
                Change::Remove(_) | Change::SetTokens(..) => unreachable!("only edges were drawn"),
            }
        }
        let arguments = ["apply", &path_text(store), "-", "--batch", "10", "--refresh", refresh];
        Self::new(name, Acknowledged::ByLine, steps, &arguments, text)
    }

    /// A console that adds and removes edges and nodes, one in a command, and refreshes at times.
    fn console(store: &Path, graph: &Graph, rng: &mut StdRng) -> Self {
        let mut after = graph.clone();
        let (mut text, mut steps) = (String::new(), Vec::new());
        for _ in 0..rng.random_range(10..80) {
            // Draw a change, or a refresh.
            let change = match rng.random_range(0..20) {
                0 => None,
                1 => {
                    let at = rng.random_range(0..after.nodes.len());
                    after.nodes.keys().nth(at).map(|node| Change::Remove(*node))
                }
                _ => Some(random_edge_change(&after, rng)),
            };
            // Write its command line.
            match &change {
                None => push_line(&mut text, "refresh"),
                Some(Change::Link((board, pin), (weight, at))) => {
                    let at = at.map_or(String::new(), |at| format!(" --time {}", at / SECOND));
                    push_line(&mut text, &format!("link board:{board} pin:{pin} --weight {weight}{at}"));
                }
                Some(Change::Unlink((board, pin))) => {
                    push_line(&mut text, &format!("unlink board:{board} pin:{pin}"));
                }
                Some(Change::Remove(node)) => push_line(&mut text, &format!("remove {node}")),
                Some(Change::SetTokens(..)) => unreachable!("the console has no verb for words"),
            }
            // Record it as one step.
            let step: Vec<Change> = change.into_iter().collect();
            after.apply(&step);
            steps.push(step);
        }
        Self::new("console", Acknowledged::ByLine, steps, &["console", &path_text(store)], text)
    }

    fn train(store: &Path, rng: &mut StdRng) -> Self {
        let (epochs, seed) = (rng.random_range(1..3).to_string(), rng.random_range(0..99).to_string());
        let arguments = ["train", &path_text(store), "--target", "pin", "--epochs", &epochs, "--seed", &seed];
        let light = ["--dim", "8", "--walks", "50", "--pairs-per-epoch", "2000", "--held-out", "50"];
        let job = Self::new(
            "train",
            Acknowledged::ByEnd,
            Vec::new(),
            &[&arguments, &light[..]].concat(),
            String::new(),
        );
        Self { trains: true, ..job }
    }

    fn refresh(store: &Path, rng: &mut StdRng) -> Self {
        let store = path_text(store);
        let full = ["refresh", &store, "--full"];
        let arguments = if rng.random_range(0..3) == 0 { &full[..] } else { &full[..2] };
        Self::new("refresh", Acknowledged::ByEnd, Vec::new(), arguments, String::new())
    }

    fn new(
        name: &'static str,
        acknowledged: Acknowledged,
        steps: Vec<Vec<Change>>,
        arguments: &[&str],
        input: String,
    ) -> Self {
        let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
        Self { name, acknowledged, steps, trains: false, arguments, input }
    }

    /// Starts the process, a thread that writes its input, and a thread that counts its output lines.
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
        // The feeder's write fails when the process is killed, which is expected.
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

/// Counts the lines of a pipe up to its end, and calls `each` after each line. Text without a line feed is no line.
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

/// A running process.
pub(crate) struct Running {
    pub(crate) child: Child,
    feeder: JoinHandle<()>,
    counter: JoinHandle<usize>,
    /// The number of lines that were printed so far.
    seen: Arc<AtomicUsize>,
    since: Instant,
}

/// When to stop a process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// This long after its start.
    After(Duration),
    /// This long after this number of printed lines.
    Line(usize, Duration),
}

/// The state of a process at its end.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The number of lines that it printed.
    pub(crate) lines: usize,
    /// `true` if it ended by itself and succeeded.
    pub(crate) done: bool,
    /// The exit code and the messages of a process that failed without a kill.
    pub(crate) failure: Option<String>,
}

impl Running {
    /// Waits until a moment, or until the process has ended and its lines are counted.
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

    /// Waits for the end of a process, whether it was killed or not.
    pub(crate) fn end(mut self) -> Ended {
        let mut message = String::new();
        let mut errors = self.child.stderr.take().expect("a pipe");
        errors.read_to_string(&mut message).expect("the command prints UTF-8");
        let status = self.child.wait().expect("it ended");
        self.feeder.join().expect("the feeder ends with the pipe");
        let lines = self.counter.join().expect("the counter ends with the pipe");
        let failure =
            status.code().filter(|&code| code != 0).map(|code| format!("exit code {code}: {message}"));
        Ended { lines, done: status.success(), failure }
    }
}

/// A random edge to add (60 percent) or to remove. Most removed edges exist.
fn random_edge_change(graph: &Graph, rng: &mut StdRng) -> Change {
    let ends = (rng.random_range(0..BOARDS), rng.random_range(0..PINS));
    match rng.random_range(0..10) {
        0..6 => Change::Link(ends, random_weight_and_time(rng)),
        6 => Change::Unlink(ends),
        _ => {
            // The first existing edge after a random pair, which takes no linear search.
            let at = graph.edges.range(ends..).next().or_else(|| graph.edges.iter().next());
            Change::Unlink(at.map_or(ends, |(ends, _)| *ends))
        }
    }
}

/// Microseconds of a second: files and commands have seconds, and the store has microseconds.
const SECOND: i64 = 1_000_000;

/// A weight, often 1, and a time or none.
fn random_weight_and_time(rng: &mut StdRng) -> (f32, Option<i64>) {
    let weight = if rng.random_range(0..3) == 0 { 0.25 + rng.random_range(0..12) as f32 * 0.5 } else { 1.0 };
    (weight, (rng.random_range(0..4) == 0).then(|| rng.random_range(0..100_000) * SECOND))
}

fn time_text(at: Option<i64>) -> String {
    at.map_or(String::new(), |at| (at / SECOND).to_string())
}

fn push_line(text: &mut String, words: &str) {
    writeln!(text, "{words}").expect("writing to a string");
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// Writes an input file beside the store, and returns its path.
fn write_beside(store: &Path, name: &str, text: &str) -> String {
    let path = store.parent().expect("a store is in a folder").join(name);
    std::fs::write(&path, text).expect("a file beside the store");
    path.display().to_string()
}
