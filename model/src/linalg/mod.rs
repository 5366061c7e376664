//! Matrix products, sparse products, linear equations, row arithmetic, and the memory they use.
//! Must not know nodes, features or layers.

pub(crate) mod buffer_pool;
pub(crate) mod conjugate_gradients;
pub(crate) mod exponentials;
pub(crate) mod huge_matrix;
pub(crate) mod matrix;
pub(crate) mod normal_equations;
pub(crate) mod rounded_rows;
pub(crate) mod rows;
pub(crate) mod shared_rows;
pub(crate) mod simd;
pub(crate) mod sparse;
