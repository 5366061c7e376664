//! The store and the engine that a verb works with, and the names in the store.
//! Must not know verbs.

pub(crate) mod context;
pub(crate) mod models;
pub(crate) mod properties;
pub(crate) mod schema;
pub(crate) mod suggest;
