//! What the weight of an edge means: when the edge comes again, as time passes, and as a dislike.
//! Plain values and arithmetic; lists and walks give them their effect.

pub(crate) mod fading;
pub(crate) mod relation_options;
pub(crate) mod repeat;
