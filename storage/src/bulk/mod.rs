//! Bulk load of a whole graph into an empty store.
//! Must not know the log.

pub(crate) mod links;
pub(crate) mod lists;
pub(crate) mod load;
pub(crate) mod names;
pub(crate) mod shares;
