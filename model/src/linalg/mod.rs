//! Matrix products, sparse products, row arithmetic, and the memory they use.
//! Must not know nodes, features or layers.

pub(crate) mod matrix;
pub(crate) mod rows;
pub(crate) mod simd;
pub(crate) mod spare;
pub(crate) mod sparse;
pub(crate) mod tall;
