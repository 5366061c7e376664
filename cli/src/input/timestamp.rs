//! Times in input files and arguments: integer seconds, or an ISO 8601 date with or without a time, in UTC unless it has an offset.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// The accepted forms, for messages.
pub(crate) const EXPECTED: &str =
    "a time: integer seconds, or a date such as 2024-03-01 or 2024-03-01T12:00:00Z";

/// Seconds of Unix time; none when the text is not a time.
pub(crate) fn parse(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.as_second());
    }
    let civil = text.parse::<DateTime>().ok().or_else(|| text.parse::<Date>().ok().map(DateTime::from))?;
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_second())
}

/// Parses the value of a flag.
pub(crate) fn argument(text: &str) -> Result<i64, String> {
    parse(text).ok_or_else(|| format!("expected {EXPECTED}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_dates_and_instants_are_times() {
        assert_eq!(parse("-5"), Some(-5));
        assert_eq!(parse("1970-01-02"), Some(86_400));
        assert_eq!(parse("1970-01-01T01:00:00"), Some(3600));
        assert_eq!(parse("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(parse("yesterday"), None);
        assert_eq!(parse("1.5"), None);
    }
}
