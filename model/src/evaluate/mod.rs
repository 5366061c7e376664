//! The quality of answers, beside baselines without the model.
//! Must not know the engine or trainings: all takes the embeddings and a snapshot as arguments.

pub(crate) mod baselines;
mod candidates;
pub(crate) mod comparison;
pub(crate) mod cosines;
pub(crate) mod held_out;
pub(crate) mod mean;
pub(crate) mod recommend_comparison;
pub(crate) mod recommend_quality;
pub(crate) mod related_comparison;
pub(crate) mod related_quality;
