//! The store as hosts see it: opening, recovery, the writer, commits, publishing, checks and backups.

pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod checkpoint;
pub(crate) mod commit;
pub(crate) mod dump;
pub(crate) mod handle;
pub(crate) mod load;
pub(crate) mod open;
pub(crate) mod private_pool;
pub(crate) mod publish;
pub(crate) mod published_records;
pub(crate) mod recover;
pub(crate) mod recover_log;
pub(crate) mod sidecar;
pub(crate) mod sync;
pub(crate) mod writer;
