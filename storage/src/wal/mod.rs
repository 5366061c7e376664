//! The write-ahead log: records, the engine below them, the journal, and the changes between two epochs.
//! The only folder that names sled.

pub(crate) mod appender;
pub(crate) mod changes;
pub(crate) mod dirty_nodes;
pub(crate) mod engine;
pub(crate) mod journal;
pub(crate) mod log_end;
pub(crate) mod log_index;
pub(crate) mod record;
pub(crate) mod record_scan;
