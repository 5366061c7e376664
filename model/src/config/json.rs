//! JSON text in sections of files. Knows nothing of what the values mean.
//!
//! A value reads back equal to the bit: a floating-point number is written as its shortest decimal.

use hedgerow_storage::Epoch;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Error, Map, Value};

/// The text of a value.
pub(crate) fn text_of(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("keys are text, and no value refuses to be written")
}

/// Parses JSON. `legacy` turns a text of an earlier version into JSON first.
///
/// # Errors
/// A syntax error, or a field that is missing, unknown or of another type.
pub(crate) fn parse<T: DeserializeOwned>(
    text: &str,
    legacy: impl FnOnce(&str) -> Option<Value>,
) -> Result<T, Error> {
    if text.starts_with(['{', '[']) {
        return serde_json::from_str(text);
    }
    serde_json::from_value(legacy(text).ok_or_else(|| Error::custom("expected JSON"))?)
}

/// The fields of a value that is an object.
pub(crate) fn fields_of(value: &impl Serialize) -> Map<String, Value> {
    serde_json::from_str(&text_of(value)).expect("the value is an object")
}

/// A value for display: text without quotes, numbers without an exponent, anything else as JSON.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => number.as_f64().unwrap_or(f64::NAN).to_string(),
        other => other.to_string(),
    }
}

/// An epoch as its number, for `#[serde(with = ..)]`.
pub(crate) mod epoch_number {
    use super::{Deserialize, Deserializer, Epoch, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    pub(crate) fn serialize<S: Serializer>(epoch: &Epoch, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(epoch.get())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Epoch, D::Error> {
        u64::deserialize(deserializer).map(Epoch::new)
    }
}
