//! Figures in a table: with the digits that their margin supports, and a distribution as a row of bars.

use hedgerow::Mean;

/// The number of bars.
const BARS: usize = 20;
/// The heights of a bar, from one eighth of a line to a whole line.
const HEIGHTS: u64 = 8;
const LOWEST: u32 = 0x2581;
const PLUS_MINUS: char = '\u{b1}';

/// The number of decimals with which these margins have about two digits.
pub(super) fn decimals(margins: impl Iterator<Item = f64>) -> usize {
    if margins.fold(0.0, f64::max) < 0.01 { 4 } else { 3 }
}

/// A mean with its margin.
pub(super) fn with_margin(Mean { mean, margin }: Mean, decimals: usize) -> String {
    let mean = bare(mean, decimals);
    margin.map_or(mean.clone(), |margin| format!("{mean}{PLUS_MINUS}{}", bare(margin, decimals)))
}

/// A number with three decimals.
pub(super) fn fraction(value: f64) -> String {
    bare(value, 3)
}

/// A number with its sign and two decimals.
pub(super) fn change(value: f64) -> String {
    format!("{value:+.2}")
}

/// Bins as bars from left to right. The highest bar fills the line, and an empty bin is a blank.
pub(super) fn bars(bins: &[u64]) -> String {
    let width = bins.len().div_ceil(BARS).max(1);
    let sums: Vec<u64> = bins.chunks(width).map(|bins| bins.iter().sum()).collect();
    let highest = sums.iter().copied().max().unwrap_or(0).max(1);
    let bar = |&sum: &u64| match (sum * HEIGHTS).div_ceil(highest) {
        0 => ' ',
        height => char::from_u32(LOWEST + height as u32 - 1).unwrap_or(' '),
    };
    sums.iter().map(bar).collect()
}

/// A number without the zero before the point.
pub(super) fn bare(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix("0.") {
        Some(rest) => format!(".{rest}"),
        None => text.strip_prefix("-0.").map_or(text.clone(), |rest| format!("-.{rest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_the_digits_that_its_margin_allows() {
        let shown = |mean, margin| with_margin(Mean { mean, margin }, decimals(margin.into_iter()));
        assert_eq!(shown(0.15834, Some(0.00213)), ".1583\u{b1}.0021");
        assert_eq!(shown(0.37481, Some(0.01341)), ".375\u{b1}.013");
        assert_eq!(shown(1.0, Some(0.0)), "1.0000\u{b1}.0000");
        assert_eq!(shown(0.5, None), ".5000");
        assert_eq!(
            (fraction(-0.0421), change(1.3649), change(-0.5)),
            ("-.042".into(), "+1.36".into(), "-0.50".into())
        );
        assert_eq!(decimals([0.002, 0.02].into_iter()), 3, "a column has the decimals of its widest margin");
    }

    /// Forty bins become twenty bars of two. The highest fills the line, and a bin of one is visible.
    #[test]
    fn bars_are_as_high_as_their_share_of_the_highest() {
        let mut bins = vec![0; 40];
        (bins[0], bins[1], bins[2], bins[38]) = (300, 500, 400, 1);
        let drawn: Vec<char> = bars(&bins).chars().collect();
        assert_eq!(drawn.len(), BARS);
        assert_eq!((drawn[0], drawn[1], drawn[2], drawn[19]), ('\u{2588}', '\u{2584}', ' ', '\u{2581}'));
        assert_eq!(bars(&[0; 100]), " ".repeat(BARS));
    }
}
