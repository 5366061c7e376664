//! A table as JSON lines: one object for each row, its fields in the order of the columns.

use std::fmt::Write as _;

use crate::core::failure::Failure;
use crate::transfer::table_schema::{Column, ColumnValue, Table};

use crate::transfer::export::export_folder::{ExportFile, ExportFolder, FileSet};
use crate::transfer::export::table_writer::TableWriter;

pub(super) struct JsonlWriter {
    files: FileSet,
    table: Table,
    columns: Vec<Column>,
    file: ExportFile,
    rows: u64,
    text: String,
}

impl JsonlWriter {
    pub(super) fn create(
        folder: &mut ExportFolder,
        table: Table,
        columns: Vec<Column>,
    ) -> Result<Box<dyn TableWriter>, Failure> {
        let files = folder.files();
        let file = files.file(&format!("{}.jsonl", table.name()))?;
        Ok(Box::new(Self { files, table, columns, file, rows: 0, text: String::new() }))
    }
}

impl TableWriter for JsonlWriter {
    fn row(&mut self, cells: &[ColumnValue<'_>]) -> Result<(), Failure> {
        let text = &mut self.text;
        text.clear();
        for (at, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            text.push(if at == 0 { '{' } else { ',' });
            push_text(&column.name, text);
            text.push(':');
            match *cell {
                ColumnValue::Text(cell) => push_text(cell, text),
                ColumnValue::Json(cell) => text.push_str(cell),
                // Writing to a String cannot fail.
                ColumnValue::Id(id) => drop(write!(text, "\"{id:016x}\"")),
                ColumnValue::Count(count) => drop(write!(text, "{count}")),
                ColumnValue::Time(Some(time)) => drop(write!(text, "{time}")),
                ColumnValue::Number(value) => drop(write!(text, "{value}")),
                ColumnValue::Texts(words) => push_texts(words, text),
                ColumnValue::Numbers(Some(values)) => push_numbers(values, text),
                ColumnValue::Time(None) | ColumnValue::Numbers(None) => text.push_str("null"),
            }
        }
        text.push_str("}\n");
        self.rows += 1;
        self.file.put(text.as_bytes())
    }

    fn end(self: Box<Self>) -> Result<(), Failure> {
        let Self { files, table, file, rows, .. } = *self;
        files.add(file, Some(table), Some(rows))
    }
}

/// Adds a JSON string.
pub(super) fn push_text(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            // All control characters are escaped: terminals also obey those from U+0080 to U+009F.
            c if c.is_control() => drop(write!(text, "\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
}

/// Adds a JSON array of strings.
pub(super) fn push_texts(words: &[&str], text: &mut String) {
    text.push('[');
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        push_text(word, text);
    }
    text.push(']');
}

/// Adds a JSON array of numbers, each the shortest decimal that reads back as the same f32.
pub(super) fn push_numbers(values: &[f32], text: &mut String) {
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
