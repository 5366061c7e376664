//! Promise: a command that fails says what to do, has its exit code, and changes nothing.

use serde_json::{Value, json};

use super::{Cli, Holder};

#[test]
fn a_missing_store_is_named_and_not_created() {
    let cli = Cli::new();
    for words in
        [&["stats", "s"][..], &["similar", "s", "pin:1"], &["refresh", "s"], &["unlink", "s", "a:1", "b:1"]]
    {
        let message = "no store at s: create one with `hedgerow import` or `hedgerow link`";
        cli.fails(words, 3, message);
        assert!(!cli.path("s").exists(), "{words:?}");
    }
}

#[test]
fn a_folder_with_other_files_is_not_a_store() {
    let cli = Cli::new();
    std::fs::create_dir(cli.path("photos")).expect("a new folder");
    cli.write("photos/cat.jpg", "meow");
    cli.fails(&["stats", "photos"], 3, "photos is not a hedgerow store");
    cli.fails(&["link", "photos", "a:1", "b:1"], 3, "photos is not a hedgerow store");
    assert_eq!(std::fs::read_dir(cli.path("photos")).expect("a folder").count(), 1);
}

#[test]
fn a_store_in_use_is_refused_with_the_id_of_its_process() {
    let cli = Cli::with_lamps();
    let holder = Holder::of(&cli);
    let ran = cli.fails(&["link", "s", "lamp:z", "room:hall"], 3, &format!("process {}", holder.0.id()));
    assert!(ran.err.contains("read-only"), "{}", ran.err);
    holder.leave();
    cli.ok(&["link", "s", "lamp:z", "room:hall"]);
}

#[test]
fn a_damaged_file_of_a_read_only_store_is_an_error() {
    let cli = Cli::trained();
    cli.ok(&["refresh", "s", "--full"]);
    let files = std::fs::read_dir(cli.path("s")).expect("a folder").filter_map(Result::ok);
    let manifest = files.map(|file| file.path()).find(|path| path.ends_with("MANIFEST")).expect("a manifest");
    let mut bytes = std::fs::read(&manifest).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&manifest, bytes).expect("a file");
    let ran = cli.fails(&["stats", "s", "--read-only", "--output", "json"], 4, "MANIFEST");
    let failure: Value = serde_json::from_str(ran.err.trim()).expect("one JSON object");
    assert_eq!(failure["kind"], json!("damaged"));
}

#[test]
fn unknown_nodes_and_bad_values_change_nothing() {
    let cli = Cli::with_lamps();
    let before = cli.stats();
    for (words, code, message) in [
        (&["neighbors", "s", "lamp:nowhere"][..], 1, "no node lamp:nowhere in the store"),
        (&["remove", "s", "lamp:nowhere"], 1, "lamp:nowhere"),
        (&["link", "s", "lamp", "room:hall"], 2, "expected kind:key"),
        (&["link", "s", "lamp:a", "room:hall", "--weight", "-1"], 5, "expected a finite number above 0"),
        (&["link", "s", "lamp:a", "room:hall", "--weight", "NaN"], 5, "expected a finite number above 0"),
        (&["link", "s", "lamp:a", "room:hall", "--time", "noon"], 2, "expected a time"),
        (&["similar", "s", "lamp:a"], 1, "hedgerow train"),
        (&["refresh", "s"], 1, "hedgerow train"),
        (&["digest", "s"], 1, "hedgerow train"),
        (&["train", "s", "--target", "chair"], 1, "chair"),
        (&["train", "s", "--target", "lamp", "--dim", "0"], 5, "dim"),
        (&["generate", "s"], 1, "holds 5 nodes already"),
        (&["generate", "t", "--items", "2", "--boards", "2", "--edges", "9"], 2, "too many"),
        (&["import", "s", "--edges", "nowhere.csv"], 1, "cannot read nowhere.csv"),
        (&["import", "s"], 2, "--edges"),
        (&["import", "s", "--edges", "a", "--format", "adjacency"], 2, "--src KIND and --dst KIND"),
        (&["simlar", "s", "lamp:a"], 2, "a similar subcommand exists: 'similar'"),
        (&["similar", "s"], 2, "name a node such as pin:42, or --queries FILE"),
        (&["link", "s", "lamp:q", "room:q", "--read-only"], 1, "read-only"),
    ] {
        cli.fails(words, code, message);
        assert_eq!(cli.stats(), before, "{words:?}");
    }
    assert!(!cli.path("t").exists());
}

#[test]
fn a_failed_query_does_not_change_the_digest() {
    let cli = Cli::trained();
    let before = cli.ok(&["digest", "s"]);
    for (words, code, message) in [
        (&["similar", "s", "pin:none"][..], 1, "pin:none"),
        (&["similar", "s", "board:1"], 1, "board:1"),
        (&["recommend", "s", "user:none"], 1, "user:none"),
        (&["recommend", "s", "--history", "pni:none"], 1, "no node of kind 'pni'"),
        (&["recommend", "s"], 2, "--history"),
        (&["embed", "s", "pin:none"], 1, "pin:none"),
        (&["eval", "s", "--task", "recommend"], 2, "--test"),
        (&["eval", "s", "--task", "related", "--pairs", "nowhere"], 1, "cannot read nowhere"),
    ] {
        cli.fails(words, code, message);
        assert_eq!(cli.ok(&["digest", "s"]), before, "{words:?}");
    }
    cli.write("pairs.tsv", "1 2\n");
    let message = "pairs.tsv:1:1: found \"1 2\", expected two keys with a tab between them";
    cli.fails(&["eval", "s", "--task", "related", "--pairs", "pairs.tsv"], 5, message);
}

#[test]
fn failures_and_usage_errors_are_json_with_output_json() {
    let cli = Cli::new();
    for (words, code, kind) in [
        (&["--output", "json", "stats", "s"][..], 3, "no_store"),
        (&["stats", "s", "--output=jsonl"], 3, "no_store"),
        (&["stats", "--output", "json"], 2, "usage"),
    ] {
        let ran = cli.run(words);
        let failure: Value = serde_json::from_str(ran.err.trim()).expect("one JSON object");
        assert_eq!((ran.code, &failure["kind"]), (code, &json!(kind)), "{words:?}");
        assert!(failure["error"].is_string());
    }
}
