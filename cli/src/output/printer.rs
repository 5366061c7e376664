//! Results in the five output modes, and messages.
//! Verbs give results as values. This module and `stream` write them, and `target` knows where to.

use std::io::{self, IsTerminal};
use std::path::Path;

use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

use crate::core::escape::{escaped_formats, escaped_lines, json_safe};
use crate::core::failure::Failure;
use crate::output::color::{ERROR, HEADER, WARNING, painted};
use crate::output::stream::Stream;
use crate::output::target::OutputTarget;
use crate::output::value::{object, plain, pretty, spreadsheet_cell};

/// The column of reasons. Its sentences are wrapped and never cut.
const REASONS: &str = "why";

/// The format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// A table, cut to the width of the terminal
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
    /// A table for a terminal, tsv for a pipe.
    pub(crate) fn for_stdout() -> Self {
        if io::stdout().is_terminal() { Self::Table } else { Self::Tsv }
    }

    /// The mode that belongs to the extension of a file.
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

/// The output of a verb.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) mode: Mode,
    pub(crate) quiet: bool,
    pub(crate) target: OutputTarget,
}

impl Output {
    /// An output to standard output and standard error.
    pub(crate) fn to_screen(mode: Mode, quiet: bool) -> Self {
        Self { mode, quiet, target: OutputTarget::Screen }
    }

    /// Writes one result with named fields.
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

    /// Writes results that all have the same columns.
    pub(crate) fn rows(self, columns: &[&str], rows: Vec<Vec<Value>>) -> Result<(), Failure> {
        match self.mode {
            Mode::Json => self.json(&Value::Array(objects(columns, rows))),
            Mode::Jsonl => objects(columns, rows).iter().try_for_each(|value| self.json(value)),
            Mode::Csv | Mode::Tsv => {
                let mut text = String::new();
                if self.mode == Mode::Csv {
                    text += &line(self.mode, columns.iter().map(|name| (*name).to_owned()).collect())?;
                }
                for row in &rows {
                    text += &self.line(row)?;
                }
                self.text(&text)
            }
            Mode::Table => {
                let mut table = new_table();
                // Columns of numbers are aligned to the right.
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
                self.table(table, columns.contains(&REASONS))
            }
        }
    }

    /// Writes results and facts that hold for all of them. JSON has the facts once, text has only the results.
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

    /// Results that are written one by one.
    pub(crate) fn stream(self, columns: &[&str]) -> Stream {
        Stream::new(self, columns)
    }

    /// A row as a line of csv or tsv. On a terminal format characters are escaped too.
    pub(crate) fn line(self, row: &[Value]) -> Result<String, Failure> {
        let cell = if self.mode == Mode::Csv { spreadsheet_cell } else { plain };
        let text = line(self.mode, row.iter().map(cell).collect())?;
        Ok(if self.target.is_screen() { escaped_formats(&text) } else { text })
    }

    /// Writes a text unchanged.
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        self.target.write(text.as_bytes())
    }

    pub(crate) fn json(self, value: &Value) -> Result<(), Failure> {
        self.text(&(json_safe(value.to_string()) + "\n"))
    }

    /// Writes a sentence to stderr, unless `--quiet` is given.
    pub(crate) fn note(self, text: &str) {
        if self.quiet {
            return;
        }
        let text = escaped_lines(text);
        let paints = OutputTarget::messages_allow_color();
        self.target.say(&match text.strip_prefix("warning:") {
            Some(rest) => painted("warning:", WARNING, paints) + rest,
            None => text,
        });
    }

    /// Writes a line to stderr that the user requested, also with `--quiet`.
    pub(crate) fn status(self, value: &Value) {
        self.target.say(&json_safe(value.to_string()));
    }

    /// Writes an error to stderr in the form of the output mode, also with `--quiet`.
    pub(crate) fn failure(self, failure: &Failure) {
        self.target.say(&self.failure_text(failure));
    }

    /// The text that [`Self::failure`] writes.
    pub(crate) fn failure_text(self, failure: &Failure) -> String {
        if self.mode.is_json() {
            return json_safe(failure.to_json().to_string());
        }
        let paints = OutputTarget::messages_allow_color();
        format!("{} {}", painted("error:", ERROR, paints), escaped_lines(&failure.to_string()))
    }

    /// Writes a table. With `wraps`, a row has as many lines as its longest text needs; else texts are cut.
    fn table(self, mut table: Table, wraps: bool) -> Result<(), Failure> {
        // A terminal limits the width; a file or a pipe gets the whole table.
        match self.target.width() {
            Some(width) => {
                table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
                if !wraps {
                    // A text is cut at any character, so that the column is filled.
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
            // The header is bold between its borders.
            match line.strip_prefix('\u{2502}').and_then(|line| line.strip_suffix('\u{2502}')) {
                Some(names) if has_header && at == 1 => {
                    format!("\u{2502}{}\u{2502}\n", painted(names, HEADER, self.target.allows_color()))
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

/// A line of csv, or of tsv in every other mode.
pub(crate) fn line(mode: Mode, cells: Vec<String>) -> Result<String, Failure> {
    if mode != Mode::Csv {
        return Ok(cells.join("\t") + "\n");
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |source: csv::Error| Failure::Refused(format!("cannot write a csv line: {source}"));
    writer.write_record(cells).map_err(failed)?;
    let bytes = writer.into_inner().map_err(|source| Failure::Refused(source.to_string()))?;
    String::from_utf8(bytes).map_err(|source| Failure::Refused(source.to_string()))
}

fn objects(columns: &[&str], rows: Vec<Vec<Value>>) -> Vec<Value> {
    rows.into_iter().map(|row| object(columns.iter().copied().zip(row))).collect()
}

fn is_number(value: &Value) -> bool {
    value.is_number() || value.is_null()
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table
}
