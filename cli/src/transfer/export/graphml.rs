//! The graph as GraphML, for programs that draw and measure graphs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hedgerow::{PropertyType, PropertyValue};

use crate::core::failure::Failure;

use crate::transfer::export::export_folder::ExportFolder;
use crate::transfer::export::export_rows::ExportRows;

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">
<key id="kind" for="node" attr.name="kind" attr.type="string"/>
<key id="key" for="node" attr.name="key" attr.type="string"/>
<key id="tokens" for="node" attr.name="tokens" attr.type="string"/>
<key id="relation" for="edge" attr.name="relation" attr.type="string"/>
<key id="weight" for="edge" attr.name="weight" attr.type="float"><default>1</default></key>
<key id="time" for="edge" attr.name="time" attr.type="long"/>
"#;
const GRAPH: &str = r#"<graph id="hedgerow" edgedefault="undirected">
"#;
const FOOT: &str = "</graph>\n</graphml>\n";

/// The keys of nodes in [`HEAD`].
const NODE_KEYS: [&str; 3] = ["kind", "key", "tokens"];

/// Writes the graph. The id of a node is `n` and its stable id; tokens are joined by spaces; dense features are left out.
pub(super) fn write(rows: &mut ExportRows<'_>, folder: &mut ExportFolder) -> Result<(), Failure> {
    let mut file = folder.file("graph.graphml")?;
    file.put(HEAD.as_bytes())?;
    let keys = property_keys(rows);
    for ((name, attr_type), id) in &keys {
        let prefix = if NODE_KEYS.contains(name) { "property_" } else { "" };
        let name = escaped(name);
        let key = format!(
            "<key id=\"{id}\" for=\"node\" attr.name=\"{prefix}{name}\" attr.type=\"{attr_type}\"/>\n"
        );
        file.put(key.as_bytes())?;
    }
    file.put(GRAPH.as_bytes())?;
    for at in 0..rows.nodes.len() {
        let node = rows.nodes[at];
        let name = rows.snapshot.name(node);
        let (id, kind, key) = (rows.id(node), escaped(&name.kind), escaped(&name.key));
        let mut line =
            format!("<node id=\"n{id:016x}\"><data key=\"kind\">{kind}</data><data key=\"key\">{key}</data>");
        let tokens = rows.snapshot.tokens(node);
        if !tokens.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(line, "<data key=\"tokens\">{}</data>", escaped(&tokens.join(" ")));
        }
        for (property, value) in rows.values.of(node) {
            let key = &keys[&(rows.snapshot.property(property).name, attr_type(value.property_type()))];
            let _ = write!(line, "<data key=\"{key}\">{}</data>", escaped(&attr_value(&value)));
        }
        line.push_str("</node>\n");
        file.put(line.as_bytes())?;
        rows.step("nodes")?;
    }
    let snapshot = rows.snapshot;
    let id = |node| snapshot.stable_id(node).get();
    rows.edges(&mut |edge| {
        let (src, dst) = (id(edge.src), id(edge.dst));
        let mut line = format!("<edge source=\"n{src:016x}\" target=\"n{dst:016x}\">");
        // Writing to a String cannot fail.
        let _ = write!(line, "<data key=\"relation\">{}</data>", escaped(edge.relation));
        if edge.weight.to_bits() != 1.0_f32.to_bits() {
            let _ = write!(line, "<data key=\"weight\">{}</data>", edge.weight);
        }
        if let Some(time) = edge.time {
            let _ = write!(line, "<data key=\"time\">{time}</data>");
        }
        line.push_str("</edge>\n");
        file.put(line.as_bytes())
    })?;
    file.put(FOOT.as_bytes())?;
    folder.add(file, None, None)
}

/// The id of the key for each name and type of a property. Kinds share the key of a property that they have with one type.
fn property_keys<'a>(rows: &ExportRows<'a>) -> BTreeMap<(&'a str, &'static str), String> {
    let snapshot = rows.snapshot;
    let properties = rows.values.all().into_iter().map(|property| snapshot.property(property));
    let mut keys: BTreeMap<_, _> =
        properties.map(|property| ((property.name, attr_type(property.of)), String::new())).collect();
    for (at, id) in keys.values_mut().enumerate() {
        *id = format!("p{at}");
    }
    keys
}

/// The type of GraphML for a type of properties.
fn attr_type(of: PropertyType) -> &'static str {
    match of {
        PropertyType::Text | PropertyType::List => "string",
        PropertyType::Integer | PropertyType::Time => "long",
        PropertyType::Float => "double",
        PropertyType::Boolean => "boolean",
    }
}

/// A value as text: a time is its microseconds, and the items of a list have bars between them.
fn attr_value(value: &PropertyValue<'_>) -> String {
    match value {
        PropertyValue::Time(time) => time.to_string(),
        // With an exponent where it is shorter.
        PropertyValue::Float(value) => format!("{value:?}"),
        PropertyValue::Text(_)
        | PropertyValue::Integer(_)
        | PropertyValue::Boolean(_)
        | PropertyValue::List(_) => value.to_string(),
    }
}

/// Text between tags or in an attribute. XML cannot express most control characters, so they are written as `\u{1b}`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML readers normalize line ends and white space unless they are escaped.
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}
