//! What an export is: its manifest, its columns, the file of its model. Read and written from one place.
//! Knows nothing of how rows get into a store or out of one.

pub(crate) mod columns;
pub(crate) mod guard;
pub(crate) mod manifest;
pub(crate) mod model;
pub(crate) mod unfinished;
