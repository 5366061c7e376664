//! The three forms that edges come in, read row by row: what every message about a row comes from.

use hedgerow::{Edge, NodeRef};

use crate::core::failure::Failure;
use crate::core::location::{BadInput, Place};
use crate::input::delimited::{Delimited, is_comment};
use crate::input::lines::Lines;
use crate::input::pairs::words;
use crate::input::separator::Separator;
use crate::input::timestamp;
use crate::output::printer::Output;
use crate::transfer::import::columns::Columns;
use crate::transfer::import::fields::Fields;
use crate::transfer::import::loader::Loader;
use crate::transfer::import::target::Target;
use crate::transfer::import::{Format, ImportArgs};

/// A file of edges whose header, if it has one, was understood, and what follows it.
pub(super) struct Plan<'a> {
    pub(super) rows: Rows<'a>,
    pub(super) lines: Lines,
    /// As it stands in the file.
    pub(super) header: Option<Vec<u8>>,
}

/// How rows are read.
pub(super) struct Rows<'a> {
    pub(super) relation: Option<&'a str>,
    /// What a line begins with that is passed over.
    pub(super) comment: Option<&'a str>,
    pub(super) form: Form,
}

pub(super) enum Form {
    Csv { separator: Separator, columns: Columns },
    Adjacency { src: String, dst: String },
    Jsonl(Fields),
}

impl<'a> Plan<'a> {
    pub(super) fn open(
        args: &'a ImportArgs,
        format: Format,
        lines: Lines,
        out: Output,
    ) -> Result<Self, Failure> {
        let how = args.how(true);
        let (form, lines, header) = match format {
            Format::Csv if args.columns.is_empty() => {
                let records = Delimited::open(lines, &how)?;
                let columns = Columns::of(&records, &records.header()?, args, out)?;
                let (separator, header) = (records.separator(), records.raw().to_vec());
                (Form::Csv { separator, columns }, records.into_lines(), Some(header))
            }
            Format::Csv if args.columns.len() < 2 => {
                let problem = "--columns names one column, and an edge has two ends: give two or more, such as board,pin";
                return Err(Failure::Usage(problem.to_owned()));
            }
            Format::Csv => {
                let records = Delimited::open_bare(lines, &how)?;
                let columns = Columns::of(&records, &args.columns, args, out)?;
                (Form::Csv { separator: records.separator(), columns }, records.into_lines(), None)
            }
            Format::Adjacency => {
                let (src, dst) = args.adjacency()?;
                (Form::Adjacency { src, dst }, lines, None)
            }
            Format::Jsonl => (Form::Jsonl(Fields::of(args)), lines, None),
        };
        let (relation, comment) = (args.relation.as_deref(), args.comment.as_deref());
        Ok(Self { rows: Rows { relation, comment, form }, lines, header })
    }

    /// Reads all rows, one after another.
    pub(super) fn run(self, loader: &mut Loader<'_>) -> Result<(), Failure> {
        if let (Some(rejects), Some(header)) = (&mut loader.rejects, &self.header) {
            rejects.write(header)?;
        }
        let file = self.lines.file().to_owned();
        let seen = self.rows.read(self.lines, loader)?;
        self.rows.expect_some(seen, &file)
    }
}

/// What was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Whether there was a row, good or bad.
    pub(super) any: bool,
    /// The number of the last line.
    pub(super) lines: u64,
}

