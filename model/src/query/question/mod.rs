//! The options of a question in rows: the rows that may be answers, the page, and the choice of different answers.
//! Must not know how rows are scored.

pub(crate) mod cursor;
pub(crate) mod diversity;
pub(crate) mod restrictions;
pub(crate) mod row_set;
