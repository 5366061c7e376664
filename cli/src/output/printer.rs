//! Results in the five output modes, messages beside them.
//! Verbs say what a result is; only this module and `stream` know how it is written, and `sink` where to.

use std::io::{self, IsTerminal};
use std::path::Path;

use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use crate::core::escape::{escaped_lines, json_safe};
use crate::core::failure::Failure;
use crate::output::color::{ERROR, HEADER, WARNING, painted};
use crate::output::stream::Stream;
use crate::output::target::OutputTarget;
use crate::output::value::{plain, pretty};

/// The column that holds sentences: cut, they would not say why.
const PROSE: &str = "why";

/// The format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
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

    /// The mode that the ending of a file's name stands for.
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "json" => Some(Self::Json),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            _ => None,
        }
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
    pub(crate) sink: OutputTarget,
}

impl Output {
    /// To standard output and standard error.
    pub(crate) fn to_screen(mode: Mode, quiet: bool) -> Self {
        Self { mode, quiet, sink: OutputTarget::Screen }
    }

    /// One result with named fields.
    pub(crate) fn record(self, fields: Vec<(&str, Value)>) -> Result<(), Failure> {
        match self.mode {
            Mode::Json | Mode::Jsonl => self.json(&object(fields)),
            Mode::Table => {
                let mut table = new_table();
                for (name, value) in &fields {
                    table.add_row([(*name).to_owned(), pretty(value)]);
                }
                self.table(table, false)
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
            Mode::Json => self.json(&Value::Array(objects(columns, rows))),
            Mode::Jsonl => objects(columns, rows).iter().try_for_each(|value| self.json(value)),
            Mode::Csv => {
                let mut text = csv_line(columns.iter().map(|name| (*name).to_owned()))?;
                for row in &rows {
                    text.push_str(&csv_line(row.iter().map(plain))?);
                }
                self.text(&text)
            }
            Mode::Tsv => {
                let mut text = String::new();
                for row in &rows {
                    text.push_str(&tsv_line(row));
                }
                self.text(&text)
            }
            Mode::Table => {
                let mut table = new_table();
                let numbers: Vec<bool> = (0..columns.len())
                    .map(|at| !rows.is_empty() && rows.iter().all(|row| row.get(at).is_some_and(is_number)))
                    .collect();
                let aligned = |cell: Cell, at: usize| {
                    if numbers[at] { cell.set_alignment(CellAlignment::Right) } else { cell }
                };
                table.set_header(columns.iter().enumerate().map(|(at, name)| aligned(Cell::new(name), at)));
                for row in &rows {
                    table.add_row(
                        row.iter().enumerate().map(|(at, value)| aligned(Cell::new(pretty(value)), at)),
                    );
                }
                self.table(table, columns.contains(&PROSE))
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
                self.json(&object(fields))
            }
            Mode::Jsonl => {
                self.json(&object(facts))?;
                self.rows(columns, rows)
            }
            Mode::Table | Mode::Csv | Mode::Tsv => self.rows(columns, rows),
        }
    }

    /// Results that come one after the other, each written as soon as it is there.
    pub(crate) fn stream(self, columns: &'static [&'static str]) -> Stream {
        Stream::new(self, columns)
    }

    /// Text as it is.
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        self.sink.write(text.as_bytes())
    }

    pub(crate) fn json(self, value: &Value) -> Result<(), Failure> {
        self.text(&(json_safe(value.to_string()) + "\n"))
    }

    /// A sentence for people on stderr.
    pub(crate) fn note(self, text: &str) {
        if self.quiet {
            return;
        }
        let text = escaped_lines(text);
        let paints = OutputTarget::paints_messages();
        self.sink.say(&match text.strip_prefix("warning:") {
            Some(rest) => painted("warning:", WARNING, paints) + rest,
            None => text,
        });
    }

    /// A line on stderr that was asked for, `--quiet` or not.
    pub(crate) fn status(self, value: &Value) {
        self.sink.say(&json_safe(value.to_string()));
    }

    /// The error of a command, in the form that the mode asks for; `--quiet` does not hide it.
    pub(crate) fn failure(self, failure: &Failure) {
        self.sink.say(&self.worded(failure));
    }

    /// The words of [`Self::failure`].
    pub(crate) fn worded(self, failure: &Failure) -> String {
        if self.mode.is_json() {
            return json_safe(failure.to_json().to_string());
        }
        let paints = OutputTarget::paints_messages();
        format!("{} {}", painted("error:", ERROR, paints), escaped_lines(&failure.to_string()))
    }

    /// With `wraps`, a row takes as many lines as its longest text needs.
    fn table(self, mut table: Table, wraps: bool) -> Result<(), Failure> {
        match self.sink.width() {
            Some(width) => {
                table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
                if !wraps {
                    // Words are cut anywhere, so that as much is shown as there is room for.
                    table.set_delimiter('\0');
                    table.row_iter_mut().for_each(|row| {
                        row.max_height(1);
                    });
                }
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        let has_header = table.header().is_some();
        let shown = table.lines().enumerate().map(|(at, line)| {
            // Between the borders at its ends.
            match line.strip_prefix('\u{2502}').and_then(|line| line.strip_suffix('\u{2502}')) {
                Some(names) if has_header && at == 1 => {
                    format!("\u{2502}{}\u{2502}\n", painted(names, HEADER, self.sink.paints()))
                }
                _ => line + "\n",
            }
        });
        self.text(&shown.collect::<String>())
    }
}

/// Prints results of one shape to standard output as the command does: by default as a table on a terminal, as tsv in a pipe.
///
/// # Errors
/// That of writing; none where whoever read standard output has left.
pub fn print_rows(mode: Option<Mode>, columns: &[&str], rows: Vec<Vec<Value>>) -> io::Result<()> {
    match Output::to_screen(mode.unwrap_or_else(Mode::for_stdout), false).rows(columns, rows) {
        Err(Failure::File { source, .. }) => Err(source),
        Err(Failure::Closed) | Ok(()) => Ok(()),
        Err(failure) => Err(io::Error::other(failure.to_string())),
    }
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

fn is_number(value: &Value) -> bool {
    value.is_number() || value.is_null()
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table
}
