//! The values of properties in a state: those of the segments, and the changes on top.
//! Owns the reading of values; `apply` changes them.

use crate::graph::graph_state::GraphState;
use crate::segments::{Column, PropertyMeta, Rows};
use crate::types::ids::{KindIx, NodeIx};
use crate::types::property::PropertyValue;
use crate::types::value_changes;

impl GraphState {
    /// The number of a kind's property.
    pub(crate) fn property_ix(&self, kind: KindIx, name: &str) -> Option<u16> {
        let is_it = |property: &PropertyMeta| property.kind == kind.get() && property.name == name;
        self.properties.iter().position(|property| is_it(property)).map(|at| at as u16)
    }

    /// The bytes of a node's value; `None` where it has none.
    #[inline]
    pub(crate) fn value_bytes(&self, property: u16, node: NodeIx) -> Option<&[u8]> {
        let changes = self.values.get(node.get());
        match changes.and_then(|changes| value_changes::find(changes, property)) {
            Some((_, value)) => value,
            None => self.segments.properties.value(property, node),
        }
    }

    /// A node's value; `None` where it has none.
    #[inline]
    pub(crate) fn value(&self, property: u16, node: NodeIx) -> Option<PropertyValue<'_>> {
        let of = self.properties.get(usize::from(property))?.of;
        let value = PropertyValue::decode(of, self.value_bytes(property, node)?);
        Some(value.expect("values are checked when they are applied and when files are opened"))
    }

    /// The properties in which a node has a value.
    pub(crate) fn properties_of(&self, node: NodeIx) -> impl Iterator<Item = u16> {
        let kind = self.kind(node).get();
        let of_kind = (0..).zip(&self.properties).filter(move |(_, property)| property.kind == kind);
        of_kind.map(|(at, _)| at).filter(move |&at| self.value_bytes(at, node).is_some())
    }
}

/// The values of one property, for reading many of them.
#[derive(Clone, Copy, Debug)]
pub struct PropertyReader<'a> {
    state: &'a GraphState,
    property: u16,
    /// The rows and the column of the segments; `None` where they do not have the property.
    column: Option<(&'a Rows, &'a Column)>,
}

impl<'a> PropertyReader<'a> {
    pub(crate) fn new(state: &'a GraphState, property: u16) -> Self {
        Self { state, property, column: state.segments.properties.column(property) }
    }

    /// A node's value, as [`Snapshot::value`](crate::Snapshot::value).
    #[inline]
    pub fn value(&self, node: NodeIx) -> Option<PropertyValue<'a>> {
        self.state.value(self.property, node)
    }

    /// The bits of a node's number, time or boolean: those of the `i64` or `f64`, and 0 or 1. `None` where it has no value, and for texts
    /// and lists.
    ///
    /// # Cost
    /// Some five nanoseconds, where nodes are visited in their order and their values are in a checkpoint.
    #[inline]
    pub fn bits(&self, node: NodeIx) -> Option<u64> {
        let changes = self.state.values.get(node.get());
        if let Some((_, value)) = changes.and_then(|changes| value_changes::find(changes, self.property)) {
            return match *value? {
                [bit] => Some(u64::from(bit)),
                ref bytes => bytes.try_into().ok().map(u64::from_le_bytes),
            };
        }
        let (rows, column) = self.column?;
        column.bits(rows.row(node)?)
    }
}
