//! The values of a load, in a column for each property.
//! Owns their types and which value of a node is the last; knows no names of nodes.

use std::collections::BTreeMap;

use crate::segments::PropertyMeta;
use crate::types::ids::{KindIx, NodeIx};
use crate::types::property::PropertyType;

/// The row of a node without a value.
const NONE: u32 = u32::MAX;

/// The properties of a load and their values.
#[derive(Clone, Debug, Default)]
pub(super) struct ValueColumns {
    schema: Vec<(KindIx, String, PropertyType)>,
    columns: Vec<Column>,
    labels: BTreeMap<KindIx, u16>,
}

/// The values of one property. A value that is replaced keeps its bytes.
#[derive(Clone, Debug, Default)]
struct Column {
    /// The row of each node, or [`NONE`].
    rows: Vec<u32>,
    /// The end of each row in `bytes`.
    ends: Vec<u64>,
    bytes: Vec<u8>,
}

impl ValueColumns {
    /// The number of a kind's property.
    pub(super) fn find(&self, kind: KindIx, name: &str) -> Option<u16> {
        let at = self.schema.iter().position(|(of, known, _)| *of == kind && known == name)?;
        Some(at as u16)
    }

    pub(super) fn property_type(&self, property: u16) -> PropertyType {
        self.schema[usize::from(property)].2
    }

    pub(super) fn len(&self) -> usize {
        self.schema.len()
    }

    /// Adds a property that the kind does not have.
    pub(super) fn add(&mut self, kind: KindIx, name: &str, of: PropertyType) -> u16 {
        self.schema.push((kind, name.to_owned(), of));
        self.columns.push(Column::default());
        self.schema.len() as u16 - 1
    }

    /// Removes the properties from `count` on.
    pub(super) fn truncate(&mut self, count: usize) {
        self.schema.truncate(count);
        self.columns.truncate(count);
    }

    pub(super) fn set_label(&mut self, kind: KindIx, property: Option<u16>) {
        match property {
            Some(property) => drop(self.labels.insert(kind, property)),
            None => drop(self.labels.remove(&kind)),
        }
    }

    /// Sets the value of a node of the property's kind; `None` removes it.
    pub(super) fn set(&mut self, property: u16, node: NodeIx, value: Option<&[u8]>) {
        let column = &mut self.columns[usize::from(property)];
        if column.rows.len() <= node.index() {
            column.rows.resize(node.index() + 1, NONE);
        }
        column.rows[node.index()] = match value {
            None => NONE,
            Some(bytes) => {
                column.bytes.extend_from_slice(bytes);
                column.ends.push(column.bytes.len() as u64);
                column.ends.len() as u32 - 1
            }
        };
    }

    /// The bytes of a node's value.
    pub(super) fn value(&self, property: u16, node: NodeIx) -> Option<&[u8]> {
        let Column { rows, ends, bytes } = &self.columns[usize::from(property)];
        let row = *rows.get(node.index()).filter(|&&row| row != NONE)? as usize;
        let start = row.checked_sub(1).map_or(0, |before| ends[before]);
        Some(&bytes[start as usize..ends[row] as usize])
    }

    /// The properties and the labels, as the file of properties has them.
    pub(super) fn schema(&self) -> (Vec<PropertyMeta>, Vec<(u8, u16)>) {
        let meta = |((kind, name, of), column): (&(KindIx, String, PropertyType), &Column)| PropertyMeta {
            kind: kind.get(),
            name: name.clone(),
            of: *of,
            count: column.rows.iter().filter(|&&row| row != NONE).count() as u64,
        };
        let schema = self.schema.iter().zip(&self.columns).map(meta).collect();
        (schema, self.labels.iter().map(|(kind, &property)| (kind.get(), property)).collect())
    }

    /// The number of nodes with a value.
    pub(super) fn nodes_with_values(&self, bound: u32) -> u64 {
        let has_value = |node: usize| {
            self.columns.iter().any(|column| column.rows.get(node).is_some_and(|&row| row != NONE))
        };
        (0..bound as usize).filter(|&node| has_value(node)).count() as u64
    }
}
