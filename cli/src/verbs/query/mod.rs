//! The verbs that ask a store: neighbors, walks, embeddings, similar nodes, recommendations.

pub(crate) mod answer_explanation;
pub(crate) mod answer_file;
pub(crate) mod embed;
pub(crate) mod filter_notes;
pub(crate) mod neighbors;
pub(crate) mod ranking;
pub(crate) mod recommend;
pub(crate) mod show;
pub(crate) mod similar;
pub(crate) mod walk;
