//! Residual factors: what the graph filter leaves over of the edges, as 64 numbers an item; and the constants of both.
//! Must not know the network, trainings of it, and queries.

pub(crate) mod edge_sums;
pub(crate) mod embedding_weight;
pub(crate) mod fit;
pub(crate) mod held_out_ranking;
pub(crate) mod item_factors;
mod item_lists;
mod least_squares;
pub(crate) mod model_factors;
mod related_fit;

#[cfg(test)]
mod tests;
