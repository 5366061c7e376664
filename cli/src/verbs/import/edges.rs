//! The three forms that edges come in, read row by row: what every message about a row comes from.

use hedgerow::{Edge, NodeRef};

use super::loader::Loader;
use super::target::Target;
use super::{Format, ImportArgs};
use crate::failure::Failure;
use crate::output::Output;
use crate::place::{BadInput, Place};
use crate::reading::delimited::Delimited;
use crate::reading::jsonl::JsonLine;
use crate::reading::lines::Lines;
use crate::reading::pairs::words;
use crate::reading::timestamp;

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
    pub(super) form: Form,
}

pub(super) enum Form {
    Csv { separator: u8, columns: Columns },
    Adjacency { src: String, dst: String },
    Jsonl,
}

pub(super) struct Columns {
    pub(super) count: usize,
    pub(super) src: String,
    pub(super) dst: String,
    pub(super) weight: Option<usize>,
    pub(super) time: Option<usize>,
}

impl<'a> Plan<'a> {
    pub(super) fn open(
        args: &'a ImportArgs,
        format: Format,
        lines: Lines,
        out: Output,
    ) -> Result<Self, Failure> {
        let relation = args.relation.as_deref();
        let (form, lines, header) = match (format, &args.src, &args.dst) {
            (Format::Csv, _, _) => {
                let records = Delimited::open(lines)?;
                let columns = Columns::of(&records, args, out)?;
                let (separator, header) = (records.separator(), records.raw().to_vec());
                (Form::Csv { separator, columns }, records.into_lines(), Some(header))
            }
            (Format::Adjacency, Some(src), Some(dst)) => {
                (Form::Adjacency { src: src.clone(), dst: dst.clone() }, lines, None)
            }
            (Format::Adjacency, _, _) => {
                return Err(Failure::Usage(
                    "adjacency names no kinds: give --src KIND and --dst KIND".to_owned(),
                ));
            }
            (Format::Jsonl, _, _) => (Form::Jsonl, lines, None),
        };
        Ok(Self { rows: Rows { relation, form }, lines, header })
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
                read_records(Delimited::resume(lines, *separator), columns, self.relation, target)
            }
            Form::Adjacency { src, dst } => read_adjacency(lines, src, dst, self.relation, target),
            Form::Jsonl => read_objects(lines, self.relation, target),
        }
    }

    /// Refuses a file without rows; one with a header may have none.
    pub(super) fn expect_some(&self, seen: Seen, file: &str) -> Result<(), Failure> {
        if seen.any || matches!(self.form, Form::Csv { .. }) {
            return Ok(());
        }
        Err(Place::new(file, seen.lines + 1, 1).problem("the file is empty, expected edges").into())
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
        match parsed.and_then(|()| link_record(&records, columns, relation, target)) {
            Ok(()) => target.staged()?,
            Err(bad) => target.bad(bad, records.raw())?,
        }
    }
}

impl Columns {
    fn of(records: &Delimited, args: &ImportArgs, out: Output) -> Result<Self, Failure> {
        let names = records.header()?;
        if names.len() < 2 {
            let expected = "a header of at least two columns that name the kinds, such as board,pin";
            return Err(records.place(0).found(records.raw(), expected).into());
        }
        if names[..2].iter().all(|name| name.parse::<f64>().is_ok()) {
            let expected =
                "a header line that names the two kinds, such as board,pin (or --format adjacency)";
            return Err(records.place(0).found(records.raw(), expected).into());
        }
        let kind = |at: usize, given: &Option<String>| {
            let kind = given.clone().unwrap_or_else(|| names[at].clone());
            // Any key will do to have the kind checked.
            NodeRef::new(&kind, "0").map_err(|error| records.place(at).problem(error))?;
            Ok::<String, BadInput>(kind)
        };
        let wanted = |given: &Option<String>, usual: &[&str]| match given {
            Some(given) => {
                let found = names.iter().position(|name| name.eq_ignore_ascii_case(given));
                found.map(Some).ok_or_else(|| {
                    let problem = format!("the header has no column {given:?}, it has {}", names.join(", "));
                    records.place(0).problem(problem)
                })
            }
            None => {
                Ok((2..names.len()).find(|at| usual.iter().any(|name| names[*at].eq_ignore_ascii_case(name))))
            }
        };
        let columns = Self {
            count: names.len(),
            src: kind(0, &args.src)?,
            dst: kind(1, &args.dst)?,
            weight: wanted(&args.weight_column, &["weight"])?,
            time: wanted(&args.time_column, &["time", "timestamp"])?,
        };
        let used = |at: usize| at < 2 || Some(at) == columns.weight || Some(at) == columns.time;
        let ignored: Vec<&str> =
            (0..names.len()).filter(|at| !used(*at)).map(|at| names[at].as_str()).collect();
        if !ignored.is_empty() {
            let advice = "name them with --weight-column or --time-column if they matter";
            out.note(&format!("columns not imported: {} ({advice})", ignored.join(", ")));
        }
        Ok(columns)
    }
}

