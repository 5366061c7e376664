//! Exact sums over two hops: from a node to its lists and on to their members.
//! Owns no state about the graph; walks and models are elsewhere.

pub(crate) mod cooccurrence;
pub(crate) mod degree_powers;
pub(crate) mod graph_filter;
pub(crate) mod list_relations;
pub(crate) mod related_items;
mod sums;
