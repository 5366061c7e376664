//! A manifest, the files of its folder and what they hold must agree: else `import --from` has exit code 5 and leaves nothing.

use std::fs;

use serde_json::{Value, json};

use super::{FORMS, leftovers, manifest, model_graph};
use crate::command::Cli;

const TABLES: [&str; 6] = ["nodes", "features", "values", "edges", "neighborhoods", "embeddings"];

/// A change of a manifest, and the message that refuses it.
pub(super) type Change<'a> = (&'a dyn Fn(&mut Value), &'a str);

/// Replaces the manifest of `e`.
fn set_manifest(cli: &Cli, manifest: &Value) {
    cli.write("e/manifest.json", manifest.to_string());
}

/// Imports `e`, which must be refused with this message; nothing is left, not even the folders on the way.
pub(super) fn refused(cli: &Cli, message: &str) {
    cli.fails(&["import", "new/folder/c", "--from", "e"], 5, message);
    assert!(!cli.path("new").exists(), "{message}: something is left");
    assert_eq!(leftovers(cli), [""; 0]);
}

/// The entries of a table, or those of no table.
fn entries<'a>(manifest: &'a mut Value, table: Option<&'a str>) -> impl Iterator<Item = &'a mut Value> {
    let files = manifest["files"].as_array_mut().expect("a list");
    files.iter_mut().filter(move |file| file["table"] == json!(table))
}

fn without_table(manifest: &Value, table: Option<&str>) -> Value {
    let mut changed = manifest.clone();
    changed["files"].as_array_mut().expect("a list").retain(|file| file["table"] != json!(table));
    changed
}

/// Writes a file of `e` and its checksum into the manifest, with another number of rows of its table.
pub(super) fn reseal(cli: &Cli, intact: &Value, name: &str, text: &str, more_rows: u64) {
    cli.write(&format!("e/{name}"), text);
    let mut changed = intact.clone();
    let files = changed["files"].as_array_mut().expect("a list");
    let file = files.iter_mut().find(|file| file["name"] == json!(name)).expect("an entry");
    file["bytes"] = json!(text.len());
    file["blake3"] = json!(blake3::hash(text.as_bytes()).to_hex().to_string());
    file["rows"] = json!(file["rows"].as_u64().expect("a number") + more_rows);
    let table = file["table"].as_str().expect("a table").to_owned();
    changed["counts"][&table] = json!(changed["counts"][&table].as_u64().expect("a number") + more_rows);
    set_manifest(cli, &changed);
}

/// An export whose manifest had lost `features` or `model` was imported without them, with exit code 0.
/// Whatever a manifest, its counts and its folder disagree about must be refused, table by table and in every form.
#[test]
fn a_manifest_that_lost_or_changed_an_entry_is_refused_in_every_form() {
    for form in FORMS {
        let cli = Cli::new();
        model_graph(&cli, 11);
        cli.ok(&["export", "s", "e", "--format", form]);
        let intact = manifest(&cli, "e");
        for table in TABLES {
            assert_ne!(intact["counts"][table], json!(0), "{table}");
            // Its entries are lost: the counts, then the folder disagree.
            let mut changed = without_table(&intact, Some(table));
            set_manifest(&cli, &changed);
            refused(&cli, &format!("the counts say {} {table}", intact["counts"][table]));
            changed["counts"][table] = json!(0);
            set_manifest(&cli, &changed);
            refused(&cli, "the manifest does not name it; export anew");
            // The rows are other ones, without and with the count.
            let mut changed = intact.clone();
            let entry = entries(&mut changed, Some(table)).next().expect("an entry");
            let rows = entry["rows"].as_u64().expect("a number") + 1;
            entry["rows"] = json!(rows);
            set_manifest(&cli, &changed);
            refused(&cli, &format!("the files of the table have {rows} rows"));
            changed["counts"][table] = json!(rows);
            set_manifest(&cli, &changed);
            refused(&cli, &format!("the file has {} rows, the manifest says {rows}", rows - 1));
            entries(&mut changed, Some(table)).for_each(|entry| entry["rows"] = Value::Null);
            set_manifest(&cli, &changed);
            refused(&cli, "has no rows; export anew");
        }
        let without_model = without_table(&intact, None);
        let mut twice = intact.clone();
        let first = twice["files"][0].clone();
        twice["files"].as_array_mut().expect("a list").push(first);
        let changes: [Change<'_>; 12] = [
            (
                &|all| *all = without_model.clone(),
                "it has the model's generation, and no file model.safetensors",
            ),
            (&|all| all["generation"] = Value::Null, "and no generation"),
            (&|all| all["digest"] = Value::Null, "and no digest"),
            (
                &|all| {
                    *all = without_model.clone();
                    (all["generation"], all["digest"]) = (Value::Null, Value::Null);
                },
                "and there is no model",
            ),
            (&|all| all["digest"] = json!("0".repeat(64)), "accept it with --any-digest"),
            (&|all| *all = twice.clone(), "is named twice"),
            (&|all| all["files"][0]["table"] = Value::Null, "is of no table"),
            (
                &|all| all["files"][0]["blake3"] = json!("0".repeat(64)),
                "its checksum is not that of the manifest",
            ),
            (&|all| all["dense"] = json!([]), "dense_image"),
            (&|all| all["dense"][0]["width"] = json!(4), "have 3 numbers, the manifest says 4"),
            (&|all| all["dense"] = json!([all["dense"][0], all["dense"][0]]), "is named twice"),
            (&|all| all["schema"] = json!(4), "import it with the version that wrote it"),
        ];
        for (change, message) in changes {
            let mut changed = intact.clone();
            change(&mut changed);
            set_manifest(&cli, &changed);
            refused(&cli, message);
        }
        // The same command works once the manifest is intact. What a system leaves in a folder does not count.
        set_manifest(&cli, &intact);
        cli.write("e/more.csv", "");
        refused(&cli, "more.csv:1:1: the file is in the folder");
        fs::remove_file(cli.path("e/more.csv")).expect("a file");
        cli.write("e/.DS_Store", "");
        cli.ok(&["import", "new/folder/c", "--from", "e"]);
    }
}

