//! One JSON object per line, its fields with their places.

use serde_json::{Map, Value};

use crate::place::{BadInput, Place};
use crate::reading::lines::Lines;
use crate::reading::timestamp;

/// The object of a line.
pub(crate) struct JsonLine<'a> {
    lines: &'a Lines,
    fields: Map<String, Value>,
}

impl<'a> JsonLine<'a> {
    pub(crate) fn parse(lines: &'a Lines, known: &[&str]) -> Result<Self, BadInput> {
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
        let line = Self { lines, fields };
        if let Some(unknown) = line.fields.keys().find(|name| !known.contains(&name.as_str())) {
            let expected = format!("one of the fields {}", known.join(", "));
            return Err(line.place(unknown).found(unknown.as_bytes(), expected));
        }
        Ok(line)
    }

    /// A field that must be there and be a string.
    pub(crate) fn text(&self, field: &str, expected: &str) -> Result<&str, BadInput> {
        match self.fields.get(field) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(self.wrong(field, other, expected)),
            None => Err(self
                .lines
                .place(0)
                .problem(format!("the field {field:?} is missing, expected {expected}"))),
        }
    }

    pub(crate) fn weight(&self) -> Result<f32, BadInput> {
        match self.fields.get("weight") {
            None | Some(Value::Null) => Ok(1.0),
            Some(value) => match value.as_f64() {
                Some(weight) => Ok(weight as f32),
                None => Err(self.wrong("weight", value, "a number")),
            },
        }
    }

    pub(crate) fn time(&self) -> Result<Option<i64>, BadInput> {
        let value = match self.fields.get("time") {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value,
        };
        let time = match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => timestamp::parse(text),
            _ => None,
        };
        time.map(Some).ok_or_else(|| self.wrong("time", value, timestamp::EXPECTED))
    }

    /// Where a field's name stands; the start of the line for a field that cannot be found as it is written.
    pub(crate) fn place(&self, field: &str) -> Place {
        let name = Value::String(field.to_owned()).to_string();
        let at = self.lines.bytes().windows(name.len()).position(|window| window == name.as_bytes());
        self.lines.place(at.unwrap_or(0))
    }

    fn wrong(&self, field: &str, value: &Value, expected: &str) -> BadInput {
        self.place(field).found(value.to_string().as_bytes(), expected)
    }
}
