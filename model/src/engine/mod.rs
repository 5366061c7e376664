//! The engine as hosts see it: every method of `Engine`, and the updater thread.

pub(crate) mod embedder;
pub(crate) mod engine;
pub(crate) mod learned;
pub(crate) mod past;
pub(crate) mod training;
pub(crate) mod unseen;
pub(crate) mod updater;
