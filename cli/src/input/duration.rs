//! Lengths of time in arguments, such as `30d`.

use std::time::Duration;

/// Parses a whole number with its unit: s, m, h, d or w.
pub(crate) fn argument(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a whole number with a unit: 90s, 15m, 12h, 30d or 4w".to_owned();
    let (at, unit) = text.char_indices().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        'w' => 7 * 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..at].parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_a_number_with_a_unit() {
        for (text, seconds) in
            [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), ("4w", 2_419_200)]
        {
            assert_eq!(argument(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["", "d", "30", "-1d", "1.5d", "30 d", "3\u{e9}", "99999999999999999999w"] {
            assert!(argument(bad).is_err(), "{bad}");
        }
    }
}
