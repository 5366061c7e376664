//! Formats for other programs, which `import --from` does not read.

use std::fs;
use std::path::Path;

use hedgerow::NodeName;

use super::{engine, leftovers, model_graph, odd};
use crate::command::Cli;

/// The numbers of a .npy file.
fn npy(path: &Path) -> (String, Vec<u8>) {
    let bytes = fs::read(path).expect("a file");
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!((10 + length) % 64, 0);
    (String::from_utf8(bytes[10..10 + length].to_vec()).expect("text"), bytes[10 + length..].to_vec())
}

#[test]
fn arrays_hold_the_vectors_and_ids_of_the_embedded_nodes() {
    let cli = Cli::new();
    model_graph(&cli, 4);
    cli.ok(&["export", "s", "e", "--format", "npy"]);
    let engine = engine(&cli, "s");
    let names: Vec<Vec<String>> = csv::Reader::from_path(cli.path("e/nodes.csv"))
        .expect("a file")
        .records()
        .map(|record| record.expect("a record").iter().map(str::to_owned).collect())
        .collect();
    let (header, vectors) = npy(&cli.path("e/vectors.npy"));
    assert!(
        header.contains(&format!("'<f4', 'fortran_order': False, 'shape': ({}, 8)", names.len())),
        "{header}"
    );
    let (header, ids) = npy(&cli.path("e/ids.npy"));
    assert!(
        header.contains(&format!("'<u8', 'fortran_order': False, 'shape': ({},)", names.len())),
        "{header}"
    );
    let (_, bias) = npy(&cli.path("e/bias.npy"));
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
    assert!(names.len() > 20 && cli.path("e/dense_image.npy").exists());
}

#[test]
fn graphml_is_xml_whatever_names_hold() {
    let cli = Cli::new();
    let model_graph = odd(&cli);
    cli.ok(&["export", "s", "e", "--format", "graphml"]);
    let text = cli.read("e/graph.graphml");
    let document = roxmltree::Document::parse(&text).expect("well-formed");
    let all = |tag: &'static str| document.descendants().filter(move |node| node.has_tag_name(tag));
    let ids: Vec<&str> = all("node").filter_map(|node| node.attribute("id")).collect();
    assert_eq!((ids.len(), all("edge").count()), (model_graph.nodes.len(), model_graph.edges.len()));
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

/// Programs that draw graphs read the type of a property from its key. A name of the form itself stays the form's.
#[test]
fn graphml_has_a_key_for_each_name_and_type_of_a_property() {
    let cli = Cli::new();
    cli.write("a.csv", "id,title,year,kind\n1,\"A <b> & \"\"c\"\"\",1999,x\n2,,-5,\n");
    cli.write("b.csv", "id,title,year\n1,B,2.5\n");
    cli.ok(&["import", "s", "--nodes", "a.csv", "--kind", "film", "--props", "title,year,kind"]);
    cli.ok(&["import", "s", "--nodes", "b.csv", "--kind", "book", "--props", "title,year"]);
    cli.ok(&["export", "s", "e", "--format", "graphml"]);
    let text = cli.read("e/graph.graphml");
    let document = roxmltree::Document::parse(&text).expect("well-formed");
    let all = |tag: &'static str| document.descendants().filter(move |node| node.has_tag_name(tag));
    let attribute =
        |node: &roxmltree::Node<'_, '_>, name| node.attribute(name).unwrap_or_default().to_owned();
    let names = |key: roxmltree::Node<'_, '_>| (attribute(&key, "attr.name"), attribute(&key, "attr.type"));
    let keys: Vec<_> = all("key").filter(|key| attribute(key, "id").starts_with('p')).map(names).collect();
    let expected = [("property_kind", "string"), ("title", "string"), ("year", "double"), ("year", "long")];
    assert_eq!(keys, expected.map(|(name, of)| (name.to_owned(), of.to_owned())));
    let data = all("data").filter(|data| attribute(data, "key").starts_with('p'));
    let mut values: Vec<&str> = data.filter_map(|data| data.text()).collect();
    values.sort_unstable();
    assert_eq!(values, ["-5", "1999", "2.5", "A <b> & \"c\"", "B", "x"]);
}

#[test]
fn the_projector_gets_a_line_of_names_for_each_vector() {
    let cli = Cli::trained();
    cli.ok(&["export", "s", "e", "--format", "tensorboard"]);
    let (vectors, names) = (cli.read("e/vectors.tsv"), cli.read("e/metadata.tsv"));
    assert_eq!((vectors.lines().count(), names.lines().count()), (120, 121));
    assert!(vectors.lines().all(|line| line.split('\t').count() == 8));
    assert!(names.lines().all(|line| line.split('\t').count() == 5), "{names}");
    assert!(cli.read("e/projector_config.pbtxt").contains("vectors.tsv"));
}

#[test]
fn the_projector_gets_the_labels_of_a_store_that_has_them() {
    let cli = Cli::new();
    let model_graph = model_graph(&cli, 6);
    cli.ok(&["export", "s", "e", "--format", "tensorboard"]);
    let names = cli.read("e/metadata.tsv");
    let mut lines = names.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    assert_eq!(lines.next(), Some(vec!["key", "kind", "id", "degree", "tokens", "label"]));
    let (pins, boards): (Vec<_>, Vec<_>) = lines.partition(|line| line[1] == "pin");
    // Some pins have a title, which is the label of pins, and boards have no label.
    let title = |key: &str| {
        let pin = NodeName::new("pin", key).expect("a name");
        model_graph.nodes[&pin].properties.get("title").cloned().unwrap_or_default()
    };
    assert!(pins.iter().all(|line| line[5] == title(line[0])));
    assert!(pins.iter().any(|line| line[5].is_empty()) && pins.iter().any(|line| !line[5].is_empty()));
    assert!(!boards.is_empty() && boards.iter().all(|line| line[5].is_empty()));
}

#[test]
fn forms_that_are_of_embeddings_need_a_model() {
    let cli = Cli::with_lamps();
    for form in ["npy", "safetensors", "tensorboard"] {
        cli.fails(&["export", "s", "e", "--format", form], 1, "hedgerow train");
    }
    assert!(!cli.path("e").exists() && leftovers(&cli).is_empty());
    if !cfg!(feature = "parquet") {
        cli.fails(&["export", "s", "e", "--format", "parquet"], 1, "--features parquet");
    }
}
