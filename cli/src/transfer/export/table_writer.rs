//! The interface between the rows of tables and the formats that they are written in.

use crate::core::failure::Failure;
use crate::transfer::table_schema::ColumnValue;

/// A writer of one table.
pub(super) trait TableWriter {
    /// Writes a row.
    fn row(&mut self, cells: &[ColumnValue<'_>]) -> Result<(), Failure>;

    /// Completes the last file.
    fn end(self: Box<Self>) -> Result<(), Failure>;
}
