//! A table as JSON lines: an object a row, its fields in the order of the columns.

use std::fmt::Write as _;

use crate::core::failure::Failure;
use crate::transfer::columns::{Cell, Column, Table};

use crate::transfer::export::folder::{Folder, Out, Place};
use crate::transfer::export::sheet;

pub(super) struct Sheet {
    place: Place,
    table: Table,
    columns: Vec<Column>,
    file: Out,
    rows: u64,
    text: String,
}

impl Sheet {
    pub(super) fn create(
        folder: &mut Folder,
        table: Table,
        columns: Vec<Column>,
    ) -> Result<Box<dyn sheet::Sheet>, Failure> {
        let place = folder.place();
        let file = place.file(&format!("{}.jsonl", table.name()))?;
        Ok(Box::new(Self { place, table, columns, file, rows: 0, text: String::new() }))
    }
}

impl sheet::Sheet for Sheet {
    fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), Failure> {
        let text = &mut self.text;
        text.clear();
        for (at, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            text.push(if at == 0 { '{' } else { ',' });
            push_text(&column.name, text);
            text.push(':');
            match *cell {
                Cell::Text(cell) => push_text(cell, text),
                // Writing to a String cannot fail.
                Cell::Id(id) => drop(write!(text, "\"{id:016x}\"")),
                Cell::Count(count) => drop(write!(text, "{count}")),
                Cell::Time(Some(time)) => drop(write!(text, "{time}")),
                Cell::Real(value) => drop(write!(text, "{value}")),
                Cell::Words(words) => push_words(words, text),
                Cell::Reals(Some(values)) => push_reals(values, text),
                Cell::Time(None) | Cell::Reals(None) => text.push_str("null"),
            }
        }
        text.push_str("}\n");
        self.rows += 1;
        self.file.put(text.as_bytes())
    }

    fn end(self: Box<Self>) -> Result<(), Failure> {
        let Self { place, table, file, rows, .. } = *self;
        place.keep(file, Some(table), Some(rows))
    }
}

/// A JSON string.
fn push_text(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            // Terminals obey the late control characters too.
            c if c.is_control() => drop(write!(text, "\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
}

/// A JSON array of texts.
pub(super) fn push_words(words: &[&str], text: &mut String) {
    text.push('[');
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        push_text(word, text);
    }
    text.push(']');
}

/// A JSON array of numbers, each the shortest decimal that reads back as the same f32.
pub(super) fn push_reals(values: &[f32], text: &mut String) {
    text.push('[');
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{value}");
    }
    text.push(']');
}
