//! Promise: `check` finds and repairs damage, `dump` prints everything, and `backup` copies a store that is in use.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Cli, Holder};

/// The last file of store `s` whose name has this prefix.
fn file(cli: &Cli, name: &str) -> PathBuf {
    let entries = std::fs::read_dir(cli.path("s")).expect("a folder").filter_map(Result::ok);
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    found.retain(|path| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(name)));
    found.sort();
    found.pop().unwrap_or_else(|| panic!("no file {name}"))
}

fn flip(path: &PathBuf) {
    let mut bytes = std::fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("a file");
}

#[test]
fn a_sound_store_has_no_problems_at_any_depth() {
    let cli = Cli::trained();
    cli.ok(&["link", "s", "pin:0", "board:0", "--weight", "2", "--time", "7"]);
    for words in [&["check", "s"][..], &["check", "s", "--deep"], &["check", "s", "--deep", "--read-only"]] {
        let found = cli.json(words);
        assert_eq!((&found["sound"], &found["problems"]), (&json!(true), &json!([])), "{words:?}");
        assert!(found["nodes"].as_u64().is_some_and(|nodes| nodes >= 120), "{found}");
    }
}

#[test]
fn damage_is_listed_with_file_place_and_remedy_and_changes_nothing() {
    let cli = Cli::trained();
    flip(&file(&cli, "MANIFEST.copy"));
    flip(&file(&cli, "embeddings."));
    let ran = cli.run(&["check", "s", "--output", "json"]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    let found: Value = serde_json::from_str(&ran.out).expect("JSON");
    let problems = found["problems"].as_array().expect("a list");
    assert_eq!(problems.len(), 2, "{found}");
    for problem in problems {
        assert!(problem["place"].is_string() && problem["remedy"].is_string(), "{problem}");
    }
    let again = cli.run(&["check", "s", "--output", "json"]);
    assert_eq!((again.code, again.out), (4, ran.out));
}

/// A process that fills a new store was killed between the swaps of the first manifest and of its copy, and `check`
/// reported the missing copy as damage. The store is sound, before and after it is opened again.
#[test]
fn a_kill_during_the_creation_of_a_store_is_no_damage() {
    let cli = Cli::new();
    cli.ok(&["link", "s", "lamp:a", "room:hall"]);
    assert!(!cli.path("s/MANIFEST.previous").exists());
    std::fs::rename(cli.path("s/MANIFEST.copy"), cli.path("s/MANIFEST.copy.tmp")).expect("a copy");
    cli.ok(&["check", "s", "--deep"]);
    cli.ok(&["link", "s", "lamp:b", "room:hall"]);
    cli.ok(&["check", "s", "--deep"]);
    assert_eq!(cli.json(&["stats", "s"])["nodes"]["lamp"], json!(2));
}

/// Embeddings are computed from the graph, so the digest is the same as before the damage. The byte in the middle of the embeddings is
/// of a layer, which a rebuild reads to compare it, and no answer.
#[test]
fn damaged_embeddings_are_computed_again() {
    let cli = Cli::trained();
    let before = cli.json(&["digest", "s"])["digest"].clone();
    for (name, repair) in
        [("embeddings.", &["refresh", "s", "--full"][..]), ("neighborhoods.", &["digest", "s"])]
    {
        flip(&file(&cli, name));
        assert_eq!(cli.run(&["check", "s"]).code, 4, "{name}");
        let ran = cli.run(repair);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.err.contains("warning: ") && ran.err.contains(name), "{}", ran.err);
        assert_eq!(cli.json(&["digest", "s"])["digest"], before, "{name}");
        cli.ok(&["check", "s", "--deep"]);
        let again = cli.run(&["digest", "s"]);
        assert!(!again.err.contains("warning"), "{}", again.err);
    }
}

