//! The two formats of an update stream. Each line is a change, which is added to a batch.

use hedgerow::{Batch, Edge, NodeName, NodeRef, PropertyType};

use crate::core::failure::Failure;
use crate::core::location::BadInput;
use crate::input::delimited::Delimited;
use crate::input::jsonl::{FieldValue, JsonLine};
use crate::input::lines::Lines;
use crate::input::rows::{LineRows, RowReader};
use crate::input::separator::Separator;

/// A stream of changes, whose first line decides the form.
pub(crate) enum Changes {
    Empty,
    Delimited(Delimited),
    Json(LineRows),
}

impl Changes {
    pub(crate) fn open(mut lines: Lines) -> Result<Self, Failure> {
        while lines.advance()? {
            let separator = match lines.bytes() {
                [] => continue,
                [b'{', ..] => {
                    lines.unread();
                    return Ok(Self::Json(LineRows::objects(lines, None)));
                }
                // The operation is one byte, so the separator is the second.
                [_, separator @ (b'\t' | b';' | b'|'), ..] => *separator,
                _ => b',',
            };
            lines.unread();
            return Ok(Self::Delimited(Delimited::resume(lines, Separator::Byte(separator), None)));
        }
        Ok(Self::Empty)
    }

    /// Adds the next change to the batch; the answer is its line, or none at the end.
    pub(crate) fn next(&mut self, batch: &mut Batch) -> Result<Option<u64>, Failure> {
        if !self.advance()? {
            return Ok(None);
        }
        self.add_to(batch)?;
        Ok(Some(match self {
            Self::Empty => 0,
            Self::Delimited(records) => records.line(),
            Self::Json(rows) => rows.line(),
        }))
    }

    /// Reads the next change; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool, Failure> {
        match self {
            Self::Empty => Ok(false),
            Self::Delimited(records) => records.advance(),
            Self::Json(rows) => rows.advance(),
        }
    }

    /// Adds the current change to the batch.
    pub(super) fn add_to(&self, batch: &mut Batch) -> Result<(), BadInput> {
        match self {
            Self::Empty => Ok(()),
            Self::Delimited(records) => record(records, batch),
            Self::Json(rows) => object(rows.lines(), batch),
        }
    }

    /// The lines of the stream, at the last line of the current change; none for an empty stream.
    pub(super) fn lines(&self) -> Option<&Lines> {
        match self {
            Self::Empty => None,
            Self::Delimited(records) => Some(records.lines()),
            Self::Json(rows) => Some(rows.lines()),
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
    let edge = Edge { weight: records.weight(3)?, time: records.time(4)?, ..Edge::default() };
    let staged = if adds { batch.link(src, dst, edge) } else { batch.unlink(src, dst, None) };
    staged.map_err(|error| records.place(1).problem(error))
}

/// A field that holds a node.
fn node(object: &JsonLine<'_>, field: &str) -> Result<NodeName, BadInput> {
    let text = object.text(field, "a node such as \"pin:1\"")?;
    NodeRef::parse(&text).map(|name| name.to_name()).map_err(|error| object.place(field).problem(error))
}

/// Sets the properties of a node: all fields but `op` and `node`. A field that is null removes its property.
fn set(object: &JsonLine<'_>, batch: &mut Batch) -> Result<(), BadInput> {
    let node = node(object, "node")?;
    let before = batch.savepoint();
    let mut stage = || {
        batch.add_node(&node).map_err(|error| object.place("node").problem(error))?;
        for field in object.names().filter(|field| !["op", "node"].contains(field)) {
            let of = object.value_type(field).unwrap_or(PropertyType::Text);
            let staged = object.value(field, of, |value| match value {
                FieldValue::Value(value) => batch.set_property(&node, field, &value),
                FieldValue::Empty | FieldValue::Missing => batch.remove_property(&node, field),
            })?;
            staged.map_err(|error| object.place(field).problem(error))?;
        }
        Ok(())
    };
    let staged = stage();
    if staged.is_err() {
        batch.roll_back(&before);
    }
    staged
}

fn object(lines: &Lines, batch: &mut Batch) -> Result<(), BadInput> {
    let object = JsonLine::parse(lines)?;
    let expected = "\"add\", \"remove\" or \"set\"";
    let adds = match object.text("op", expected)?.as_ref() {
        "add" => true,
        "remove" => false,
        "set" => return set(&object, batch),
        other => return Err(object.place("op").found(other.as_bytes(), expected)),
    };
    object.expect_only(&["op", "src", "dst", "weight", "time"])?;
    let node = |field: &str| node(&object, field);
    let (src, dst) = (node("src")?, node("dst")?);
    let edge = Edge { weight: object.weight("weight")?, time: object.time("time")?, ..Edge::default() };
    let added = if adds {
        batch.link(src.as_ref(), dst.as_ref(), edge)
    } else {
        batch.unlink(src.as_ref(), dst.as_ref(), None)
    };
    added.map_err(|error| object.place("weight").problem(error))
}
