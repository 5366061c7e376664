//! Properties in an export: types, labels and values come back, and a damaged table of values is refused at its place.

use std::fs;

use hedgerow::{Batch, KindIx, NodeIx, PropertyType, PropertyValue, Store};
use serde_json::{Value, json};

use super::disagreement::{Change, refused, reseal};
use super::{FORMS, engine, manifest};
use crate::command::Cli;

/// Texts that a writer or a reader of some form could change.
const TEXTS: [&str; 12] = [
    "plain",
    " lead and trail ",
    "a,b;c\td",
    "line\nfeed\r\nand return\r",
    "a|b",
    "\"quoted\" \\ 'single'",
    "=1+1",
    "null",
    "1999",
    "[\"x\"]",
    "\u{e9}\u{1f600}\u{2028}\u{feff}",
    "\u{0}\u{1b}[2J\u{9b}",
];

/// A store `s` of films with a property of every type, a kind with a formula for a name, and properties without values.
fn films(cli: &Cli) {
    let texts = TEXTS.iter().map(|text| PropertyValue::Text(text));
    let lists = [vec![], vec!["drama"], TEXTS.to_vec()].map(PropertyValue::List);
    let integers = [0, -1, i64::MIN, i64::MAX, (1 << 53) + 1].map(PropertyValue::Integer);
    let floats = [0.0, -0.0, 0.1, 1.0 / 3.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 1e16];
    let times =
        [0, 1, -1, -86_400_000_000, 1_709_294_400_123_456, i64::MIN, i64::MAX].map(PropertyValue::Time);
    let flags = [true, false].map(PropertyValue::Boolean);
    let mut batch = Batch::new();
    let mut set = |name: &str, values: &mut dyn Iterator<Item = PropertyValue<'_>>| {
        for (at, value) in values.enumerate() {
            batch.set_property(("film", at.to_string().as_str()), name, &value).expect("a valid value");
        }
    };
    set("title", &mut texts.clone());
    set("genres", &mut lists.into_iter());
    set("votes", &mut integers.into_iter());
    set("score", &mut floats.into_iter().map(PropertyValue::Float));
    set("seen", &mut times.into_iter());
    set("color", &mut flags.into_iter());
    for (at, value) in texts.enumerate() {
        batch.set_property(("=kind", TEXTS[at]), "=name", &value).expect("a valid value");
    }
    for (kind, name, of) in [("film", "unused", PropertyType::Time), ("none", "empty", PropertyType::List)] {
        batch.declare_property(kind, name, of).expect("a valid name");
    }
    batch.set_label("film", Some("title")).expect("a valid name");
    batch.set_label("none", Some("empty")).expect("a valid name");
    engine(cli, "s").store().commit(&batch).expect("a commit");
    // A value that was removed, and one of a node that was removed, are in no export.
    let mut batch = Batch::new();
    batch.set_property(("film", "gone"), "title", &PropertyValue::Text("gone")).expect("a valid value");
    batch.set_property(("film", "0"), "unused", &PropertyValue::Time(0)).expect("a valid value");
    engine(cli, "s").store().commit(&batch).expect("a commit");
    let mut batch = Batch::new();
    batch.remove(("film", "gone")).expect("a valid name");
    batch.remove_property(("film", "0"), "unused").expect("a valid name");
    engine(cli, "s").store().commit(&batch).expect("a commit");
}

/// The properties and the values of a store, a line each. Debug tells numbers of different bits apart.
fn properties(cli: &Cli, store: &str) -> Vec<String> {
    let store = Store::options().open(cli.path(store)).expect("it opens");
    let graph = store.snapshot();
    let mut lines = Vec::new();
    for kind in (0..graph.kind_count()).map(|at| KindIx::new(at as u8)) {
        for property in graph.properties_of(kind) {
            let (found, label) = (graph.property(property), graph.label(kind) == Some(property));
            let name = format!("{} {}", graph.kind_name(kind), found.name);
            lines.push(format!("{name} {} values {} label {label}", found.of, found.count));
            for node in (0..graph.bound()).map(NodeIx::new).filter(|&node| graph.is_alive(node)) {
                if let Some(value) = graph.value(node, property) {
                    lines.push(format!("{name} {:?} {value:?}", graph.name(node).key));
                }
            }
        }
    }
    lines.sort();
    lines
}

