//! Who matters to whom: stable coupled walks, the neighbourhoods they make, what an edge change reaches, and the
//! nodes that walks from several nodes visit most ([`pixie()`]).
//!
//! A walk's draw depends on the walk's number, the step, and the node it stands on, through a hash and the
//! node's neighbour list alone ([`pick`]). Three properties follow, and everything above this crate rests on
//! them:
//!
//! - *canonical*: two stores with the same edges give the same walks, however they came to be;
//! - *stable*: one edge more or less changes about 2/degree of the draws at its ends and no other draw;
//! - *invertible*: who is led through a changed draw is found by asking the neighbours, backwards, so that no
//!   index from nodes to walks has to be kept ([`Walker::reached`]).
//!
//! # Limits
//! A weighted list costs as many tries per draw as its largest weight exceeds the mean one. A walk counts at
//! most [`options::MAX_VISITS`] nodes.

mod cooccurrence;
mod error;
mod hash;
mod neighborhood;
pub mod options;
mod pick;
pub mod pixie;
mod plain;
mod policy;
mod reach;
mod schedule;
mod stride;
mod sweep;
mod visits;
mod walk;

pub use cooccurrence::Cooccurrence;
pub use error::Error;
pub use neighborhood::{Neighborhoods, Visit};
pub use options::WalkOptions;
pub use pick::pick;
pub use pixie::{EarlyStop, PixieAnswer, PixieOptions, Recommended, pixie};
pub use plain::Walks;
pub use policy::Policy;
pub use reach::Difference;
pub use walk::Walker;
