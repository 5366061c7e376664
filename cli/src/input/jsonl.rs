//! One JSON object per line, its fields with their places.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::core::location::{BadInput, Place};
use crate::input::lines::Lines;
use crate::input::number::narrowed;
use crate::input::timestamp;

/// The object of a line.
pub(crate) struct JsonLine<'a> {
    lines: &'a Lines,
    fields: Map<String, Value>,
}

impl<'a> JsonLine<'a> {
    pub(crate) fn parse(lines: &'a Lines) -> Result<Self, BadInput> {
        let text = lines.text(0, lines.bytes().len())?;
        let value: Value = serde_json::from_str(text).map_err(|error| {
            // serde_json counts columns from 1, and 0 stands for the very start.
            let message = error.to_string();
            let cause = message.split(" at line ").next().unwrap_or("not JSON").to_owned();
            lines.place(error.column().saturating_sub(1)).problem(format!("not a JSON object: {cause}"))
        })?;
        let Value::Object(fields) = value else {
            return Err(lines.place(0).found(lines.bytes(), "a JSON object"));
        };
        Ok(Self { lines, fields })
    }

    /// Refuses a field of another name.
    pub(crate) fn expect_only(&self, known: &[&str]) -> Result<(), BadInput> {
        match self.fields.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(unknown) => {
                let expected = format!("one of the fields {}", known.join(", "));
                Err(self.place(unknown).found(unknown.as_bytes(), expected))
            }
        }
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// Refuses an object that lacks a field.
    pub(crate) fn required(&self, field: &str) -> Result<(), BadInput> {
        if self.has(field) { Ok(()) } else { Err(self.missing(field, "it as the flag names it")) }
    }

    /// A field that must be there and be a string.
    pub(crate) fn text(&self, field: &str, expected: &str) -> Result<&str, BadInput> {
        match self.fields.get(field) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(self.wrong(field, other, expected)),
            None => Err(self.missing(field, expected)),
        }
    }

    /// A string that may be missing or null.
    pub(crate) fn optional_text(&self, field: &str) -> Result<Option<&str>, BadInput> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.text(field, "text").map(Some),
        }
    }

    /// A key: a string, or a whole number in its digits.
    pub(crate) fn key(&self, field: &str) -> Result<Cow<'_, str>, BadInput> {
        let expected = "a key: text or a whole number";
        match self.fields.get(field) {
            Some(Value::String(text)) => Ok(Cow::Borrowed(text)),
            Some(Value::Number(number)) if !number.is_f64() => Ok(Cow::Owned(number.to_string())),
            Some(other) => Err(self.wrong(field, other, expected)),
            None => Err(self.missing(field, expected)),
        }
    }

    /// The words of a field: a string is one word, a list, also one of lists, is several; numbers and truths are words too.
    pub(crate) fn words(&self, field: &str) -> Result<Words, BadInput> {
        let mut words = Vec::new();
        match self.fields.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => return Ok(Words::Text(text.clone())),
            Some(value) => gather(value, &mut words)
                .ok_or_else(|| self.wrong(field, value, "text, or a list of texts"))?,
        }
        Ok(Words::List(words))
    }

    /// A list of numbers; none where it is missing or null.
    pub(crate) fn reals(&self, field: &str) -> Result<Option<Vec<f32>>, BadInput> {
        let value = match self.fields.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value,
        };
        let values = value.as_array().map(|values| values.iter().map(|value| value.as_f64().map(narrowed)));
        let values: Option<Vec<f32>> = values.and_then(Iterator::collect);
        values.map(Some).ok_or_else(|| self.wrong(field, value, "a list of numbers"))
    }

    /// A weight; 1 where it is missing or null.
    pub(crate) fn weight(&self, field: &str) -> Result<f32, BadInput> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(1.0),
            Some(value) => match value.as_f64() {
                Some(weight) => Ok(narrowed(weight)),
                None => Err(self.wrong(field, value, "a number")),
            },
        }
    }

    /// A time, if it is there and not null.
    pub(crate) fn time(&self, field: &str) -> Result<Option<i64>, BadInput> {
        let value = match self.fields.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value,
        };
        let time = match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => timestamp::parse(text),
            _ => None,
        };
        time.map(Some).ok_or_else(|| self.wrong(field, value, timestamp::EXPECTED))
    }

    /// Where a field's name stands; the start of the line for a field that cannot be found as it is written.
    pub(crate) fn place(&self, field: &str) -> Place {
        let name = Value::String(field.to_owned()).to_string();
        let at = self.lines.bytes().windows(name.len()).position(|window| window == name.as_bytes());
        self.lines.place(at.unwrap_or(0))
    }

    fn missing(&self, field: &str, expected: &str) -> BadInput {
        self.lines.place(0).problem(format!("the field {field:?} is missing, expected {expected}"))
    }

    fn wrong(&self, field: &str, value: &Value, expected: &str) -> BadInput {
        self.place(field).found(value.to_string().as_bytes(), expected)
    }
}

/// What a field says in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// One text, whose words are still to be told apart.
    Text(String),
    List(Vec<String>),
}

/// Puts the words of a list into one; nothing where there is an object in it.
fn gather(value: &Value, words: &mut Vec<String>) -> Option<()> {
    match value {
        Value::Null => {}
        Value::String(text) => words.push(text.clone()),
        Value::Bool(_) | Value::Number(_) => words.push(value.to_string()),
        Value::Array(values) => return values.iter().try_for_each(|value| gather(value, words)),
        Value::Object(_) => return None,
    }
    Some(())
}
