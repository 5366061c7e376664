//! Promise 5: readers in other processes open the last published state, without a lock and without the right to write, while
//! a writer commits and publishes; what they see is of one epoch, never a mixture.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use hedgerow::{Engine, Store};
use serde_json::Value;

use crate::job::hedgerow;
use crate::publisher::{ROLE, STORE, counts, digest, on_end_of_input, role, tell, wrong};
use crate::settings::{self, Ground};

const SECONDS: u64 = 10;
const READERS: usize = 3;
/// Every so many opens, all of the graph is looked at.
const THOROUGH: u64 = 50;
/// Opens of a reader that is asked to stop at once.
const LEAST: u64 = 2 * THOROUGH;
/// Somebody who owns nothing.
const NOBODY: &str = "65534";

/// A reader that opens the store over and over.
#[test]
fn reader_process() {
    let Some(path) = role("reader") else { return };
    let enough = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&enough);
    on_end_of_input(move || stop.store(true, Ordering::Relaxed));
    let (mut opened, mut epoch, mut last) = (0, 0, String::new());
    while opened < LEAST || !enough.load(Ordering::Relaxed) {
        opened += 1;
        match open_and_look(&path, opened % THOROUGH == 0, &mut epoch) {
            Ok(line) if line == last => {}
            Ok(line) => {
                tell(&line);
                last = line;
            }
            Err(what) => tell(&format!("fault open {opened}: {what}")),
        }
    }
    tell(&format!("opened {opened}"));
}

/// Opens the store read-only once; the digest that it finds.
fn open_and_look(path: &Path, thorough: bool, epoch: &mut u64) -> Result<String, String> {
    let store = Store::options().read_only(true).open(path).map_err(|error| error.to_string())?;
    let snapshot = store.snapshot();
    wrong(&snapshot, thorough).map_or(Ok(()), Err)?;
    let before = std::mem::replace(epoch, snapshot.epoch().get());
    if *epoch < before {
        return Err(format!("epoch {epoch} after {before}"));
    }
    let engine = Engine::open(Arc::new(store)).map_err(|error| error.to_string())?;
    let status = engine.status();
    if status.embedded.is_none_or(|embedded| embedded.get() > *epoch) {
        return Err(format!("embeddings of {:?} with a graph of epoch {epoch}", status.embedded));
    }
    digest(&engine).map_err(|error| error.to_string())
}

/// A process of this binary, and what it tells.
struct Other {
    child: Child,
    input: Option<ChildStdin>,
    lines: JoinHandle<Vec<String>>,
}

impl Other {
    fn start(mut command: Command, test: &str, role: &str, store: &Path) -> Self {
        command.args([test, "--exact", "--nocapture"]).env(ROLE, role).env(STORE, store);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("this binary can be started");
        let input = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let lines = std::thread::spawn(move || lines.map_while(Result::ok).collect());
        Self { child, input, lines }
    }

    /// Asks it to stop, and waits for all that it had to tell.
    fn end(mut self) -> Vec<String> {
        drop(self.input.take());
        let lines = self.lines.join().expect("the listener ends with the pipe");
        assert!(
            self.child.wait().is_ok_and(|status| status.success()),
            "a process failed: {:?}",
            lines.last()
        );
        lines
    }
}

/// The numbers that follow a word in what a process told, added up.
fn sum(lines: &[String], word: &str) -> u64 {
    let rest = lines.iter().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
    rest.filter_map(|number| number.parse::<u64>().ok()).sum()
}

/// How to become somebody without rights on the store; the binary is put where such a one can reach it.
fn unprivileged(ground: &Ground) -> Option<(PathBuf, Vec<String>)> {
    let here = std::env::current_exe().expect("this binary has a path");
    let binary = ground.path().join("reader");
    fs::copy(here, &binary).expect("room for a copy of this binary");
    let user = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()];
    let probe = Command::new("setpriv").args(&user).arg(&binary).arg("--list").output();
    if probe.as_ref().is_ok_and(|output| output.status.success()) {
        return Some((binary, user.to_vec()));
    }
    eprintln!("readers: they run with the rights of the writer, since nobody else can be become here");
    None
}

