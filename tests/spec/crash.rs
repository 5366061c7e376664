//! Promise 1: an acknowledged commit survives a kill. A batch is there whole or not at all.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use hedgerow::{CancelToken, Engine, NodeIx, NodeRef, RelationIx, Store};

const ROUNDS: u64 = 12;
const BATCH: usize = 10;

/// Update lines: event n links board n/7 with pin n. Each event adds one edge, so the number of edges says which events
/// were committed.
fn events(count: usize) -> String {
    let mut text = String::new();
    for event in 0..count {
        writeln!(text, "+,board:{},pin:{event}", event / 7).expect("writing to a string");
    }
    text
}

fn edges(store: &Store) -> u64 {
    let snapshot = store.snapshot();
    (0..snapshot.relation_count()).map(|at| snapshot.edge_count(RelationIx::new(at as u16))).sum()
}

fn hedgerow(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hedgerow"));
    command.args(arguments).stderr(Stdio::null());
    command
}

/// Feeds events to `apply` through a pipe, kills it after `acknowledged` reported batches, and returns the number of
/// batches that it had reported.
fn apply_and_kill(store: &Path, acknowledged: usize) -> usize {
    let path = store.display().to_string();
    let mut child =
        hedgerow(&["apply", &path, "-", "--batch", "10", "--refresh", "none", "--output", "jsonl"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
    let mut input = child.stdin.take().expect("a pipe");
    let feeder = std::thread::spawn(move || input.write_all(events(20_000).as_bytes()));
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut reported = lines.by_ref().take(acknowledged).flatten().count();
    child.kill().expect("it is killed");
    reported += lines.map_while(Result::ok).count();
    child.wait().expect("it ended");
    // The feeder ends with an error, since the reader of its pipe was killed.
    drop(feeder.join());
    reported
}

#[test]
fn a_killed_writer_loses_no_acknowledged_batch_and_leaves_no_partial_batch() {
    for round in 0..ROUNDS {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store");
        let reported = apply_and_kill(&path, 1 + round as usize * 17 % 60);
        let store = Store::options().open(&path).expect("it opens after a kill");
        let found = edges(&store);
        assert!(
            found >= (reported * BATCH) as u64,
            "round {round}: {reported} batches reported, {found} edges"
        );
        assert!(found.is_multiple_of(BATCH as u64), "round {round}: a partial batch: {found} edges");
        let snapshot = store.snapshot();
        for event in 0..found {
            let pin = snapshot.lookup(NodeRef { kind: "pin", key: &event.to_string() });
            let degree = pin.map(|pin: NodeIx| snapshot.degree(pin));
            assert_eq!(degree, Some(1), "round {round}: event {event} of {found}");
        }
    }
}

/// `apply` refreshes after every batch and is killed four times. The dirty set is complete each time.
#[test]
fn after_a_kill_the_next_refresh_gives_the_bytes_of_a_rebuild() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let shown = path.display().to_string();
    // Given: a trained store.
    let generated = hedgerow(&["generate", &shown, "--items", "300", "--boards", "100", "--edges", "2000"])
        .stdout(Stdio::null())
        .status();
    assert!(generated.expect("it runs").success());
    let arguments = ["train", &shown, "--target", "pin", "--epochs", "1", "--dim", "16"];
    assert!(hedgerow(&arguments).stdout(Stdio::null()).status().expect("it runs").success());
    for round in 0..4 {
        // When: `apply` is killed after some refreshes.
        let mut child =
            hedgerow(&["apply", &shown, "-", "--batch", "5", "--refresh", "eager", "--output", "jsonl"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("the command starts");
        let mut input = child.stdin.take().expect("a pipe");
        let feeder = std::thread::spawn(move || {
            let mut text = String::new();
            for event in 0..2000 {
                let sign = if event % 3 == 0 { '-' } else { '+' };
                let (board, pin) = (event * 7 % 100, (event * 13 + round * 50) % 300);
                writeln!(text, "{sign},board:{board},pin:{pin}").expect("writing to a string");
            }
            input.write_all(text.as_bytes())
        });
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let reported = lines.by_ref().take(2 + round * 3).flatten().count();
        assert!(reported > 0, "round {round}: nothing was applied before the kill");
        child.kill().expect("it is killed");
        child.wait().expect("it ended");
        drop(feeder.join());

        // Then: a refresh gives the digest of a rebuild.
        let store = Arc::new(Store::options().open(&path).expect("it opens after a kill"));
        assert!(store.dirty_nodes() > 0, "round {round}: the changes are dirty");
        let engine = Engine::open(store).expect("the engine opens");
        engine.refresh(false, &CancelToken::new()).expect("a refresh");
        let refreshed = engine.digest(&CancelToken::new()).expect("a digest").digest;
        engine.refresh(true, &CancelToken::new()).expect("a rebuild");
        assert_eq!(refreshed, engine.digest(&CancelToken::new()).expect("a digest").digest, "round {round}");
        engine.persist(&CancelToken::new()).expect("stored");
    }
}