impl Rows<'_> {
    /// Reads the rows of the lines that follow.
    pub(super) fn read(&self, lines: Lines, target: &mut impl Target) -> Result<Seen, Failure> {
        match &self.form {
            Form::Csv { separator, columns } => {
                let records = Delimited::resume(lines, *separator, self.comment);
                read_records(records, columns, self.relation, target)
            }
            Form::Adjacency { src, dst } => self.read_adjacency(lines, src, dst, target),
            Form::Jsonl(fields) => self.read_objects(lines, fields, target),
        }
    }

    /// Refuses a file without rows; one with a header may have none.
    pub(super) fn expect_some(&self, seen: Seen, file: &str) -> Result<(), Failure> {
        if seen.any || matches!(self.form, Form::Csv { .. }) {
            return Ok(());
        }
        Err(Place::new(file, seen.lines + 1, 1).problem("the file is empty, expected edges").into())
    }

    fn read_adjacency(
        &self,
        mut lines: Lines,
        src: &str,
        dst: &str,
        target: &mut impl Target,
    ) -> Result<Seen, Failure> {
        let edge = Edge { relation: self.relation, ..Edge::default() };
        let mut any = false;
        while lines.advance()? {
            if is_comment(lines.bytes(), self.comment) {
                continue;
            }
            target.begin(lines.number())?;
            let row = match adjacency_row(&lines, src, dst) {
                Ok(row) => row,
                Err(Failure::Input(bad)) => {
                    any = true;
                    target.bad(*bad, lines.bytes())?;
                    continue;
                }
                Err(other) => return Err(other),
            };
            let Some((source, targets)) = row.split_first() else { continue };
            any = true;
            if targets.is_empty() {
                target.add_node(*source)?;
                target.staged()?;
            }
            for other in targets {
                target.link(*source, *other, edge)?;
                target.staged()?;
            }
        }
        Ok(Seen { any, lines: lines.number() - 1 })
    }

    fn read_objects(
        &self,
        mut lines: Lines,
        fields: &Fields,
        target: &mut impl Target,
    ) -> Result<Seen, Failure> {
        let mut any = false;
        while lines.advance()? {
            if lines.bytes().is_empty() || is_comment(lines.bytes(), self.comment) {
                continue;
            }
            any = true;
            target.begin(lines.number())?;
            match fields.take(&lines, self.relation, target) {
                Ok(()) => target.staged()?,
                Err(bad) => target.bad(bad, lines.bytes())?,
            }
        }
        Ok(Seen { any, lines: lines.number() - 1 })
    }
}

fn read_records(
    mut records: Delimited,
    columns: &Columns,
    relation: Option<&str>,
    target: &mut impl Target,
) -> Result<Seen, Failure> {
    let mut any = false;
    loop {
        let parsed = match records.advance() {
            Ok(true) => Ok(()),
            Ok(false) => return Ok(Seen { any, lines: records.lines().number() - 1 }),
            Err(Failure::Input(bad)) => Err(*bad),
            Err(other) => return Err(other),
        };
        any = true;
        target.begin(records.line())?;
        match parsed.and_then(|()| columns.take(&records, relation, target)) {
            Ok(()) => target.staged()?,
            Err(bad) => target.bad(bad, records.raw())?,
        }
    }
}

/// A weight; an empty field is 1.
pub(crate) fn weight(records: &Delimited, at: usize) -> Result<f32, BadInput> {
    let text = records.text(at)?.trim();
    weight_of(text)
        .ok_or_else(|| records.place(at).found(text.as_bytes(), "a weight: a finite number above 0"))
}

pub(super) fn weight_of(text: &str) -> Option<f32> {
    if text.is_empty() {
        return Some(1.0);
    }
    text.parse().ok().filter(|weight: &f32| weight.is_finite() && *weight > 0.0)
}

/// A time; an empty field is none.
pub(crate) fn time(records: &Delimited, at: usize) -> Result<Option<i64>, BadInput> {
    let text = records.text(at)?.trim();
    time_of(text).ok_or_else(|| records.place(at).found(text.as_bytes(), timestamp::EXPECTED))
}

#[expect(clippy::option_option, reason = "a text that is no time is not a text without a time")]
pub(super) fn time_of(text: &str) -> Option<Option<i64>> {
    if text.is_empty() { Some(None) } else { timestamp::parse(text).map(Some) }
}

/// All names of a line, checked before the first of its edges is staged.
fn adjacency_row<'a>(lines: &'a Lines, src: &'a str, dst: &'a str) -> Result<Vec<NodeRef<'a>>, Failure> {
    let mut row = Vec::new();
    for (nth, (at, key)) in words(lines)?.into_iter().enumerate() {
        let kind = if nth == 0 { src } else { dst };
        row.push(NodeRef::new(kind, key).map_err(|error| lines.place(at).problem(error))?);
    }
    Ok(row)
}
