//! How many walks, how long, and what of their visits is kept.

use crate::error::Error;

/// Walks per source.
pub const WALKS: u32 = 200;
/// Node visits of a walk at most.
pub const VISITS: u32 = 3;
/// Probability that a walk ends after a visit.
pub const STOP: f32 = 0.5;
/// Nodes that a neighbourhood keeps.
pub const TOP: u32 = 50;
/// Visits below which a node is not kept: single visits are sampling noise.
pub const MIN_VISITS: u32 = 2;

/// The largest number of walks per source.
pub const MAX_WALKS: u32 = 100_000;
/// The largest number of visits of a walk.
pub const MAX_VISITS: u32 = 64;

/// Options of the walks; equal options, seed included, and equal graphs give equal walks.
///
/// ```
/// use hedgerow_walker::{WalkOptions, options};
/// let default = WalkOptions::default();
/// assert_eq!((default.walks, default.visits, default.top), (options::WALKS, options::VISITS, options::TOP));
/// assert!(default.validate().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WalkOptions {
    /// The seed of all draws.
    pub seed: u64,
    /// Walks per source, 1 to [`MAX_WALKS`].
    pub walks: u32,
    /// Node visits of a walk at most, 1 to [`MAX_VISITS`].
    pub visits: u32,
    /// Probability that a walk ends after a visit, from 0 to below 1.
    pub stop: f32,
    /// Nodes that a neighbourhood keeps at most, 1 or more.
    pub top: u32,
    /// Visits below which a node is not kept, 1 or more.
    pub min_visits: u32,
}

impl Default for WalkOptions {
    fn default() -> Self {
        Self { seed: 1, walks: WALKS, visits: VISITS, stop: STOP, top: TOP, min_visits: MIN_VISITS }
    }
}

impl WalkOptions {
    /// Checks every value.
    pub fn validate(&self) -> Result<(), Error> {
        let refuse = |option, found: String, expected| Err(Error::Option { option, found, expected });
        if !(1..=MAX_WALKS).contains(&self.walks) {
            return refuse("walks", self.walks.to_string(), "1 to 100,000");
        }
        if !(1..=MAX_VISITS).contains(&self.visits) {
            return refuse("visits", self.visits.to_string(), "1 to 64");
        }
        if !(0.0..1.0).contains(&self.stop) {
            return refuse("stop", self.stop.to_string(), "0 or more and below 1");
        }
        if self.top == 0 {
            return refuse("top", "0".into(), "1 or more");
        }
        if self.min_visits == 0 {
            return refuse("min_visits", "0".into(), "1 or more");
        }
        Ok(())
    }
}
