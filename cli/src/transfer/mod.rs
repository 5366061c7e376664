//! Import and export of stores, and the tables and manifest of an exported folder.

pub(crate) mod edges;
pub(crate) mod export;
pub(crate) mod import;

pub(crate) mod atomic_dir;
pub(crate) mod manifest;
pub(crate) mod model_file;
pub(crate) mod table_schema;
