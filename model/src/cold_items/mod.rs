//! Items without lists. Their tokens lead to similar items that have lists, and two hops from these to the answers.
//! Must not know embeddings and questions.

pub(crate) mod cold_scores;
pub(crate) mod fit;
pub(crate) mod token_index;
