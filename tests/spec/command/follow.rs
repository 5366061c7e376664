//! Promise: each line of a followed input is applied exactly once, whatever ends the command.
//!
//! The position in the input is committed with the batch, so a killed command continues after its last committed line. A line
//! that is applied twice changes no edge. But each batch is one epoch, so in batches of one change the epochs count the lines.
//!
//! `HEDGEROW_ROUNDS` multiplies the number of kills, and `HEDGEROW_SEED` is the seed of their times.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use hedgerow::{CancelToken, NodeIx, RelationIx, Store};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::Cli;
use super::follower::{Follower, PATIENCE, append};
use hedgerow_test_support::fuzz_config;

fn neighbors(cli: &Cli, node: &str) -> BTreeSet<String> {
    let found = cli.json(&["neighbors", "s", node]);
    let names = found.as_array().expect("a list").iter();
    names.map(|row| row["node"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn appended_lines_are_applied_and_half_a_line_waits_for_its_end() {
    let cli = Cli::with_lamps();
    // The last line is incomplete, though it would parse.
    cli.write("u.csv", "+,room:hall,lamp:d\n-,room:hall,lamp:a\n+,room:hall,lamp:e");
    let follower = Follower::start(&cli, &["u.csv"]);
    follower.wait(2);
    append(&cli.path("u.csv"), "el\n");
    follower.wait(1);
    append(&cli.path("u.csv"), "\n+,room:hall,lamp:f\r\n+,room:attic,lam");
    follower.wait(1);
    let ended = follower.interrupt();
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    let said = "interrupted; 4 changes before it are applied, go on from line 6, as the same command does";
    assert!(ended.err.contains(said), "{}", ended.err);
    let expected = ["lamp:b", "lamp:d", "lamp:eel", "lamp:f"].map(str::to_owned);
    assert_eq!(neighbors(&cli, "room:hall"), expected.into());

    append(&cli.path("u.csv"), "p:g\n");
    let follower = Follower::start(&cli, &["./u.csv"]);
    follower.wait(1);
    let ended = follower.interrupt();
    assert!(ended.err.contains("continues from line 6 of ./u.csv"), "{}", ended.err);
    assert!(neighbors(&cli, "room:attic").contains("lamp:g"));
}

#[test]
fn a_position_survives_checkpoints_and_backups() {
    let cli = Cli::new();
    cli.write("u.csv", "+,room:hall,lamp:a\n+,room:hall,lamp:b\n");
    let follower = Follower::start(&cli, &["u.csv", "--refresh", "none"]);
    follower.wait(2);
    follower.kill();
    let store = Store::options().open(cli.path("s")).expect("it opens after a kill");
    (0..2).for_each(|_| store.checkpoint(&CancelToken::new()).expect("written"));
    drop(store);
    let source = cli.path("u.csv").canonicalize().expect("there").display().to_string();
    assert!(cli.ok(&["dump", "s"]).contains(&format!("position {source} offset 38 lines 2 check ")));
    cli.ok(&["backup", "s", "copy"]);
    std::fs::remove_dir_all(cli.path("s")).expect("removed");
    std::fs::rename(cli.path("copy"), cli.path("s")).expect("moved");
    append(&cli.path("u.csv"), "-,room:hall,lamp:a\n");
    let follower = Follower::start(&cli, &["u.csv"]);
    follower.wait(1);
    assert_eq!(follower.interrupt().rows, [] as [Value; 0]);
    assert_eq!(cli.json(&["check", "s", "--deep"])["problems"], json!([]));
}

type Edges = BTreeMap<(String, String), f32>;

/// Events among few nodes, so that most change an edge of an earlier event.
fn events(seed: u64, count: usize) -> Vec<(bool, String, String, f32)> {
    let mut rng = StdRng::seed_from_u64(seed);
    let event = |at| {
        let names = (format!("board:{}", rng.random_range(0..9)), format!("pin:{}", rng.random_range(0..9)));
        (rng.random_bool(0.6), names.0, names.1, 1.0 + at as f32)
    };
    (0..count).map(event).collect()
}

/// The edges after these events.
fn after(events: &[(bool, String, String, f32)]) -> Edges {
    let mut edges = Edges::new();
    for (adds, board, pin, weight) in events {
        let edge = (board.clone(), pin.clone());
        if *adds {
            edges.insert(edge, *weight);
        } else {
            edges.remove(&edge);
        }
    }
    edges
}

/// The edges of a store, and the line and epoch that it has reached.
fn found(store: &Path, input: &Path) -> (Edges, u64, u64) {
    let store = Store::options().open(store).expect("it opens after a kill");
    let source = input.canonicalize().expect("there").display().to_string();
    let graph = store.snapshot();
    let mut edges = Edges::new();
    for node in (0..graph.bound()).map(NodeIx::new) {
        let name = graph.name(node).to_string();
        for relation in (0..graph.relation_count()).map(|at| RelationIx::new(at as u16)) {
            for (other, weight, _) in graph.list(relation, node).iter() {
                if name.starts_with("board:") {
                    edges.insert((name.clone(), graph.name(other).to_string()), weight);
                }
            }
        }
    }
    (edges, graph.position(&source).unwrap_or_default().lines, graph.epoch().get())
}

/// Kills a follower at random times while its file grows by random pieces. Returns the number of kills.
fn killed_at_random(seed: u64, batch: &str, count: usize) -> usize {
    let cli = Cli::new();
    let (store, input) = (cli.path("s"), cli.path("u.csv"));
    let events = events(seed, count);
    let mut text = String::new();
    for (adds, board, pin, weight) in &events {
        if *adds {
            writeln!(text, "+,{board},{pin},{weight}").expect("writing to a string");
        } else {
            writeln!(text, "-,{board},{pin}").expect("writing to a string");
        }
    }
    cli.write("u.csv", "");
    let (feeds, mut rng) = (input.clone(), StdRng::seed_from_u64(seed));
    let feeder = std::thread::spawn(move || {
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(rng.random_range(1..120)));
            append(&feeds, piece);
            rest = behind;
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let mut rng = StdRng::seed_from_u64(seed + 1);
    let (mut lines, mut kills) = (0, 0);
    while lines < count as u64 {
        let follower = Follower::start(&cli, &["u.csv", "--batch", batch, "--linger", "3"]);
        let wanted = rng.random_range(0..count as u64 / 6);
        let mut applied = 0;
        while applied < wanted && lines + applied < count as u64 {
            let row = follower.rows.recv_timeout(PATIENCE).expect("a batch is told");
            applied += row["edges"].as_u64().expect("a number");
        }
        let ended = follower.kill();
        kills += 1;
        applied += ended.rows.iter().filter_map(|row| row["edges"].as_u64()).sum::<u64>();
        if !store.exists() {
            continue;
        }
        let (edges, reached, epoch) = found(&store, &input);
        assert!(reached >= lines + applied, "seed {seed}: {applied} told after {lines}, {reached} there");
        assert_eq!(edges, after(&events[..reached as usize]), "seed {seed}: after {reached} lines");
        assert!(batch != "1" || epoch == reached, "seed {seed}: {epoch} epochs for {reached} lines");
        lines = reached;
    }
    feeder.join().expect("it wrote all");
    assert!(kills > 3, "seed {seed}: only {kills} kills");
    assert_eq!(found(&store, &input).0, after(&events));
    kills
}

#[test]
fn killed_at_random_moments_every_line_is_applied_exactly_once() {
    let (seed, rounds) = (fuzz_config::seed(1), fuzz_config::rounds(1));
    let round = |seed| killed_at_random(2 * seed, "1", 600) + killed_at_random(2 * seed + 1, "7", 1500);
    let kills: usize = (seed..seed + rounds).map(round).sum();
    eprintln!("{kills} kills, seeds {seed} to {}", seed + rounds - 1);
}

#[test]
fn the_lines_before_a_bad_line_stay_and_the_same_command_continues_when_it_is_corrected() {
    let cli = Cli::with_lamps();
    cli.write("u.csv", "+,room:hall,lamp:d\n\n*,room:hall,lamp:e\n+,room:hall,lamp:f\n");
    let ended = Follower::start(&cli, &["u.csv"]).end();
    assert_eq!((ended.code, ended.rows.len()), (Some(5), 1), "{}", ended.err);
    let said = "expected + or -; 1 change before it is applied, go on from line 2, as the same command does";
    assert!(ended.err.contains(said), "{}", ended.err);
    assert!(ended.err.contains("\"line\":3"), "{}", ended.err);
    cli.write("u.csv", "+,room:hall,lamp:d\n\n+,room:hall,lamp:e\n*,room:hall,lamp:f\n");
    let ended = Follower::start(&cli, &["u.csv"]).end();
    assert!(ended.err.contains("\"line\":4"), "{}", ended.err);
    assert_eq!(ended.rows.len(), 1);
    assert_eq!(neighbors(&cli, "room:hall").len(), 4);
}

#[test]
fn another_file_is_refused_and_restart_reads_it() {
    let cli = Cli::with_lamps();
    let follow = ["apply", "s", "u.csv", "--follow"];
    cli.write("u.csv", "\u{feff}+,room:hall,lamp:d\r\n");
    let follower = Follower::start(&cli, &["u.csv"]);
    follower.wait(1);
    follower.interrupt();
    let before = cli.stats();
    cli.write("u.csv", "+,room:hall,lamp:d\n");
    let shorter = "u.csv: the file has 19 bytes, and 23 bytes of it were applied; is it another file?";
    cli.fails(&follow, 1, shorter);
    cli.write("u.csv", "+,room:attic,lamp:d\n-,room:attic,lamp:d\n");
    cli.fails(&follow, 1, "u.csv: line 1 is not the line that was applied last; is it another file?");
    cli.write("u.csv", [0x1f, 0x8b, 8, 0]);
    cli.fails(&follow, 1, "u.csv: a compressed file cannot be followed");
    cli.fails(&["apply", "s", "none.csv", "--follow"], 1, "cannot read none.csv");
    cli.write("empty.csv", "");
    cli.fails(&["apply", "s", "empty.csv", "--follow", "--read-only"], 1, "s is open read-only");
    cli.fails(&["apply", "s", "u.csv", "--source", "u"], 2, "--follow");
    assert_eq!(cli.stats(), before);
    // With the first line unchanged the command continues.
    cli.write("u.csv", "\u{feff}+,room:hall,lamp:d\r\n+,room:hall,lamp:e\n");
    let follower = Follower::start(&cli, &["u.csv"]);
    follower.wait(1);
    follower.interrupt();
    let follower = Follower::start(&cli, &["u.csv", "--restart"]);
    follower.wait(2);
    follower.interrupt();
}

#[test]
fn a_file_that_is_cut_or_moved_while_it_is_followed_ends_the_command() {
    let cli = Cli::with_lamps();
    cli.write("u.csv", "+,room:hall,lamp:d\n");
    let follower = Follower::start(&cli, &["u.csv"]);
    follower.wait(1);
    cli.write("u.csv", "");
    let ended = follower.end();
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("the file has 0 bytes, and 19 bytes of it were applied"), "{}", ended.err);
    let follower = Follower::start(&cli, &["u.csv", "--restart"]);
    append(&cli.path("u.csv"), "+,room:hall,lamp:e\n");
    follower.wait(1);
    std::fs::rename(cli.path("u.csv"), cli.path("u.csv.1")).expect("moved");
    append(&cli.path("u.csv.1"), "+,room:hall,lamp:f\n");
    cli.write("u.csv", "+,room:hall,lamp:g\n");
    let ended = follower.end();
    assert_eq!((ended.code, ended.rows.len()), (Some(1), 1), "{}", ended.err);
    assert!(ended.err.contains("u.csv no longer leads to the followed file"), "{}", ended.err);
    assert!(!neighbors(&cli, "room:hall").contains("lamp:g"));
}

#[test]
fn a_pipe_is_read_to_its_end_and_with_a_name_skips_applied_lines() {
    let cli = Cli::with_lamps();
    let lines = ["+,room:hall,lamp:d\n", "+,room:hall,lamp:e\n", "\n", "-,room:hall,lamp:d"];
    let apply = |words: &[&str], input: &str| {
        let mut follower = Follower::start(&cli, &[&["-"], words].concat());
        let mut pipe = follower.child.stdin.take().expect("a pipe");
        pipe.write_all(input.as_bytes()).expect("the command reads");
        drop(pipe);
        let ended = follower.end();
        let applied: u64 = ended.rows.iter().filter_map(|row| row["edges"].as_u64()).sum();
        (ended.code, applied, ended.err)
    };
    let (code, applied, err) = apply(&["--source", "clicks"], &lines[..2].concat());
    assert_eq!((code, applied), (Some(0), 2), "{err}");
    // Without a name all lines are applied, also the last one without a line end.
    assert_eq!(apply(&[], &lines.concat()).1, 3);
    let (code, applied, err) = apply(&["--source", "clicks"], &lines.concat());
    assert_eq!((code, applied), (Some(0), 1), "{err}");
    assert!(err.contains("continues from line 3 of standard input"), "{err}");
    let (code, applied, err) = apply(&["--source", "clicks"], lines[0]);
    assert_eq!((code, applied), (Some(1), 0));
    assert!(err.contains("standard input has 1 line, and 4 of its lines were applied"), "{err}");
    let (code, _, err) = apply(&["--source", "clicks"], &lines.concat().replace("lamp:d", "lamp:x"));
    assert_eq!(code, Some(1));
    assert!(err.contains("standard input: line 4 is not the line that was applied last"), "{err}");
    assert_eq!(apply(&["--source", "clicks", "--restart"], &lines.concat()).1, 3);
}

#[test]
fn a_change_in_a_pipe_does_not_wait_for_others() {
    let cli = Cli::with_lamps();
    let mut follower = Follower::start(&cli, &["-"]);
    let mut pipe = follower.child.stdin.take().expect("a pipe");
    for lamp in ["d", "e"] {
        pipe.write_all(format!("+,room:hall,lamp:{lamp}\n").as_bytes()).expect("the command reads");
        follower.wait(1);
    }
    // Ctrl-C works while the pipe is open and silent.
    let ended = follower.interrupt();
    assert_eq!(ended.code, Some(130));
    let said = "interrupted; 2 changes before it are applied, go on from line 3";
    assert!(ended.err.contains(said) && !ended.err.contains("same command"), "{}", ended.err);
    drop(pipe);
}

#[test]
fn embeddings_follow_in_a_window_and_without_refresh_not_at_all() {
    let cli = Cli::trained();
    let mut text = String::new();
    for event in 0..30 {
        writeln!(text, "+,board:{},pin:{},2", event % 7, event * 5 % 120).expect("writing to a string");
    }
    cli.write("u.csv", &text);
    // The window passes while nothing comes. A kill before or after the embeddings are stored loses nothing.
    let window = ["--refresh", "window", "--window", "1", "--batch", "4"];
    let follower = Follower::start(&cli, &[&["u.csv"], &window[..]].concat());
    follower.wait(30);
    follower.kill();
    let follower = Follower::start(&cli, &[&["u.csv"], &window[..]].concat());
    append(&cli.path("u.csv"), "-,board:0,pin:0\n");
    follower.wait(1);
    follower.interrupt();
    // Without --follow the refresh comes at the end, however long the window is.
    cli.write("v.csv", "+,board:3,pin:9\n-,board:1,pin:5\n");
    let words = ["apply", "s", "v.csv", "--batch", "1", "--refresh", "window", "--window", "600000"];
    assert!(cli.jsonl(&words).iter().all(|row| row["sources"].is_null()));
    assert_eq!(cli.json(&["stats", "s"])["dirty_nodes"], json!(0));
    let digest = cli.json(&["digest", "s"])["digest"].clone();
    cli.ok(&["refresh", "s", "--full", "--verify"]);
    assert_eq!(cli.digest_of_copy(), digest);
    cli.write("w.csv", "+,board:1,pin:2,5\n");
    cli.ok(&["apply", "s", "w.csv", "--refresh", "none"]);
    assert_eq!(cli.json(&["stats", "s"])["dirty_nodes"], json!(2));
}
