//! Neighbor lists: slot tables, encoding, changes, and the tables that hold many lists.
//! Must not know names, the log or which file a list comes from.

pub(crate) mod edits;
pub(crate) mod list;
pub(crate) mod list_buf;
pub(crate) mod list_check;
pub(crate) mod lists;
pub(crate) mod overlay;
pub(crate) mod pages;
pub(crate) mod pieces;
pub(crate) mod record;
pub(crate) mod slots;
pub(crate) mod spans;
