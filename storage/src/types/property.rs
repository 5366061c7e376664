//! Typed properties of nodes: the types, the values, and their forms as text and as bytes.
//! Knows no store: a property may or may not exist in one.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::types::codec::{Decode, Encode};
use crate::types::error::Error;
use crate::types::names::{MAX_KIND_BYTES, check_word};

/// The most properties in one store, over all kinds.
pub const MAX_PROPERTIES: usize = 4096;
/// The longest text and the longest list of a property, in bytes. An item of a list takes one byte more.
pub const MAX_VALUE_BYTES: usize = 16 << 10;
/// The character between the items of a list, in its bytes. No item contains it.
const ITEM_END: char = '\u{1f}';
/// An integer time below this number is in seconds, and below a thousand times it in milliseconds, without regard to its sign. Seconds
/// reach to the year 5138, milliseconds begin in 1973.
const MOST_SECONDS: u64 = 100_000_000_000;

/// The type of a property: every value of the property has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(into = "&str", try_from = "String")
)]
pub enum PropertyType {
    /// UTF-8, written `text`.
    Text,
    /// A signed integer of 64 bits, written `i64`.
    Integer,
    /// A finite number of 64 bits, written `f64`.
    Float,
    /// True or false, written `bool`.
    Boolean,
    /// A moment: microseconds since 1970 in UTC, written `time`.
    Time,
    /// Texts in an order, written `list`.
    List,
}

/// A value of a property.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum PropertyValue<'a> {
    /// A text of 1 to 16,384 bytes.
    Text(&'a str),
    /// An integer.
    Integer(i64),
    /// A finite number.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// A moment: microseconds since 1970 in UTC.
    Time(i64),
    /// Texts that are not empty, at most 16,384 bytes with one byte more for each.
    List(Vec<&'a str>),
}

impl PropertyType {
    /// All types.
    pub const ALL: [Self; 6] =
        [Self::Text, Self::Integer, Self::Float, Self::Boolean, Self::Time, Self::List];

    /// The name of the type, as in `price:f64`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "i64",
            Self::Float => "f64",
            Self::Boolean => "bool",
            Self::Time => "time",
            Self::List => "list",
        }
    }

    /// The form of a value as text, for messages.
    pub fn expected(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Integer => "an integer",
            Self::Float => "a finite number",
            Self::Boolean => "true or false",
            Self::Time => "a time, such as 2024-03-01, 2024-03-01T12:00:00Z or an integer",
            Self::List => "texts separated by |",
        }
    }

    /// Parses a value; `None` if the text has another form. Blanks around it do not count, except in a text.
    ///
    /// - Integers and numbers as Rust writes them; `true`, `yes`, `1`, `false`, `no` and `0` in any case.
    /// - A time is an ISO 8601 date, with or without a time of day, in UTC unless it has an offset; or an integer. An integer below 10^11
    ///   is in seconds, one below 10^14 in milliseconds, a larger one in microseconds; the sign does not count.
    /// - The items of a list are separated by bars; empty items are left out.
    pub fn parse(self, text: &str) -> Option<PropertyValue<'_>> {
        let trimmed = text.trim();
        match self {
            Self::Text => Some(PropertyValue::Text(text)),
            Self::Integer => trimmed.parse().ok().map(PropertyValue::Integer),
            Self::Float => {
                trimmed.parse().ok().filter(|value: &f64| value.is_finite()).map(PropertyValue::Float)
            }
            Self::Boolean => {
                let is = |words: [&str; 3]| words.iter().any(|word| trimmed.eq_ignore_ascii_case(word));
                if is(["true", "yes", "1"]) {
                    Some(PropertyValue::Boolean(true))
                } else if is(["false", "no", "0"]) {
                    Some(PropertyValue::Boolean(false))
                } else {
                    None
                }
            }
            Self::Time => parse_time(trimmed).map(PropertyValue::Time),
            Self::List => {
                let items = trimmed.split('|').map(str::trim).filter(|item| !item.is_empty());
                Some(PropertyValue::List(items.collect()))
            }
        }
    }
}

