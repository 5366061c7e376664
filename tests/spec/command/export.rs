//! `export` and `import --from`: a store comes back from its export with the same digest, and an incomplete export is refused.
//! `tables` come back, `forms` do not.

mod forms;
mod tables;

use std::fs;
use std::sync::Arc;

use hedgerow::{Batch, CancelToken, Edge, Engine, NodeName, Position, Store, TrainOptions, WalkOptions};
use serde_json::{Value, json};

use super::{Desk, Holder};
use crate::world::World;

/// The formats that `import --from` reads.
const FORMS: &[&str] =
    if cfg!(feature = "parquet") { &["csv", "jsonl", "parquet"] } else { &["csv", "jsonl"] };

/// A trained store `s` of a random graph with dirty nodes, and its reference.
fn world(desk: &Desk, seed: u64) -> World {
    let mut world = World::new(seed, 30);
    let engine = engine(desk, "s");
    engine.store().commit(&world.founding()).expect("a commit");
    for _ in 0..10 {
        engine.store().commit(&world.batch(6)).expect("a commit");
    }
    train(&engine);
    for _ in 0..5 {
        engine.store().commit(&world.batch(6)).expect("a commit");
    }
    world
}

fn engine(desk: &Desk, name: &str) -> Engine {
    let store = Store::options().create(true).open(desk.path(name)).expect("the store opens");
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
fn odd(desk: &Desk) -> World {
    let engine = engine(desk, "s");
    let mut world = World::new(0, 9);
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
    let times = [None, Some(0), Some(-7), Some(i64::MAX), Some(i64::MIN + 1)];
    let mut batch = Batch::new();
    for (at, key) in texts.iter().enumerate() {
        for kind in ["pin", "=kind"] {
            let node = NodeName::new(kind, *key).expect("a valid name");
            let tokens: Vec<&str> = texts.iter().skip(at).take(3).copied().collect();
            batch.set_tokens(node.as_ref(), &tokens).expect("valid tokens");
            let values = [weights[at % weights.len()], -0.0, at as f32 / 7.0];
            if at % 2 == 0 {
                batch.set_dense(node.as_ref(), "image", &values).expect("valid numbers");
            }
            let features = world.nodes.entry(node).or_default();
            features.tokens = tokens.iter().map(|&token| token.to_owned()).collect();
            features.dense = (at % 2 == 0).then(|| values.to_vec());
        }
        for (of, relation) in [(1, "=near"), (3, "near")] {
            let (a, b) = (texts[at], texts[(at + of) % texts.len()]);
            let (a, b) = (NodeName::new("pin", a).expect("valid"), NodeName::new("=kind", b).expect("valid"));
            let (weight, time) = (weights[(at + of) % weights.len()], times[at % times.len()]);
            batch
                .link(a.as_ref(), b.as_ref(), Edge { weight, time, relation: Some(relation) })
                .expect("valid");
            world.edges.insert((relation.to_owned(), b, a), (weight, time));
        }
    }
    let lone = NodeName::new("alone", "no edge, no features").expect("valid");
    batch.add_node(lone.as_ref()).expect("valid");
    world.nodes.insert(lone, crate::world::Features::default());
    batch.set_position("clicks, \"odd\"", Position { offset: 7, lines: 2, check: u64::MAX }).expect("valid");
    engine.store().commit(&batch).expect("a commit");
    world
}

/// The digest of a store after a full refresh.
fn rebuilt(desk: &Desk, name: &str) -> String {
    let engine = engine(desk, name);
    engine.refresh(true, &CancelToken::new()).expect("a refresh");
    engine.digest(&CancelToken::new()).expect("a digest").digest
}

fn manifest(desk: &Desk, folder: &str) -> Value {
    serde_json::from_str(&desk.read(&format!("{folder}/manifest.json"))).expect("JSON")
}

#[test]
fn a_changed_a_shortened_and_a_missing_file_are_named_and_no_store_comes_of_them() {
    let desk = Desk::new();
    world(&desk, 3);
    for form in FORMS {
        let folder = format!("e-{form}");
        desk.ok(&["export", "s", &folder, "--format", form]);
        let files = manifest(&desk, &folder)["files"].as_array().expect("a list").clone();
        assert!(files.len() >= 6, "{files:?}");
        for file in files {
            let name = format!("{folder}/{}", file["name"].as_str().expect("a name"));
            let intact = fs::read(desk.path(&name)).expect("a file");
            let mut flipped = intact.clone();
            flipped[intact.len() / 2] ^= 1;
            for (bytes, message) in [(&flipped[..], "changed"), (&intact[..intact.len() - 1], "cut short")] {
                desk.write(&name, bytes);
                let ran = desk.fails(&["import", "c", "--from", &folder], 5, message);
                assert!(ran.err.contains(&name), "{}", ran.err);
            }
            fs::remove_file(desk.path(&name)).expect("a file");
            let ran = desk.fails(&["import", "c", "--from", &folder], 5, "missing");
            assert!(ran.err.contains(&name), "{}", ran.err);
            desk.write(&name, &intact);
        }
        assert!(!desk.path("c").exists());
        desk.ok(&["import", "c", "--from", &folder]);
        fs::remove_dir_all(desk.path("c")).expect("a store");
        fs::remove_file(desk.path(&format!("{folder}/manifest.json"))).expect("a file");
        desk.fails(&["import", "c", "--from", &folder], 1, "is not a whole export");
        assert_eq!(leftovers(&desk), [""; 0]);
    }
}

/// The folders with temporary names that are left.
fn leftovers(desk: &Desk) -> Vec<String> {
    let entries = fs::read_dir(desk.folder.path()).expect("a folder").filter_map(Result::ok);
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("unfinished")).collect()
}

