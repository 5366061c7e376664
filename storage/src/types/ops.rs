//! One resolved change, as the log holds it: names are numbers already, and what undoing takes is there.
//! Knows nothing of records or of how changes are applied.

use crate::types::codec::{Decode, Encode};
use crate::types::position::Position;

/// What an edge carries.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
pub(crate) struct EdgeData {
    pub(crate) weight: f32,
    pub(crate) time: Option<i64>,
}

/// A change to the graph. New kinds, relations and nodes get the next number, in the order of the log; so the log is
/// also the dictionary of what is new since the checkpoint, and none is kept beside it in the engine: that would be a
/// second copy of every name, at 5 to 9 times the price, and could only disagree.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(crate) enum Op {
    /// A kind appears.
    Kind { name: String },
    /// A relation appears.
    Relation { name: String },
    /// A node appears, alive; `node` is the next number, and there to be checked.
    Node { node: u32, kind: u8, key: String },
    /// A known node dies or comes back; its edges and features are removed by operations of their own.
    Live { node: u32, alive: bool },
    /// A node loses all features.
    Clear { node: u32 },
    /// An edge changes from `old` to `new`; `None` is no edge. `a` is not above `b`.
    Edge { relation: u16, a: u32, b: u32, old: Option<EdgeData>, new: Option<EdgeData> },
    /// A node gets this set of tokens, sorted.
    Tokens { node: u32, tokens: Vec<String> },
    /// A node gets this row.
    Dense { node: u32, block: String, values: Vec<f32> },
    /// An input was taken in up to there; `None` forgets it.
    Position { source: String, to: Option<Position> },
}

impl Op {
    /// The nodes whose lists or features the change touches, or that appear.
    pub(crate) fn nodes(&self) -> [Option<u32>; 2] {
        match *self {
            Self::Kind { .. } | Self::Relation { .. } | Self::Position { .. } => [None, None],
            Self::Node { node, .. }
            | Self::Live { node, .. }
            | Self::Clear { node }
            | Self::Tokens { node, .. }
            | Self::Dense { node, .. } => [Some(node), None],
            Self::Edge { a, b, .. } => [Some(a), Some(b)],
        }
    }
}
