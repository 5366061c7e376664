//! One resolved operation as the log stores it: names are numbers, and old values are included so that it can be
//! undone.
//! Knows nothing of records or of how operations are applied.

use crate::types::codec::{Decode, Encode};
use crate::types::position::Position;
use crate::types::property::PropertyType;
use crate::types::weights::relation_options::StoredOptions;

/// The stored values of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
pub(crate) struct EdgeData {
    pub(crate) weight: f32,
    pub(crate) time: Option<i64>,
}

/// A change to the graph. New kinds, relations and nodes get the next number, in the order of the log. So the log is
/// also the dictionary of everything new since the checkpoint. The engine keeps no second dictionary: it would cost 5
/// to 9 times as much and could only disagree.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(crate) enum Op {
    /// A new kind.
    Kind { name: String },
    /// A new relation.
    Relation { name: String },
    /// A new node, alive. `node` is the next number; replay checks that it is.
    Node { node: u32, kind: u8, key: String },
    /// A known node is removed or restored; separate operations remove its edges and features.
    Live { node: u32, alive: bool },
    /// A node loses all its features.
    Clear { node: u32 },
    /// An edge changes from `old` to `new`; `None` means no edge. `a <= b`.
    Edge { relation: u16, a: u32, b: u32, old: Option<EdgeData>, new: Option<EdgeData> },
    /// A node gets this set of tokens, sorted.
    Tokens { node: u32, tokens: Vec<String> },
    /// A node gets this row in a dense block.
    Dense { node: u32, block: String, values: Vec<f32> },
    /// An input has been applied up to a position; `None` removes the position.
    Position { source: String, to: Option<Position> },
    /// A new property of a kind, with the next number.
    Property { kind: u8, name: String, of: PropertyType },
    /// The property that labels the nodes of a kind; `None` for no label.
    Label { kind: u8, property: Option<u16> },
    /// Changed values of a node's properties, as `value_changes` packs them.
    Values { node: u32, values: Vec<u8> },
    /// The options of a relation that never had an edge.
    RelationOptions { relation: u16, options: StoredOptions },
}

impl Op {
    /// The nodes that the operation names.
    pub(crate) fn nodes(&self) -> [Option<u32>; 2] {
        match *self {
            Self::Values { node, .. } => [Some(node), None],
            _ => self.touched_nodes(),
        }
    }

    /// The nodes that become dirty: those whose lists or features the operation changes, or that it creates. No embedding depends on a
    /// value.
    pub(crate) fn touched_nodes(&self) -> [Option<u32>; 2] {
        match *self {
            Self::Kind { .. }
            | Self::Relation { .. }
            | Self::Position { .. }
            | Self::Property { .. }
            | Self::Label { .. }
            | Self::Values { .. }
            | Self::RelationOptions { .. } => [None, None],
            Self::Node { node, .. }
            | Self::Live { node, .. }
            | Self::Clear { node }
            | Self::Tokens { node, .. }
            | Self::Dense { node, .. } => [Some(node), None],
            Self::Edge { a, b, .. } => [Some(a), Some(b)],
        }
    }
}

/// The nodes that operations make dirty, each as often as one of them touches it.
pub(crate) fn touched_nodes(ops: &[Op]) -> Vec<u32> {
    ops.iter().flat_map(Op::touched_nodes).flatten().collect()
}
