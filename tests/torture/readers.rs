//! Promise 5: readers never block on the writer and never see half a batch.
//!
//! Readers in other processes open the last published state while a writer commits and publishes. They take no lock and need
//! no write permission. Each state that they see is of one epoch.

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
use hedgerow_test_support::fuzz_config;
use serde_json::Value;

use crate::job::hedgerow;
use crate::publisher::{ROLE, STORE, check_snapshot, counts, digest_line, on_end_of_input, print_line, role};
use crate::test_folder::TestFolder;

const SECONDS: u64 = 10;
const READERS: usize = 3;
/// One in so many opens compares the whole graph.
const OPENS_PER_FULL_CHECK: u64 = 50;
/// The minimum number of opens of a reader.
const MINIMUM_OPENS: u64 = 2 * OPENS_PER_FULL_CHECK;
/// The user and group id of `nobody`, who owns no file.
const NOBODY_ID: &str = "65534";

/// The process of a reader, which opens the store until it is stopped.
#[test]
fn reader_process() {
    let Some(path) = role("reader") else { return };
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&stopped);
    on_end_of_input(move || stop.store(true, Ordering::Relaxed));
    let (mut opened, mut epoch, mut last) = (0, 0, String::new());
    while opened < MINIMUM_OPENS || !stopped.load(Ordering::Relaxed) {
        opened += 1;
        match open_and_check(&path, opened % OPENS_PER_FULL_CHECK == 0, &mut epoch) {
            Ok(line) if line == last => {}
            Ok(line) => {
                print_line(&line);
                last = line;
            }
            Err(what) => print_line(&format!("fault open {opened}: {what}")),
        }
    }
    print_line(&format!("opened {opened}"));
}

/// Opens the store read-only, checks its snapshot, and returns the line of its digest.
fn open_and_check(path: &Path, thorough: bool, epoch: &mut u64) -> Result<String, String> {
    let store = Store::options().read_only(true).open(path).map_err(|error| error.to_string())?;
    let snapshot = store.snapshot();
    check_snapshot(&snapshot, thorough).map_or(Ok(()), Err)?;
    let before = std::mem::replace(epoch, snapshot.epoch().get());
    if *epoch < before {
        return Err(format!("epoch {epoch} after {before}"));
    }
    let engine = Engine::open(Arc::new(store)).map_err(|error| error.to_string())?;
    let status = engine.status();
    if status.embedded.is_none_or(|embedded| embedded.get() > *epoch) {
        return Err(format!("embeddings of {:?} with a graph of epoch {epoch}", status.embedded));
    }
    digest_line(&engine).map_err(|error| error.to_string())
}

/// A process of this binary, and a thread that collects its lines.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: JoinHandle<Vec<String>>,
}

impl Process {
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

    /// Stops the process, and returns its lines.
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

/// The sum of the numbers that follow a word at the start of lines.
fn sum(lines: &[String], word: &str) -> u64 {
    let rest = lines.iter().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
    rest.filter_map(|number| number.parse::<u64>().ok()).sum()
}

/// A copy of this binary, and the arguments of `setpriv` that run it as a user without rights on the store. `None`, with a
/// message, where that is impossible.
fn unprivileged_command(test_folder: &TestFolder) -> Option<(PathBuf, Vec<String>)> {
    let here = std::env::current_exe().expect("this binary has a path");
    let binary = test_folder.path().join("reader");
    fs::copy(here, &binary).expect("room for a copy of this binary");
    let user = [format!("--reuid={NOBODY_ID}"), format!("--regid={NOBODY_ID}"), "--clear-groups".to_owned()];
    let probe = Command::new("setpriv").args(&user).arg(&binary).arg("--list").output();
    if probe.as_ref().is_ok_and(|output| output.status.success()) {
        return Some((binary, user.to_vec()));
    }
    eprintln!("readers: they run with the rights of the writer, since this process cannot change the user");
    None
}

#[test]
fn readers_beside_a_publishing_writer_never_see_a_mix_of_epochs() {
    let (test_folder, seconds) = (TestFolder::new(), fuzz_config::seconds(SECONDS));
    eprintln!("readers: {seconds} seconds");
    // Given: a publisher, and three readers of another user.
    let store = test_folder.path().join("store");
    let_all_users_enter(test_folder.path());
    let other = unprivileged_command(&test_folder);
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
        Process::start(command, "readers::reader_process", "reader", &store)
    };
    let readers: Vec<Process> = (0..READERS).map(|_| reader()).collect();
    // When: the command asks as well, for some seconds.
    let from_command = run_the_command(&store, Duration::from_secs(seconds));
    let found: Vec<String> = readers.into_iter().flat_map(Process::end).collect();
    let published = publisher.end();