/// Microseconds since 1970; `None` if the text is no time.
fn parse_time(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<i64>() {
        return time_of_integer(number);
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.as_microsecond());
    }
    let civil = text.parse::<DateTime>().ok().or_else(|| text.parse::<Date>().ok().map(DateTime::from))?;
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_microsecond())
}

/// Microseconds of an integer, whose unit its size tells.
fn time_of_integer(number: i64) -> Option<i64> {
    match number.unsigned_abs() {
        0..MOST_SECONDS => number.checked_mul(1_000_000),
        size if size / 1000 < MOST_SECONDS => number.checked_mul(1000),
        _ => Some(number),
    }
}

impl fmt::Display for PropertyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<PropertyType> for &'static str {
    fn from(of: PropertyType) -> Self {
        of.name()
    }
}

impl FromStr for PropertyType {
    type Err = Error;

    /// # Errors
    /// [`Error::Invalid`] for another name.
    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|of| of.name() == text);
        found.ok_or_else(|| Error::invalid("property type", text, "text, i64, f64, bool, time or list"))
    }
}

impl TryFrom<String> for PropertyType {
    type Error = Error;

    /// As [`PropertyType::from_str`].
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl<'a> PropertyValue<'a> {
    /// The type of the value.
    pub fn property_type(&self) -> PropertyType {
        match self {
            Self::Text(_) => PropertyType::Text,
            Self::Integer(_) => PropertyType::Integer,
            Self::Float(_) => PropertyType::Float,
            Self::Boolean(_) => PropertyType::Boolean,
            Self::Time(_) => PropertyType::Time,
            Self::List(_) => PropertyType::List,
        }
    }

    /// The same value in another type: an integer of at most 53 bits as a number, an integer as a time, a text as what it says, or as a
    /// list of one. `None` if the type has no such value.
    pub(crate) fn converted(self, to: PropertyType) -> Option<Self> {
        let converted = match (self, to) {
            (Self::Integer(value), PropertyType::Time) => time_of_integer(value).map(Self::Time),
            (Self::Integer(value), PropertyType::Float) => {
                (value.unsigned_abs() <= 1 << 53).then_some(Self::Float(value as f64))
            }
            (Self::Text(text), PropertyType::List) => Some(Self::List(vec![text])),
            (Self::Text(text), to) => to.parse(text),
            (value, to) => (value.property_type() == to).then_some(value),
        };
        // A list takes a byte more than its text, and not every character.
        converted.filter(|value| value.check().is_ok())
    }

    /// Refuses a value that no property can have.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let too_long = |bytes: usize| {
            let (what, limit) = ("bytes of a value", MAX_VALUE_BYTES as u64);
            if bytes > MAX_VALUE_BYTES {
                Err(Error::Limit { what, limit, found: bytes as u64 })
            } else {
                Ok(())
            }
        };
        match self {
            Self::Integer(_) | Self::Boolean(_) | Self::Time(_) => Ok(()),
            Self::Float(value) if value.is_finite() => Ok(()),
            Self::Float(value) => Err(Error::invalid("value", &value.to_string(), "a finite number")),
            Self::Text("") => Err(Error::invalid("value", "", "a text that is not empty")),
            Self::Text(text) => too_long(text.len()),
            Self::List(items) => {
                let is_bad = |item: &&&str| item.is_empty() || item.contains(ITEM_END);
                match items.iter().find(is_bad) {
                    Some(bad) => {
                        let rule = "items that are not empty, without the character U+001F";
                        Err(Error::invalid("list", bad, rule))
                    }
                    None => too_long(self.bytes()),
                }
            }
        }
    }

    /// The number of bytes of the value.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Integer(_) | Self::Float(_) | Self::Time(_) => 8,
            Self::Boolean(_) => 1,
            Self::List(items) => items.iter().map(|item| item.len() + 1).sum(),
        }
    }

    /// Appends the bytes of the value.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Text(text) => bytes.extend(text.as_bytes()),
            Self::Integer(value) | Self::Time(value) => bytes.extend(value.to_le_bytes()),
            Self::Float(value) => bytes.extend(value.to_le_bytes()),
            Self::Boolean(value) => bytes.push(u8::from(*value)),
            Self::List(items) => {
                for item in items {
                    bytes.extend(item.as_bytes());
                    bytes.push(ITEM_END as u8);
                }
            }
        }
    }

    /// The value that has these bytes; `None` if no value of the type has them.
    pub(crate) fn decode(of: PropertyType, bytes: &'a [u8]) -> Option<Self> {
        let number = || bytes.try_into().ok().map(i64::from_le_bytes);
        let value = match of {
            PropertyType::Text => Self::Text(std::str::from_utf8(bytes).ok()?),
            PropertyType::Integer => Self::Integer(number()?),
            PropertyType::Float => Self::Float(f64::from_bits(number()?.cast_unsigned())),
            PropertyType::Boolean => Self::Boolean(match bytes {
                [0] => false,
                [1] => true,
                _ => return None,
            }),
            PropertyType::Time => Self::Time(number()?),
            PropertyType::List => {
                let text = std::str::from_utf8(bytes).ok()?;
                let items = text.strip_suffix(ITEM_END).map(|items| items.split(ITEM_END).collect());
                Self::List(if text.is_empty() { Vec::new() } else { items? })
            }
        };
        value.check().is_ok().then_some(value)
    }
}

