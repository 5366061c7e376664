//! Promise: a training that is killed resumes to the same bytes; estimates and warm starts say what they do.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use super::Desk;

const WORLD: [&str; 8] = ["--items", "120", "--boards", "60", "--edges", "900", "--topics", "4"];
const TRAIN: [&str; 16] = [
    "train",
    "s",
    "--target",
    "pin",
    "--epochs",
    "16",
    "--patience",
    "0",
    "--dim",
    "8",
    "--batch",
    "64",
    "--held-out",
    "50",
    "--seed",
    "7",
];

fn generated() -> Desk {
    let desk = Desk::new();
    desk.ok(&[&["generate", "s"], &WORLD[..]].concat());
    desk
}

/// Runs a training, and kills it with SIGKILL when it has printed this epoch.
fn kill_at(desk: &Desk, words: &[&str], epoch: u64) {
    let mut command = desk.command(&[words, &["--output", "jsonl"]].concat());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the command starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let told = lines
        .map(|line| -> Value { serde_json::from_str(&line.expect("text")).expect("a JSON object a line") });
    let reached = told.map(|line| line["epoch"].as_u64()).find(|told| *told == Some(epoch));
    assert!(reached.is_some(), "it ended before epoch {epoch}");
    child.kill().expect("it is killed");
    child.wait().expect("it is gone");
}

/// The training is killed three times: before anything is published, then with other numbers of threads.
#[test]
fn a_training_killed_with_sigkill_resumes_to_the_bytes_of_an_uninterrupted_one() {
    let whole = generated();
    whole.ok(&TRAIN);
    let desk = generated();
    kill_at(&desk, &TRAIN, 3);
    assert_eq!(desk.json(&["stats", "s"])["generation"], Value::Null);
    assert!(desk.json(&["stats", "s"])["bytes"]["training"].as_u64() > Some(0));
    kill_at(&desk, &["train", "s", "--resume", "--threads", "1"], 7);
    kill_at(&desk, &["train", "s", "--resume", "--threads", "3"], 11);
    assert!(desk.ok(&["check", "s", "--output", "json"]).contains("\"sound\":true"));
    let lines = desk.jsonl(&["train", "s", "--resume", "--metrics", "m.jsonl"]);
    let last = &lines[lines.len() - 2..];
    assert_eq!((&last[0]["epoch"], &last[1]["generation"]), (&json!(16), &json!(1)));
    assert!(lines[0]["epoch"].as_u64() >= Some(10), "it resumes where it was killed: {}", lines[0]);
    assert_eq!(desk.json(&["digest", "s"])["digest"], whole.json(&["digest", "s"])["digest"]);
    assert_eq!(desk.json(&["stats", "s"])["bytes"]["training"], Value::Null);
    desk.fails(&["train", "s", "--resume"], 1, "no interrupted training to resume");
}

fn resume<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["train", "s", "--resume"], words].concat()
}

#[test]
fn options_that_contradict_the_resumed_training_are_refused() {
    let desk = generated();
    desk.fails(&["train", "s", "--resume"], 1, "no interrupted training to resume");
    kill_at(&desk, &TRAIN, 3);
    desk.fails(&resume(&["--dim", "16"]), 2, "--resume continues with dim 8, found 16: leave it out");
    desk.fails(&resume(&["--target", "board"]), 2, "--resume continues with target pin, found board");
    desk.fails(&resume(&["--no-damping"]), 2, "--resume continues with damping true, found false");
    desk.fails(&resume(&["--warm"]), 2, "--resume continues with warm false, found true");
    desk.fails(&resume(&["--estimate"]), 2, "cannot be used with");
    desk.write("pairs.tsv", "1\t2\n3\t4\n");
    desk.fails(&resume(&["--pairs", "pairs.tsv"]), 1, "began with no pairs of the caller's");
    desk.fails(&["train", "s", "--resume", "--read-only"], 1, "is open read-only");
    desk.ok(&["link", "s", "pin:1", "board:2", "--weight", "9"]);
    desk.fails(&resume(&["--dim", "8"]), 1, "train anew, with --warm to start from the last generation");
}

#[test]
fn the_damaged_state_of_a_training_is_named_and_removed_by_repair() {
    let desk = generated();
    kill_at(&desk, &TRAIN, 3);
    let file = desk.path("s").join("training.aside");
    let mut bytes = std::fs::read(&file).expect("the state");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&file, bytes).expect("written");
    desk.ok(&["neighbors", "s", "pin:1"]);
    desk.fails(&["train", "s", "--resume"], 4, "training.aside is damaged at section");
    desk.fails(&["check", "s"], 4, "has 1 problem");
    desk.ok(&["check", "s", "--repair"]);
    assert!(!file.exists());
    desk.ok(&["check", "s"]);
}

#[test]
fn an_estimate_has_all_its_fields_and_writes_nothing() {
    let desk = generated();
    let before = desk.stats();
    let estimate = desk.json(&[&TRAIN[..], &["--estimate", "--read-only"]].concat());
    assert_eq!((&estimate["nodes"], &estimate["epochs"]), (&json!(120), &json!(16)));
    for field in ["positives", "examples"] {
        assert!(estimate[field].as_u64() > Some(0), "{field} in {estimate}");
    }
    for field in [
        "table",
        "moments",
        "kept",
        "inputs",
        "neighborhoods",
        "minibatches",
        "layers",
        "memory",
        "checkpoint",
    ] {
        assert!(estimate["bytes"][field].as_u64() > Some(0), "{field} in {estimate}");
    }
    for field in ["walks", "epoch", "all"] {
        assert!(estimate["seconds"][field].is_number(), "{field} in {estimate}");
    }
    assert_eq!(desk.stats(), before);
    assert!(!desk.path("s").join("training.aside").exists());
}

#[test]
fn a_warm_training_starts_from_the_last_generation() {
    let desk = generated();
    let short: Vec<&str> = TRAIN.iter().copied().filter(|word| !["--epochs", "16"].contains(word)).collect();
    desk.fails(&[&short[..], &["--warm"]].concat(), 1, "there is no generation to start from");
    desk.ok(&TRAIN);
    let after_one = |words: &[&str]| -> f64 {
        let lines = desk.jsonl(&[&short[..], &["--epochs", "1"], words].concat());
        lines[0]["loss"].as_f64().expect("a loss")
    };
    let warm = after_one(&["--warm"]);
    assert!(warm < after_one(&[]), "{warm}");
    desk.fails(&["train", "s", "--target", "pin", "--dim", "9", "--warm"], 1, "has dim 8, asked for 9");
}
