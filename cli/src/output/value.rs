//! One value of a result: what it is in JSON, and what it is as text in a table or a line.

use hedgerow::NodeName;
use serde_json::{Number, Value};

use crate::core::escape::escaped;

/// An f32 as the shortest decimal that reads back as the same f32; no value when it is not a number.
pub(crate) fn float(value: f32) -> Value {
    let shortest: Option<f64> = value.to_string().parse().ok();
    shortest.and_then(Number::from_f64).map_or(Value::Null, Value::Number)
}

/// Seconds and rates, rounded to what is worth reading.
pub(crate) fn rounded(value: f64, digits: i32) -> Value {
    let scale = 10f64.powi(digits);
    Number::from_f64((value * scale).round() / scale).map_or(Value::Null, Value::Number)
}

/// `kind:key` with every character as it is; whoever prints it escapes.
pub(crate) fn name(node: &NodeName) -> Value {
    Value::String(format!("{}:{}", node.kind, node.key))
}

/// A value as plain text for csv and tsv: lists by commas, maps as `name=value` by spaces, nothing for null.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => escaped(text),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Object(fields) => {
            let parts: Vec<String> =
                fields.iter().map(|(name, value)| format!("{}={}", escaped(name), plain(value))).collect();
            parts.join(" ")
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A value as people like to read it: fractions with four digits, lists with spaces.
pub(crate) fn pretty(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or_default();
            if number != 0.0 && (number.abs() < 0.001 || number.abs() >= 1e9) {
                format!("{number:.3e}")
            } else if number.abs() >= 1000.0 {
                format!("{number:.0}")
            } else {
                format!("{number:.4}")
            }
        }
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        Value::Array(items) => items.iter().map(pretty).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => {
            let parts: Vec<String> =
                fields.iter().map(|(name, value)| format!("{} {}", escaped(name), pretty(value))).collect();
            parts.join(", ")
        }
        Value::String(_) | Value::Number(_) => plain(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_prints_as_short_as_it_can() {
        assert_eq!(float(0.9).to_string(), "0.9");
        assert_eq!(float(f32::NAN), Value::Null);
    }

    #[test]
    fn nested_values_have_a_plain_form() {
        assert_eq!(plain(&serde_json::json!({"pin": 3, "board": [1, 2]})), "pin=3 board=1,2");
        assert_eq!(plain(&serde_json::json!("a\tb")), "a\\tb");
    }
}
