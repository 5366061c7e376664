//! The meaning of weights: edges that come again, weights that fade, and dislikes.
//! Plain values and arithmetic; lists and walks give them their effect.

pub(crate) mod fading;
pub(crate) mod relation_options;
pub(crate) mod repeat;