/// Texts as they are, a time as in `2024-03-01T12:00:00Z`, the items of a list with bars between them.
impl fmt::Display for PropertyValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Boolean(value) => value.fmt(f),
            Self::Time(value) => match Timestamp::from_microsecond(*value) {
                Ok(instant) => instant.fmt(f),
                // Years beyond 9999 have no date.
                Err(_) => value.fmt(f),
            },
            Self::List(items) => f.write_str(&items.join("|")),
        }
    }
}

/// The bytes of a value in another type, as [`PropertyValue::converted`]. The error is for a value of the kind's property `name`.
pub(crate) fn convert<'a>(
    (from, bytes): (PropertyType, &'a [u8]),
    to: PropertyType,
    (kind, name): (&str, &str),
) -> Result<Cow<'a, [u8]>, Error> {
    if from == to {
        return Ok(Cow::Borrowed(bytes));
    }
    let value = PropertyValue::decode(from, bytes).expect("a batch checks its values");
    let shown = value.to_string();
    let converted = value.converted(to).ok_or_else(|| {
        let rule = format!("{}, because property {name} of kind {kind} has type {to}", to.expected());
        Error::invalid("value", &shown, rule)
    })?;
    let mut bytes = Vec::new();
    converted.encode(&mut bytes);
    Ok(Cow::Owned(bytes))
}

/// The error for a property that a kind does not have.
pub(crate) fn unknown_property(kind: &str, name: &str) -> Error {
    Error::invalid("property", name, format!("a property of kind {kind}, which has no such property"))
}

/// Refuses a declaration of another type than the kind's property `name` has.
pub(crate) fn check_type(
    given: PropertyType,
    of: PropertyType,
    (kind, name): (&str, &str),
) -> Result<(), Error> {
    if given == of {
        return Ok(());
    }
    let rule = format!("{of}, the type of property {name} of kind {kind}");
    Err(Error::invalid("property type", given.name(), rule))
}

