//! The rows of all layers for a graph, and their incremental refresh.
//! Must not know trainings or queries.

mod bad_row;
mod collapse;
pub(crate) mod incremental;
pub(crate) mod layer_rows;
pub(crate) mod learning_curve;
pub(crate) mod model_files;
pub(crate) mod neighborhood_lists;
pub(crate) mod neighborhoods;
pub(crate) mod on_demand;
pub(crate) mod refresh_explanation;
mod replace_rows;
pub(crate) mod reverse_lists;
pub(crate) mod row_changes;
pub(crate) mod row_comparison;
pub(crate) mod row_set;