    // Then: every digest that a reader saw is one that the publisher printed.
    let all: BTreeSet<&String> = published.iter().filter(|line| line.starts_with("digest ")).collect();
    let mut faults: Vec<&String> = found.iter().filter(|line| line.starts_with("fault ")).collect();
    let seen = found.iter().chain(&from_command.0).filter(|line| line.starts_with("digest "));
    let states: BTreeSet<&String> = seen.collect();
    let mixtures: Vec<&String> = states.difference(&all).copied().collect();
    faults.extend(&from_command.1);
    // And: readers write nothing to the folder.
    let read_only_opens = check_nothing_is_written(&store, &reader);
    let user = if other.is_some() { "another user without rights" } else { "the same user" };
    eprintln!(
        "readers: {} opens in {READERS} processes of {user}, {} runs of the command, {} looks at held snapshots; {} commits, \
         {} publications, {} of them seen; {} faults, {} mixtures; {read_only_opens} opens of a folder without write permission \
         wrote nothing",
        sum(&found, "opened"),
        from_command.0.len(),
        sum(&published, "checked"),
        sum(&published, "committed"),
        sum(&published, "published"),
        states.len(),
        faults.len(),
        mixtures.len(),
    );
    for what in faults.iter().chain(&mixtures).take(10) {
        eprintln!("readers: {what}");
    }
    assert!(states.len() > 1, "no reader saw the store change");
    assert!(faults.is_empty() && mixtures.is_empty(), "{} faults, {} mixtures", faults.len(), mixtures.len());
}

/// Starts the publisher, and waits until its first model is published.
fn start_publisher(store: &Path) -> Process {
    let command = Command::new(std::env::current_exe().expect("this binary has a path"));
    let publisher = Process::start(command, "publisher::publisher_process", "publisher", store);
    let start = Instant::now();
    let is_published = || {
        let opened = Store::options().read_only(true).open(store);
        opened.is_ok_and(|store| store.derived().is_some())
    };
    while !is_published() {
        assert!(start.elapsed() < Duration::from_mins(2), "the publisher has published no model");
        std::thread::sleep(Duration::from_millis(20));
    }
    publisher
}

/// Runs `digest` and `stats` on the store for some time. Returns the lines of digests, and the faults.
fn run_the_command(store: &Path, length: Duration) -> (Vec<String>, Vec<String>) {
    let (mut digests, mut faults) = (Vec::new(), Vec::new());
    let start = Instant::now();
    let shown = store.display().to_string();
    let mut ask = |verb: &str| -> Option<Value> {
        let output = hedgerow(&[verb, &shown, "--read-only"]).output().expect("the command starts");
        let told = serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success());
        if told.is_none() {
            faults.push(format!("{verb}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        told
    };
    let mut faults_of_stats = Vec::new();
    while start.elapsed() < length {
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
                faults_of_stats.push(format!("stats: {told}"));
            }
        }
    }
    faults.extend(faults_of_stats);
    (digests, faults)
}

/// A reader of a folder without write permission changes no file. Returns the number of its opens.
fn check_nothing_is_written(store: &Path, reader: &dyn Fn() -> Process) -> u64 {
    set_permissions_of_all(store, 0o555, 0o444);
    let before = listing(store);
    let lines = reader().end();
    assert_eq!(before, listing(store), "a reader changed something");
    set_permissions_of_all(store, 0o755, 0o644);
    let faults: Vec<&String> = lines.iter().filter(|line| line.starts_with("fault ")).collect();
    assert!(faults.is_empty(), "a folder without write permission: {faults:?}");
    sum(&lines, "opened")
}

/// All files of a folder, with their sizes and modification times.
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

/// Sets the permissions of a folder and of all folders and files in it.
#[cfg(unix)]
fn set_permissions_of_all(folder: &Path, folders: u32, files: u32) {
    use std::os::unix::fs::PermissionsExt;
    for path in listing(folder).into_keys() {
        if path.is_dir() {
            set_permissions_of_all(&path, folders, files);
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(files)).expect("a file of this test");
        }
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(folders)).expect("a folder of this test");
}

/// Lets all users enter a folder. A temporary folder is accessible to its owner only.
#[cfg(unix)]
fn let_all_users_enter(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("a folder of this test");
}

#[cfg(not(unix))]
fn set_permissions_of_all(_: &Path, _: u32, _: u32) {}

#[cfg(not(unix))]
fn let_all_users_enter(_: &Path) {}
