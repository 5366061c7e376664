//! Synthetic graphs whose truth is known: pins of one topic each, and boards that mostly keep to one topic.
//! `generate` and `demo` write them into a store, benchmarks load their edges. Knows nothing of models.

mod degrees;
mod graph;
mod random;

pub use crate::synthetic::degrees::Degrees;
pub use crate::synthetic::graph::{Plan, SyntheticGraph, commit_full};
pub use crate::synthetic::random::Random;