#[test]
fn readers_beside_a_publishing_writer_never_see_a_mixture() {
    let (ground, seconds) = (Ground::new(), settings::seconds(SECONDS));
    eprintln!("readers: {seconds} seconds");
    let store = ground.path().join("store");
    open_to_all(ground.path());
    let other = unprivileged(&ground);
    let publisher = start_publisher(&store);
    let reader = || {
        let command = match &other {
            Some((binary, user)) => {
                let mut command = Command::new("setpriv");
                command.args(user).arg(binary);
                command
            }
            None => Command::new(std::env::current_exe().expect("this binary has a path")),
        };
        Other::start(command, "readers::reader_process", "reader", &store)
    };
    let readers: Vec<Other> = (0..READERS).map(|_| reader()).collect();
    let asked = ask_the_command(&store, Duration::from_secs(seconds));
    let found: Vec<String> = readers.into_iter().flat_map(Other::end).collect();
    let told = publisher.end();

    let all: BTreeSet<&String> = told.iter().filter(|line| line.starts_with("digest ")).collect();
    let mut faults: Vec<&String> = found.iter().filter(|line| line.starts_with("fault ")).collect();
    let seen = found.iter().chain(&asked.0).filter(|line| line.starts_with("digest "));
    let states: BTreeSet<&String> = seen.collect();
    let mixtures: Vec<&String> = states.difference(&all).copied().collect();
    faults.extend(&asked.1);
    let settled = nothing_is_written(&store, &reader);
    let user = if other.is_some() { "another user without rights" } else { "the same user" };
    eprintln!(
        "readers: {} opens in {READERS} processes of {user}, {} runs of the command, {} looks at held snapshots; {} commits, \
         {} publications, {} of them seen; {} faults, {} mixtures; {settled} opens of a folder without write permission \
         wrote nothing",
        sum(&found, "opened"),
        asked.0.len(),
        sum(&told, "looked"),
        sum(&told, "committed"),
        sum(&told, "published"),
        states.len(),
        faults.len(),
        mixtures.len(),
    );
    for what in faults.iter().chain(&mixtures).take(10) {
        eprintln!("readers: {what}");
    }
    assert!(states.len() > 1, "readers saw the store change");
    assert!(faults.is_empty() && mixtures.is_empty(), "{} faults, {} mixtures", faults.len(), mixtures.len());
}

fn start_publisher(store: &Path) -> Other {
    let command = Command::new(std::env::current_exe().expect("this binary has a path"));
    let publisher = Other::start(command, "publisher::publisher_process", "publisher", store);
    // Its first model is what the readers begin with.
    let since = Instant::now();
    let is_published = || {
        let opened = Store::options().read_only(true).open(store);
        opened.is_ok_and(|store| store.derived().is_some())
    };
    while !is_published() {
        assert!(since.elapsed() < Duration::from_mins(2), "the publisher publishes its first model");
        std::thread::sleep(Duration::from_millis(20));
    }
    publisher
}

/// Asks the command about the store for so long; digests and faults.
fn ask_the_command(store: &Path, length: Duration) -> (Vec<String>, Vec<String>) {
    let (mut digests, mut faults) = (Vec::new(), Vec::new());
    let since = Instant::now();
    let shown = store.display().to_string();
    let mut ask = |verb: &str| -> Option<Value> {
        let output = hedgerow(&[verb, &shown, "--read-only"]).output().expect("the command starts");
        let told = serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success());
        if told.is_none() {
            faults.push(format!("{verb}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        told
    };
    let mut odd = Vec::new();
    while since.elapsed() < length {
        if let Some(told) = ask("digest") {
            let word = |name: &str| told[name].as_str().map_or_else(|| told[name].to_string(), str::to_owned);
            digests.push(format!("digest {} {} {}", word("generation"), word("epoch"), word("digest")));
        }
        if let Some(told) = ask("stats") {
            let total = |map: &Value| -> u64 {
                map.as_object().map_or(0, |map| map.values().filter_map(Value::as_u64).sum())
            };
            let found = (total(&told["nodes"]), total(&told["edges"]));
            if told["epoch"].as_u64().map(counts) != Some(found) {
                odd.push(format!("stats: {told}"));
            }
        }
    }
    faults.extend(odd);
    (digests, faults)
}

/// Readers of a store that nobody writes, in a folder that nobody may write to, leave every file as it is.
fn nothing_is_written(store: &Path, reader: &dyn Fn() -> Other) -> u64 {
    permit(store, 0o555, 0o444);
    let before = listing(store);
    let lines = reader().end();
    assert_eq!(before, listing(store), "a reader changed something");
    permit(store, 0o755, 0o644);
    let faults: Vec<&String> = lines.iter().filter(|line| line.starts_with("fault ")).collect();
    assert!(faults.is_empty(), "a folder without write permission: {faults:?}");
    sum(&lines, "opened")
}

/// Every file with its size and the time of its last change.
fn listing(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
        let known = entry.metadata().expect("a file of the store");
        found.insert(entry.path(), (known.len(), known.modified().expect("a time")));
        if known.is_dir() {
            found.extend(listing(&entry.path()));
        }
    }
    found
}

/// Gives a folder and all in it these permissions.
#[cfg(unix)]
fn permit(folder: &Path, folders: u32, files: u32) {
    use std::os::unix::fs::PermissionsExt;
    for path in listing(folder).into_keys() {
        if path.is_dir() {
            permit(&path, folders, files);
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(files)).expect("a file of ours");
        }
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(folders)).expect("a folder of ours");
}

/// A temporary folder is its owner's only.
#[cfg(unix)]
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("a folder of ours");
}

#[cfg(not(unix))]
fn permit(_: &Path, _: u32, _: u32) {}

#[cfg(not(unix))]
fn open_to_all(_: &Path) {}
