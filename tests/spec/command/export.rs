//! `export` and `import --from`: a store comes back from its export with the same digest, and an incomplete export is refused.
//! `tables` and `properties` come back, `forms` do not. `disagreement` is between a manifest, its files and what they hold.

mod disagreement;
mod forms;
mod properties;
mod tables;

use std::fs;
use std::sync::Arc;

use hedgerow::{
    Batch, CancelToken, Edge, Engine, NodeName, Position, PropertyType, Store, TrainOptions, WalkOptions,
};
use serde_json::{Value, json};

use super::{Cli, Holder};
use crate::fixtures::graph_model::GraphModel;

/// The formats that `import --from` reads.
const FORMS: &[&str] =
    if cfg!(feature = "parquet") { &["csv", "jsonl", "parquet"] } else { &["csv", "jsonl"] };

/// A trained store `s` of a random graph with dirty nodes and values, and its reference.
fn model_graph(cli: &Cli, seed: u64) -> GraphModel {
    let graph = |seed: u64| {
        let mut model_graph = GraphModel::new(seed, 30);
        let initial = model_graph.initial_batch();
        let batches: Vec<Batch> =
            [initial].into_iter().chain((0..15).map(|_| model_graph.batch(6))).collect();
        (model_graph, batches)
    };
    // The first one with pins with and without a title.
    let has_title = |graph: &GraphModel, expected: bool| {
        let mut pins = graph.nodes.iter().filter(|(name, _)| name.kind == "pin");
        pins.any(|(_, features)| features.properties.contains_key("title") == expected)
    };
    let (model_graph, batches) = (seed..seed + 100)
        .map(graph)
        .find(|(graph, _)| has_title(graph, true) && has_title(graph, false))
        .expect("there is one");
    let engine = engine(cli, "s");
    let commit = |batches: &[Batch]| {
        for batch in batches {
            engine.store().commit(batch).expect("a commit");
        }
    };
    let (before, after) = batches.split_at(11);
    commit(before);
    train(&engine);
    set_label(engine.store());
    commit(after);
    model_graph
}

/// Gives pins a label, and boards a property without values.
fn set_label(store: &Store) {
    let mut batch = Batch::new();
    batch.declare_property("board", "opened", PropertyType::Time).expect("a valid name");
    batch.declare_property("pin", "title", PropertyType::Text).expect("a valid name");
    batch.set_label("pin", Some("title")).expect("a valid name");
    store.commit(&batch).expect("a commit");
}

fn engine(cli: &Cli, name: &str) -> Engine {
    let store = Store::options().create(true).open(cli.path(name)).expect("the store opens");
    Engine::open(Arc::new(store)).expect("the engine opens")
}

fn train(engine: &Engine) {
    let options = TrainOptions {
        targets: vec!["pin".into(), "board".into()],
        dim: 8,
        walks: WalkOptions { walks: 50, ..WalkOptions::default() },
        epochs: 1,
        batch: 32,
        negatives: 8,
        held_out: 20,
        ..TrainOptions::default()
    };
    engine.training(&options).run(&CancelToken::new()).expect("a training");
}

/// A store of names, tokens and numbers that a writer or reader could change.
fn odd(cli: &Cli) -> GraphModel {
    let engine = engine(cli, "s");
    let mut model_graph = GraphModel::new(0, 9);
    let texts = [
        "plain",
        "a,b",
        "a;b",
        "a\tb",
        "a\nb",
        "a\r\nb",
        "a\rb",
        "\"q\"",
        "\"",
        "'",
        "''x",
        "=1+1",
        "-1",
        "+1",
        "@x",
        " lead",
        "trail ",
        " ",
        "#x",
        "\u{e9}\u{1f600}",
        "\u{feff}x",
        "a:b",
        "a::b",
        "\\n",
        "\u{1b}[2J",
        "\u{0}",
        "\u{9b}",
        "<&>",
        "null",
        "NaN",
        "x\u{2028}y",
    ];
    let weights = [1.0, 0.1, 1.0 / 3.0, f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1), 16_777_217.0, 1e-7];
    let numbers = weights.map(|weight| weight.min(hedgerow::MAX_DENSE_VALUE));
    let times = [None, Some(0), Some(-7), Some(i64::MAX), Some(i64::MIN + 1)];
    let mut batch = Batch::new();
    for (at, key) in texts.iter().enumerate() {
        for kind in ["pin", "=kind"] {
            let node = NodeName::new(kind, *key).expect("a valid name");
            let tokens: Vec<&str> = texts.iter().skip(at).take(3).copied().collect();
            batch.set_tokens(node.as_ref(), &tokens).expect("valid tokens");
            let values = [numbers[at % numbers.len()], -0.0, at as f32 / 7.0];
            if at % 2 == 0 {
                batch.set_dense(node.as_ref(), "image", &values).expect("valid numbers");
            }
            let features = model_graph.nodes.entry(node).or_default();
            features.tokens = tokens.iter().map(|&token| token.to_owned()).collect();
            features.dense = (at % 2 == 0).then(|| values.to_vec());
        }
        for (of, relation) in [(1, "=near"), (3, "near")] {
            let (a, b) = (texts[at], texts[(at + of) % texts.len()]);
            let (a, b) = (NodeName::new("pin", a).expect("valid"), NodeName::new("=kind", b).expect("valid"));
            let (weight, time) = (weights[(at + of) % weights.len()], times[at % times.len()]);
            batch
                .link(
                    a.as_ref(),
                    b.as_ref(),
                    Edge { weight, time, relation: Some(relation), ..Edge::default() },
                )
                .expect("valid");
            model_graph.edges.insert((relation.to_owned(), b, a), (weight, time));
        }
    }
    let lone = NodeName::new("alone", "no edge, no features").expect("valid");
    batch.add_node(lone.as_ref()).expect("valid");
    model_graph.nodes.insert(lone, crate::fixtures::graph_model::Features::default());
    batch.set_position("clicks, \"odd\"", Position { offset: 7, lines: 2, check: u64::MAX }).expect("valid");
    engine.store().commit(&batch).expect("a commit");
    model_graph
}

