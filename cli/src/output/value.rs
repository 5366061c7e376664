//! The values of a result: how each becomes JSON, and how JSON becomes text in a table or a line.

use hedgerow::NodeName;
use indicatif::HumanCount;
use serde_json::{Number, Value};

use crate::core::csv_injection::guarded;
use crate::core::escape::{escaped, escaped_controls};

/// An f32 as the shortest decimal that reads back as the same f32; null for NaN and infinity.
pub(crate) fn float(value: f32) -> Value {
    let shortest: Option<f64> = value.to_string().parse().ok();
    shortest.and_then(Number::from_f64).into()
}

/// A number rounded to this number of decimals.
pub(crate) fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}

/// A number rounded to this number of decimals, as JSON; null for NaN and infinity.
pub(crate) fn rounded(value: f64, decimals: i32) -> Value {
    Number::from_f64(round(value, decimals)).into()
}

/// A count in a message, such as `1 node` or `1,234 nodes`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", HumanCount(number), if number == 1 { one } else { many })
}

/// A node as `kind:key`, not escaped; the output mode escapes it.
pub(crate) fn name(node: &NodeName) -> Value {
    Value::String(format!("{}:{}", node.kind, node.key))
}

/// A JSON object of these fields, in their order.
pub(crate) fn object<K: Into<String>>(fields: impl IntoIterator<Item = (K, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

/// A row for each value in nested objects: its names with dots between them, and the value.
pub(crate) fn flat_rows(value: &Value) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    flatten("", value, &mut rows);
    rows
}

fn flatten(prefix: &str, value: &Value, rows: &mut Vec<Vec<Value>>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&name, value, rows);
            }
        }
        _ => rows.push(vec![prefix.into(), value.clone()]),
    }
}

/// A value in tsv: items of a list separated by commas, fields as `name=value`, null as nothing.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => escaped_controls(text),
        Value::Array(items) => joined(items.iter().map(plain), ","),
        Value::Object(fields) => joined(
            fields.iter().map(|(name, value)| format!("{}={}", escaped_controls(name), plain(value))),
            " ",
        ),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A value in csv: as in tsv, with an apostrophe before a text that a spreadsheet would compute.
pub(crate) fn spreadsheet_cell(value: &Value) -> String {
    let text = plain(value);
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => text,
        Value::String(_) | Value::Array(_) | Value::Object(_) => guarded(&text).into_owned(),
    }
}

/// A value in a table: fractions have four decimals, lists are separated by blanks, null is a dash.
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
        Value::Array(items) => joined(items.iter().map(pretty), " "),
        Value::Object(fields) => {
            joined(fields.iter().map(|(name, value)| format!("{} {}", escaped(name), pretty(value))), ", ")
        }
        Value::String(text) => escaped(text),
        Value::Number(_) => value.to_string(),
    }
}

fn joined(parts: impl Iterator<Item = String>, separator: &str) -> String {
    parts.collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_has_the_shortest_decimal_and_nan_is_null() {
        assert_eq!(float(0.9).to_string(), "0.9");
        assert_eq!(float(f32::NAN), Value::Null);
    }

    #[test]
    fn a_count_has_its_noun_and_groups_of_thousands() {
        assert_eq!(
            [0, 1, 1_234_567].map(|number| count(number, "node", "nodes")),
            ["0 nodes", "1 node", "1,234,567 nodes"]
        );
    }

    /// A list whose only item is a number in a text is guarded too: a spreadsheet sees the text alone.
    #[test]
    fn a_text_that_begins_like_a_formula_is_guarded_and_a_number_is_not() {
        let cells = [serde_json::json!("=1+1"), serde_json::json!(-1.5), serde_json::json!(["-a", "b"])];
        assert_eq!(cells.each_ref().map(spreadsheet_cell), ["'=1+1", "-1.5", "'-a,b"]);
        assert_eq!(cells.each_ref().map(plain), ["=1+1", "-1.5", "-a,b"]);
    }

    #[test]
    fn nested_values_have_a_plain_form() {
        assert_eq!(plain(&serde_json::json!({"pin": 3, "board": [1, 2]})), "pin=3 board=1,2");
        assert_eq!(plain(&serde_json::json!("a\tb")), "a\\tb");
    }
}