#[test]
fn types_labels_and_values_come_back_exactly() {
    let cli = Cli::new();
    films(&cli);
    let expected = properties(&cli, "s");
    assert!(
        expected.len() > 55 && expected.iter().any(|line| line == "film title text values 12 label true")
    );
    let guarded = ["--format", "csv", "--guard-formulas"];
    let ways = FORMS.iter().map(|form| vec!["--format", *form]).chain([guarded.to_vec()]);
    for (at, way) in ways.enumerate() {
        let (folder, copy) = (format!("e{at}"), format!("c{at}"));
        let exported = cli.json(&[&["export", "s", &folder][..], &way].concat());
        let imported = cli.json(&["import", &copy, "--from", &folder]);
        assert_eq!(properties(&cli, &copy), expected, "{way:?}");
        assert_eq!(exported["values"], imported["values"], "{way:?}");
        assert_eq!(exported["values"], manifest(&cli, &folder)["counts"]["values"], "{way:?}");
        // The copy gives an export of the same bytes.
        let again = format!("a{at}");
        cli.ok(&[&["export", &copy, &again][..], &way].concat());
        let parts = |folder: &str| {
            ["schema", "properties", "counts", "files"].map(|part| manifest(&cli, folder)[part].clone())
        };
        assert_eq!(parts(&again), parts(&folder), "{way:?}");
    }
}

/// A store of one film with a value of every type.
fn one_film(cli: &Cli) {
    cli.write(
        "films.csv",
        "film,votes,score,color,seen,genres,title\n1,-7,2,yes,1969-12-31T23:59:59Z,drama|\"war\",\"say \"\"hi\"\", A\"\n",
    );
    let props = "votes:i64,score:f64,color:bool,seen:time,genres:list,title:text";
    cli.ok(&["import", "s", "--nodes", "films.csv", "--kind", "film", "--props", props, "--label", "title"]);
}

