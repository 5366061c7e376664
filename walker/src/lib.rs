//! Stable random walks over a graph snapshot, the neighborhoods that they make, and the sources that an edge change affects.
//!
//! A draw is a function of the walk's number, the hop and the neighbor list of the node that the walk stands on
//! ([`stable_draw()`]). Three properties follow, and the crates above rest on them:
//!
//! - *canonical*: two stores with the same edges give the same walks, in whatever order the edges came;
//! - *stable*: one added or removed edge changes about 2/degree of the draws at its two ends, and no other draw;
//! - *invertible*: a changed draw is traced back to its sources by asking neighbors for their own draws
//!   ([`Walker::affected_sources`]). No index from nodes to walks is kept.
//!
//! [`pixie()`] recommends the nodes that walks from several query nodes visit most. [`Cooccurrence`] compares nodes by the
//! neighbors that they share, without walks.
//!
//! # Limits
//! A draw from a weighted list takes more tries by the ratio of the largest weight to the mean. A walk has at most
//! [`options::MAX_VISITS`] visits, and a source at most [`options::MAX_WALKS`] walks.

mod affected_sources;
mod dense_walks;
mod draw_keys;
mod error;
mod interleaved;
mod neighborhood;
pub mod options;
pub mod pixie;
mod policies;
mod stable_draw;
mod stable_walks;
mod two_hops;
mod uniform_walks;
mod visits;
mod walk_context;
mod walker;

pub use affected_sources::WalkDifference;
pub use error::Error;
pub use neighborhood::Neighborhoods;
pub use options::WalkOptions;
pub use pixie::{EarlyStop, PixieAnswer, PixieOptions, Recommended, pixie};
pub use policies::policy::Policy;
pub use policies::relation_weights::{CountedRelations, RelationWeights};
pub use stable_draw::stable_draw;
pub use two_hops::cooccurrence::Cooccurrence;
pub use two_hops::degree_powers::DegreePowers;
pub use two_hops::graph_filter::{FilterPowers, FilterSums, GraphFilter, HistorySum, MAX_HISTORY};
pub use two_hops::list_relations::{FEWEST_ITEMS, ListRelations, MAX_LISTS, MAX_READS};
pub use two_hops::related_items::{RelatedItems, RelatedPowers, SECOND_HOPS, SecondHops};
pub use uniform_walks::UniformWalks;
pub use visits::Visit;
pub use walker::Walker;
