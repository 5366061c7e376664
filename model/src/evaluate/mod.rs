//! The quality of answers, beside baselines that need no training.
//! Must not know the engine or trainings.

pub(crate) mod baselines;
pub(crate) mod candidates;
pub(crate) mod comparison;
pub(crate) mod cosines;
pub(crate) mod held_out;
pub(crate) mod mean;
pub(crate) mod recommend_quality;
pub(crate) mod related_quality;