/// A table that is left out whole, with its file and its count, disagrees with what the others give. Nothing depends on values.
#[test]
fn a_table_that_was_left_out_whole_is_missed() {
    let cli = Cli::new();
    model_graph(&cli, 12);
    cli.ok(&["export", "s", "e", "--format", "jsonl"]);
    let intact = manifest(&cli, "e");
    for table in TABLES.into_iter().filter(|table| *table != "values") {
        let file = format!("e/{table}.jsonl");
        let bytes = fs::read(cli.path(&file)).expect("a file");
        fs::remove_file(cli.path(&file)).expect("a file");
        let mut changed = without_table(&intact, Some(table));
        changed["counts"][table] = json!(0);
        set_manifest(&cli, &changed);
        refused(&cli, "the manifest says");
        cli.write(&file, bytes);
    }
}

/// Objects without a weight, a token or a number were imported with defaults in their place.
/// A table with fewer, other or repeated columns, or with a row twice, must be refused under sound checksums.
#[test]
fn a_table_with_fewer_columns_or_a_row_twice_is_refused() {
    let cli = Cli::new();
    model_graph(&cli, 13);
    cli.ok(&["export", "s", "e", "--format", "jsonl"]);
    let intact = manifest(&cli, "e");
    for (table, field) in [
        ("nodes", "id"),
        ("features", "tokens"),
        ("features", "dense_image"),
        ("values", "property"),
        ("values", "value"),
        ("edges", "weight"),
        ("edges", "time"),
        ("edges", "relation"),
        ("neighborhoods", "visits"),
        ("embeddings", "bias"),
    ] {
        let name = format!("{table}.jsonl");
        let text = cli.read(&format!("e/{name}"));
        let (first, rest) = text.split_once('\n').expect("a line");
        let mut object: Value = serde_json::from_str(first).expect("JSON");
        let value = object.as_object_mut().expect("an object").remove(field).expect("the field");
        reseal(&cli, &intact, &name, &format!("{object}\n{rest}"), 0);
        refused(&cli, &format!("the field {field:?} is missing"));
        object["more"] = value.clone();
        object[field] = value;
        reseal(&cli, &intact, &name, &format!("{object}\n{rest}"), 0);
        refused(&cli, "found \"more\", expected one of the fields");
        let doubled = first.replacen('{', &format!("{{\"{field}\":{},", object[field]), 1);
        reseal(&cli, &intact, &name, &format!("{doubled}\n{rest}"), 0);
        refused(&cli, "a field is there twice");
        reseal(&cli, &intact, &name, &format!("{first}\n{text}"), 1);
        refused(&cli, "different");
        cli.write(&format!("e/{name}"), &text);
    }
    fs::remove_dir_all(cli.path("e")).expect("a folder");
    cli.ok(&["export", "s", "e"]);
    let intact = manifest(&cli, "e");
    for table in TABLES {
        let name = format!("{table}.csv");
        let mut narrow = csv::Writer::from_writer(Vec::new());
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).from_path(cli.path(&format!("e/{name}")));
        for record in reader.as_mut().expect("a file").records() {
            let record = record.expect("a record");
            narrow.write_record(record.iter().take(record.len() - 1)).expect("written");
        }
        let narrow = String::from_utf8(narrow.into_inner().expect("written")).expect("text");
        let text = cli.read(&format!("e/{name}"));
        reseal(&cli, &intact, &name, &narrow, 0);
        refused(&cli, "expected the header");
        cli.write(&format!("e/{name}"), &text);
    }
}

/// A version with other arithmetic computes another digest from the same model.
#[test]
fn another_digest_is_accepted_on_request_and_said() {
    let cli = Cli::trained();
    cli.ok(&["export", "s", "e"]);
    let mut changed = manifest(&cli, "e");
    changed["digest"] = json!("0".repeat(64));
    set_manifest(&cli, &changed);
    let ran = cli.run(&["import", "c", "--from", "e", "--any-digest", "--output", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("warning: the embeddings have the digest"), "{}", ran.err);
    let imported: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(imported["same_digest"], json!(false));
    assert_eq!(cli.json(&["digest", "c"])["digest"], cli.json(&["digest", "s"])["digest"]);
    cli.fails(&["import", "c", "--edges", "e/edges.csv", "--any-digest"], 2, "cannot be used with");
}
