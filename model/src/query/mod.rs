//! Answers from the embeddings: scans, filters, similar nodes, recommendations.
//! Must not know the engine or trainings.

pub(crate) mod answer_explanation;
pub(crate) mod embeddings;
pub(crate) mod filter;
pub mod interests;
pub(crate) mod query;
pub(crate) mod recommend;
pub(crate) mod scan;