fn link_record(
    records: &Delimited,
    columns: &Columns,
    relation: Option<&str>,
    target: &mut impl Target,
) -> Result<(), BadInput> {
    records.expect_fields(columns.count)?;
    let node = |at: usize, kind| {
        NodeRef::new(kind, records.text(at)?).map_err(|error| records.place(at).problem(error))
    };
    let (src, dst) = (node(0, columns.src.as_str())?, node(1, columns.dst.as_str())?);
    let weight = columns.weight.map_or(Ok(1.0), |at| weight(records, at))?;
    let time = columns.time.map_or(Ok(None), |at| time(records, at))?;
    target.link(src, dst, Edge { weight, time, relation }).map_err(|error| records.place(0).problem(error))
}

/// A weight; an empty field is 1.
pub(in crate::verbs) fn weight(records: &Delimited, at: usize) -> Result<f32, BadInput> {
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
pub(in crate::verbs) fn time(records: &Delimited, at: usize) -> Result<Option<i64>, BadInput> {
    let text = records.text(at)?.trim();
    time_of(text).ok_or_else(|| records.place(at).found(text.as_bytes(), timestamp::EXPECTED))
}

#[expect(clippy::option_option, reason = "a text that is no time is not a text without a time")]
pub(super) fn time_of(text: &str) -> Option<Option<i64>> {
    if text.is_empty() { Some(None) } else { timestamp::parse(text).map(Some) }
}

fn read_adjacency(
    mut lines: Lines,
    src: &str,
    dst: &str,
    relation: Option<&str>,
    target: &mut impl Target,
) -> Result<Seen, Failure> {
    let mut any = false;
    while lines.advance()? {
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
            target.link(*source, *other, Edge { relation, ..Edge::default() })?;
            target.staged()?;
        }
    }
    Ok(Seen { any, lines: lines.number() - 1 })
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

fn read_objects(mut lines: Lines, relation: Option<&str>, target: &mut impl Target) -> Result<Seen, Failure> {
    let mut any = false;
    while lines.advance()? {
        if lines.bytes().is_empty() {
            continue;
        }
        any = true;
        target.begin(lines.number())?;
        match link_object(&lines, relation, target) {
            Ok(()) => target.staged()?,
            Err(bad) => target.bad(bad, lines.bytes())?,
        }
    }
    Ok(Seen { any, lines: lines.number() - 1 })
}

fn link_object(lines: &Lines, relation: Option<&str>, target: &mut impl Target) -> Result<(), BadInput> {
    let object = JsonLine::parse(lines, &["src", "dst", "weight", "time"])?;
    let node = |field: &str| {
        let text = object.text(field, "a node such as \"pin:1\"")?;
        NodeRef::parse(text).map(|name| name.to_name()).map_err(|error| object.place(field).problem(error))
    };
    let (src, dst) = (node("src")?, node("dst")?);
    let edge = Edge { weight: object.weight()?, time: object.time()?, relation };
    target.link(src.as_ref(), dst.as_ref(), edge).map_err(|error| object.place("weight").problem(error))
}
