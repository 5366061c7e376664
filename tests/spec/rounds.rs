//! How much random tests try, as the environment says.

/// A number in an environment variable: `HEDGEROW_ROUNDS` multiplies how much is tried, `HEDGEROW_SEED` says what.
pub(crate) fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
