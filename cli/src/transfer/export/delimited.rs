//! A table as csv: a header, quotes where they are needed, lists as JSON.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use crate::core::failure::Failure;
use crate::transfer::columns::{Cell, Column, Table};
use crate::transfer::csv_injection::guarded;

use crate::transfer::export::folder::{Folder, Out, Place};
use crate::transfer::export::objects::{push_reals, push_words};
use crate::transfer::export::sheet;

pub(super) struct Sheet {
    place: Place,
    table: Table,
    csv: csv::Writer<Out>,
    is_guarded: bool,
    rows: u64,
    text: String,
}

impl Sheet {
    pub(super) fn create(
        folder: &mut Folder,
        table: Table,
        columns: Vec<Column>,
        is_guarded: bool,
    ) -> Result<Box<dyn sheet::Sheet>, Failure> {
        let place = folder.place();
        let file = place.file(&format!("{}.csv", table.name()))?;
        let mut csv = csv::WriterBuilder::new().buffer_capacity(1 << 16).from_writer(file);
        csv.write_record(columns.iter().map(|column| column.name.as_bytes()))
            .map_err(|error| failed(table, error))?;
        Ok(Box::new(Self { place, table, csv, is_guarded, rows: 0, text: String::new() }))
    }
}

fn failed(table: Table, error: csv::Error) -> Failure {
    let source = match error.into_kind() {
        csv::ErrorKind::Io(source) => source,
        other => io::Error::other(format!("{other:?}")),
    };
    Failure::file(format!("{}.csv", table.name()).as_ref(), "write", source)
}

impl sheet::Sheet for Sheet {
    fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), Failure> {
        let mut write = || -> Result<(), csv::Error> {
            for cell in cells {
                let text = &mut self.text;
                text.clear();
                match *cell {
                    Cell::Text(cell) if self.is_guarded => {
                        self.csv.write_field(guarded(cell).as_bytes())?;
                        continue;
                    }
                    Cell::Text(cell) => {
                        self.csv.write_field(cell)?;
                        continue;
                    }
                    // Writing to a String cannot fail.
                    Cell::Id(id) => drop(write!(text, "{id:016x}")),
                    Cell::Count(count) => drop(write!(text, "{count}")),
                    Cell::Time(Some(time)) => drop(write!(text, "{time}")),
                    Cell::Real(value) => drop(write!(text, "{value}")),
                    Cell::Words(words) => push_words(words, text),
                    Cell::Reals(Some(values)) => push_reals(values, text),
                    Cell::Time(None) | Cell::Reals(None) => {}
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
        let Self { place, table, csv, rows, .. } = *self;
        let mut file = csv.into_inner().map_err(|error| {
            Failure::file(format!("{}.csv", table.name()).as_ref(), "write", error.error().kind().into())
        })?;
        file.flush().map_err(|source| file.failed(source))?;
        place.keep(file, Some(table), Some(rows))
    }
}
