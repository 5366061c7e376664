//! Training: positives, negatives, loss, optimizer, epochs and checkpoints.
//! Must not know the engine.

pub(crate) mod adam;
pub(crate) mod checkpoint;
pub(crate) mod estimate;
pub(crate) mod event;
#[cfg(test)]
mod every_dimension;
#[cfg(test)]
mod finite_differences;
pub(crate) mod hard_negatives;
pub(crate) mod init;
pub(crate) mod loss;
pub(crate) mod negatives;
pub(crate) mod neighbor_lists;
pub(crate) mod positives;
#[cfg(test)]
pub(crate) mod reference;
pub(crate) mod run;
mod sampling;
pub(crate) mod validate;
