//! Times in input files and arguments: integers, or ISO 8601 dates with or without a time of day, in UTC unless they have an offset.
//! Owns the unit of integers, which a flag gives or the first time of a file tells.

use clap::ValueEnum;
use hedgerow::{PropertyType, PropertyValue, TimeUnit};

/// The accepted forms, for messages.
pub(crate) const EXPECTED: &str = "a time: an integer, or a date such as 2024-03-01 or 2024-03-01T12:00:00Z";

const MICROSECONDS: i64 = 1_000_000;

/// The unit of times that are integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IntegerUnit {
    /// Seconds since 1970
    #[value(name = "s")]
    Seconds,
    /// Milliseconds since 1970
    #[value(name = "ms")]
    Milliseconds,
    /// Microseconds since 1970
    #[value(name = "us")]
    Microseconds,
}

impl IntegerUnit {
    /// The unit in which a number is a plausible time. Small numbers are seconds.
    fn of(number: i64) -> Self {
        match number.unsigned_abs() {
            0..100_000_000_000 => Self::Seconds,
            100_000_000_000..100_000_000_000_000 => Self::Milliseconds,
            _ => Self::Microseconds,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
        }
    }

    fn microseconds(self) -> i64 {
        match self {
            Self::Seconds => MICROSECONDS,
            Self::Milliseconds => 1000,
            Self::Microseconds => 1,
        }
    }
}

/// The times of a file, read in its order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileTimes {
    /// The unit of integers; none until it is guessed from the first one.
    unit: Option<IntegerUnit>,
    is_guessed: bool,
    /// The unit of the store.
    stored: TimeUnit,
}

impl FileTimes {
    pub(crate) fn new(unit: Option<IntegerUnit>, stored: TimeUnit) -> Self {
        Self { unit, is_guessed: false, stored }
    }

    /// The time of a field in the unit of the store; none where it is no time.
    pub(crate) fn read(&mut self, text: &str) -> Option<i64> {
        let Ok(number) = text.parse::<i64>() else {
            return parse(text).map(|time| self.stored.from_microseconds(time));
        };
        let unit = *self.unit.get_or_insert_with(|| {
            self.is_guessed = true;
            IntegerUnit::of(number)
        });
        match self.stored {
            TimeUnit::Microseconds => number.checked_mul(unit.microseconds()),
            TimeUnit::Unknown => Some(number.div_euclid(MICROSECONDS / unit.microseconds())),
        }
    }

    /// True for a store whose unit is known.
    pub(crate) fn are_microseconds(self) -> bool {
        self.stored == TimeUnit::Microseconds
    }

    /// True if the next integer tells the unit.
    pub(crate) fn is_open(self) -> bool {
        self.unit.is_none()
    }

    /// The unit that was guessed.
    pub(crate) fn guess(self) -> Option<IntegerUnit> {
        self.unit.filter(|_| self.is_guessed)
    }

    /// Takes over what `later` guessed from rows behind those that were read; false where these were read in another unit.
    pub(crate) fn adopt(&mut self, later: Self) -> bool {
        match (self.unit, later.unit) {
            (Some(unit), Some(other)) => unit == other,
            (_, None) => true,
            (None, Some(_)) => {
                *self = later;
                true
            }
        }
    }
}

/// Microseconds of a time whose unit, if it is an integer, its size tells; none where the text is no time.
fn parse(text: &str) -> Option<i64> {
    match PropertyType::Time.parse(text)? {
        PropertyValue::Time(time) => Some(time),
        _ => None,
    }
}

/// Parses the value of a flag, in microseconds.
pub(crate) fn argument(text: &str) -> Result<i64, String> {
    parse(text).ok_or_else(|| format!("expected {EXPECTED}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_integer_of_a_file_tells_the_unit_of_all() {
        let read = |texts: &[&str], stored| {
            let mut times = FileTimes::new(None, stored);
            let found: Vec<Option<i64>> = texts.iter().map(|text| times.read(text)).collect();
            (found, times.guess())
        };
        let micros = TimeUnit::Microseconds;
        let (found, guess) = read(&["1970-01-02", "964982703", "964982703000", "x", "1.5"], micros);
        let (day, later) = (Some(86_400_000_000), Some(964_982_703_000_000_000));
        assert_eq!(found, [day, Some(964_982_703_000_000), later, None, None]);
        assert_eq!(guess, Some(IntegerUnit::Seconds));
        assert_eq!(read(&["964982703123", "7"], micros).0, [Some(964_982_703_123_000), Some(7000)]);
        assert_eq!(read(&["964982703123456"], micros).0, [Some(964_982_703_123_456)]);
        assert_eq!(read(&["-5", "9223372036854775807"], micros).0, [Some(-5_000_000), None]);
        // A store of before keeps seconds.
        let old = TimeUnit::Unknown;
        assert_eq!(read(&["964982703123", "1970-01-01T00:00:01.9Z"], old).0, [Some(964_982_703), Some(1)]);
        assert_eq!(read(&["-5", "9223372036854775807"], old).0, [Some(-5), Some(i64::MAX)]);
    }

    #[test]
    fn rows_that_were_read_ahead_in_another_unit_are_told() {
        let ahead = |text| {
            let mut times = FileTimes::new(None, TimeUnit::Microseconds);
            times.read(text);
            times
        };
        let mut times = FileTimes::new(None, TimeUnit::Microseconds);
        assert!(times.adopt(times) && times.adopt(ahead("964982703123")));
        assert!(times.adopt(ahead("964982703999")) && times.adopt(ahead("2000-01-01")));
        assert!(!times.adopt(ahead("7")));
        assert_eq!(times.guess(), Some(IntegerUnit::Milliseconds));
    }

    #[test]
    fn a_time_of_a_flag_is_an_integer_or_a_date() {
        assert_eq!(argument("1970-01-01T01:00:00"), Ok(3_600_000_000));
        assert_eq!(argument("1970-01-01T01:00:00+01:00"), Ok(0));
        assert_eq!(argument("1500000000000"), Ok(1_500_000_000_000_000));
        assert!(argument("yesterday").is_err());
    }
}
