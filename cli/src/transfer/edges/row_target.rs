//! The interface between the parsers of rows of edges and the verbs that store them.

use hedgerow::{Edge, Error, NodeRef};

use crate::core::failure::Failure;
use crate::core::location::BadInput;
use crate::transfer::edges::row_state::RowState;

/// A destination of rows of edges, which also decides about bad rows.
pub(crate) trait RowTarget {
    /// Starts a row at this line. All rows before it are complete, so an import may stop here.
    fn begin(&mut self, line: u64) -> Result<(), Failure>;

    /// The state of the file, which rows change in their order.
    fn state(&mut self) -> &mut RowState;

    fn add_node(&mut self, node: NodeRef<'_>) -> Result<(), Error>;

    /// Adds an edge. Relations that the state has as new are declared first.
    fn link(&mut self, src: NodeRef<'_>, dst: NodeRef<'_>, edge: Edge<'_>) -> Result<(), Error>;

    /// Removes the earlier like of a dislike, or the earlier dislike of a like, where that is cheap. Where both are there, the dislike
    /// counts.
    fn unlink_opposite(&mut self, src: NodeRef<'_>, dst: NodeRef<'_>, relation: &str) -> Result<(), Error>;

    /// Ends a node or an edge; a long row has several.
    fn staged(&mut self) -> Result<(), Failure>;

    /// Ends the import at a bad row, or writes the row to the rejects.
    fn bad(&mut self, bad: BadInput, row: &[u8]) -> Result<(), Failure>;
}
