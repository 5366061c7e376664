//! Promise: the example hosts do what their documentation says. The server runs as another process, as in the example.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hedgerow::CancelToken;
use serde_json::Value;

#[path = "../examples/live_recommender.rs"]
mod live_recommender;
#[path = "../examples/nightly.rs"]
mod nightly;
#[path = "../examples/read_only_server.rs"]
mod read_only_server;

use nightly::{Night, night, write_days};
use read_only_server::{Client, EDGES_PER_BATCH, address, create, publish, serve};

/// The environment variable that names the store of the server process.
const STORE_OF_SERVER: &str = "HEDGEROW_SERVED";

#[test]
fn the_live_recommender_ends_with_the_embeddings_of_a_rebuild() {
    let outcome = live_recommender::host(Duration::from_millis(1500)).expect("it runs");
    assert_eq!(outcome.updated, outcome.rebuilt);
    assert!(outcome.refreshes > 0 && outcome.answers > 0, "{outcome:?}");
}

/// The users and items of `answers.jsonl`.
fn answers(folder: &Path) -> Vec<(String, Vec<Value>)> {
    let text = fs::read_to_string(folder.join("answers.jsonl")).expect("written");
    let line = |line: &str| {
        let answer: Value = serde_json::from_str(line).expect("an object a line");
        let user = answer["user"].as_str().expect("a key").to_owned();
        (user, answer["items"].as_array().expect("items").clone())
    };
    text.lines().map(line).collect()
}

/// Two nights. The second night is cancelled in five different stages before it runs to its end.
#[test]
fn the_nightly_job_keeps_the_old_answers_until_the_new_ones_are_complete() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    // The first night answers all users.
    write_days(folder, 0..1).expect("written");
    let first = night(folder, &CancelToken::new()).expect("a night");
    assert_eq!(first, Night { edges: first.edges, warm: false, users: 120 });
    let yesterday = fs::read(folder.join("answers.jsonl")).expect("written");
    let of_user = answers(folder);
    let users: BTreeSet<&String> = of_user.iter().map(|(user, _)| user).collect();
    assert_eq!(users.len(), 120);
    assert!(of_user.iter().all(|(_, items)| items.len() == 10), "{of_user:?}");

    // A cancelled night leaves the old answers.
    write_days(folder, 1..2).expect("written");
    for stage in ["files", "edges", "walks", "epoch", "answers"] {
        let cancel = CancelToken::new();
        let canceller = cancel.clone();
        let observed = cancel.observed(move |progress| {
            if progress.stage == stage {
                canceller.cancel();
            }
        });
        night(folder, &observed).expect_err(stage);
        let kept = fs::read(folder.join("answers.jsonl")).expect("still there");
        assert_eq!(kept, yesterday, "stopped in {stage}");
    }
    // The second night replaces them. It adds no edges, since the night cancelled in `answers` has added them all.
    let second = night(folder, &CancelToken::new()).expect("a night");
    assert_eq!(second, Night { edges: 0, warm: true, users: 120 });
    assert_ne!(fs::read(folder.join("answers.jsonl")).expect("written"), yesterday);
    assert_eq!(answers(folder).len(), 120);
}

/// The process that [`a_server_beside_a_writer_answers_from_published_states_only`] starts. By itself it does nothing.
#[test]
#[ignore = "another test starts it as a process"]
fn the_server_process() {
    if let Some(store) = std::env::var_os(STORE_OF_SERVER) {
        serve(Path::new(&store)).expect("it serves until its input ends");
    }
}

#[test]
fn a_server_beside_a_writer_answers_from_published_states_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    // Given: a published store, and a server in another process.
    let engine = create(&path).expect("trained");
    let mut server = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "examples::the_server_process", "--ignored", "--nocapture"])
        .env(STORE_OF_SERVER, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let address = address(&mut server).expect("it listens");
    let last = 6;
    // When: a client asks for the state without pause, and the writer publishes five more batches.
    let client = std::thread::spawn(move || {
        let mut client = Client::connect(address).expect("a connection");
        let mut seen = vec![0];
        while seen.last() != Some(&last) {
            let state = client.ask("state").expect("an answer");
            let numbers: Vec<u64> =
                state.split(' ').map(|number| number.parse().expect("a number")).collect();
            let [epoch, edges, embedded] = numbers[..] else { panic!("{state}") };
            // Then: the state has all edges of its batches, and its embeddings have its epoch.
            assert_eq!((edges, embedded), (epoch * EDGES_PER_BATCH, epoch), "an incomplete state: {state}");
            assert!(epoch >= *seen.last().expect("not empty"), "back to epoch {epoch} after {seen:?}");
            seen.push(epoch);
        }
        client.ask("similar item:7").expect("an answer")
    });
    for round in 1..last {
        assert_eq!(publish(&engine, round).expect("published"), round + 1);
    }
    // And: the last answer is of the last epoch, and a question for an unknown node is an error.
    let answer = client.join().expect("the client saw nothing wrong");
    let found: Vec<&str> = answer.split(' ').collect();
    assert_eq!((found[0], found.len()), ("6", 6), "{answer}");
    assert!(
        Client::connect(address)
            .expect("another")
            .ask("similar item:x")
            .expect("an answer")
            .contains("no node")
    );
    drop(server.stdin.take());
    server.wait().expect("it ends with its input");
}
