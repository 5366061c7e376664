//! Neighbor lists: slot tables, encoding, changes, and the tables that hold many lists.
//! Must not know names, the log, or the file that a list comes from.

pub(crate) mod chunked_edits;
pub(crate) mod chunked_list;
pub(crate) mod classed_list;
pub(crate) mod list;
pub(crate) mod list_builder;
pub(crate) mod list_check;
pub(crate) mod lists;
pub(crate) mod neighbor_offsets;
pub(crate) mod overlay;
pub(crate) mod owners;
pub(crate) mod persistent_map;
pub(crate) mod record;
pub(crate) mod relation_records;
pub(crate) mod slot_table;
pub(crate) mod weight_classes;
