//! A column of the file `properties`: the values of one property, by row.
//! Knows no nodes; a row is the number of a node among those of its kind.

use rayon::prelude::*;

use crate::fs::mmap::SharedNumbers;
use crate::fs::section::SectionFile;
use crate::fs::section_stream::SectionStream;
use crate::segments::numbered;
use crate::types::error::Error;
use crate::types::property::{PropertyType, PropertyValue};

/// Rows whose texts share a start, so that an end takes four bytes.
const GROUP: usize = 64;

/// The values of a property. Each form of values has sections of its own.
#[derive(Debug)]
pub(crate) struct Column {
    /// A bit for each row with a value.
    present: SharedNumbers<u64>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    /// Integers, times, and the bits of numbers.
    Numbers(SharedNumbers<u64>),
    /// A bit for each row.
    Booleans(SharedNumbers<u64>),
    /// Texts and lists, one after another.
    Texts {
        /// The start of each group of rows, and the end of all.
        starts: SharedNumbers<u64>,
        /// The end of each row, from the start of its group on.
        ends: SharedNumbers<u32>,
        bytes: SharedNumbers<u8>,
    },
}

/// The number of sections of a column.
pub(super) fn section_count(of: PropertyType) -> usize {
    match of {
        PropertyType::Text | PropertyType::List => 4,
        PropertyType::Integer | PropertyType::Float | PropertyType::Boolean | PropertyType::Time => 2,
    }
}

impl Column {
    /// Opens the column of property `at` for this many rows.
    pub(super) fn open(file: &SectionFile, at: usize, of: PropertyType, rows: usize) -> Result<Self, Error> {
        let values = match of {
            PropertyType::Integer | PropertyType::Float | PropertyType::Time => {
                Values::Numbers(file.slice(numbered(*b"vals", at))?)
            }
            PropertyType::Boolean => Values::Booleans(file.slice(numbered(*b"bits", at))?),
            PropertyType::Text | PropertyType::List => Values::Texts {
                starts: file.slice(numbered(*b"strt", at))?,
                ends: file.slice(numbered(*b"ends", at))?,
                bytes: file.slice(numbered(*b"text", at))?,
            },
        };
        let column = Self { present: file.slice(numbered(*b"have", at))?, values };
        let damaged = |what: &str| file.damaged(format!("property {at}"), what);
        let words = rows.div_ceil(64);
        let has_length = column.present.len() == words
            && match &column.values {
                Values::Numbers(numbers) => numbers.len() == rows,
                Values::Booleans(bits) => bits.len() == words,
                Values::Texts { starts, ends, .. } => {
                    starts.len() == rows.div_ceil(GROUP) + 1 && ends.len() == rows
                }
            };
        if !has_length {
            return Err(damaged("a number of rows that differs from the nodes of its kind"));
        }
        if !file.was_verified() {
            column.check(of, rows).map_err(damaged)?;
        }
        Ok(column)
    }

