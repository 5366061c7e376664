//! Pearson's chi-square test of observed counts against a distribution.

/// Asserts that Pearson's statistic is below its mean plus five standard deviations.
///
/// Counts drawn from the distribution fail about once in a million.
pub(crate) fn assert_distribution(observed: &[u64], shares: &[f64], what: &str) {
    let total: u64 = observed.iter().sum();
    let mut statistic = 0.0;
    for (&count, share) in observed.iter().zip(shares) {
        let mean = share * total as f64;
        statistic += (count as f64 - mean).powi(2) / mean;
    }
    let freedom = (shares.len() - 1) as f64;
    let bound = freedom + 5.0 * (2.0 * freedom).sqrt() + 5.0;
    assert!(statistic < bound, "{what}: chi-square {statistic:.1} with {freedom} degrees of freedom");
}
