//! Everything that is printed: rows, tables, JSON, progress, and the places that they go to.
//! Must not know verbs or stores.

pub(crate) mod color;
pub(crate) mod job_output;
pub(crate) mod printer;
pub(crate) mod progress;
pub(crate) mod stream;
pub(crate) mod target;
pub(crate) mod value;