#[test]
fn a_manifest_cannot_lead_out_of_its_folder() {
    let desk = Desk::with_lamps();
    desk.write("secret.csv", "id,kind,key\n0000000000000000,room,attic\n");
    desk.ok(&["export", "s", "e"]);
    let intact = desk.read("e/manifest.json");
    let absolute = desk.path("secret.csv").display().to_string();
    for name in ["../secret.csv", "./../secret.csv", &absolute, "", ".."] {
        desk.write("e/manifest.json", intact.replace("nodes.csv", name));
        desk.fails(&["import", "c", "--from", "e"], 5, "outside of the folder");
    }
    #[cfg(unix)]
    {
        desk.write("e/manifest.json", &intact);
        fs::remove_file(desk.path("e/nodes.csv")).expect("a file");
        std::os::unix::fs::symlink(desk.path("secret.csv"), desk.path("e/nodes.csv")).expect("a link");
        desk.fails(&["import", "c", "--from", "e"], 5, "outside of the folder");
    }
    for (from, to, message) in [
        ("\"schema\": 1", "\"schema\": 2", "schema 2, this version reads 1"),
        ("hedgerow export", "photos", "not the manifest of an export"),
        ("\"what\"", "what", ":2:3: not JSON"),
        ("\"epoch\"", "\"era\"", "unknown field `era`"),
    ] {
        desk.write("e/manifest.json", intact.replace(from, to));
        desk.fails(&["import", "c", "--from", "e"], 5, message);
    }
    assert!(!desk.path("c").exists());
}

#[test]
fn nothing_is_written_over_without_force_and_with_it_only_an_export() {
    let desk = Desk::with_lamps();
    desk.ok(&["export", "s", "e"]);
    desk.ok(&["link", "s", "room:hall", "lamp:z"]);
    let before = desk.read("e/manifest.json");
    desk.fails(&["export", "s", "e"], 1, "e holds something: name a new or empty folder");
    assert_eq!(desk.read("e/manifest.json"), before);
    desk.ok(&["export", "s", "e", "--force", "--format", "jsonl"]);
    assert!(desk.read("e/nodes.jsonl").contains("\"z\"") && !desk.path("e/nodes.csv").exists());
    // A file that is not of the export would be lost.
    desk.write("e/notes.txt", "mine");
    desk.fails(&["export", "s", "e", "--force"], 1, "e/notes.txt is not of an earlier export");
    assert_eq!(desk.read("e/notes.txt"), "mine");
    fs::create_dir(desk.path("photos")).expect("a folder");
    desk.write("photos/cat.jpg", "meow");
    desk.fails(&["export", "s", "photos", "--force"], 1, "photos holds something that is not an export");
    fs::create_dir(desk.path("empty")).expect("a folder");
    desk.ok(&["export", "s", "empty"]);
    desk.fails(&["export", "s", "s/inside"], 1, "is in the folder of the store");
    desk.fails(&["import", "s", "--from", "empty"], 1, "s holds something: --from makes a new store");
    assert_eq!(leftovers(&desk), [""; 0]);
}

