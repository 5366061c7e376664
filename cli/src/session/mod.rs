//! The store and engine that a command works with.
//! Must not know verbs.

pub(crate) mod context;
pub(crate) mod suggest;
