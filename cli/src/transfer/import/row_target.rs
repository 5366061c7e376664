//! What the readers of rows need of whoever takes them.

use hedgerow::{Edge, Error, NodeRef};

use crate::core::failure::Failure;
use crate::core::location::BadInput;

/// Where rows of edges go, and what becomes of those that are no good.
pub(super) trait RowTarget {
    /// A row begins at this line. Everything before it is there in whole, so here an import may stop.
    fn begin(&mut self, line: u64) -> Result<(), Failure>;

    fn add_node(&mut self, node: NodeRef<'_>) -> Result<(), Error>;

    fn link(&mut self, src: NodeRef<'_>, dst: NodeRef<'_>, edge: Edge<'_>) -> Result<(), Error>;

    /// Called after every node or edge of a row.
    fn staged(&mut self) -> Result<(), Failure>;

    /// Ends the import at the row, or sets it aside.
    fn bad(&mut self, bad: BadInput, row: &[u8]) -> Result<(), Failure>;
}
