//! Results that appear while a verb works (batches, epochs): every row is on its way before the next is computed.

use serde_json::Value;

use crate::core::escape::json_safe;
use crate::core::failure::Failure;
use crate::output::printer::{Mode, Output, csv_line, object, tsv_line};
use crate::output::target::OutputTarget;
use crate::output::value::{plain, pretty};

/// The narrowest column of a table whose later rows are not known yet.
const COLUMN_WIDTH: usize = 9;

/// An open list of rows; close it with `finish`, also when the verb fails.
#[derive(Debug)]
pub(crate) struct Stream {
    out: Output,
    columns: &'static [&'static str],
    written: bool,
}

impl Stream {
    pub(crate) fn new(out: Output, columns: &'static [&'static str]) -> Self {
        Self { out, columns, written: false }
    }

    pub(crate) fn row(&mut self, row: Vec<Value>) -> Result<(), Failure> {
        let first = !std::mem::replace(&mut self.written, true);
        if let OutputTarget::Job(job) = self.out.target {
            job.row(object(self.columns.iter().copied().zip(row.clone()).collect()));
        }
        match self.out.mode {
            Mode::Json | Mode::Jsonl => {
                self.json_row(first, &object(self.columns.iter().copied().zip(row).collect()))
            }
            Mode::Csv => {
                let header = if first {
                    csv_line(self.columns.iter().map(|name| (*name).to_owned()))?
                } else {
                    String::new()
                };
                self.out.text(&(header + &csv_line(row.iter().map(plain))?))
            }
            Mode::Tsv => self.out.text(&tsv_line(&row)),
            Mode::Table => {
                let header = if first {
                    self.table_line(self.columns.iter().map(|name| (*name).to_owned()))
                } else {
                    String::new()
                };
                self.out.text(&(header + &self.table_line(row.iter().map(pretty))))
            }
        }
    }

    /// A last object of another shape; only JSON has a place for it, so the verb also says it in a note.
    pub(crate) fn summary(&mut self, fields: Vec<(&str, Value)>) -> Result<(), Failure> {
        if !self.out.mode.is_json() {
            return Ok(());
        }
        let first = !std::mem::replace(&mut self.written, true);
        self.json_row(first, &object(fields))
    }

    pub(crate) fn finish(self) -> Result<(), Failure> {
        match (self.out.mode, self.written) {
            (Mode::Json, true) => self.out.text("\n]\n"),
            (Mode::Json, false) => self.out.text("[]\n"),
            _ => Ok(()),
        }
    }

    fn json_row(&self, first: bool, value: &Value) -> Result<(), Failure> {
        if self.out.mode == Mode::Jsonl {
            return self.out.json(value);
        }
        let opening = if first { "[\n" } else { ",\n" };
        self.out.text(&format!("{opening}{}", json_safe(value.to_string())))
    }

    fn table_line(&self, cells: impl Iterator<Item = String>) -> String {
        let pad =
            |(name, cell): (&&str, String)| format!("{cell:>width$}", width = name.len().max(COLUMN_WIDTH));
        let cells: Vec<String> = self.columns.iter().zip(cells).map(pad).collect();
        cells.join("  ") + "\n"
    }
}