    /// Checks the content of sections that have the right lengths.
    fn check(&self, of: PropertyType, rows: usize) -> Result<(), &'static str> {
        if !rows.is_multiple_of(64) && self.present.last().is_some_and(|word| word >> (rows % 64) != 0) {
            return Err("a value of a row that does not exist");
        }
        if let Values::Texts { starts, ends, bytes } = &self.values {
            let is_end = |group: usize| {
                let rows = &ends[group * GROUP..rows.min((group + 1) * GROUP)];
                let last = rows.last().map_or(0, |&end| u64::from(end));
                rows.is_sorted() && starts[group].checked_add(last) == Some(starts[group + 1])
            };
            let len = bytes.len() as u64;
            if starts[0] != 0 || starts[starts.len() - 1] != len || !(0..starts.len() - 1).all(is_end) {
                return Err("texts that do not follow one another");
            }
        }
        let is_value = |row: usize| match self.bytes(row) {
            Some(bytes) => PropertyValue::decode(of, bytes).is_some(),
            None => true,
        };
        if (0..rows).into_par_iter().all(is_value) { Ok(()) } else { Err("a value of another type") }
    }

    /// The number of rows with a value.
    pub(super) fn count(&self) -> u64 {
        self.present.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The bytes of the value in a row; `None` where there is none.
    #[inline]
    pub(crate) fn bytes(&self, row: usize) -> Option<&[u8]> {
        let bit = |words: &SharedNumbers<u64>| words[row / 64] >> (row % 64) & 1 == 1;
        if !bit(&self.present) {
            return None;
        }
        Some(match &self.values {
            Values::Numbers(numbers) => bytemuck::bytes_of(&numbers[row]),
            Values::Booleans(bits) if bit(bits) => &[1],
            Values::Booleans(_) => &[0],
            Values::Texts { starts, ends, bytes } => {
                let start = starts[row / GROUP] as usize;
                let first = if row.is_multiple_of(GROUP) { 0 } else { ends[row - 1] as usize };
                &bytes[start + first..start + ends[row] as usize]
            }
        })
    }

    /// The bits of the number or boolean in a row; `None` where there is none, or where the column has texts.
    #[inline]
    pub(crate) fn bits(&self, row: usize) -> Option<u64> {
        let bit = |words: &SharedNumbers<u64>| words[row / 64] >> (row % 64) & 1;
        match &self.values {
            Values::Numbers(numbers) => (bit(&self.present) == 1).then(|| numbers[row]),
            Values::Booleans(bits) => (bit(&self.present) == 1).then(|| bit(bits)),
            Values::Texts { .. } => None,
        }
    }

    /// Writes the sections of property `at`. `values` is called for each pass over the rows and gives their bytes in order.
    ///
    /// # Cost
    /// One pass, and two for texts. Memory of an eighth of a byte a row, and four bytes for texts.
    pub(super) fn write<'a, I: Iterator<Item = Option<&'a [u8]>>>(
        stream: &mut SectionStream,
        at: usize,
        of: PropertyType,
        values: impl Fn() -> I,
    ) -> Result<(), Error> {
        let mut present = Bits::default();
        match of {
            PropertyType::Integer | PropertyType::Float | PropertyType::Time => {
                stream.begin(numbered(*b"vals", at))?;
                for value in values() {
                    present.push(value.is_some());
                    stream.write(value.unwrap_or(&[0; 8]))?;
                }
            }
            PropertyType::Boolean => {
                let mut bits = Bits::default();
                for value in values() {
                    present.push(value.is_some());
                    bits.push(value == Some(&[1]));
                }
                stream.begin(numbered(*b"bits", at))?;
                stream.write(bytemuck::cast_slice(&bits.words))?;
            }
            PropertyType::Text | PropertyType::List => {
                stream.begin(numbered(*b"text", at))?;
                let (mut starts, mut ends) = (vec![0_u64], Vec::new());
                let mut in_group = 0;
                for value in values() {
                    present.push(value.is_some());
                    let bytes = value.unwrap_or_default();
                    stream.write(bytes)?;
                    in_group += bytes.len() as u32;
                    ends.push(in_group);
                    if ends.len().is_multiple_of(GROUP) {
                        starts.push(starts[starts.len() - 1] + u64::from(in_group));
                        in_group = 0;
                    }
                }
                if !ends.len().is_multiple_of(GROUP) {
                    starts.push(starts[starts.len() - 1] + u64::from(in_group));
                }
                stream.begin(numbered(*b"strt", at))?;
                stream.write(bytemuck::cast_slice(&starts))?;
                stream.begin(numbered(*b"ends", at))?;
                stream.write(bytemuck::cast_slice(&ends))?;
            }
        }
        stream.begin(numbered(*b"have", at))?;
        stream.write(bytemuck::cast_slice(&present.words))
    }
}

/// Bits that come one after another, in words.
#[derive(Default)]
pub(super) struct Bits {
    pub(super) words: Vec<u64>,
    len: usize,
}

impl Bits {
    pub(super) fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(64) {
            self.words.push(0);
        }
        *self.words.last_mut().expect("just pushed") |= u64::from(bit) << (self.len % 64);
        self.len += 1;
    }
}
