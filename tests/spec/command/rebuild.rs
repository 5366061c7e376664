//! `refresh --full` says whether the rows differed from a rebuild and stores it; `--verify` stores nothing.

use serde_json::{Value, json};

use super::Cli;
use crate::fixtures::stored_rows::{PRESENT, flip_last_bit, publish_changed_rows, unit_of_row};

/// The names and bytes of the store's files, without the log and the lock.
fn files(cli: &Cli) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(cli.path("s")).expect("a folder").filter_map(Result::ok);
    let mut files: Vec<(String, Vec<u8>)> = entries
        .filter(|entry| entry.path().is_file() && entry.file_name() != "LOCK")
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).expect("a file"))
        })
        .collect();
    files.sort();
    files
}

/// `refresh --full` printed the same wrong digest twice, and told nobody that the stored rows were wrong.
/// With `--verify` the command must fail with the first wrong node, and without it the rebuild must be stored.
#[test]
fn wrong_rows_fail_a_verification_and_are_replaced_by_a_rebuild() {
    let cli = Cli::trained();
    let right = cli.json(&["digest", "s"])["digest"].clone();
    assert_eq!(cli.json(&["refresh", "s", "--full", "--verify"])["differed"], json!(false));
    publish_changed_rows(&cli.path("s"), PRESENT, |name, values| {
        if name == "vectors" {
            // The second and the fourth of the rows of eight numbers.
            for row in [1, 3] {
                values[unit_of_row(row, 8)] *= 0.5;
            }
        }
    });
    let wrong = cli.json(&["digest", "s"])["digest"].clone();
    assert_ne!(wrong, right);
    // Nothing is stored, in any way to open the store.
    let before = files(&cli);
    for read_only in [&[][..], &["--read-only"]] {
        let words = ["refresh", "s", "--full", "--verify", "--output", "json"];
        let ran = cli.run(&[&words, read_only].concat());
        assert_eq!(ran.code, 4, "{}", ran.err);
        let printed: Value = serde_json::from_str(&ran.out).expect("JSON");
        assert_eq!((&printed["differed"], &printed["different_nodes"]), (&json!(true), &json!(2)));
        let first = printed["first_different"].as_str().expect("a node");
        let failure: Value = serde_json::from_str(ran.err.trim()).expect("one JSON object");
        let told = format!("2 nodes differ from a rebuild, the first is {first} in its vector");
        assert!(failure["error"].as_str().is_some_and(|error| error.contains(&told)), "{failure}");
        assert_eq!(failure["kind"], json!("damaged"));
        assert_eq!(files(&cli), before);
    }
    let ran = cli.run(&["refresh", "s", "--full", "--output", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("warning: 2 nodes differ from a rebuild"), "{}", ran.err);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).expect("JSON")["differed"], json!(true));
    assert_eq!(cli.json(&["digest", "s"])["digest"], right);
    assert_eq!(cli.json(&["refresh", "s", "--full", "--verify"])["differed"], json!(false));
    assert_eq!(cli.digest_of_copy(), right);
}

/// Two stores of one shape had files of the same lengths, and the one's embeddings served in the other.
/// A verification must not say that all is well, be the file found at opening or by the comparison.
#[test]
fn embeddings_of_another_store_do_not_pass_a_verification() {
    let cli = Cli::trained();
    let other = Cli::new();
    let size = ["--items", "120", "--boards", "60", "--edges", "900", "--topics", "4", "--seed", "9"];
    other.ok(&[&["generate", "s"], &size[..]].concat());
    other.ok(&["train", "s", "--target", "pin", "--epochs", "1", "--dim", "8", "--held-out", "50"]);
    let embeddings = |cli: &Cli| {
        let names = files(cli).into_iter().map(|(name, _)| name);
        names.filter(|name| name.starts_with("embeddings.")).max().expect("a file")
    };
    std::fs::copy(other.path("s").join(embeddings(&other)), cli.path("s").join(embeddings(&cli)))
        .expect("copied");
    assert_eq!(cli.run(&["refresh", "s", "--full", "--verify"]).code, 4);
}

#[test]
fn a_verification_beside_changes_refreshes_in_memory_only() {
    let cli = Cli::trained();
    cli.ok(&["link", "s", "pin:3", "board:5", "--weight", "4"]);
    let before = cli.json(&["digest", "s"]);
    let verified = cli.json(&["refresh", "s", "--full", "--verify"]);
    assert_eq!((&verified["differed"], &verified["different_nodes"]), (&json!(false), &json!(0)));
    assert_eq!(cli.json(&["digest", "s"]), before);
    assert_eq!(cli.json(&["stats", "s"])["dirty_nodes"], json!(2));
    publish_changed_rows(&cli.path("s"), 1, flip_last_bit("vectors"));
    cli.fails(&["refresh", "s", "--full", "--verify"], 1, "nothing was compared: an earlier version");
    let rebuilt = cli.json(&["refresh", "s", "--full"]);
    assert_eq!((&rebuilt["differed"], &rebuilt["first_different"]), (&Value::Null, &Value::Null));
    assert_eq!(cli.json(&["refresh", "s", "--full", "--verify"])["differed"], json!(false));
    cli.fails(&["refresh", "s", "--verify"], 2, "--full");
}
