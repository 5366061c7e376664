//! The properties of an export: their declarations in the manifest, and the rows of the table of values.
//! A value must be JSON of exactly its property's type: the text forms of other imports would change some times and lists.

use std::collections::HashMap;

use hedgerow::{Batch, NodeRef, PropertyType, PropertyValue, Snapshot, Store};
use serde_json::value::RawValue;

use crate::core::failure::Failure;
use crate::core::location::{BadInput, Place};
use crate::session::context::Context;
use crate::transfer::edges::column_names::text;
use crate::transfer::import::export_tables::{TableRow, VerifiedExport, commit_full};
use crate::transfer::import::import_export::with_nothing_imported;
use crate::transfer::import::manifest_check::anew;
use crate::transfer::manifest::{ExportFormat, Manifest};
use crate::transfer::table_schema::Table;

/// The columns of the table: their numbers in csv, and their names in objects.
const NODE: (usize, &str) = (1, "node");
const PROPERTY: (usize, &str) = (2, "property");
const VALUE: (usize, &str) = (3, "value");

/// A reader of values for nodes that are in the store.
struct Values<'a> {
    manifest: &'a Manifest,
    /// The types of the properties, by kind and name.
    types: HashMap<(&'a str, &'a str), PropertyType>,
    graph: Snapshot,
}

impl VerifiedExport<'_> {
    /// Declares the properties and sets the labels, then reads the values into batches.
    pub(super) fn read_properties(
        &self,
        ctx: &Context,
        store: &Store,
        batch: &mut Batch,
    ) -> Result<(), Failure> {
        let properties = self.manifest.properties();
        if properties.is_empty() {
            return Ok(());
        }
        // Properties without values are declared too. A name that the store refuses is a problem of the manifest.
        let mut declared = Batch::new();
        for entry in properties {
            let name = entry.name.as_str();
            declared
                .declare_property(&entry.kind, name, entry.of)
                .and_then(|()| if entry.label { declared.set_label(&entry.kind, Some(name)) } else { Ok(()) })
                .map_err(|error| self.problem(&anew(&error.to_string())))?;
        }
        store.commit(&declared).map_err(|error| self.problem(&anew(&error.to_string())))?;
        // The values, each of a node of the export.
        let types = properties.iter().map(|entry| ((entry.kind.as_str(), entry.name.as_str()), entry.of));
        let (types, graph) = (types.collect(), store.snapshot());
        let values = Values { manifest: &self.manifest, types, graph };
        for entry in self.manifest.files_of(Table::Values) {
            let mut stage = |row: &TableRow<'_>| {
                values.stage(row, batch)?;
                commit_full(store, batch)
            };
            self.read_rows(Table::Values, entry, ctx, "values", &mut stage).map_err(with_nothing_imported)?;
        }
        Ok(())
    }
}

impl Values<'_> {
    /// Adds the value of a row to a batch.
    fn stage(&self, row: &TableRow<'_>, batch: &mut Batch) -> Result<(), BadInput> {
        let is_json = self.manifest.format == ExportFormat::Jsonl;
        match row {
            TableRow::Record(records) => {
                let is_guarded = self.manifest.guarded;
                let (node, name) =
                    (text(records, NODE.0, is_guarded)?, text(records, PROPERTY.0, is_guarded)?);
                self.stage_value((node, name, records.text(VALUE.0)?), |(at, _)| records.place(at), batch)
            }
            TableRow::Object(object) => {
                let node = object.text(NODE.1, "a node such as \"pin:1\"")?;
                let name = object.text(PROPERTY.1, "the name of a property")?;
                let place = |(_, name): (usize, &str)| object.place(name);
                if is_json {
                    let json = object.json(VALUE.1).unwrap_or_default();
                    return self.stage_value((&node, &name, json), place, batch);
                }
                // Parquet has the JSON as a text.
                let json = object.text(VALUE.1, "the text of a JSON value")?;
                self.stage_value((&node, &name, &json), place, batch)
            }
        }
    }

    fn stage_value(
        &self,
        (node, name, json): (&str, &str, &str),
        place: impl Fn((usize, &str)) -> Place,
        batch: &mut Batch,
    ) -> Result<(), BadInput> {
        let node = NodeRef::parse(node).map_err(|error| place(NODE).problem(error))?;
        if self.graph.lookup(node).is_none() {
            return Err(place(NODE).found(node.to_string().as_bytes(), "a node of the table nodes"));
        }
        let kind = node.kind;
        let Some(&of) = self.types.get(&(kind, name)) else {
            let expected = format!("a property of kind {kind} that the manifest names");
            return Err(place(PROPERTY).found(name.as_bytes(), expected));
        };
        let set = with_value(of, json, |value| batch.set_property(node, name, &value));
        let set = set.ok_or_else(|| {
            let expected = format!("{}, because property {name} of kind {kind} has type {of}", expected(of));
            place(VALUE).found(json.as_bytes(), expected)
        })?;
        set.map_err(|error| place(VALUE).problem(error))
    }
}

/// Hands the value that JSON writes to `take`; none where the JSON is not of the type.
fn with_value<T>(of: PropertyType, json: &str, take: impl FnOnce(PropertyValue<'_>) -> T) -> Option<T> {
    Some(match of {
        PropertyType::Text => take(PropertyValue::Text(&serde_json::from_str::<String>(json).ok()?)),
        PropertyType::Integer => take(PropertyValue::Integer(serde_json::from_str(json).ok()?)),
        PropertyType::Float => take(PropertyValue::Float(float_of(json)?)),
        PropertyType::Boolean => take(PropertyValue::Boolean(serde_json::from_str(json).ok()?)),
        PropertyType::Time => take(PropertyValue::Time(serde_json::from_str(json).ok()?)),
        PropertyType::List => {
            let items: Vec<String> = serde_json::from_str(json).ok()?;
            take(PropertyValue::List(items.iter().map(String::as_str).collect()))
        }
    })
}

/// A finite number, rounded once: `serde_json` by itself may be off by one bit.
fn float_of(json: &str) -> Option<f64> {
    let number = serde_json::from_str::<&RawValue>(json).ok()?.get();
    number.parse().ok().filter(|value: &f64| value.is_finite())
}

/// The JSON of a value, for messages.
fn expected(of: PropertyType) -> &'static str {
    match of {
        PropertyType::Text => "a string",
        PropertyType::Integer => "an integer of 64 bits",
        PropertyType::Float => "a finite number",
        PropertyType::Boolean => "true or false",
        PropertyType::Time => "an integer of microseconds since 1970",
        PropertyType::List => "a list of strings",
    }
}
