//! Promise: `apply` commits a stream in batches, refreshes as told, and keeps all batches before a bad line.

use serde_json::{Value, json};

use super::Cli;

const STREAM: &str =
    "+,room:hall,lamp:d,3,1970-01-02\n-,room:hall,lamp:a\n-,room:hall,lamp:x\n+,room:loft,lamp:d\n";

#[test]
fn a_stream_adds_and_removes_in_batches() {
    let cli = Cli::with_lamps();
    cli.write("u.csv", STREAM);
    let lines = cli.jsonl(&["apply", "s", "u.csv", "--batch", "3"]);
    let edges: Vec<&Value> = lines.iter().map(|line| &line["edges"]).collect();
    assert_eq!(edges, [&json!(3), &json!(1)]);
    assert_eq!(
        (&lines[0]["batch"], &lines[0]["epoch"], &lines[0]["sources"]),
        (&json!(1), &json!(2), &Value::Null)
    );
    assert!(lines.iter().all(|line| line["ms"].is_number()));
    let found = cli.json(&["neighbors", "s", "lamp:d"]);
    assert_eq!(
        found[0],
        json!({"node": "room:hall", "weight": 3.0, "time": 86_400_000_000_u64, "relation": "lamp-room"})
    );
    assert_eq!(cli.json(&["stats", "s"])["edges"], json!({"lamp-room": 5}));
}

#[test]
fn json_tabs_and_standard_input_give_the_same_store() {
    let json = "{\"op\":\"add\",\"src\":\"room:hall\",\"dst\":\"lamp:d\",\"weight\":3,\"time\":86400}\n\
        {\"op\":\"remove\",\"src\":\"room:hall\",\"dst\":\"lamp:a\"}\n";
    let tabs = "+\troom:hall\tlamp:d\t3\t86400\n-\troom:hall\tlamp:a\n";
    let mut found = Vec::new();
    for stream in [json, tabs] {
        let cli = Cli::with_lamps();
        let ran = cli.run_with_input(&["apply", "s", "-", "--quiet"], stream);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        found.push((cli.ok(&["neighbors", "s", "room:hall"]), cli.stats()));
    }
    assert_eq!(found[0], found[1]);
}

#[test]
fn eager_batches_keep_the_embeddings_equal_to_a_rebuild() {
    let cli = Cli::trained();
    cli.write("u.csv", "+,board:1,pin:2\n+,board:3,pin:4\n-,board:1,pin:2\n+,board:59,pin:119,2\n");
    let lines = cli.jsonl(&["apply", "s", "u.csv", "--batch", "2"]);
    assert!(lines.iter().all(|line| line["sources"].is_u64() && line["rows"].is_u64()), "{lines:?}");
    assert_eq!(cli.json(&["stats", "s"])["dirty_nodes"], json!(0));
    let digest = cli.json(&["digest", "s"])["digest"].clone();
    cli.ok(&["refresh", "s", "--full", "--verify"]);
    assert_eq!(cli.digest_of_copy(), digest);
}

#[test]
fn without_refresh_the_changed_nodes_stay_dirty() {
    let cli = Cli::trained();
    cli.write("u.csv", "+,board:1,pin:2,5\n");
    cli.ok(&["apply", "s", "u.csv", "--refresh", "none"]);
    assert_eq!(cli.json(&["similar", "s", "pin:2"])["dirty_nodes"], json!(2));
}

#[test]
fn eager_refresh_without_a_model_is_refused() {
    let cli = Cli::with_lamps();
    cli.write("u.csv", STREAM);
    let before = cli.stats();
    cli.fails(&["apply", "s", "u.csv", "--refresh", "eager"], 1, "hedgerow train");
    assert_eq!(cli.stats(), before);
    let ran = cli.run(&["apply", "s", "u.csv"]);
    assert!(ran.code == 0 && ran.err.contains("nothing is refreshed"), "{}", ran.err);
}

#[test]
fn the_batches_before_a_bad_line_stay() {
    let cli = Cli::with_lamps();
    cli.write("u.csv", "+,room:hall,lamp:d\n+,room:hall,lamp:e\n+,room:hall,lamp:f\n*,room:hall,lamp:g\n");
    let message =
        "u.csv:4:1: found \"*\", expected + or -; 2 changes before it are applied, go on from line 3";
    cli.fails(&["apply", "s", "u.csv", "--batch", "2"], 5, message);
    assert_eq!(cli.json(&["stats", "s"])["edges"], json!({"lamp-room": 6}));
}

#[test]
fn every_kind_of_bad_line_is_reported_with_its_place() {
    let cli = Cli::with_lamps();
    let before = cli.stats();
    for (line, message) in [
        ("+,room:hall", "u:1:12: found 2 fields, expected 3 to 5"),
        ("+,room:hall,lamp:a,1,2,3", "u:1:24: found 6 fields, expected 3 to 5"),
        ("+,hall,lamp:a", "u:1:3: invalid node: found 'hall', expected kind:key"),
        ("+,room:hall,lamp:a,-1", "u:1:20: found \"-1\", expected a weight"),
        ("+,room:hall,lamp:a,1,soon", "u:1:22: found \"soon\", expected a time"),
        (
            "{\"op\":\"link\",\"src\":\"a:1\",\"dst\":\"b:1\"}",
            "u:1:2: found \"link\", expected \"add\", \"remove\" or \"set\"",
        ),
        ("{\"src\":\"a:1\",\"dst\":\"b:1\"}", "u:1:1: the field \"op\" is missing"),
    ] {
        cli.write("u", format!("{line}\n"));
        cli.fails(&["apply", "s", "u"], 5, message);
        assert_eq!(cli.stats(), before, "{line}");
    }
}
