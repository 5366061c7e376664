//! The configuration of random tests by the environment: `HEDGEROW_ROUNDS`, `HEDGEROW_SECONDS` and `HEDGEROW_SEED`.

use std::time::{SystemTime, UNIX_EPOCH};

/// A number in an environment variable.
///
/// # Panics
/// If the variable holds anything else: a test that ran with its defaults would pass for the one that was asked for.
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, expected a whole number")))
}

/// The rounds of a test, or the factor of its usual rounds where `default` is 1: `HEDGEROW_ROUNDS`.
pub fn rounds(default: u64) -> u64 {
    variable("HEDGEROW_ROUNDS").unwrap_or(default)
}

/// The seconds that a test lasts: `HEDGEROW_SECONDS`.
pub fn seconds(default: u64) -> u64 {
    variable("HEDGEROW_SECONDS").unwrap_or(default)
}

/// The seed of all draws: `HEDGEROW_SEED`.
pub fn seed(default: u64) -> u64 {
    variable("HEDGEROW_SEED").unwrap_or(default)
}

/// The seed of all draws; where `HEDGEROW_SEED` gives none, another one every time, so that many small runs see as much
/// as a long one.
#[expect(clippy::disallowed_methods, reason = "any number is a seed")]
pub fn clock_seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64);
    variable("HEDGEROW_SEED").unwrap_or_else(|| now() % 1_000_000)
}
