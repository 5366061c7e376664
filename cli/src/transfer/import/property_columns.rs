//! The columns of `--props`: their names, and their types, which the flag, the store or the first rows of the file give.

use hedgerow::{KindIx, PropertyType, Snapshot};

use crate::core::failure::Failure;
use crate::input::delimited::Delimited;
use crate::input::jsonl::JsonLine;

/// The rows from which a type is guessed.
pub(super) const GUESSED_FROM: usize = 10_000;
/// A text column is one of lists where one value in so many holds a bar.
const LISTS: u64 = 10;

/// A column as `--props` names it: `COL` or `COL:TYPE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PropertyFlag {
    pub(super) column: String,
    pub(super) of: Option<PropertyType>,
}

/// A column with its type; its name is that of the property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PropertyColumn {
    pub(super) name: String,
    pub(super) of: PropertyType,
}

/// Parses an item of `--props`.
pub(crate) fn argument(text: &str) -> Result<PropertyFlag, String> {
    let (column, of) = match text.rsplit_once(':') {
        Some((column, of)) => {
            (column, Some(of.parse().map_err(|error: hedgerow::StorageError| error.to_string())?))
        }
        None => (text, None),
    };
    if column.is_empty() {
        return Err("expected COL or COL:TYPE".to_owned());
    }
    Ok(PropertyFlag { column: column.to_owned(), of })
}

impl PropertyFlag {
    /// The type that the flag or the store gives; none where it has to be guessed. Refuses a type that contradicts the store.
    pub(super) fn known_type(
        &self,
        kind: Option<&str>,
        snapshot: Option<&Snapshot>,
    ) -> Result<Option<PropertyType>, Failure> {
        let stored = snapshot.zip(kind).and_then(|(snapshot, kind)| {
            let kind: KindIx = snapshot.kind_ix(kind)?;
            Some(snapshot.property(snapshot.property_ix(kind, &self.column)?).of)
        });
        match (self.of, stored) {
            (Some(given), Some(stored)) if given != stored => Err(Failure::Usage(format!(
                "--props {}:{given}: the store has this property with type {stored}; leave the type out, or choose another name",
                self.column
            ))),
            (given, stored) => Ok(given.or(stored)),
        }
    }
}

/// The types that the values of a column fit so far.
#[derive(Clone, Debug)]
pub(super) struct Guess {
    /// The types that all values fit, the narrowest first.
    fits: Vec<PropertyType>,
    values: u64,
    with_bar: u64,
}

impl Guess {
    pub(super) fn new() -> Self {
        let fits =
            vec![PropertyType::Boolean, PropertyType::Integer, PropertyType::Float, PropertyType::Time];
        Self { fits, values: 0, with_bar: 0 }
    }

    /// Takes a field of a csv.
    pub(super) fn take_field(&mut self, records: &Delimited, field: usize) {
        let Ok(text) = records.text(field) else { return };
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        // Digits are numbers, and no booleans or times. A number with a zero in front is a code, such as 02139.
        let is_number = text.parse::<f64>().is_ok_and(f64::is_finite);
        let digits = text.trim_start_matches(['-', '+']);
        let is_code = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
        self.take(text.contains('|'), |of| match of {
            PropertyType::Boolean | PropertyType::Time => !is_number && of.parse(text).is_some(),
            _ => !is_code && of.parse(text).is_some(),
        });
    }

    /// Takes a field of an object.
    pub(super) fn take_json(&mut self, object: &JsonLine<'_>, field: &str) {
        let Some(found) = object.value_type(field) else { return };
        match found {
            PropertyType::Text => {
                let Ok(Some(text)) = object.optional_text(field) else { return self.take(false, |_| false) };
                let is_number = text.trim().parse::<f64>().is_ok();
                self.take(text.contains('|'), |of| {
                    of == PropertyType::Time && !is_number && of.parse(&text).is_some()
                });
            }
            PropertyType::Integer => {
                self.take(false, |of| matches!(of, PropertyType::Integer | PropertyType::Float));
            }
            found => self.take(found == PropertyType::List, |of| of == found),
        }
    }

    fn take(&mut self, has_bar: bool, fits: impl Fn(PropertyType) -> bool) {
        self.values += 1;
        self.with_bar += u64::from(has_bar);
        self.fits.retain(|&of| fits(of));
    }

    /// The narrowest type that all values fit; a text where there is no value.
    pub(super) fn best(&self) -> PropertyType {
        match self.fits.first() {
            Some(&of) if self.values > 0 => of,
            _ if self.with_bar * LISTS >= self.values.max(1) => PropertyType::List,
            _ => PropertyType::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::delimited::Dialect;
    use crate::input::lines::Lines;
    use crate::input::rows::RowReader;

    fn guess(values: &[&str]) -> PropertyType {
        let text = format!("x,{}\n", values.join("\nx,"));
        let lines = Lines::resume(std::io::Cursor::new(text), "test", 0);
        let mut records = Delimited::open_bare(lines, &Dialect::default()).expect("a csv");
        let mut guess = Guess::new();
        while records.advance().expect("a row") {
            guess.take_field(&records, 1);
        }
        guess.best()
    }

    #[test]
    fn the_narrowest_type_that_all_values_fit_is_guessed() {
        assert_eq!(guess(&["1", "", "-20"]), PropertyType::Integer);
        assert_eq!(guess(&["1", "2.5"]), PropertyType::Float);
        assert_eq!(guess(&["yes", "No"]), PropertyType::Boolean);
        assert_eq!(guess(&["0", "1"]), PropertyType::Integer);
        assert_eq!(guess(&["2024-01-05", "1999-12-31T23:00:00Z"]), PropertyType::Time);
        assert_eq!(guess(&["02139", "10115"]), PropertyType::Text);
        assert_eq!(guess(&["drama|war", "comedy"]), PropertyType::List);
        assert_eq!(guess(&["Toy Story (1995)", "7"]), PropertyType::Text);
        assert_eq!(guess(&["", ""]), PropertyType::Text);
    }

    #[test]
    fn a_flag_is_a_column_and_perhaps_its_type() {
        let flag = |column: &str, of| Ok(PropertyFlag { column: column.to_owned(), of });
        assert_eq!(argument("title"), flag("title", None));
        assert_eq!(argument("price:f64"), flag("price", Some(PropertyType::Float)));
        assert_eq!(argument("a:b:time"), flag("a:b", Some(PropertyType::Time)));
        assert!(argument("price:money").is_err() && argument(":f64").is_err());
    }
}
