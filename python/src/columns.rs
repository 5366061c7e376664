//! Columns of a table as keys, weights and times of edges. Refuses what has no meaning, by row.

use std::fmt::Write as _;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};

/// A column of one batch, with its name for messages and the number of rows before it.
pub(crate) struct Column<'a> {
    pub(crate) name: &'a str,
    pub(crate) array: &'a ArrayRef,
    pub(crate) first_row: usize,
}

impl<'a> Column<'a> {
    fn at(&self, row: usize) -> String {
        format!("row {} of column {:?}", self.first_row + row, self.name)
    }

    /// Appends the key of a row: a text as it is, an integer as digits.
    pub(crate) fn key(&self, row: usize, into: &mut String) -> Result<(), String> {
        let array = self.array;
        if array.is_null(row) {
            return Err(format!("{}: found no value, expected a key", self.at(row)));
        }
        macro_rules! digits {
            ($of:ty) => {{
                let _ = write!(into, "{}", array.as_primitive::<$of>().value(row));
            }};
        }
        match array.data_type() {
            DataType::Utf8 => into.push_str(array.as_string::<i32>().value(row)),
            DataType::LargeUtf8 => into.push_str(array.as_string::<i64>().value(row)),
            DataType::Utf8View => into.push_str(array.as_string_view().value(row)),
            DataType::Int8 => digits!(Int8Type),
            DataType::Int16 => digits!(Int16Type),
            DataType::Int32 => digits!(Int32Type),
            DataType::Int64 => digits!(Int64Type),
            DataType::UInt8 => digits!(UInt8Type),
            DataType::UInt16 => digits!(UInt16Type),
            DataType::UInt32 => digits!(UInt32Type),
            DataType::UInt64 => digits!(UInt64Type),
            other => {
                let name = self.name;
                return Err(format!("column {name:?}: found {other}, expected texts or integers as keys"));
            }
        }
        Ok(())
    }

    /// The column with its dictionary, if it has one, replaced by its values.
    pub(crate) fn decoded(array: &ArrayRef) -> ArrayRef {
        match array.as_any_dictionary_opt() {
            Some(dictionary) => take(dictionary.values(), &dictionary.normalized_keys(), array),
            None => array.clone(),
        }
    }

    /// The weight of a row.
    pub(crate) fn weight(&self, row: usize) -> Result<f32, String> {
        let array = self.array;
        let weight = match array.data_type() {
            _ if array.is_null(row) => None,
            DataType::Float32 => Some(array.as_primitive::<Float32Type>().value(row)),
            DataType::Float64 => Some(array.as_primitive::<Float64Type>().value(row) as f32),
            DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => None,
            _ => self.integer(row)?.map(|integer| integer as f32),
        };
        match weight {
            Some(weight) if weight.is_finite() && weight > 0.0 => Ok(weight),
            Some(weight) => {
                Err(format!("{}: found {weight}, expected a finite weight above 0", self.at(row)))
            }
            None => Err(format!("{}: found no number, expected a finite weight above 0", self.at(row))),
        }
    }

    /// The time of a row in microseconds since 1970, if it has one. An integer is multiplied by `scale`.
    pub(crate) fn time(&self, row: usize, scale: i64) -> Result<Option<i64>, String> {
        let array = self.array;
        if array.is_null(row) {
            return Ok(None);
        }
        let (time, scale) = match array.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => {
                (array.as_primitive::<TimestampSecondType>().value(row), 1_000_000)
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                (array.as_primitive::<TimestampMillisecondType>().value(row), 1000)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                (array.as_primitive::<TimestampMicrosecondType>().value(row), 1)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                (array.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1000), 1)
            }
            DataType::Date32 => (i64::from(array.as_primitive::<Date32Type>().value(row)), 86_400_000_000),
            DataType::Date64 => (array.as_primitive::<Date64Type>().value(row), 1000),
            _ => {
                let time = self.integer(row)?;
                (time.ok_or_else(|| format!("{}: found a time that is too far away", self.at(row)))?, scale)
            }
        };
        let scaled = time.checked_mul(scale).filter(|&time| time != i64::MIN);
        scaled.map(Some).ok_or_else(|| format!("{}: found {time}, a time that is too far away", self.at(row)))
    }

    /// The unit of the integers of a column of times, by the size of the first: as many microseconds. 1 where they are no integers.
    pub(crate) fn time_scale(&self) -> Result<Option<i64>, String> {
        if matches!(self.array.data_type(), DataType::Timestamp(..) | DataType::Date32 | DataType::Date64) {
            return Ok(Some(1));
        }
        let Some(first) = (0..self.array.len()).find(|&row| self.array.is_valid(row)) else {
            return Ok(None);
        };
        Ok(self.integer(first)?.map(|first| match first.unsigned_abs() {
            0..100_000_000_000 => 1_000_000,
            100_000_000_000..100_000_000_000_000 => 1000,
            _ => 1,
        }))
    }

    /// The text of a row.
    pub(crate) fn text(&self, row: usize) -> Result<&'a str, String> {
        let array = self.array;
        match array.data_type() {
            _ if array.is_null(row) => Err(format!("{}: found no value, expected a text", self.at(row))),
            DataType::Utf8 => Ok(array.as_string::<i32>().value(row)),
            DataType::LargeUtf8 => Ok(array.as_string::<i64>().value(row)),
            DataType::Utf8View => Ok(array.as_string_view().value(row)),
            other => Err(format!("column {:?}: found {other}, expected texts", self.name)),
        }
    }

    fn integer(&self, row: usize) -> Result<Option<i64>, String> {
        let array = self.array;
        if array.is_null(row) {
            return Ok(None);
        }
        macro_rules! integer {
            ($of:ty) => {
                Some(array.as_primitive::<$of>().value(row).into())
            };
        }
        Ok(match array.data_type() {
            DataType::Int8 => integer!(Int8Type),
            DataType::Int16 => integer!(Int16Type),
            DataType::Int32 => integer!(Int32Type),
            DataType::Int64 => integer!(Int64Type),
            DataType::UInt8 => integer!(UInt8Type),
            DataType::UInt16 => integer!(UInt16Type),
            DataType::UInt32 => integer!(UInt32Type),
            DataType::UInt64 => i64::try_from(array.as_primitive::<UInt64Type>().value(row)).ok(),
            other => {
                return Err(format!("column {:?}: found {other}, expected integers or moments", self.name));
            }
        })
    }
}

/// The values at some positions, null where `keys` is null.
fn take(values: &ArrayRef, positions: &[usize], keys: &ArrayRef) -> ArrayRef {
    use std::sync::Arc;
    let column = Column { name: "", array: values, first_row: 0 };
    let text = |(row, &at): (usize, &usize)| {
        let mut text = String::new();
        (keys.is_valid(row) && column.key(at, &mut text).is_ok()).then_some(text)
    };
    Arc::new(positions.iter().enumerate().map(text).collect::<arrow_array::StringArray>())
}
