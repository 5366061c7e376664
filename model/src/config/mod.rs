//! The options of a training, the configuration stored with a model, reports and errors.
//! Must not know how anything is computed.

pub(crate) mod degree;
pub(crate) mod error;
pub mod options;
pub(crate) mod recipe;
pub(crate) mod report;
pub(crate) mod settings;
