//! `export`, and `import --from`: what leaves a store comes back as it was, and nothing half done is taken for whole.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use hedgerow::{Batch, CancelToken, Edge, Engine, NodeName, Position, Store, TrainOptions, WalkOptions};
use serde_json::{Value, json};

use super::{Desk, Holder};
use crate::world::World;

/// The forms that come back.
const FORMS: &[&str] =
    if cfg!(feature = "parquet") { &["csv", "jsonl", "parquet"] } else { &["csv", "jsonl"] };

/// A store `s` of a random world, trained, of which nodes are dirty; its reference.
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

/// The digest of a store after everything in it was computed again.
fn rebuilt(desk: &Desk, name: &str) -> String {
    let engine = engine(desk, name);
    engine.refresh(true, &CancelToken::new()).expect("a refresh");
    engine.digest(&CancelToken::new()).expect("a digest").digest
}

fn manifest(desk: &Desk, folder: &str) -> Value {
    serde_json::from_str(&desk.read(&format!("{folder}/manifest.json"))).expect("JSON")
}

#[test]
fn a_store_made_of_an_export_has_the_same_graph_and_the_same_digest() {
    for seed in 0..6 {
        let desk = Desk::new();
        let world = world(&desk, seed);
        for form in FORMS {
            let (folder, copy) = (format!("e-{form}"), format!("c-{form}"));
            let exported = desk.json(&["export", "s", &folder, "--format", form]);
            let imported = desk.json(&["import", &copy, "--from", &folder]);
            assert_eq!(imported["same_digest"], json!(true), "seed {seed}, {form}");
            assert_eq!(imported["digest"], exported["digest"], "seed {seed}, {form}");
            // What the export says is what the store says of itself from then on, and what a rebuild gives.
            assert_eq!(desk.json(&["digest", "s"])["digest"], exported["digest"], "seed {seed}, {form}");
            assert_eq!(json!(rebuilt(&desk, &copy)), exported["digest"], "seed {seed}, {form}");
            let store = Store::options().open(desk.path(&copy)).expect("it opens");
            assert_eq!(world.difference(&store.snapshot()), None, "seed {seed}, {form}");
        }
        assert_eq!(json!(rebuilt(&desk, "s")), desk.json(&["digest", "s"])["digest"], "seed {seed}");
    }
}

/// The export of a copy has the same bytes: nothing in the files depends on how a store came to be.
#[test]
fn stores_of_the_same_content_export_the_same_files() {
    let desk = Desk::new();
    world(&desk, 7);
    for form in FORMS {
        let (first, second) = (format!("a-{form}"), format!("b-{form}"));
        desk.ok(&["export", "s", &first, "--format", form]);
        desk.ok(&["import", &format!("c-{form}"), "--from", &first]);
        desk.ok(&["export", &format!("c-{form}"), &second, "--format", form]);
        assert_eq!(manifest(&desk, &first)["files"], manifest(&desk, &second)["files"], "{form}");
    }
}

/// Names, tokens and numbers that some writer or reader would bend.
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

#[test]
fn odd_names_tokens_and_numbers_come_back_bit_for_bit() {
    let desk = Desk::new();
    let world = odd(&desk);
    let guarded = ["--format", "csv", "--guard-formulas"];
    let ways = FORMS.iter().map(|form| vec!["--format", *form]).chain([guarded.to_vec()]);
    for (at, way) in ways.enumerate() {
        let (folder, copy) = (format!("e{at}"), format!("c{at}"));
        desk.ok(&[&["export", "s", &folder][..], &way].concat());
        let imported = desk.json(&["import", &copy, "--from", &folder]);
        assert_eq!((&imported["digest"], &imported["same_digest"]), (&Value::Null, &json!(true)), "{way:?}");
        let store = Store::options().open(desk.path(&copy)).expect("it opens");
        assert_eq!(world.difference(&store.snapshot()), None, "{way:?}");
        let position = store.position("clicks, \"odd\"");
        assert_eq!(position, Some(Position { offset: 7, lines: 2, check: u64::MAX }), "{way:?}");
    }
}

