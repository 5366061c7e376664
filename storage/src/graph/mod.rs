//! The state of the graph in memory, and the changes that a batch makes to it.
//! Must not know the log, or how a state becomes durable.

pub(crate) mod apply;
pub(crate) mod flattened;
pub(crate) mod graph_state;
pub(crate) mod invariants;
pub(crate) mod node_plan;
pub(crate) mod plan;
pub(crate) mod property_values;
pub(crate) mod snapshot;
pub(crate) mod token_mask;
