//! The options of a training, the configuration stored with a model, its text forms, reports and errors.
//! Must not know how anything is computed.

pub(crate) mod degree;
pub(crate) mod error;
pub(crate) mod graph_constants;
pub(crate) mod json;
pub(crate) mod legacy;
pub(crate) mod model_config;
pub mod options;
pub(crate) mod report;
