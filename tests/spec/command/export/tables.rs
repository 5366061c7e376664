//! Formats that `import --from` reads: the store comes back, bit for bit.

use std::fs;

use hedgerow::{Position, Store};
use serde_json::{Value, json};

use super::{FORMS, manifest, model_graph, odd, rebuilt};
use crate::command::Cli;

#[test]
fn a_store_made_of_an_export_has_the_same_graph_and_the_same_digest() {
    for seed in 0..6 {
        let cli = Cli::new();
        let model_graph = model_graph(&cli, seed);
        for form in FORMS {
            let (folder, copy) = (format!("e-{form}"), format!("c-{form}"));
            let exported = cli.json(&["export", "s", &folder, "--format", form]);
            let imported = cli.json(&["import", &copy, "--from", &folder]);
            assert_eq!(imported["same_digest"], json!(true), "seed {seed}, {form}");
            assert_eq!(imported["digest"], exported["digest"], "seed {seed}, {form}");
            // The digest of the export is that of the store afterwards, and that of a rebuild.
            assert_eq!(cli.json(&["digest", "s"])["digest"], exported["digest"], "seed {seed}, {form}");
            assert_eq!(json!(rebuilt(&cli, &copy)), exported["digest"], "seed {seed}, {form}");
            let store = Store::options().open(cli.path(&copy)).expect("it opens");
            assert_eq!(model_graph.difference(&store.snapshot()), None, "seed {seed}, {form}");
        }
        assert_eq!(json!(rebuilt(&cli, "s")), cli.json(&["digest", "s"])["digest"], "seed {seed}");
    }
}

/// The export of an imported export has the same bytes: no file depends on the history of the store.
#[test]
fn stores_of_the_same_content_export_the_same_files() {
    let cli = Cli::new();
    model_graph(&cli, 7);
    for form in FORMS {
        let (first, second) = (format!("a-{form}"), format!("b-{form}"));
        cli.ok(&["export", "s", &first, "--format", form]);
        cli.ok(&["import", &format!("c-{form}"), "--from", &first]);
        cli.ok(&["export", &format!("c-{form}"), &second, "--format", form]);
        assert_eq!(manifest(&cli, &first)["files"], manifest(&cli, &second)["files"], "{form}");
    }
}

#[test]
fn odd_names_tokens_and_numbers_come_back_bit_for_bit() {
    let cli = Cli::new();
    let model_graph = odd(&cli);
    let guarded = ["--format", "csv", "--guard-formulas"];
    let ways = FORMS.iter().map(|form| vec!["--format", *form]).chain([guarded.to_vec()]);
    for (at, way) in ways.enumerate() {
        let (folder, copy) = (format!("e{at}"), format!("c{at}"));
        cli.ok(&[&["export", "s", &folder][..], &way].concat());
        let imported = cli.json(&["import", &copy, "--from", &folder]);
        assert_eq!((&imported["digest"], &imported["same_digest"]), (&Value::Null, &json!(true)), "{way:?}");
        let store = Store::options().open(cli.path(&copy)).expect("it opens");
        assert_eq!(model_graph.difference(&store.snapshot()), None, "{way:?}");
        let position = store.position("clicks, \"odd\"");
        assert_eq!(position, Some(Position { offset: 7, lines: 2, check: u64::MAX }), "{way:?}");
    }
}

/// A spreadsheet computes a cell that begins like a formula.
#[test]
fn a_guarded_csv_has_no_cell_that_begins_as_a_formula() {
    let cli = Cli::new();
    odd(&cli);
    cli.ok(&["export", "s", "plain"]);
    cli.ok(&["export", "s", "guarded", "--guard-formulas"]);
    let suspects = |folder: &str| {
        let mut found = 0;
        for table in ["nodes", "features", "edges"] {
            let path = cli.path(&format!("{folder}/{table}.csv"));
            let mut reader = csv::Reader::from_path(path).expect("a file");
            let header = reader.headers().expect("a header").clone();
            for record in reader.records() {
                let record = record.expect("a record");
                let texts = header.iter().zip(record.iter()).filter(|(name, _)| *name != "time");
                found += texts.filter(|(_, cell)| cell.starts_with(['=', '+', '-', '@', '\t', '\r'])).count();
            }
        }
        found
    };
    assert!(suspects("plain") > 10);
    assert_eq!(suspects("guarded"), 0);
    cli.fails(&["export", "s", "e", "--format", "jsonl", "--guard-formulas"], 2, "--format csv");
}

#[test]
fn nothing_comes_of_nothing_and_back() {
    let cli = Cli::new();
    cli.ok(&["link", "s", "a:1", "b:1"]);
    cli.ok(&["remove", "s", "a:1"]);
    cli.ok(&["remove", "s", "b:1"]);
    for form in FORMS {
        cli.ok(&["export", "s", &format!("e-{form}"), "--format", form]);
        let imported = cli.json(&["import", &format!("c-{form}"), "--from", &format!("e-{form}")]);
        assert_eq!((&imported["nodes"], &imported["edges"]), (&json!(0), &json!(0)), "{form}");
        cli.ok(&["link", &format!("c-{form}"), "a:1", "b:1"]);
    }
}

