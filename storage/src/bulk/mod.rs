//! Bulk load of a complete graph into an empty store.
//! Must not know the log.

pub(crate) mod build;
pub(crate) mod edge_buffer;
pub(crate) mod load;
pub(crate) mod names;
pub(crate) mod partition;
pub(crate) mod value_columns;
