//! The write-ahead log: records, the engine under it, the journal, and the changes between two epochs.
//! The only folder that names sled.

pub(crate) mod changes;
pub(crate) mod journal;
pub(crate) mod log;
pub(crate) mod mark;
pub(crate) mod record;
pub(crate) mod salvage;
pub(crate) mod tail;
