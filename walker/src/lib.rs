//! Who matters to whom: stable coupled walks, the neighbourhoods they make, what an edge change reaches, and the
//! nodes that walks from several nodes visit most ([`pixie()`]).
//!
//! A walk's draw depends on the walk's number, the step, and the node it stands on, through a hash and the
//! node's neighbour list alone ([`stable_draw()`]). Three properties follow, and everything above this crate rests on
//! them:
//!
//! - *canonical*: two stores with the same edges give the same walks, however they came to be;
//! - *stable*: one edge more or less changes about 2/degree of the draws at its ends and no other draw;
//! - *invertible*: who is led through a changed draw is found by asking the neighbours, backwards, so that no
//!   index from nodes to walks has to be kept ([`Walker::affected_sources`]).
//!
//! # Limits
//! A weighted list costs as many tries per draw as its largest weight exceeds the mean one. A walk counts at
//! most [`options::MAX_VISITS`] nodes.

mod affected_sources;
mod cooccurrence;
mod dense_walks;
mod draw_keys;
mod error;
mod hash;
mod interleaved;
mod neighborhood;
pub mod options;
pub mod pixie;
mod policy;
mod stable_draw;
mod stable_walks;
mod uniform_walks;
mod visits;
mod walk_context;
mod walker;

pub use affected_sources::WalkDifference;
pub use cooccurrence::Cooccurrence;
pub use error::Error;
pub use neighborhood::Neighborhoods;
pub use options::WalkOptions;
pub use pixie::{EarlyStop, PixieAnswer, PixieOptions, Recommended, pixie};
pub use policy::Policy;
pub use stable_draw::stable_draw;
pub use uniform_walks::UniformWalks;
pub use visits::Visit;
pub use walker::Walker;
