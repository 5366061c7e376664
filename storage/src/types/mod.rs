//! Plain values that all folders use: ids, names, batches, operations, errors, cancellation and progress.
//! Must not know files, lists or the log.

pub(crate) mod batch;
pub(crate) mod batch_properties;
pub(crate) mod cancel;
pub(crate) mod codec;
pub(crate) mod commit_summary;
pub(crate) mod damage;
pub(crate) mod error;
pub(crate) mod ids;
pub(crate) mod names;
pub(crate) mod ops;
pub(crate) mod position;
pub(crate) mod progress;
pub(crate) mod property;
pub(crate) mod value_changes;
pub(crate) mod weights;