#[test]
fn a_damaged_model_is_given_up_with_repair_only() {
    let cli = Cli::trained();
    flip(&file(&cli, "model."));
    cli.fails(&["refresh", "s", "--full"], 4, "model.");
    cli.ok(&["neighbors", "s", "pin:0"]);
    let found = cli.json(&["check", "s", "--repair"]);
    assert_eq!(found["sound"], json!(true), "{found}");
    cli.fails(&["similar", "s", "pin:0"], 1, "hedgerow train");
    cli.ok(&["train", "s", "--target", "pin", "--epochs", "1", "--dim", "8", "--held-out", "50"]);
    cli.ok(&["similar", "s", "pin:0"]);
}

/// The file of the log's engine is lost: the journal still has the batch. Without the journal the store does not open, until
/// `check --repair` gives the batch up.
#[test]
fn a_lost_log_is_given_up_with_repair_only() {
    let cli = Cli::with_lamps();
    cli.ok(&["link", "s", "lamp:z", "room:hall"]);
    let with_link = cli.stats();
    std::fs::write(cli.path("s").join("log/db"), b"").expect("a file");
    assert_eq!(cli.stats(), with_link);
    let sound = cli.stats();
    cli.ok(&["link", "s", "lamp:y", "room:hall"]);
    std::fs::write(cli.path("s").join("log/db"), b"").expect("a file");
    std::fs::remove_file(cli.path("s").join("JOURNAL")).expect("a file");
    cli.fails(&["stats", "s"], 4, "record");
    let ran = cli.run(&["check", "s"]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    let ran = cli.run(&["check", "s", "--repair", "--deep", "--output", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("given up"), "{}", ran.err);
    assert_eq!(cli.stats(), sound);
    assert!(cli.path("s").join("log.damaged").is_dir());
}

#[test]
fn a_backup_of_a_store_in_use_has_all_acknowledged_changes() {
    let cli = Cli::with_lamps();
    cli.ok(&["link", "s", "lamp:z", "room:hall", "--weight", "3", "--time", "9"]);
    let holder = Holder::of(&cli);
    let copied = cli.json(&["backup", "s", "copy"]);
    assert_eq!(copied["epoch"], cli.json(&["stats", "copy"])["epoch"]);
    cli.fails(&["backup", "s", "copy"], 5, "a new or empty folder");
    holder.leave();
    let text = |store: &str| {
        let dumped = cli.ok(&["dump", store]);
        let graph = dumped.lines().filter(|line| !line.starts_with("manifest") && !line.starts_with("file"));
        graph.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(text("copy"), text("s"));
    cli.ok(&["check", "copy", "--deep"]);
}

#[test]
fn a_dump_has_lines_for_all_parts_of_a_store() {
    let cli = Cli::with_lamps();
    cli.ok(&["link", "s", "lamp:z", "room:hall", "--weight", "3", "--time", "9"]);
    let dumped = cli.ok(&["dump", "s"]);
    for line in ["manifest ", "file topology.", "relation 0 lamp-room edges 5", "record ", "  edge "] {
        assert!(dumped.lines().any(|found| found.starts_with(line)), "no line {line:?} in {dumped}");
    }
    assert!(dumped.contains("edge lamp-room room:hall lamp:z weight 3 time 9000000\n"), "{dumped}");
    assert_eq!(cli.ok(&["dump", "s"]), dumped);
}

#[test]
fn neighbors_since_a_time_have_that_time_or_a_later_one() {
    let cli = Cli::with_lamps();
    cli.ok(&["link", "s", "room:attic", "lamp:d", "--time", "1970-01-03"]);
    let since = |time| {
        let found = cli.json(&["neighbors", "s", "room:attic", "--since", time]);
        found.as_array().expect("rows").iter().map(|row| row["node"].clone()).collect::<Vec<Value>>()
    };
    assert_eq!(since("1970-01-02"), [json!("lamp:c"), json!("lamp:d")]);
    assert_eq!(since("172800"), [json!("lamp:d")]);
    assert_eq!(since("1970-01-04"), [""; 0]);
}
