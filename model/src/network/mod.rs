//! The parameters and arithmetic of PinSage: token table, layers, encoder, minibatches.
//! Must not know trainings, published generations or queries.

pub(crate) mod encoder;
pub(crate) mod hash_embedding;
pub(crate) mod importances;
pub(crate) mod inputs;
pub(crate) mod layer;
pub(crate) mod minibatch;
pub(crate) mod parameter_vector;
pub(crate) mod parameters;
pub(crate) mod weights;