#[cfg(unix)]
#[test]
fn a_ctrl_c_leaves_no_half_export_and_no_half_store() {
    use std::process::Stdio;
    let desk = Desk::new();
    let size = ["--items", "20000", "--boards", "8000", "--edges", "200000", "--topics", "8"];
    desk.ok(&[&["generate", "s"], &size[..]].concat());
    let interrupted = |words: &[&str]| {
        let mut child =
            desk.command(words).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("starts");
        // The work has begun once there is a folder with a temporary name.
        while leftovers(&desk).is_empty() && child.try_wait().expect("a child").is_none() {
            std::thread::yield_now();
        }
        let told = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(told.expect("there is a kill command").success());
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(said.contains("interrupted; nothing was"), "{said}");
        assert_eq!(leftovers(&desk), [""; 0]);
    };
    interrupted(&["export", "s", "e", "--format", "jsonl"]);
    assert!(!desk.path("e").exists());
    desk.ok(&["export", "s", "e", "--format", "jsonl"]);
    interrupted(&["import", "c", "--from", "e"]);
    assert!(!desk.path("c").exists());
}

#[test]
fn a_store_is_exported_while_another_process_writes_to_it() {
    let desk = Desk::trained();
    let holder = Holder::of(&desk);
    let ran = desk.run(&["export", "s", "e", "--output", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("another process writes"), "{}", ran.err);
    holder.leave();
    let exported: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(exported["digest"], desk.json(&["digest", "s"])["digest"]);
    desk.ok(&["export", "s", "r", "--read-only"]);
}

/// The dirty nodes are in the log, which a read-only open does not read, so it computes all embeddings.
#[test]
fn a_read_only_export_of_dirty_nodes_is_of_the_graph_as_it_is_there() {
    let desk = Desk::new();
    world(&desk, 5);
    let engine = engine(&desk, "s");
    engine.store().checkpoint(&CancelToken::new()).expect("a checkpoint");
    drop(engine);
    let stats = desk.stats();
    assert_ne!(stats["dirty_nodes"], json!(0));
    desk.ok(&["export", "s", "e", "--read-only"]);
    assert_eq!(desk.stats(), stats);
    let imported = desk.json(&["import", "c", "--from", "e"]);
    assert_eq!(
        (&imported["same_digest"], imported["digest"].clone()),
        (&json!(true), json!(rebuilt(&desk, "s")))
    );
}

/// A dense block may have a path as its name.
#[test]
fn no_name_in_the_store_leads_out_of_the_folder() {
    let desk = Desk::new();
    let engine = engine(&desk, "s");
    let mut batch = Batch::new();
    let node = NodeName::new("../../kind", "../../../key").expect("a valid name");
    for block in ["../../../evil", "/evil", "a/b", "..", "%2E%2E", "a.b"] {
        batch.set_dense(node.as_ref(), block, &[1.0]).expect("valid numbers");
    }
    engine.store().commit(&batch).expect("a commit");
    drop(engine);
    for form in FORMS.iter().chain(&["npy", "graphml"]) {
        desk.ok(&["export", "s", &format!("e/{form}"), "--format", form]);
    }
    let mut left = vec![desk.folder.path().to_path_buf()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).expect("a folder").filter_map(Result::ok) {
            let path = entry.path();
            let name = path.strip_prefix(desk.folder.path()).expect("within");
            assert!(name.starts_with("s") || name.starts_with("e"), "{}", path.display());
            if path.is_dir() {
                left.push(path);
            }
        }
    }
    assert!(desk.path("e/npy/dense_%2E%2E%2F%2E%2E%2F%2E%2E%2Fevil.npy").exists());
    let arrays = manifest(&desk, "e/npy")["files"].as_array().expect("a list").len();
    assert_eq!(arrays, 12);
}