/// A spreadsheet takes a cell that begins so for a formula, and runs it.
#[test]
fn a_guarded_csv_has_no_cell_that_begins_as_a_formula() {
    let desk = Desk::new();
    odd(&desk);
    desk.ok(&["export", "s", "plain"]);
    desk.ok(&["export", "s", "guarded", "--guard-formulas"]);
    let suspects = |folder: &str| {
        let mut found = 0;
        for table in ["nodes", "features", "edges"] {
            let path = desk.path(&format!("{folder}/{table}.csv"));
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
    desk.fails(&["export", "s", "e", "--format", "jsonl", "--guard-formulas"], 2, "--format csv");
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

/// Folders under temporary names.
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
    // A file of somebody else's in there would be lost.
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
        // Work has begun once there is a folder under a temporary name.
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

/// Which nodes are dirty stands in the log, which a read-only open leaves alone: it computes everything.
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

#[test]
fn nothing_comes_of_nothing_and_back() {
    let desk = Desk::new();
    desk.ok(&["link", "s", "a:1", "b:1"]);
    desk.ok(&["remove", "s", "a:1"]);
    desk.ok(&["remove", "s", "b:1"]);
    for form in FORMS {
        desk.ok(&["export", "s", &format!("e-{form}"), "--format", form]);
        let imported = desk.json(&["import", &format!("c-{form}"), "--from", &format!("e-{form}")]);
        assert_eq!((&imported["nodes"], &imported["edges"]), (&json!(0), &json!(0)), "{form}");
        desk.ok(&["link", &format!("c-{form}"), "a:1", "b:1"]);
    }
}

#[test]
fn a_model_goes_into_a_store_by_itself() {
    let desk = Desk::trained();
    desk.ok(&["export", "s", "m", "--format", "safetensors"]);
    let size = ["--items", "120", "--boards", "60", "--edges", "900", "--topics", "4"];
    desk.ok(&[&["generate", "t"], &size[..]].concat());
    let installed = desk.json(&["import", "t", "--model", "m/model.safetensors"]);
    assert_eq!((&installed["generation"], &installed["embedded"]), (&json!(1), &json!(120)));
    let digest = |store| desk.json(&["digest", store])["digest"].clone();
    assert_eq!(digest("t"), digest("s"));
    desk.write("bad.safetensors", "nothing");
    desk.fails(&["import", "t", "--model", "bad.safetensors"], 5, "not a safetensors file");
    desk.fails(&["import", "u", "--from", "m"], 1, "of another form");
    let bytes = fs::read(desk.path("m/model.safetensors")).expect("a file");
    let text = String::from_utf8_lossy(&bytes[..bytes.len() / 2]).into_owned();
    let at = text.find("layers 2").expect("a recipe");
    let mut changed = bytes;
    changed[at + 7] = b'9';
    desk.write("bad.safetensors", &changed);
    desk.fails(&["import", "t", "--model", "bad.safetensors"], 5, "9 layers, expected 0 to 4");
    assert_eq!(digest("t"), digest("s"));
}

/// Numbers of a .npy file without its header.
fn npy(path: &Path) -> (String, Vec<u8>) {
    let bytes = fs::read(path).expect("a file");
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!((10 + length) % 64, 0);
    (String::from_utf8(bytes[10..10 + length].to_vec()).expect("text"), bytes[10 + length..].to_vec())
}

#[test]
fn arrays_hold_the_vectors_and_ids_of_the_embedded_nodes() {
    let desk = Desk::new();
    world(&desk, 4);
    desk.ok(&["export", "s", "e", "--format", "npy"]);
    let engine = engine(&desk, "s");
    let names: Vec<Vec<String>> = csv::Reader::from_path(desk.path("e/nodes.csv"))
        .expect("a file")
        .records()
        .map(|record| record.expect("a record").iter().map(str::to_owned).collect())
        .collect();
    let (header, vectors) = npy(&desk.path("e/vectors.npy"));
    assert!(
        header.contains(&format!("'<f4', 'fortran_order': False, 'shape': ({}, 8)", names.len())),
        "{header}"
    );
    let (header, ids) = npy(&desk.path("e/ids.npy"));
    assert!(
        header.contains(&format!("'<u8', 'fortran_order': False, 'shape': ({},)", names.len())),
        "{header}"
    );
    let (_, bias) = npy(&desk.path("e/bias.npy"));
    for (at, name) in names.iter().enumerate() {
        let node = NodeName::new(&name[1], &name[2]).expect("a name");
        let id = node.as_ref().stable_id().get();
        assert_eq!(
            (format!("{id:016x}"), &ids[at * 8..at * 8 + 8]),
            (name[0].clone(), &id.to_le_bytes()[..])
        );
        let vector = engine.embedding(node.as_ref()).expect("embedded").vector;
        let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(&vectors[at * 32..at * 32 + 32], &bytes[..32], "{node}");
        assert_eq!(&bias[at * 4..at * 4 + 4], &bytes[32..], "{node}");
    }
    assert!(names.len() > 20 && desk.path("e/dense_image.npy").exists());
}

/// A block may have a name that is a path.
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

#[test]
fn graphml_is_xml_whatever_names_hold() {
    let desk = Desk::new();
    let world = odd(&desk);
    desk.ok(&["export", "s", "e", "--format", "graphml"]);
    let text = desk.read("e/graph.graphml");
    let document = roxmltree::Document::parse(&text).expect("well-formed");
    let all = |tag: &'static str| document.descendants().filter(move |node| node.has_tag_name(tag));
    let ids: Vec<&str> = all("node").filter_map(|node| node.attribute("id")).collect();
    assert_eq!((ids.len(), all("edge").count()), (world.nodes.len(), world.edges.len()));
    for edge in all("edge") {
        for end in ["source", "target"] {
            assert!(edge.attribute(end).is_some_and(|end| ids.contains(&end)));
        }
    }
    let keys: Vec<&str> = all("data")
        .filter(|data| data.attribute("key") == Some("key"))
        .filter_map(|data| data.text())
        .collect();
    for key in ["a\r\nb", "a\tb", "<&>", "\u{e9}\u{1f600}", "\\u{1b}[2J", "\"q\""] {
        assert!(keys.contains(&key), "{key:?}");
    }
}

#[test]
fn the_projector_gets_a_line_of_names_for_each_vector() {
    let desk = Desk::trained();
    desk.ok(&["export", "s", "e", "--format", "tensorboard"]);
    let (vectors, names) = (desk.read("e/vectors.tsv"), desk.read("e/metadata.tsv"));
    assert_eq!((vectors.lines().count(), names.lines().count()), (120, 121));
    assert!(vectors.lines().all(|line| line.split('\t').count() == 8));
    assert!(names.lines().all(|line| line.split('\t').count() == 5), "{names}");
    assert!(desk.read("e/projector_config.pbtxt").contains("vectors.tsv"));
}

#[test]
fn forms_that_are_of_embeddings_need_a_model() {
    let desk = Desk::with_lamps();
    for form in ["npy", "safetensors", "tensorboard"] {
        desk.fails(&["export", "s", "e", "--format", form], 1, "hedgerow train");
    }
    assert!(!desk.path("e").exists() && leftovers(&desk).is_empty());
    if !cfg!(feature = "parquet") {
        desk.fails(&["export", "s", "e", "--format", "parquet"], 1, "--features parquet");
    }
}

#[test]
fn a_manifest_counts_what_the_files_hold() {
    let desk = Desk::trained();
    let exported = desk.json(&["export", "s", "e", "--format", "jsonl"]);
    let manifest = manifest(&desk, "e");
    for table in ["nodes", "features", "edges", "neighborhoods", "embeddings"] {
        let lines = desk.read(&format!("e/{table}.jsonl")).lines().count();
        assert_eq!(manifest["counts"][table], json!(lines), "{table}");
        assert_eq!(exported[table], json!(lines), "{table}");
    }
    let neighbors = desk.read("e/neighborhoods.jsonl");
    let first: Value = serde_json::from_str(neighbors.lines().next().expect("a line")).expect("JSON");
    let id = first["id"].as_str().expect("an id");
    let nodes = desk.read("e/nodes.jsonl");
    let node = nodes.lines().find(|line| line.contains(id)).expect("a node of that id");
    let node: Value = serde_json::from_str(node).expect("JSON");
    let node = format!("{}:{}", node["kind"].as_str().expect("text"), node["key"].as_str().expect("text"));
    let shown = &desk.json(&["neighborhood", "s", &node])[0];
    assert_eq!((&shown["visits"], &shown["importance"]), (&first["visits"], &first["importance"]));
}

/// An export of edges is a file of edges like any other.
#[test]
fn the_edges_of_an_export_can_be_imported_by_themselves() {
    let desk = Desk::with_lamps();
    desk.ok(&["export", "s", "csv"]);
    desk.ok(&["export", "s", "jsonl", "--format", "jsonl"]);
    desk.ok(&["import", "a", "--edges", "csv/edges.csv", "--src", "*=src", "--dst", "*=dst"]);
    desk.ok(&["import", "b", "--edges", "jsonl/edges.jsonl"]);
    let text = |store: &str| {
        let dumped = desk.ok(&["dump", store]);
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
    let desk = Desk::trained();
    desk.ok(&["export", "s", "e", "--format", "parquet", "--shard-rows", "100"]);
    let files = manifest(&desk, "e")["files"].clone();
    let rows: Vec<u64> = files
        .as_array()
        .expect("a list")
        .iter()
        .filter(|file| file["table"] == json!("edges"))
        .map(|file| file["rows"].as_u64().expect("a number"))
        .collect();
    assert_eq!(rows.len(), 9);
    assert!(rows[..8].iter().all(|&rows| rows == 100), "{rows:?}");
    let imported = desk.json(&["import", "c", "--from", "e"]);
    assert_eq!(imported["same_digest"], json!(true));
    // A file of it is a file of edges like any other.
    let words = ["import", "d", "--edges", "e/edges/part-00000.parquet"];
    assert_eq!(desk.json(&words)["edges"], json!(100));
    let named = [&words[..], &["--src", "*=src", "--dst", "*=dst", "--weight-column", "weight"]].concat();
    assert_eq!(desk.json(&named)["edges"], json!(0));
    let nodes =
        ["import", "n", "--nodes", "e/nodes/part-00000.parquet", "--kind-column", "kind", "--tokens", "key"];
    assert_eq!(desk.json(&nodes)["nodes"], json!(100));
    let bytes = fs::read(desk.path("e/edges/part-00000.parquet")).expect("a file");
    desk.write("cut.parquet", &bytes[..bytes.len() - 9]);
    desk.fails(&["import", "x", "--edges", "cut.parquet"], 5, "not a whole Parquet file");
    assert!(!desk.path("x").exists());
}