/// Refuses the name of a property unless it follows the rules of a kind's name.
pub(crate) fn check_property(name: &str) -> Result<(), Error> {
    check_word("property", name, MAX_KIND_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back_from_its_bytes_and_from_its_text() {
        for value in [
            PropertyValue::Text("Toy Story: 1|2"),
            PropertyValue::Integer(i64::MIN),
            PropertyValue::Float(-0.0),
            PropertyValue::Float(4.5),
            PropertyValue::Boolean(true),
            PropertyValue::Time(1_709_294_400_000_000),
            PropertyValue::Time(i64::MAX),
            PropertyValue::List(vec!["drama", "film noir"]),
            PropertyValue::List(Vec::new()),
        ] {
            let mut bytes = Vec::new();
            value.encode(&mut bytes);
            assert_eq!(PropertyValue::decode(value.property_type(), &bytes), Some(value.clone()));
            let text = value.to_string();
            assert_eq!(value.property_type().parse(&text), Some(value), "{text}");
        }
    }

    #[test]
    fn bytes_of_another_type_are_refused() {
        for (of, bytes) in [
            (PropertyType::Text, &b""[..]),
            (PropertyType::Text, b"\xff"),
            (PropertyType::Integer, b"1234567"),
            (PropertyType::Float, &f64::NAN.to_le_bytes()),
            (PropertyType::Boolean, b"\x02"),
            (PropertyType::List, b"no end"),
            (PropertyType::List, b"\x1f"),
        ] {
            assert_eq!(PropertyValue::decode(of, bytes), None, "{of} {bytes:?}");
        }
    }

    #[test]
    fn a_time_is_a_date_or_an_integer_whose_size_tells_the_unit() {
        let time = |text: &'static str| PropertyType::Time.parse(text);
        let noon = Some(PropertyValue::Time(1_709_294_400_000_000));
        for text in [
            "2024-03-01T12:00:00Z",
            "2024-03-01T13:00:00+01:00",
            "2024-03-01 12:00",
            "1709294400",
            " 1709294400000 ",
            "1709294400000000",
        ] {
            assert_eq!(time(text), noon, "{text}");
        }
        assert_eq!(time("1970-01-02"), Some(PropertyValue::Time(86_400_000_000)));
        assert_eq!(time("-5"), Some(PropertyValue::Time(-5_000_000)));
        assert_eq!((time("soon"), time("1.5")), (None, None));
    }

    #[test]
    fn texts_of_another_form_are_no_values() {
        for (of, text) in [
            (PropertyType::Integer, "4.5"),
            (PropertyType::Float, "inf"),
            (PropertyType::Float, "nan"),
            (PropertyType::Boolean, "maybe"),
        ] {
            assert_eq!(of.parse(text), None, "{of} {text}");
        }
        assert_eq!(PropertyType::Boolean.parse(" YES "), Some(PropertyValue::Boolean(true)));
        assert_eq!(PropertyType::List.parse(" a | |b"), Some(PropertyValue::List(vec!["a", "b"])));
    }

    #[test]
    fn a_value_is_converted_where_it_says_the_same_in_the_other_type() {
        assert_eq!(PropertyValue::Integer(4).converted(PropertyType::Float), Some(PropertyValue::Float(4.0)));
        assert_eq!(PropertyValue::Integer(1 << 54).converted(PropertyType::Float), None);
        assert_eq!(
            PropertyValue::Text("a").converted(PropertyType::List),
            Some(PropertyValue::List(vec!["a"]))
        );
        assert_eq!(PropertyValue::Float(4.0).converted(PropertyType::Integer), None);
        assert_eq!(PropertyValue::Text("4").converted(PropertyType::Float), Some(PropertyValue::Float(4.0)));
        assert_eq!(
            PropertyValue::Text("a|b").converted(PropertyType::List),
            Some(PropertyValue::List(vec!["a|b"]))
        );
        let second = Some(PropertyValue::Time(1_000_000));
        assert_eq!(PropertyValue::Integer(1).converted(PropertyType::Time), second);
        assert_eq!(PropertyValue::Text("1970-01-01T00:00:01Z").converted(PropertyType::Time), second);
        assert_eq!(PropertyValue::Text("cheap").converted(PropertyType::Float), None);
        assert_eq!(PropertyValue::Boolean(true).converted(PropertyType::Integer), None);
        // The longest text leaves no room for the end of the item.
        let long = "x".repeat(MAX_VALUE_BYTES);
        assert_eq!(PropertyValue::Text(&long).converted(PropertyType::List), None);
        assert_eq!(PropertyValue::Text("a\u{1f}b").converted(PropertyType::List), None);
    }
}
