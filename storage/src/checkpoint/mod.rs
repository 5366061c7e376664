//! Checkpoints: a state written as segment files, and the manifest that names the files of a store.
//! Must not know the log or the writer.

pub(crate) mod derived;
pub(crate) mod manifest;
pub(crate) mod older_manifests;
pub(crate) mod published;
pub(crate) mod write_checkpoint;
