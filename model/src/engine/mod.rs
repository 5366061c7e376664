//! The engine as hosts see it: every method of `Engine`, and the updater thread.

pub(crate) mod embedder;
pub(crate) mod export;
pub(crate) mod handle;
pub(crate) mod history;
pub(crate) mod inductive;
pub(crate) mod training;
pub(crate) mod updater;