/// The digest of a store after a full refresh.
fn rebuilt(cli: &Cli, name: &str) -> String {
    let engine = engine(cli, name);
    engine.refresh(true, &CancelToken::new()).expect("a refresh");
    engine.digest(&CancelToken::new()).expect("a digest").digest
}

fn manifest(cli: &Cli, folder: &str) -> Value {
    serde_json::from_str(&cli.read(&format!("{folder}/manifest.json"))).expect("JSON")
}

#[test]
fn a_changed_a_shortened_and_a_missing_file_are_named_and_no_store_comes_of_them() {
    let cli = Cli::new();
    model_graph(&cli, 3);
    for form in FORMS {
        let folder = format!("e-{form}");
        cli.ok(&["export", "s", &folder, "--format", form]);
        let files = manifest(&cli, &folder)["files"].as_array().expect("a list").clone();
        assert!(files.len() >= 6, "{files:?}");
        for file in files {
            let name = format!("{folder}/{}", file["name"].as_str().expect("a name"));
            let intact = fs::read(cli.path(&name)).expect("a file");
            let mut flipped = intact.clone();
            flipped[intact.len() / 2] ^= 1;
            for (bytes, message) in [(&flipped[..], "changed"), (&intact[..intact.len() - 1], "cut short")] {
                cli.write(&name, bytes);
                let ran = cli.fails(&["import", "c", "--from", &folder], 5, message);
                assert!(ran.err.contains(&name), "{}", ran.err);
            }
            fs::remove_file(cli.path(&name)).expect("a file");
            let ran = cli.fails(&["import", "c", "--from", &folder], 5, "missing");
            assert!(ran.err.contains(&name), "{}", ran.err);
            cli.write(&name, &intact);
        }
        assert!(!cli.path("c").exists());
        cli.ok(&["import", "c", "--from", &folder]);
        fs::remove_dir_all(cli.path("c")).expect("a store");
        fs::remove_file(cli.path(&format!("{folder}/manifest.json"))).expect("a file");
        cli.fails(&["import", "c", "--from", &folder], 1, "is not a whole export");
        assert_eq!(leftovers(&cli), [""; 0]);
    }
}

/// The folders with temporary names that are left.
fn leftovers(cli: &Cli) -> Vec<String> {
    let entries = fs::read_dir(cli.folder()).expect("a folder").filter_map(Result::ok);
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("unfinished")).collect()
}

#[test]
fn a_manifest_cannot_lead_out_of_its_folder() {
    let cli = Cli::with_lamps();
    cli.write("secret.csv", "id,kind,key\n0000000000000000,room,attic\n");
    cli.ok(&["export", "s", "e"]);
    let intact = cli.read("e/manifest.json");
    let absolute = cli.path("secret.csv").display().to_string();
    for name in ["../secret.csv", "./../secret.csv", &absolute, "", ".."] {
        cli.write("e/manifest.json", intact.replace("nodes.csv", name));
        cli.fails(&["import", "c", "--from", "e"], 5, "outside of the folder");
    }
    #[cfg(unix)]
    {
        cli.write("e/manifest.json", &intact);
        fs::remove_file(cli.path("e/nodes.csv")).expect("a file");
        std::os::unix::fs::symlink(cli.path("secret.csv"), cli.path("e/nodes.csv")).expect("a link");
        cli.fails(&["import", "c", "--from", "e"], 5, "outside of the folder");
    }
    for (from, to, message) in [
        ("\"schema\": 3", "\"schema\": 4", "schema 4, this version reads 1 to 3"),
        ("hedgerow export", "photos", "not the manifest of an export"),
        ("\"what\"", "what", ":2:3: not JSON"),
        ("\"epoch\"", "\"era\"", "unknown field `era`"),
    ] {
        cli.write("e/manifest.json", intact.replace(from, to));
        cli.fails(&["import", "c", "--from", "e"], 5, message);
    }
    assert!(!cli.path("c").exists());
}

