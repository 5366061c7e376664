//! One JSON object per line, its fields with their places. A value is parsed when it is asked for, as the type that is wanted.

use std::borrow::Cow;
use std::fmt;

use hedgerow::{PropertyType, PropertyValue};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::core::location::{BadInput, Place};
use crate::input::lines::Lines;
use crate::input::timestamp::{self, FileTimes};

/// The object of a line.
pub(crate) struct JsonLine<'a> {
    lines: &'a Lines,
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// The value of a field for a property.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FieldValue<'a> {
    /// The row does not have the field.
    Missing,
    /// The field is null or an empty text: the property is removed.
    Empty,
    Value(PropertyValue<'a>),
}

/// The texts of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FieldTexts {
    /// One text, whose words the caller separates.
    Text(String),
    List(Vec<String>),
}

impl<'a> JsonLine<'a> {
    pub(crate) fn parse(lines: &'a Lines) -> Result<Self, BadInput> {
        let text = lines.text(0, lines.bytes().len())?;
        let Object(fields) = serde_json::from_str(text).map_err(|_| not_an_object(lines, text))?;
        Ok(Self { lines, fields })
    }

    /// Refuses a field of another name.
    pub(crate) fn expect_only(&self, known: &[&str]) -> Result<(), BadInput> {
        match self.fields.iter().find(|(name, _)| !known.contains(&name.as_ref())) {
            None => Ok(()),
            Some((unknown, _)) => {
                let expected = format!("one of the fields {}", known.join(", "));
                Err(self.place(unknown).found(unknown.as_bytes(), expected))
            }
        }
    }

    /// Refuses an object that lacks one of these fields, has another, or has one twice.
    pub(crate) fn expect_exactly(&self, fields: &[impl AsRef<str>]) -> Result<(), BadInput> {
        let missing = fields.iter().map(AsRef::as_ref).find(|field| !self.has(field));
        if missing.is_none() && self.fields.len() == fields.len() {
            return Ok(());
        }
        let fields: Vec<&str> = fields.iter().map(AsRef::as_ref).collect();
        let expected = format!("the fields {}", fields.join(", "));
        if let Some(missing) = missing {
            return Err(self.missing(missing, &expected));
        }
        self.expect_only(&fields)?;
        Err(self.lines.place(0).problem(format!("a field is there twice, expected {expected}")))
    }

