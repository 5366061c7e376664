//! Degree levels: degrees in coarse steps, so that one more edge rarely changes a value that depends on a degree.

use std::sync::LazyLock;

/// The factor between two levels, about.
const FACTOR: f64 = 1.25;

/// The lowest degree of every level: 0, 1, 2, 3, 4, 5, 7, 9, 12, 15, 19, 24, ... up to 2^40. Computed with whole
/// numbers, so that every processor agrees.
static LEVELS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let mut levels = vec![0u64, 1];
    while let Some(&last) = levels.last()
        && last < 1 << 40
    {
        levels.push((last * 5).div_ceil(4));
    }
    levels
});

/// The number of levels.
pub(crate) fn levels() -> u8 {
    LEVELS.len() as u8
}

/// The level of a degree.
pub(crate) fn level(degree: u64) -> u8 {
    (LEVELS.partition_point(|&lowest| lowest <= degree) - 1) as u8
}

/// The lowest degree of a level.
pub(crate) fn lowest(level: u8) -> u64 {
    LEVELS[level as usize]
}

/// The natural logarithm of one plus the degrees of a level, approximately.
pub(crate) fn log_degree(level: u8) -> f32 {
    f32::from(level) * FACTOR.ln() as f32
}

/// [`damping`] by level. A table, because a refresh reads it for each neighbor of each row.
static DAMPING: LazyLock<Vec<f32>> =
    LazyLock::new(|| LEVELS.iter().map(|&lowest| 1.0 / (lowest.max(1) as f32).sqrt()).collect());

/// One over the square root of the lowest degree of a level; 1 for degree 0.
pub(crate) fn damping(level: u8) -> f32 {
    DAMPING[level as usize]
}

#[cfg(test)]
mod tests {
    use super::{LEVELS, level};

    #[test]
    fn levels_rise_with_the_degree_and_fit_a_byte() {
        assert_eq!(LEVELS[..12], [0, 1, 2, 3, 4, 5, 7, 9, 12, 15, 19, 24]);
        assert!(LEVELS.len() < 256);
        assert_eq!((level(0), level(1), level(6), level(7), level(8)), (0, 1, 5, 6, 6));
    }
}