#[test]
fn nothing_is_written_over_without_force_and_with_it_only_an_export() {
    let cli = Cli::with_lamps();
    cli.ok(&["export", "s", "e"]);
    cli.ok(&["link", "s", "room:hall", "lamp:z"]);
    let before = cli.read("e/manifest.json");
    cli.fails(&["export", "s", "e"], 1, "e holds something: name a new or empty folder");
    assert_eq!(cli.read("e/manifest.json"), before);
    cli.ok(&["export", "s", "e", "--force", "--format", "jsonl"]);
    assert!(cli.read("e/nodes.jsonl").contains("\"z\"") && !cli.path("e/nodes.csv").exists());
    // A file that is not of the export would be lost.
    cli.write("e/notes.txt", "mine");
    cli.fails(&["export", "s", "e", "--force"], 1, "e/notes.txt is not of an earlier export");
    assert_eq!(cli.read("e/notes.txt"), "mine");
    fs::create_dir(cli.path("photos")).expect("a folder");
    cli.write("photos/cat.jpg", "meow");
    cli.fails(&["export", "s", "photos", "--force"], 1, "photos holds something that is not an export");
    fs::create_dir(cli.path("empty")).expect("a folder");
    cli.ok(&["export", "s", "empty"]);
    cli.fails(&["export", "s", "s/inside"], 1, "is in the folder of the store");
    cli.fails(&["import", "s", "--from", "empty"], 1, "s holds something: --from makes a new store");
    assert_eq!(leftovers(&cli), [""; 0]);
}

#[cfg(unix)]
#[test]
fn a_ctrl_c_leaves_no_half_export_and_no_half_store() {
    use std::process::Stdio;
    let cli = Cli::new();
    let size = ["--items", "20000", "--boards", "8000", "--edges", "200000", "--topics", "8"];
    cli.ok(&[&["generate", "s"], &size[..]].concat());
    let interrupted = |words: &[&str]| {
        let mut child =
            cli.command(words).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("starts");
        // The work has begun once there is a folder with a temporary name.
        while leftovers(&cli).is_empty() && child.try_wait().expect("a child").is_none() {
            std::thread::yield_now();
        }
        let told = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(told.expect("there is a kill command").success());
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(said.contains("interrupted; nothing was"), "{said}");
        assert_eq!(leftovers(&cli), [""; 0]);
    };
    interrupted(&["export", "s", "e", "--format", "jsonl"]);
    assert!(!cli.path("e").exists());
    cli.ok(&["export", "s", "e", "--format", "jsonl"]);
    interrupted(&["import", "c", "--from", "e"]);
    assert!(!cli.path("c").exists());
}

#[test]
fn a_store_is_exported_while_another_process_writes_to_it() {
    let cli = Cli::trained();
    let holder = Holder::of(&cli);
    let ran = cli.run(&["export", "s", "e", "--output", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("another process writes"), "{}", ran.err);
    holder.leave();
    let exported: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(exported["digest"], cli.json(&["digest", "s"])["digest"]);
    cli.ok(&["export", "s", "r", "--read-only"]);
}

/// The dirty nodes are in the log, which a read-only open does not read, so it computes all embeddings.
#[test]
fn a_read_only_export_of_dirty_nodes_is_of_the_graph_as_it_is_there() {
    let cli = Cli::new();
    model_graph(&cli, 5);
    let engine = engine(&cli, "s");
    engine.store().checkpoint(&CancelToken::new()).expect("a checkpoint");
    drop(engine);
    let stats = cli.stats();
    assert_ne!(stats["dirty_nodes"], json!(0));
    cli.ok(&["export", "s", "e", "--read-only"]);
    assert_eq!(cli.stats(), stats);
    let imported = cli.json(&["import", "c", "--from", "e"]);
    assert_eq!(
        (&imported["same_digest"], imported["digest"].clone()),
        (&json!(true), json!(rebuilt(&cli, "s")))
    );
}

/// A dense block may have a path as its name.
#[test]
fn no_name_in_the_store_leads_out_of_the_folder() {
    let cli = Cli::new();
    let engine = engine(&cli, "s");
    let mut batch = Batch::new();
    let node = NodeName::new("../../kind", "../../../key").expect("a valid name");
    for block in ["../../../evil", "/evil", "a/b", "..", "%2E%2E", "a.b"] {
        batch.set_dense(node.as_ref(), block, &[1.0]).expect("valid numbers");
    }
    engine.store().commit(&batch).expect("a commit");
    drop(engine);
    for form in FORMS.iter().chain(&["npy", "graphml"]) {
        cli.ok(&["export", "s", &format!("e/{form}"), "--format", form]);
    }
    let mut left = vec![cli.folder().to_path_buf()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).expect("a folder").filter_map(Result::ok) {
            let path = entry.path();
            let name = path.strip_prefix(cli.folder()).expect("within");
            assert!(name.starts_with("s") || name.starts_with("e"), "{}", path.display());
            if path.is_dir() {
                left.push(path);
            }
        }
    }
    assert!(cli.path("e/npy/dense_%2E%2E%2F%2E%2E%2F%2E%2E%2Fevil.npy").exists());
    let arrays = manifest(&cli, "e/npy")["files"].as_array().expect("a list").len();
    assert_eq!(arrays, 12);
}