#[test]
fn a_value_is_json_and_rows_are_in_the_order_of_names() {
    let cli = Cli::new();
    one_film(&cli);
    cli.ok(&["export", "s", "j", "--format", "jsonl"]);
    cli.ok(&["export", "s", "e"]);
    let values = [
        ("color", "true"),
        ("genres", r#"["drama","\"war\""]"#),
        ("score", "2.0"),
        ("seen", "-1000000"),
        ("title", r#""say \"hi\", A""#),
        ("votes", "-7"),
    ];
    let id = cli.read("j/nodes.jsonl")[7..23].to_owned();
    let line = |(name, value): &(&str, &str)| {
        format!("{{\"id\":\"{id}\",\"node\":\"film:1\",\"property\":\"{name}\",\"value\":{value}}}\n")
    };
    assert_eq!(cli.read("j/values.jsonl"), values.iter().map(line).collect::<String>());
    let mut csv = csv::Reader::from_path(cli.path("e/values.csv")).expect("a file");
    assert_eq!(csv.headers().expect("a header"), vec!["id", "node", "property", "value"]);
    for (record, (name, value)) in csv.records().zip(values) {
        assert_eq!(record.expect("a record"), vec![id.as_str(), "film:1", name, value]);
    }
    let manifest = manifest(&cli, "e");
    assert_eq!((&manifest["schema"], &manifest["counts"]["values"]), (&json!(3), &json!(6)));
    let first = json!({"kind": "film", "name": "color", "type": "bool", "label": false});
    assert_eq!(manifest["properties"][0], first);
    assert_eq!(manifest["properties"][4]["label"], json!(true));
}

#[test]
fn an_export_without_properties_names_none_and_comes_back() {
    let cli = Cli::with_lamps();
    for form in FORMS {
        let (folder, copy) = (format!("e-{form}"), format!("c-{form}"));
        cli.ok(&["export", "s", &folder, "--format", form]);
        let manifest = manifest(&cli, &folder);
        let names: Vec<&String> = manifest.as_object().expect("an object").keys().collect();
        let counted: Vec<&String> = manifest["counts"].as_object().expect("an object").keys().collect();
        assert_eq!((&manifest["schema"], names.len()), (&json!(3), 12), "{names:?}");
        assert!(!names.contains(&&"properties".to_owned()) && counted.len() == 5, "{names:?} {counted:?}");
        assert!(!cli.path(&format!("{folder}/values.{form}")).exists());
        let imported = cli.json(&["import", &copy, "--from", &folder]);
        assert_eq!((&imported["nodes"], &imported["values"]), (&json!(5), &json!(0)), "{form}");
    }
}

/// The text form of a value is lenient: it takes `1999` for a text and `"5"` for five seconds. An export must not.
#[test]
fn a_damaged_value_is_refused_at_its_place() {
    let cli = Cli::new();
    one_film(&cli);
    let changes = [
        (
            "\"votes\"",
            "\"vote\"",
            ":6:42: found \"vote\", expected a property of kind film that the manifest names",
        ),
        ("film:1", "film:2", ":1:26: found \"film:2\", expected a node of the table nodes"),
        ("film:1", "film", ":1:26: invalid node"),
        ("-7", "\"-7\"", "expected an integer of 64 bits, because property votes of kind film has type i64"),
        ("-7", "-7.5", ":6:61: found \"-7.5\", expected an integer of 64 bits"),
        ("-7", "9223372036854775808", "expected an integer of 64 bits"),
        ("-7", "null", "found \"null\", expected an integer of 64 bits"),
        ("2.0", "1e999", ":3:61: found \"1e999\", expected a finite number"),
        ("2.0", "\"2\"", "expected a finite number, because property score of kind film has type f64"),
        ("2.0", "[2.0]", "expected a finite number"),
        ("true", "1", ":1:61: found \"1\", expected true or false"),
        ("-1000000", "\"1969-12-31\"", "expected an integer of microseconds since 1970"),
        ("\"say \\\"hi\\\", A\"", "1999", "found \"1999\", expected a string"),
        ("\"say \\\"hi\\\", A\"", "\"\"", "expected a text that is not empty"),
        ("\"drama\"", "1", "expected a list of strings, because property genres of kind film has type list"),
        ("\"drama\"", "\"\"", "expected items that are not empty"),
    ];
    cli.ok(&["export", "s", "e", "--format", "jsonl"]);
    let (text, intact) = (cli.read("e/values.jsonl"), manifest(&cli, "e"));
    for (from, to, message) in changes {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        reseal(&cli, &intact, "values.jsonl", &changed, 0);
        refused(&cli, message);
        refused(&cli, "; nothing was imported");
    }
    // A value twice, with a count that says so.
    let first = text.lines().next().expect("a line");
    reseal(&cli, &intact, "values.jsonl", &format!("{first}\n{text}"), 1);
    refused(&cli, "the export holds 6 different values, the manifest says 7");
    // In csv the same text is a field.
    fs::remove_dir_all(cli.path("e")).expect("a folder");
    cli.ok(&["export", "s", "e"]);
    let (text, intact) = (cli.read("e/values.csv"), manifest(&cli, "e"));
    for (from, to, message) in [
        (",-7", ",seven", "values.csv:7:31: found \"seven\", expected an integer of 64 bits"),
        (",-7", ",", "values.csv:7:31: found \"\", expected an integer of 64 bits"),
        (",true", ",yes", "values.csv:2:31: found \"yes\", expected true or false"),
        (
            "film:1,score",
            "film:1,rating",
            "values.csv:4:25: found \"rating\", expected a property of kind film",
        ),
        ("film:1,score", "film:9,score", "values.csv:4:18: found \"film:9\", expected a node"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        reseal(&cli, &intact, "values.csv", &changed, 0);
        refused(&cli, message);
    }
}

#[test]
fn properties_of_a_manifest_that_contradict_each_other_are_refused() {
    let cli = Cli::new();
    one_film(&cli);
    cli.ok(&["export", "s", "e", "--format", "jsonl"]);
    let intact = manifest(&cli, "e");
    let remove = |all: &mut Value, field: &str| drop(all.as_object_mut().expect("an object").remove(field));
    let changes: [Change<'_>; 9] = [
        (&|all| remove(all, "properties"), "has schema 3 and a count of `values`; export anew"),
        (&|all| remove(&mut all["counts"], "values"), "has schema 3 and no count of `values`; export anew"),
        (&|all| all["schema"] = json!(1), "has schema 1 and a field `properties`; export anew"),
        (&|all| all["properties"][1] = all["properties"][0].clone(), "\"color\" is named twice"),
        (&|all| all["properties"][0]["label"] = json!(true), "the kind \"film\" has two labels"),
        (&|all| all["properties"][0]["type"] = json!("money"), "text, i64, f64, bool, time or list"),
        (
            &|all| all["properties"][0]["type"] = json!("i64"),
            "found \"true\", expected an integer of 64 bits",
        ),
        (
            &|all| all["properties"][0]["name"] = json!("hue"),
            "found \"color\", expected a property of kind film",
        ),
        (&|all| all["properties"][0]["kind"] = json!("a film"), "invalid kind: found 'a film'"),
    ];
    for (change, message) in changes {
        let mut changed = intact.clone();
        change(&mut changed);
        cli.write("e/manifest.json", changed.to_string());
        refused(&cli, message);
    }
    cli.write("e/manifest.json", intact.to_string());
    cli.ok(&["import", "c", "--from", "e"]);
    assert_eq!(properties(&cli, "c"), properties(&cli, "s"));
}
