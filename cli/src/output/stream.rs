//! Rows that are written one by one while a verb works (batches, epochs), each before the next is computed.

use serde_json::Value;

use crate::core::escape::json_safe;
use crate::core::failure::Failure;
use crate::output::printer::{Mode, Output, line};
use crate::output::target::OutputTarget;
use crate::output::value::{object, pretty};

/// The narrowest column of a table. The widths of later rows are not known when the first is written.
const COLUMN_WIDTH: usize = 9;

/// An open list of rows. A verb closes it with `finish`, also when it fails.
#[derive(Debug)]
pub(crate) struct Stream {
    out: Output,
    columns: Vec<String>,
    is_empty: bool,
}

impl Stream {
    pub(crate) fn new(out: Output, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        Self { out, columns, is_empty: true }
    }

    pub(crate) fn row(&mut self, row: Vec<Value>) -> Result<(), Failure> {
        let fields = || object(self.columns.iter().map(String::as_str).zip(row.clone()));
        if let OutputTarget::Job(job) = self.out.target {
            job.set_last_row(fields());
        }
        let mode = self.out.mode;
        if mode.is_json() {
            return self.json_row(&fields());
        }
        let mut text = String::new();
        if std::mem::take(&mut self.is_empty) && mode != Mode::Tsv {
            text += &self.line(self.columns.clone())?;
        }
        text += &match mode {
            Mode::Table => self.line(row.iter().map(pretty).collect())?,
            _ => self.out.line(&row)?,
        };
        self.out.text(&text)
    }

    /// A last object with other fields. Only JSON has a place for it, so the verb also says it in a note.
    pub(crate) fn summary(&mut self, fields: Vec<(&str, Value)>) -> Result<(), Failure> {
        if self.out.mode.is_json() { self.json_row(&object(fields)) } else { Ok(()) }
    }

    pub(crate) fn finish(self) -> Result<(), Failure> {
        match (self.out.mode, self.is_empty) {
            (Mode::Json, false) => self.out.text("\n]\n"),
            (Mode::Json, true) => self.out.text("[]\n"),
            _ => Ok(()),
        }
    }

    fn json_row(&mut self, value: &Value) -> Result<(), Failure> {
        let is_first = std::mem::take(&mut self.is_empty);
        if self.out.mode == Mode::Jsonl {
            return self.out.json(value);
        }
        let opening = if is_first { "[\n" } else { ",\n" };
        self.out.text(&format!("{opening}{}", json_safe(value.to_string())))
    }

    fn line(&self, cells: Vec<String>) -> Result<String, Failure> {
        if self.out.mode != Mode::Table {
            return line(self.out.mode, cells);
        }
        let padded = self.columns.iter().zip(cells).map(|(name, cell)| {
            let width = name.len().max(COLUMN_WIDTH);
            format!("{cell:>width$}")
        });
        Ok(padded.collect::<Vec<_>>().join("  ") + "\n")
    }
}
