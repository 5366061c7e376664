//! The two formats of an update stream. Each line is a change, which is added to a batch.

use hedgerow::{Batch, Edge, NodeName, NodeRef};

use crate::core::failure::Failure;
use crate::core::location::BadInput;
use crate::input::delimited::Delimited;
use crate::input::jsonl::JsonLine;
use crate::input::lines::Lines;
use crate::input::separator::Separator;
use crate::transfer::import::edges::{time, weight};

/// A stream of changes. Its first line decides the format.
pub(super) enum Changes {
    /// A stream without lines.
    Empty,
    Delimited {
        records: Delimited,
        first: bool,
    },
    Json {
        lines: Lines,
        first: bool,
    },
}

impl Changes {
    pub(super) fn open(mut lines: Lines) -> Result<Self, Failure> {
        while lines.advance()? {
            let separator = match lines.bytes() {
                [] => continue,
                [b'{', ..] => return Ok(Self::Json { lines, first: true }),
                // The operation is one byte, so the second byte is the separator.
                [_, separator @ (b'\t' | b';' | b'|'), ..] => *separator,
                _ => b',',
            };
            return Ok(Self::Delimited {
                records: Delimited::open_at(lines, Separator::Byte(separator))?,
                first: true,
            });
        }
        Ok(Self::Empty)
    }

    /// Adds the next change to the batch and returns its line number; none at the end.
    pub(super) fn next(&mut self, batch: &mut Batch) -> Result<Option<u64>, Failure> {
        if !self.advance()? {
            return Ok(None);
        }
        self.add_to(batch)?;
        Ok(Some(match self {
            Self::Empty => 0,
            Self::Delimited { records, .. } => records.line(),
            Self::Json { lines, .. } => lines.number(),
        }))
    }

    /// Moves to the next change; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool, Failure> {
        match self {
            Self::Empty => Ok(false),
            Self::Delimited { records, first } => Ok(std::mem::take(first) || records.advance()?),
            Self::Json { lines, first } => loop {
                if !std::mem::take(first) && !lines.advance()? {
                    return Ok(false);
                }
                if !lines.bytes().is_empty() {
                    return Ok(true);
                }
            },
        }
    }

    /// Adds the current change to the batch.
    pub(super) fn add_to(&self, batch: &mut Batch) -> Result<(), BadInput> {
        match self {
            Self::Empty => Ok(()),
            Self::Delimited { records, .. } => record(records, batch),
            Self::Json { lines, .. } => object(lines, batch),
        }
    }

    /// The lines of the stream, at the last line of the current change; none for an empty stream.
    pub(super) fn lines(&self) -> Option<&Lines> {
        match self {
            Self::Empty => None,
            Self::Delimited { records, .. } => Some(records.lines()),
            Self::Json { lines, .. } => Some(lines),
        }
    }
}

fn record(records: &Delimited, batch: &mut Batch) -> Result<(), BadInput> {
    let adds = match records.bytes(0) {
        b"+" => true,
        b"-" => false,
        other => return Err(records.place(0).found(other, "+ or -")),
    };
    if !(3..=5).contains(&records.len()) {
        let problem = format!("found {} fields, expected 3 to 5: +,src,dst[,weight][,time]", records.len());
        return Err(records.place(records.len().min(5)).problem(problem));
    }
    let node =
        |at: usize| NodeRef::parse(records.text(at)?).map_err(|error| records.place(at).problem(error));
    let (src, dst) = (node(1)?, node(2)?);
    let edge = Edge { weight: weight(records, 3)?, time: time(records, 4)?, relation: None };
    let added = if adds { batch.link(src, dst, edge) } else { batch.unlink(src, dst, None) };
    added.map_err(|error| records.place(1).problem(error))
}

fn object(lines: &Lines, batch: &mut Batch) -> Result<(), BadInput> {
    let object = JsonLine::parse(lines)?;
    object.expect_only(&["op", "src", "dst", "weight", "time"])?;
    let adds = match object.text("op", "\"add\" or \"remove\"")? {
        "add" => true,
        "remove" => false,
        other => return Err(object.place("op").found(other.as_bytes(), "\"add\" or \"remove\"")),
    };
    let node = |field: &str| -> Result<NodeName, BadInput> {
        let text = object.text(field, "a node such as \"pin:1\"")?;
        NodeRef::parse(text).map(|name| name.to_name()).map_err(|error| object.place(field).problem(error))
    };
    let (src, dst) = (node("src")?, node("dst")?);
    let edge = Edge { weight: object.weight("weight")?, time: object.time("time")?, relation: None };
    let added = if adds {
        batch.link(src.as_ref(), dst.as_ref(), edge)
    } else {
        batch.unlink(src.as_ref(), dst.as_ref(), None)
    };
    added.map_err(|error| object.place("weight").problem(error))
}
