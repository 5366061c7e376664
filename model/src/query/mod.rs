//! Answers from the embeddings: query -> embeddings -> scan, one way.
//! Must not know the engine or trainings: all takes the embeddings and a snapshot as arguments.

pub(crate) mod answer;
pub(crate) mod answer_explanation;
pub(crate) mod cold_question;
pub(crate) mod embeddings;
pub(crate) mod filter;
pub(crate) mod graph_rows;
pub mod interests;
pub(crate) mod nearest;
pub(crate) mod node;
#[expect(clippy::module_inception, reason = "the file has the name of its type, `Query`")]
pub(crate) mod query;
pub(crate) mod question;
pub(crate) mod recommend;
pub(crate) mod scan;
pub(crate) mod score_part;
pub(crate) mod similar;
