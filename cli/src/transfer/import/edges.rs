//! The three forms of a file of edges, and the one way in which rows of each get into a target.

use hedgerow::NodeRef;

use crate::core::failure::Failure;
use crate::core::location::Place;
use crate::input::delimited::Delimited;
use crate::input::lines::Lines;
use crate::input::pairs::words;
use crate::input::rows::{LineRows, RowReader};
use crate::input::separator::Separator;
use crate::output::printer::Output;
use crate::transfer::edges::edge_columns::EdgeColumns;
use crate::transfer::edges::edge_fields::EdgeFields;
use crate::transfer::edges::row_target::RowTarget;
use crate::transfer::edges::signals::Signals;
use crate::transfer::edges::weight_map::Signal;
use crate::transfer::import::{Format, ImportArgs};

/// A file of edges whose header, if it has one, is matched with the flags.
pub(super) struct EdgeFile<'a> {
    pub(super) rows: EdgeRows<'a>,
    /// The lines behind the header.
    pub(super) lines: Lines,
    /// The header as the file has it.
    pub(super) header: Option<Vec<u8>>,
}

/// The form of the rows of a file.
pub(super) struct EdgeRows<'a> {
    pub(super) signals: Signals<'a>,
    /// The text that begins a line which is no row.
    pub(super) comment: Option<&'a str>,
    pub(super) form: EdgeForm,
}

pub(super) enum EdgeForm {
    Csv { separator: Separator, columns: EdgeColumns },
    Adjacency { src: String, dst: String },
    Jsonl(EdgeFields),
}

impl<'a> EdgeFile<'a> {
    pub(super) fn open(
        args: &'a ImportArgs,
        format: Format,
        lines: Lines,
        out: Output,
    ) -> Result<Self, Failure> {
        let dialect = args.table.dialect(true);
        let (form, lines, header) = match format {
            Format::Csv if args.table.columns.is_empty() => {
                let records = Delimited::open(lines, &dialect)?;
                let columns = EdgeColumns::of(&records, &records.header()?, (&args.rows, &args.table), out)?;
                let (separator, header) = (records.separator(), records.raw().to_vec());
                (EdgeForm::Csv { separator, columns }, records.into_lines(), Some(header))
            }
            Format::Csv if args.table.columns.len() < 2 => {
                let problem = "--columns names one column, and an edge has two ends: give two or more, such as board,pin";
                return Err(Failure::Usage(problem.to_owned()));
            }
            Format::Csv => {
                let records = Delimited::open_bare(lines, &dialect)?;
                let columns = EdgeColumns::of(&records, &args.table.columns, (&args.rows, &args.table), out)?;
                (EdgeForm::Csv { separator: records.separator(), columns }, records.into_lines(), None)
            }
            Format::Adjacency => {
                let (src, dst) = args.adjacency()?;
                (EdgeForm::Adjacency { src, dst }, lines, None)
            }
            Format::Jsonl => (EdgeForm::Jsonl(EdgeFields::of(&args.rows)), lines, None),
        };
        let (signals, comment) = (Signals::of(&args.rows), args.table.comment.as_deref());
        Ok(Self { rows: EdgeRows { signals, comment, form }, lines, header })
    }
}

impl EdgeRows<'_> {
    /// Puts the rows behind the current line into a target; returns the lines, at their end or at the row that failed, and
    /// whether there was a row, good or bad.
    pub(super) fn read(&self, lines: Lines, target: &mut impl RowTarget) -> (Lines, Result<bool, Failure>) {
        match &self.form {
            EdgeForm::Csv { separator, columns } => {
                let mut records = Delimited::resume(lines, *separator, self.comment);
                let read = read_rows(&mut records, target, |records, target| {
                    columns.take(records, self.signals, target)?;
                    target.staged()
                });
                (records.into_lines(), read)
            }
            EdgeForm::Adjacency { src, dst } => {
                let mut rows = LineRows::words(lines, self.comment);
                let read = read_rows(&mut rows, target, |rows, target| {
                    self.take_adjacency(rows.lines(), src, dst, target)
                });
                (rows.into_lines(), read)
            }
            EdgeForm::Jsonl(fields) => {
                let mut rows = LineRows::objects(lines, self.comment);
                let read = read_rows(&mut rows, target, |rows, target| {
                    fields.take(rows.lines(), self.signals, target)?;
                    target.staged()
                });
                (rows.into_lines(), read)
            }
        }
    }

    /// Refuses a file without rows, of which `line` is the last line; one with a header may have none.
    pub(super) fn expect_rows(&self, any: bool, file: &str, line: u64) -> Result<(), Failure> {
        if any || matches!(self.form, EdgeForm::Csv { .. }) {
            return Ok(());
        }
        Err(Place::new(file, line + 1, 1).problem("the file is empty, expected edges").into())
    }

    /// Links the first node of a line with each of the others, once all names are checked.
    fn take_adjacency(
        &self,
        lines: &Lines,
        src: &str,
        dst: &str,
        target: &mut impl RowTarget,
    ) -> Result<(), Failure> {
        let signal = Signal::Weight(1.0);
        let words = words(lines)?;
        for (nth, &(at, key)) in words.iter().enumerate() {
            let node = NodeRef { kind: if nth == 0 { src } else { dst }, key };
            node.validate().map_err(|error| lines.place(at).problem(error))?;
        }
        let Some((&(_, key), keys)) = words.split_first() else { return Ok(()) };
        let source = NodeRef { kind: src, key };
        if keys.is_empty() {
            target.add_node(source)?;
            target.staged()?;
        }
        for &(_, key) in keys {
            let ends = (source, NodeRef { kind: dst, key });
            let put = self.signals.put(target, ends, signal, None, self.signals.relation);
            put.map_err(|problem| lines.place(0).problem(problem))?;
            target.staged()?;
        }
        Ok(())
    }
}

/// Takes every row into a target, which decides what becomes of bad rows; the answer is whether there was a row.
fn read_rows<R: RowReader, T: RowTarget>(
    rows: &mut R,
    target: &mut T,
    take: impl Fn(&R, &mut T) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let mut any = false;
    loop {
        let row = rows.advance();
        match row {
            Ok(false) => return Ok(any),
            Ok(true) | Err(Failure::Input(_)) => {}
            Err(other) => return Err(other),
        }
        any = true;
        target.begin(rows.line())?;
        match row.and_then(|_| take(rows, target)) {
            Ok(()) => {}
            Err(Failure::Input(bad)) => target.bad(*bad, rows.raw())?,
            Err(other) => return Err(other),
        }
    }
}
