//! Whole data in and out: import, export, and the manifest of an exported folder.

pub(crate) mod export;
pub(crate) mod import;

pub(crate) mod columns;
pub(crate) mod guard;
pub(crate) mod manifest;
pub(crate) mod model;
pub(crate) mod unfinished;
