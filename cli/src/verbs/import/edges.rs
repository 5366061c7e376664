//! The three forms that edges come in, each row put into the loader's batch.

use hedgerow::{Batch, Edge, NodeRef};

use super::loader::Loader;
use super::{Format, ImportArgs};
use crate::failure::Failure;
use crate::output::Output;
use crate::place::BadInput;
use crate::reading::delimited::Delimited;
use crate::reading::jsonl::JsonLine;
use crate::reading::lines::Lines;
use crate::reading::pairs::words;
use crate::reading::timestamp;

/// A file of edges whose header, if it has one, was understood.
pub(super) struct Plan<'a> {
    relation: Option<&'a str>,
    form: Form,
}

enum Form {
    Csv { records: Delimited, columns: Columns, header: Vec<u8> },
    Adjacency { lines: Lines, src: String, dst: String },
    Jsonl(Lines),
}

struct Columns {
    count: usize,
    src: String,
    dst: String,
    weight: Option<usize>,
    time: Option<usize>,
}

impl<'a> Plan<'a> {
    pub(super) fn open(
        args: &'a ImportArgs,
        format: Format,
        lines: Lines,
        out: Output,
    ) -> Result<Self, Failure> {
        let form = match (format, &args.src, &args.dst) {
            (Format::Csv, _, _) => {
                let records = Delimited::open(lines)?;
                let columns = Columns::of(&records, args, out)?;
                let header = records.raw().to_vec();
                Form::Csv { records, columns, header }
            }
            (Format::Adjacency, Some(src), Some(dst)) => {
                Form::Adjacency { lines, src: src.clone(), dst: dst.clone() }
            }
            (Format::Adjacency, _, _) => {
                return Err(Failure::Usage(
                    "adjacency names no kinds: give --src KIND and --dst KIND".to_owned(),
                ));
            }
            (Format::Jsonl, _, _) => Form::Jsonl(lines),
        };
        Ok(Self { relation: args.relation.as_deref(), form })
    }

    pub(super) fn run(self, loader: &mut Loader<'_>) -> Result<(), Failure> {
        let relation = self.relation;
        match self.form {
            Form::Csv { mut records, columns, header } => {
                if let Some(rejects) = &mut loader.rejects {
                    rejects.write(&header)?;
                }
                loop {
                    match records.advance() {
                        Ok(true) => {}
                        Ok(false) => return Ok(()),
                        Err(Failure::Input(bad)) => {
                            loader.bad(*bad, records.raw())?;
                            continue;
                        }
                        Err(other) => return Err(other),
                    }
                    match link_record(&records, &columns, relation, &mut loader.batch) {
                        Ok(()) => loader.staged(records.line())?,
                        Err(bad) => loader.bad(bad, records.raw())?,
                    }
                }
            }
            Form::Adjacency { lines, src, dst } => adjacency(lines, &src, &dst, relation, loader),
            Form::Jsonl(mut lines) => {
                let mut empty = true;
                while lines.advance()? {
                    if lines.bytes().is_empty() {
                        continue;
                    }
                    empty = false;
                    match link_object(&lines, relation, &mut loader.batch) {
                        Ok(()) => loader.staged(lines.number())?,
                        Err(bad) => loader.bad(bad, lines.bytes())?,
                    }
                }
                if empty { Err(no_edges(&lines)) } else { Ok(()) }
            }
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
    batch: &mut Batch,
) -> Result<(), BadInput> {
    records.expect_fields(columns.count)?;
    let node = |at: usize, kind| {
        NodeRef::new(kind, records.text(at)?).map_err(|error| records.place(at).problem(error))
    };
    let (src, dst) = (node(0, columns.src.as_str())?, node(1, columns.dst.as_str())?);
    let weight = columns.weight.map_or(Ok(1.0), |at| weight(records, at))?;
    let time = columns.time.map_or(Ok(None), |at| time(records, at))?;
    batch.link(src, dst, Edge { weight, time, relation }).map_err(|error| records.place(0).problem(error))
}

/// A weight; an empty field is 1.
pub(in crate::verbs) fn weight(records: &Delimited, at: usize) -> Result<f32, BadInput> {
    let text = records.text(at)?.trim();
    if text.is_empty() {
        return Ok(1.0);
    }
    match text.parse::<f32>() {
        Ok(weight) if weight.is_finite() && weight > 0.0 => Ok(weight),
        _ => Err(records.place(at).found(text.as_bytes(), "a weight: a finite number above 0")),
    }
}

/// A time; an empty field is none.
pub(in crate::verbs) fn time(records: &Delimited, at: usize) -> Result<Option<i64>, BadInput> {
    let text = records.text(at)?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let time = timestamp::parse(text);
    time.map(Some).ok_or_else(|| records.place(at).found(text.as_bytes(), timestamp::EXPECTED))
}

fn adjacency(
    mut lines: Lines,
    src: &str,
    dst: &str,
    relation: Option<&str>,
    loader: &mut Loader<'_>,
) -> Result<(), Failure> {
    let mut empty = true;
    while lines.advance()? {
        let row = adjacency_row(&lines, src, dst);
        let row = match row {
            Ok(row) => row,
            Err(Failure::Input(bad)) => {
                empty = false;
                loader.bad(*bad, lines.bytes())?;
                continue;
            }
            Err(other) => return Err(other),
        };
        let Some((source, targets)) = row.split_first() else { continue };
        empty = false;
        if targets.is_empty() {
            loader.batch.add_node(*source)?;
            loader.staged(lines.number())?;
        }
        for target in targets {
            loader.batch.link(*source, *target, Edge { relation, ..Edge::default() })?;
            loader.staged(lines.number())?;
        }
    }
    if empty { Err(no_edges(&lines)) } else { Ok(()) }
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

fn link_object(lines: &Lines, relation: Option<&str>, batch: &mut Batch) -> Result<(), BadInput> {
    let object = JsonLine::parse(lines, &["src", "dst", "weight", "time"])?;
    let node = |field: &str| {
        let text = object.text(field, "a node such as \"pin:1\"")?;
        NodeRef::parse(text).map(|name| name.to_name()).map_err(|error| object.place(field).problem(error))
    };
    let (src, dst) = (node("src")?, node("dst")?);
    let edge = Edge { weight: object.weight()?, time: object.time()?, relation };
    batch.link(src.as_ref(), dst.as_ref(), edge).map_err(|error| object.place("weight").problem(error))
}

fn no_edges(lines: &Lines) -> Failure {
    lines.place(0).problem("the file is empty, expected edges").into()
}