#[test]
fn a_model_goes_into_a_store_by_itself() {
    let cli = Cli::trained();
    cli.ok(&["export", "s", "m", "--format", "safetensors"]);
    let size = ["--items", "120", "--boards", "60", "--edges", "900", "--topics", "4"];
    cli.ok(&[&["generate", "t"], &size[..]].concat());
    let installed = cli.json(&["import", "t", "--model", "m/model.safetensors"]);
    assert_eq!((&installed["generation"], &installed["embedded"]), (&json!(1), &json!(120)));
    let digest = |store| cli.json(&["digest", store])["digest"].clone();
    assert_eq!(digest("t"), digest("s"));
    cli.write("bad.safetensors", "nothing");
    cli.fails(&["import", "t", "--model", "bad.safetensors"], 5, "not a safetensors file");
    cli.fails(&["import", "u", "--from", "m"], 1, "in a format that cannot be imported");
    let bytes = fs::read(cli.path("m/model.safetensors")).expect("a file");
    // The file begins with a binary length, so the place is looked up in bytes.
    let layers = b"\\\"layers\\\":";
    let at =
        bytes.windows(layers.len()).position(|window| window == layers).expect("the model configuration");
    let at = at + layers.len();
    let mut changed = bytes;
    changed[at] = b'9';
    cli.write("bad.safetensors", &changed);
    cli.fails(&["import", "t", "--model", "bad.safetensors"], 5, "9 layers, expected 0 to 4");
    assert_eq!(digest("t"), digest("s"));
}

#[test]
fn a_manifest_counts_what_the_files_hold() {
    let cli = Cli::trained();
    let exported = cli.json(&["export", "s", "e", "--format", "jsonl"]);
    let manifest = manifest(&cli, "e");
    for table in ["nodes", "features", "edges", "neighborhoods", "embeddings"] {
        let lines = cli.read(&format!("e/{table}.jsonl")).lines().count();
        assert_eq!(manifest["counts"][table], json!(lines), "{table}");
        assert_eq!(exported[table], json!(lines), "{table}");
    }
    let neighbors = cli.read("e/neighborhoods.jsonl");
    let first: Value = serde_json::from_str(neighbors.lines().next().expect("a line")).expect("JSON");
    let id = first["id"].as_str().expect("an id");
    let nodes = cli.read("e/nodes.jsonl");
    let node = nodes.lines().find(|line| line.contains(id)).expect("a node of that id");
    let node: Value = serde_json::from_str(node).expect("JSON");
    let node = format!("{}:{}", node["kind"].as_str().expect("text"), node["key"].as_str().expect("text"));
    let shown = &cli.json(&["neighborhood", "s", &node])[0];
    assert_eq!((&shown["visits"], &shown["importance"]), (&first["visits"], &first["importance"]));
}

/// `import --edges` reads the edges of an export.
#[test]
fn the_edges_of_an_export_can_be_imported_by_themselves() {
    let cli = Cli::with_lamps();
    cli.ok(&["export", "s", "csv"]);
    cli.ok(&["export", "s", "jsonl", "--format", "jsonl"]);
    let unit = ["--time-unit", "us"];
    let ends = ["--src", "*=src", "--dst", "*=dst"];
    cli.ok(&[&["import", "a", "--edges", "csv/edges.csv"][..], &ends, &unit].concat());
    cli.ok(&[&["import", "b", "--edges", "jsonl/edges.jsonl"][..], &unit].concat());
    let text = |store: &str| {
        let dumped = cli.ok(&["dump", store]);
        let mut edges: Vec<String> =
            dumped.lines().filter(|line| line.starts_with("edge ")).map(str::to_owned).collect();
        edges.sort();
        edges
    };
    assert_eq!(text("s").len(), 4);
    let plain = |edges: Vec<String>| -> Vec<Vec<String>> {
        let ends = |edge: String| {
            let mut words: Vec<String> = edge.split(' ').map(str::to_owned).collect();
            words.sort();
            words
        };
        let mut all: Vec<Vec<String>> = edges.into_iter().map(ends).collect();
        all.sort();
        all
    };
    assert_eq!(plain(text("a")), plain(text("s")));
    assert_eq!(plain(text("b")), plain(text("s")));
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_tables_come_in_shards_and_back() {
    let cli = Cli::trained();
    cli.ok(&["export", "s", "e", "--format", "parquet", "--shard-rows", "100"]);
    let files = manifest(&cli, "e")["files"].clone();
    let rows: Vec<u64> = files
        .as_array()
        .expect("a list")
        .iter()
        .filter(|file| file["table"] == json!("edges"))
        .map(|file| file["rows"].as_u64().expect("a number"))
        .collect();
    assert_eq!(rows.len(), 9);
    assert!(rows[..8].iter().all(|&rows| rows == 100), "{rows:?}");
    let imported = cli.json(&["import", "c", "--from", "e"]);
    assert_eq!(imported["same_digest"], json!(true));
    // `import --edges` reads its file of edges too.
    let words = ["import", "d", "--edges", "e/edges/part-00000.parquet"];
    assert_eq!(cli.json(&words)["edges"], json!(100));
    let named = [&words[..], &["--src", "*=src", "--dst", "*=dst", "--weight-column", "weight"]].concat();
    assert_eq!(cli.json(&named)["edges"], json!(0));
    let nodes =
        ["import", "n", "--nodes", "e/nodes/part-00000.parquet", "--kind-column", "kind", "--tokens", "key"];
    assert_eq!(cli.json(&nodes)["nodes"], json!(100));
    let bytes = fs::read(cli.path("e/edges/part-00000.parquet")).expect("a file");
    cli.write("cut.parquet", &bytes[..bytes.len() - 9]);
    cli.fails(&["import", "x", "--edges", "cut.parquet"], 5, "not a whole Parquet file");
    assert!(!cli.path("x").exists());
}
