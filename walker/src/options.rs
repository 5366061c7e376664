//! Options of the stable walks: their number and length, and the visits that a neighborhood keeps.
//! Owns the defaults and the bounds; it makes no walk.

use crate::error::Error;

/// Default of [`WalkOptions::walks`].
pub const WALKS: u32 = 200;
/// Default of [`WalkOptions::visits`].
pub const VISITS: u32 = 3;
/// Default of [`WalkOptions::stop`].
pub const STOP: f32 = 0.5;
/// Default of [`WalkOptions::top`].
pub const TOP: u32 = 50;
/// Default of [`WalkOptions::min_visits`]. Single visits are sampling noise.
pub const MIN_VISITS: u32 = 2;

/// The largest [`WalkOptions::walks`].
pub const MAX_WALKS: u32 = 100_000;
/// The largest [`WalkOptions::visits`].
pub const MAX_VISITS: u32 = 64;

/// Options of stable walks.
///
/// Equal graphs and equal options, the seed included, give equal walks.
///
/// ```
/// use hedgerow_walker::{WalkOptions, options};
/// let default = WalkOptions::default();
/// assert_eq!((default.walks, default.visits, default.top), (options::WALKS, options::VISITS, options::TOP));
/// assert!(default.validate().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WalkOptions {
    /// The random seed of all draws.
    pub seed: u64,
    /// Walks per source, 1 to [`MAX_WALKS`].
    pub walks: u32,
    /// Visits of a walk, at most; 1 to [`MAX_VISITS`].
    pub visits: u32,
    /// Probability that a walk ends after a visit, from 0 to below 1.
    pub stop: f32,
    /// Nodes that a neighborhood keeps, at most; 1 or more.
    pub top: u32,
    /// Visits that a node needs to be kept; 1 or more.
    pub min_visits: u32,
}

impl Default for WalkOptions {
    fn default() -> Self {
        Self { seed: 1, walks: WALKS, visits: VISITS, stop: STOP, top: TOP, min_visits: MIN_VISITS }
    }
}

impl WalkOptions {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// [`Error::Option`] with the first value that is not.
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
