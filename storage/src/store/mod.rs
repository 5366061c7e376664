//! The store as hosts see it: opening, recovery, the writer, commits, publishing, checks and backups.

pub(crate) mod apart;
pub(crate) mod aside;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod commit;
pub(crate) mod dump;
pub(crate) mod open;
pub(crate) mod recover;
pub(crate) mod settle;
pub(crate) mod store;
pub(crate) mod writing;
