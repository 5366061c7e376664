//! Standard output and standard error: results in the five output modes, messages beside them.
//! Verbs say what a result is; only this module and `stream` know how it is written.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use crate::cell::{plain, pretty};
use crate::escape::json_safe;
use crate::failure::Failure;
use crate::stream::Stream;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// A table for people, cut to the width of the terminal
    Table,
    /// One JSON array, or one object for a single result
    Json,
    /// One JSON object per line
    Jsonl,
    /// Comma-separated with a header line
    Csv,
    /// Tab-separated values and nothing else
    Tsv,
}

impl Mode {
    /// A table for a terminal, plain values for a pipe.
    pub(crate) fn for_stdout() -> Self {
        if io::stdout().is_terminal() { Self::Table } else { Self::Tsv }
    }

    pub(crate) fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl)
    }
}

/// Where a verb puts what it found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) mode: Mode,
    pub(crate) quiet: bool,
}

impl Output {
    /// One result with named fields.
    pub(crate) fn record(self, fields: Vec<(&str, Value)>) -> Result<(), Failure> {
        match self.mode {
            Mode::Json | Mode::Jsonl => write_json(&object(fields)),
            Mode::Table => {
                let mut table = new_table();
                for (name, value) in &fields {
                    table.add_row([(*name).to_owned(), pretty(value)]);
                }
                write_table(table)
            }
            Mode::Csv | Mode::Tsv => {
                let (columns, row): (Vec<&str>, Vec<Value>) = fields.into_iter().unzip();
                self.rows(&columns, vec![row])
            }
        }
    }

    /// Any number of results of one shape.
    pub(crate) fn rows(self, columns: &[&str], rows: Vec<Vec<Value>>) -> Result<(), Failure> {
        match self.mode {
            Mode::Json => write_json(&Value::Array(objects(columns, rows))),
            Mode::Jsonl => objects(columns, rows).iter().try_for_each(write_json),
            Mode::Csv => {
                let mut text = csv_line(columns.iter().map(|name| (*name).to_owned()))?;
                for row in &rows {
                    text.push_str(&csv_line(row.iter().map(plain))?);
                }
                write_out(&text)
            }
            Mode::Tsv => {
                let mut text = String::new();
                for row in &rows {
                    text.push_str(&tsv_line(row));
                }
                write_out(&text)
            }
            Mode::Table => {
                let mut table = new_table();
                table.set_header(columns.iter().copied());
                for row in &rows {
                    table.add_row(row.iter().map(pretty));
                }
                for at in 0..columns.len() {
                    let numbers = rows.iter().all(|row| row.get(at).is_some_and(Value::is_number));
                    if let Some(column) = table.column_mut(at).filter(|_| numbers) {
                        column.set_cell_alignment(CellAlignment::Right);
                    }
                }
                write_table(table)
            }
        }
    }

    /// Results of one shape under facts that hold for all of them: JSON has the facts once, text only the results.
    pub(crate) fn items(
        self,
        facts: Vec<(&str, Value)>,
        columns: &[&str],
        rows: Vec<Vec<Value>>,
    ) -> Result<(), Failure> {
        match self.mode {
            Mode::Json => {
                let mut fields = facts;
                fields.push(("items", Value::Array(objects(columns, rows))));
                write_json(&object(fields))
            }
            Mode::Jsonl => {
                write_json(&object(facts))?;
                self.rows(columns, rows)
            }
            Mode::Table | Mode::Csv | Mode::Tsv => self.rows(columns, rows),
        }
    }

    /// Results that come one after the other, each written as soon as it is there.
    pub(crate) fn stream(self, columns: &'static [&'static str]) -> Stream {
        Stream::new(self.mode, columns)
    }

    /// A sentence for people on stderr.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            // A closed stderr must not stop the work.
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// The error of a command, in the form that the mode asks for; `--quiet` does not hide it.
    pub(crate) fn failure(self, failure: &Failure) {
        let text = if self.mode.is_json() {
            json_safe(failure.to_json().to_string())
        } else {
            format!("error: {failure}")
        };
        // A closed stderr must not change the exit code.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// Text to standard output, at once.
pub(crate) fn write_out(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|source| match source.kind() {
        io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::file("standard output".as_ref(), "write to", source),
    })
}

pub(crate) fn write_json(value: &Value) -> Result<(), Failure> {
    write_out(&(json_safe(value.to_string()) + "\n"))
}

pub(crate) fn object(fields: Vec<(&str, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

pub(crate) fn csv_line(values: impl Iterator<Item = String>) -> Result<String, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |source: csv::Error| Failure::Refused(format!("cannot write a csv line: {source}"));
    writer.write_record(values.map(String::into_bytes)).map_err(failed)?;
    let bytes = writer.into_inner().map_err(|source| Failure::Refused(source.to_string()))?;
    String::from_utf8(bytes).map_err(|source| Failure::Refused(source.to_string()))
}

pub(crate) fn tsv_line(row: &[Value]) -> String {
    row.iter().map(plain).collect::<Vec<_>>().join("\t") + "\n"
}

fn objects(columns: &[&str], rows: Vec<Vec<Value>>) -> Vec<Value> {
    let object = |row: Vec<Value>| {
        let fields: Map<String, Value> = columns.iter().map(|name| (*name).to_owned()).zip(row).collect();
        Value::Object(fields)
    };
    rows.into_iter().map(object).collect()
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

fn write_table(mut table: Table) -> Result<(), Failure> {
    for row in table.row_iter_mut() {
        row.max_height(1);
    }
    write_out(&(table.to_string() + "\n"))
}
