//! The plain values that everything above uses: ids, names, batches, operations, errors, cancel and progress.
//! Must not know files, lists or the log.

pub(crate) mod batch;
pub(crate) mod cancel;
pub(crate) mod codec;
pub(crate) mod commit_summary;
pub(crate) mod error;
pub(crate) mod ids;
pub(crate) mod name;
pub(crate) mod op;
pub(crate) mod position;
pub(crate) mod progress;
pub(crate) mod repair;
