//! A table as csv: a header, quotes where fields need them, lists as JSON.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use crate::core::csv_injection::guarded;
use crate::core::failure::Failure;
use crate::transfer::table_schema::{Column, ColumnValue, Table};

use crate::transfer::export::export_folder::{ExportFile, ExportFolder, FileSet};
use crate::transfer::export::jsonl::{push_numbers, push_texts};
use crate::transfer::export::table_writer::TableWriter;

pub(super) struct CsvWriter {
    files: FileSet,
    table: Table,
    csv: csv::Writer<ExportFile>,
    is_guarded: bool,
    rows: u64,
    text: String,
}

impl CsvWriter {
    pub(super) fn create(
        folder: &mut ExportFolder,
        table: Table,
        columns: &[Column],
        is_guarded: bool,
    ) -> Result<Box<dyn TableWriter>, Failure> {
        let files = folder.files();
        let file = files.file(&format!("{}.csv", table.name()))?;
        let mut csv = csv::WriterBuilder::new().buffer_capacity(1 << 16).from_writer(file);
        csv.write_record(columns.iter().map(|column| column.name.as_bytes()))
            .map_err(|error| failed(table, error))?;
        Ok(Box::new(Self { files, table, csv, is_guarded, rows: 0, text: String::new() }))
    }
}

fn failed(table: Table, error: csv::Error) -> Failure {
    let source = match error.into_kind() {
        csv::ErrorKind::Io(source) => source,
        other => io::Error::other(format!("{other:?}")),
    };
    Failure::file(format!("{}.csv", table.name()).as_ref(), "write", source)
}

impl TableWriter for CsvWriter {
    fn row(&mut self, cells: &[ColumnValue<'_>]) -> Result<(), Failure> {
        let mut write = || -> Result<(), csv::Error> {
            for cell in cells {
                let text = &mut self.text;
                text.clear();
                match *cell {
                    ColumnValue::Text(cell) if self.is_guarded => {
                        self.csv.write_field(guarded(cell).as_bytes())?;
                        continue;
                    }
                    ColumnValue::Text(cell) | ColumnValue::Json(cell) => {
                        self.csv.write_field(cell)?;
                        continue;
                    }
                    // Writing to a String cannot fail.
                    ColumnValue::Id(id) => drop(write!(text, "{id:016x}")),
                    ColumnValue::Count(count) => drop(write!(text, "{count}")),
                    ColumnValue::Time(Some(time)) => drop(write!(text, "{time}")),
                    ColumnValue::Number(value) => drop(write!(text, "{value}")),
                    ColumnValue::Texts(words) => push_texts(words, text),
                    ColumnValue::Numbers(Some(values)) => push_numbers(values, text),
                    ColumnValue::Time(None) | ColumnValue::Numbers(None) => {}
                }
                self.csv.write_field(&*text)?;
            }
            self.csv.write_record(None::<&[u8]>)
        };
        write().map_err(|error| failed(self.table, error))?;
        self.rows += 1;
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<(), Failure> {
        let Self { files, table, csv, rows, .. } = *self;
        let mut file = csv.into_inner().map_err(|error| {
            Failure::file(format!("{}.csv", table.name()).as_ref(), "write", error.error().kind().into())
        })?;
        file.flush().map_err(|source| file.failed(source))?;
        files.add(file, Some(table), Some(rows))
    }
}
