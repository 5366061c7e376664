//! The rows of all layers for a graph, and how a refresh brings them up to date.
//! Must not know trainings or queries.

pub(crate) mod advance;
pub(crate) mod curve;
pub(crate) mod explain;
pub(crate) mod fresh;
pub(crate) mod frontier;
pub(crate) mod generation;
pub(crate) mod neighborhoods;
pub(crate) mod state;
