//! Everything that is printed: rows, tables, JSON, progress, and where it goes.
//! Must not know verbs or stores.

pub(crate) mod cell;
pub(crate) mod desk;
pub(crate) mod output;
pub(crate) mod paint;
pub(crate) mod progress;
pub(crate) mod sink;
pub(crate) mod stream;
