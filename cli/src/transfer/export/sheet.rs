//! What a table is written to, whatever its form.

use crate::core::failure::Failure;
use crate::transfer::columns::Cell;

pub(super) trait Sheet {
    /// Writes a row.
    fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), Failure>;

    /// Ends the file, or the last of several.
    fn end(self: Box<Self>) -> Result<(), Failure>;
}
