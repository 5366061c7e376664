//! The properties of a store in the order of their names, and the values of a node, which JSON writes without loss.
//! Must not know the formats that show them.

use std::fmt::Write as _;

use hedgerow::{KindIx, NodeIx, PropertyIx, PropertyValue, Snapshot};

use crate::transfer::export::jsonl::{push_text, push_texts};
use crate::transfer::manifest::PropertyEntry;

/// The properties of each kind.
pub(super) struct PropertyValues<'a> {
    snapshot: &'a Snapshot,
    /// By number of the kind, then by name.
    properties: Vec<Vec<PropertyIx>>,
}

impl<'a> PropertyValues<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        let kinds = (0..snapshot.kind_count()).map(|at| KindIx::new(at as u8));
        let sorted = |kind| {
            let mut properties: Vec<PropertyIx> = snapshot.properties_of(kind).collect();
            properties.sort_by_key(|&property| snapshot.property(property).name);
            properties
        };
        Self { snapshot, properties: kinds.map(sorted).collect() }
    }

    /// The number of values.
    pub(super) fn count(&self) -> u64 {
        let properties = self.properties.iter().flatten();
        properties.map(|&property| self.snapshot.property(property).count).sum()
    }

    /// The properties by the name of their kind, then by their own name.
    pub(super) fn all(&self) -> Vec<PropertyIx> {
        let mut kinds: Vec<usize> = (0..self.properties.len()).collect();
        kinds.sort_by_key(|&kind| self.snapshot.kind_name(KindIx::new(kind as u8)));
        kinds.into_iter().flat_map(|kind| self.properties[kind].iter().copied()).collect()
    }

    /// The properties for the manifest.
    pub(super) fn entries(&self) -> Vec<PropertyEntry> {
        let entry = |property: PropertyIx| {
            let found = self.snapshot.property(property);
            let kind = self.snapshot.kind_name(found.kind).to_owned();
            let label = self.snapshot.label(found.kind) == Some(property);
            PropertyEntry { kind, name: found.name.to_owned(), of: found.of, label }
        };
        self.all().into_iter().map(entry).collect()
    }

    /// The values of a node, by the name of their property.
    pub(super) fn of(&self, node: NodeIx) -> impl Iterator<Item = (PropertyIx, PropertyValue<'a>)> {
        let (snapshot, properties) = (self.snapshot, &self.properties[self.snapshot.kind(node).index()]);
        properties.iter().filter_map(move |&property| Some((property, snapshot.value(node, property)?)))
    }

    /// The value of a node's label.
    pub(super) fn label(&self, node: NodeIx) -> Option<PropertyValue<'a>> {
        self.snapshot.value(node, self.snapshot.label(self.snapshot.kind(node))?)
    }

    /// True if some kind has a label.
    pub(super) fn has_label(&self) -> bool {
        (0..self.properties.len()).any(|kind| self.snapshot.label(KindIx::new(kind as u8)).is_some())
    }
}

/// Adds a value as JSON: a time is its microseconds, and a number the shortest decimal that reads back as the same f64.
pub(super) fn push_json(value: &PropertyValue<'_>, json: &mut String) {
    match value {
        PropertyValue::Text(text) => push_text(text, json),
        // Writing to a String cannot fail.
        PropertyValue::Integer(value) | PropertyValue::Time(value) => drop(write!(json, "{value}")),
        // Debug writes large and small numbers with an exponent, where Display writes up to 300 zeros.
        PropertyValue::Float(value) => drop(write!(json, "{value:?}")),
        PropertyValue::Boolean(value) => drop(write!(json, "{value}")),
        PropertyValue::List(items) => push_texts(items, json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_json_that_reads_back_as_the_same_bits() {
        for value in [0.0, -0.0, 0.1, 1.0, 1e15, 1e16, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324] {
            let mut json = String::new();
            push_json(&PropertyValue::Float(value), &mut json);
            assert!(json.len() <= 24 && serde_json::from_str::<f64>(&json).is_ok(), "{json}");
            assert_eq!(json.parse::<f64>().map(f64::to_bits), Ok(value.to_bits()), "{json}");
        }
    }
}
