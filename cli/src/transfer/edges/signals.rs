//! The meaning of all edges of a file: what the flags say beside the columns.

use hedgerow::{Edge, Repeat};

use crate::transfer::edges::edge_flags::EdgeFlags;

/// The parts of an edge that no column gives.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Signals<'a> {
    /// The relation of all edges, where a flag names it.
    pub(crate) relation: Option<&'a str>,
    pub(crate) repeat: Repeat,
}

impl<'a> Signals<'a> {
    pub(crate) fn of(flags: &'a EdgeFlags) -> Self {
        Self { relation: flags.relation.as_deref(), repeat: flags.repeat.into() }
    }

    /// An edge with weight 1 and no time.
    pub(crate) fn edge(self) -> Edge<'a> {
        Edge { relation: self.relation, repeat: self.repeat, ..Edge::default() }
    }
}
