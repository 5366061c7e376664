//! Reads of one node: its vector, its walk neighborhood, and the vector of a node that the store does not hold.

pub(crate) mod inductive;
pub(crate) mod neighborhood;
pub(crate) mod node_vector;