    /// The names of the fields, in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_ref())
    }

    /// True if there is a field of that name, null or not.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.json(field).is_some()
    }

    /// Refuses an object that lacks a field.
    pub(crate) fn required(&self, field: &str) -> Result<(), BadInput> {
        if self.has(field) { Ok(()) } else { Err(self.missing(field, "it as the flag names it")) }
    }

    /// A field that must be there and be a string.
    pub(crate) fn text(&self, field: &str, expected: &str) -> Result<Cow<'a, str>, BadInput> {
        let json = self.json(field).ok_or_else(|| self.missing(field, expected))?;
        text_of(json).ok_or_else(|| self.wrong(field, json, expected))
    }

    /// A string that may be missing or null.
    pub(crate) fn optional_text(&self, field: &str) -> Result<Option<Cow<'a, str>>, BadInput> {
        self.optional(field, "text", text_of)
    }

    /// A key: a string, or the digits of an integer.
    pub(crate) fn key(&self, field: &str) -> Result<Cow<'a, str>, BadInput> {
        let expected = "a key: text or a whole number";
        let json = self.json(field).ok_or_else(|| self.missing(field, expected))?;
        let is_integer = json.parse::<u64>().is_ok() || json.parse::<i64>().is_ok();
        let key = if is_integer { Some(Cow::Borrowed(json)) } else { text_of(json) };
        key.ok_or_else(|| self.wrong(field, json, expected))
    }

    /// A text, or a number or a boolean as the line has it; none where the field is missing or something else.
    pub(crate) fn scalar(&self, field: &str) -> Option<Cow<'a, str>> {
        let json = self.json(field)?;
        match json.as_bytes() {
            [b'"', ..] => text_of(json),
            [b'{' | b'[', ..] | b"null" => None,
            _ => Some(Cow::Borrowed(json)),
        }
    }

    /// A string as one text, a list as several, nested or not; numbers and booleans in it are texts too.
    pub(crate) fn texts(&self, field: &str) -> Result<FieldTexts, BadInput> {
        let texts = self.optional(field, "text, or a list of texts", |json| {
            let mut texts = Vec::new();
            match serde_json::from_str(json).ok()? {
                Value::String(text) => return Some(FieldTexts::Text(text)),
                value => push_texts(&value, &mut texts)?,
            }
            Some(FieldTexts::List(texts))
        })?;
        Ok(texts.unwrap_or(FieldTexts::List(Vec::new())))
    }

    /// Hands the value of a property to `take`.
    pub(crate) fn value<T>(
        &self,
        field: &str,
        of: PropertyType,
        take: impl FnOnce(FieldValue<'_>) -> T,
    ) -> Result<T, BadInput> {
        let Some(json) = self.json(field) else { return Ok(take(FieldValue::Missing)) };
        let wrong = || self.wrong(field, json, of.expected());
        match json.as_bytes() {
            b"null" => Ok(take(FieldValue::Empty)),
            [b'"', ..] => {
                let text = text_of(json).ok_or_else(wrong)?;
                if text.trim().is_empty() {
                    return Ok(take(FieldValue::Empty));
                }
                let value = of.parse(&text).ok_or_else(wrong)?;
                Ok(take(FieldValue::Value(value)))
            }
            [b'[', ..] if of == PropertyType::List => {
                let mut items = Vec::new();
                let value = serde_json::from_str(json).map_err(|_| wrong())?;
                push_texts(&value, &mut items).ok_or_else(wrong)?;
                let items = items.iter().map(String::as_str).filter(|item| !item.is_empty());
                Ok(take(FieldValue::Value(PropertyValue::List(items.collect()))))
            }
            // A number or a boolean, which also is a text or an item.
            [b'{' | b'[', ..] => Err(wrong()),
            _ => {
                let value = of.parse(json).ok_or_else(wrong)?;
                Ok(take(FieldValue::Value(value)))
            }
        }
    }

    /// The type that the value of a field has by itself; none where it is missing or null.
    pub(crate) fn value_type(&self, field: &str) -> Option<PropertyType> {
        let json = self.json(field)?;
        Some(match json.as_bytes() {
            b"null" => return None,
            b"true" | b"false" => PropertyType::Boolean,
            [b'[', ..] => PropertyType::List,
            [b'"' | b'{', ..] => PropertyType::Text,
            _ if json.parse::<i64>().is_ok() => PropertyType::Integer,
            _ => PropertyType::Float,
        })
    }

    /// A list of numbers; none where it is missing or null.
    pub(crate) fn numbers(&self, field: &str) -> Result<Option<Vec<f32>>, BadInput> {
        self.optional(field, "a list of numbers", numbers_of)
    }

    /// A weight; 1 where it is missing or null.
    pub(crate) fn weight(&self, field: &str) -> Result<f32, BadInput> {
        Ok(self.optional(field, "a number", number_of)?.unwrap_or(1.0))
    }

    /// A time; none where it is missing or null.
    pub(crate) fn time(&self, field: &str, times: &mut FileTimes) -> Result<Option<i64>, BadInput> {
        self.optional(field, timestamp::EXPECTED, |json| match json.as_bytes() {
            [b'"', ..] => times.read(text_of(json)?.trim()),
            _ => json.parse::<i64>().ok().and_then(|_| times.read(json)),
        })
    }

    /// The place of a field's name; the start of the line where the line has the name with other escapes.
    pub(crate) fn place(&self, field: &str) -> Place {
        let name = Value::String(field.to_owned()).to_string();
        let at = memchr::memmem::find(self.lines.bytes(), name.as_bytes());
        self.lines.place(at.unwrap_or(0))
    }

    /// The value of a field as the line has it. Of fields of one name the last one counts.
    pub(crate) fn json(&self, field: &str) -> Option<&'a str> {
        self.fields.iter().rev().find(|(name, _)| name == field).map(|(_, value)| value.get())
    }

    fn optional<T>(
        &self,
        field: &str,
        expected: &str,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<Option<T>, BadInput> {
        match self.json(field) {
            None | Some("null") => Ok(None),
            Some(json) => parse(json).map(Some).ok_or_else(|| self.wrong(field, json, expected)),
        }
    }

    fn missing(&self, field: &str, expected: &str) -> BadInput {
        self.lines.place(0).problem(format!("the field {field:?} is missing, expected {expected}"))
    }

    fn wrong(&self, field: &str, json: &str, expected: &str) -> BadInput {
        self.place(field).found(json.as_bytes(), expected)
    }
}

/// The refusal of a line. The line is parsed once more as any value, because an error in a raw value has a column that is off by one.
fn not_an_object(lines: &Lines, text: &str) -> BadInput {
    let Err(error) = serde_json::from_str::<Value>(text) else {
        return lines.place(0).found(lines.bytes(), "a JSON object");
    };
    // serde_json counts columns from 1, and 0 is the very start.
    let message = error.to_string();
    let cause = message.split(" at line ").next().unwrap_or("not JSON").to_owned();
    lines.place(error.column().saturating_sub(1)).problem(format!("not a JSON object: {cause}"))
}

/// The fields of an object in their order, also several of one name.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some((Text(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text_of(json: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str(json).ok().map(|Text(text)| text)
}

/// A number, rounded once to the nearest `f32`: by way of an `f64` some would be rounded twice.
fn number_of(json: &str) -> Option<f32> {
    let is_number = json.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    json.parse().ok().filter(|_| is_number)
}

/// A list of numbers, each rounded once.
pub(crate) fn numbers_of(json: &str) -> Option<Vec<f32>> {
    let values: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    values.into_iter().map(|value| number_of(value.get())).collect()
}

/// Adds the texts of a list; none where there is an object in it.
fn push_texts(value: &Value, texts: &mut Vec<String>) -> Option<()> {
    match value {
        Value::Null => {}
        Value::String(text) => texts.push(text.clone()),
        Value::Bool(_) | Value::Number(_) => texts.push(value.to_string()),
        Value::Array(values) => return values.iter().try_for_each(|value| push_texts(value, texts)),
        Value::Object(_) => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::number_of;

    #[test]
    fn numbers_are_rounded_once_to_the_nearest_f32() {
        let mut bits = 1_u32;
        for _ in 0..200_000 {
            bits = bits.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            let value = f32::from_bits(bits);
            if value.is_finite() {
                assert_eq!(number_of(&value.to_string()).map(f32::to_bits), Some(bits), "{value}");
            }
        }
        // Rounded to f64 first, it would be half-way between two f32 and come out as 1.
        let above_half_way = "1.00000005960464477540000001";
        assert_eq!(number_of(above_half_way), Some(1.0 + f32::EPSILON));
        assert_eq!(number_of("inf"), None);
    }
}
