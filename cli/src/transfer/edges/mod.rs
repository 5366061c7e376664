//! Rows of edges in csv and JSON, as `import` and `apply` read them: the flags that name columns, and what a row becomes.
//! Must not know stores: a row goes to a target.

pub(crate) mod column_names;
pub(crate) mod edge_columns;
pub(crate) mod edge_fields;
pub(crate) mod edge_flags;
pub(crate) mod row_state;
pub(crate) mod row_target;
pub(crate) mod signals;
pub(crate) mod weight_map;
