//! Promise: a training that is killed resumes to the same bytes; estimates and warm starts say what they do.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use super::Cli;

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

fn generated() -> Cli {
    let cli = Cli::new();
    cli.ok(&[&["generate", "s"], &WORLD[..]].concat());
    cli
}

/// Runs a training, and kills it with SIGKILL when it has printed this epoch.
fn kill_at(cli: &Cli, words: &[&str], epoch: u64) {
    let mut command = cli.command(&[words, &["--output", "jsonl"]].concat());
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
    let cli = generated();
    kill_at(&cli, &TRAIN, 3);
    assert_eq!(cli.json(&["stats", "s"])["generation"], Value::Null);
    assert!(cli.json(&["stats", "s"])["bytes"]["training"].as_u64() > Some(0));
    kill_at(&cli, &["train", "s", "--resume", "--threads", "1"], 7);
    kill_at(&cli, &["train", "s", "--resume", "--threads", "3"], 11);
    assert!(cli.ok(&["check", "s", "--output", "json"]).contains("\"sound\":true"));
    let lines = cli.jsonl(&["train", "s", "--resume", "--metrics", "m.jsonl"]);
    let last = &lines[lines.len() - 2..];
    assert_eq!((&last[0]["epoch"], &last[1]["generation"]), (&json!(16), &json!(1)));
    assert!(lines[0]["epoch"].as_u64() >= Some(10), "it resumes where it was killed: {}", lines[0]);
    assert_eq!(cli.json(&["digest", "s"])["digest"], whole.json(&["digest", "s"])["digest"]);
    assert_eq!(cli.json(&["stats", "s"])["bytes"]["training"], Value::Null);
    cli.fails(&["train", "s", "--resume"], 1, "no interrupted training to resume");
}

fn resume<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["train", "s", "--resume"], words].concat()
}

#[test]
fn options_that_contradict_the_resumed_training_are_refused() {
    let cli = generated();
    cli.fails(&["train", "s", "--resume"], 1, "no interrupted training to resume");
    kill_at(&cli, &TRAIN, 3);
    cli.fails(&resume(&["--dim", "16"]), 2, "--resume continues with dim 8, found 16: leave it out");
    cli.fails(&resume(&["--target", "board"]), 2, "--resume continues with target pin, found board");
    cli.fails(&resume(&["--no-damping"]), 2, "--resume continues with damping true, found false");
    cli.fails(&resume(&["--warm"]), 2, "--resume continues with warm false, found true");
    cli.fails(&resume(&["--estimate"]), 2, "cannot be used with");
    cli.write("pairs.tsv", "1\t2\n3\t4\n");
    cli.fails(&resume(&["--pairs", "pairs.tsv"]), 1, "began with no pairs of the caller's");
    cli.fails(&["train", "s", "--resume", "--read-only"], 1, "is open read-only");
    cli.ok(&["link", "s", "pin:1", "board:2", "--weight", "9"]);
    cli.fails(&resume(&["--dim", "8"]), 1, "train anew; a warm start keeps what the last generation learned");
}

#[test]
fn the_damaged_state_of_a_training_is_named_and_removed_by_repair() {
    let cli = generated();
    kill_at(&cli, &TRAIN, 3);
    let file = cli.path("s").join("training.aside");
    let mut bytes = std::fs::read(&file).expect("the state");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&file, bytes).expect("written");
    cli.ok(&["neighbors", "s", "pin:1"]);
    cli.fails(&["train", "s", "--resume"], 4, "training.aside is damaged at section");
    cli.fails(&["check", "s"], 4, "has 1 problem");
    cli.ok(&["check", "s", "--repair"]);
    assert!(!file.exists());
    cli.ok(&["check", "s"]);
}

#[test]
fn an_estimate_has_all_its_fields_and_writes_nothing() {
    let cli = generated();
    let before = cli.stats();
    let estimate = cli.json(&[&TRAIN[..], &["--estimate", "--read-only"]].concat());
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
    assert_eq!(cli.stats(), before);
    assert!(!cli.path("s").join("training.aside").exists());
}

#[test]
fn a_warm_training_starts_from_the_last_generation() {
    let cli = generated();
    let short: Vec<&str> = TRAIN.iter().copied().filter(|word| !["--epochs", "16"].contains(word)).collect();
    cli.fails(&[&short[..], &["--warm"]].concat(), 1, "there is no generation to start from");
    cli.ok(&TRAIN);
    let after_one = |words: &[&str]| -> f64 {
        let lines = cli.jsonl(&[&short[..], &["--epochs", "1"], words].concat());
        lines[0]["loss"].as_f64().expect("a loss")
    };
    let warm = after_one(&["--warm"]);
    assert!(warm < after_one(&[]), "{warm}");
    cli.fails(&["train", "s", "--target", "pin", "--dim", "9", "--warm"], 1, "has dim 8, requested 9");
}
