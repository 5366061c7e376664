//! The relations that walks and sums follow, and how much of each.
//! Owns the choice; walks and sums are elsewhere.

pub(crate) mod policy;
pub(crate) mod relation_weights;
