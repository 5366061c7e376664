//! The fields of JSON objects that are edges or nodes: the ends, the weight, the time, the relation.

use std::borrow::Cow;

use hedgerow::{Batch, Error, NodeRef};

use crate::core::location::BadInput;
use crate::input::jsonl::JsonLine;
use crate::input::lines::Lines;
use crate::transfer::edges::column_names::EndFlag;
use crate::transfer::edges::edge_flags::EdgeFlags;
use crate::transfer::edges::row_target::RowTarget;
use crate::transfer::edges::signals::Signals;
use crate::transfer::edges::weight_map::{Signal, WeightMap};

/// The names of the fields, from the flags or of an export.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EdgeFields {
    pub(crate) src: FieldEnd,
    /// None where objects are nodes.
    pub(crate) dst: Option<FieldEnd>,
    /// A field that a flag names, which every object must have; else the usual name counts where it is there.
    weight: Option<String>,
    time: Option<String>,
    relation: Option<String>,
    rules: Option<WeightMap>,
    /// The only fields that an object may have; none where others are ignored.
    known: Option<&'static [&'static str]>,
    /// An object must have all known fields, as in an export.
    complete: bool,
}

/// The fields of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldEnd {
    field: String,
    kind: FieldKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum FieldKind {
    Fixed(String),
    /// The field of the key holds `kind:key`.
    Written,
    /// The field of that name holds the kind.
    Field(String),
}

/// The fields of an edge; an export also writes the ids.
const KNOWN: &[&str] = &["src", "dst", "weight", "time", "relation", "src_id", "dst_id"];
const KNOWN_OF_NODES: &[&str] = &["id", "kind", "key"];

impl EdgeFields {
    /// The fields that the flags name, and the usual ones for the others.
    pub(crate) fn of(args: &EdgeFlags) -> Self {
        let end = |flag: &Option<EndFlag>, usual: &str| {
            let flag = flag.clone().unwrap_or_default();
            let kind = flag.kind.map_or(FieldKind::Written, FieldKind::Fixed);
            FieldEnd { field: flag.column.unwrap_or_else(|| usual.to_owned()), kind }
        };
        let named = |flag: &Option<EndFlag>| flag.as_ref().is_some_and(|flag| flag.column.is_some());
        let columns = [&args.weight_column, &args.time_column, &args.relation_column];
        let is_mapped = named(&args.src)
            || named(&args.dst)
            || args.weight_map.is_some()
            || columns.iter().any(|column| column.is_some());
        Self {
            src: end(&args.src, "src"),
            dst: Some(end(&args.dst, "dst")),
            weight: args.weight_column.clone(),
            time: args.time_column.clone(),
            relation: args.relation_column.clone(),
            rules: args.weight_map.clone(),
            known: (!is_mapped).then_some(KNOWN),
            complete: false,
        }
    }

    /// These fields in objects that may have any others.
    pub(crate) fn among_others(self) -> Self {
        Self { known: None, ..self }
    }

    /// The fields of an edge in an export.
    pub(crate) fn of_edges() -> Self {
        let end = |field: &str| FieldEnd { field: field.to_owned(), kind: FieldKind::Written };
        let (src, dst) = (end("src"), Some(end("dst")));
        Self {
            src,
            dst,
            weight: None,
            time: None,
            relation: None,
            rules: None,
            known: Some(KNOWN),
            complete: true,
        }
    }

    /// The fields of a node in an export.
    pub(crate) fn of_nodes() -> Self {
        Self {
            src: FieldEnd { field: "key".to_owned(), kind: FieldKind::Field("kind".to_owned()) },
            dst: None,
            known: Some(KNOWN_OF_NODES),
            ..Self::of_edges()
        }
    }

    /// Puts the object of a line into a target.
    pub(crate) fn take(
        &self,
        lines: &Lines,
        signals: Signals<'_>,
        target: &mut impl RowTarget,
    ) -> Result<(), BadInput> {
        let object = JsonLine::parse(lines)?;
        match self.known {
            Some(known) if self.complete => object.expect_exactly(known)?,
            Some(known) => object.expect_only(known)?,
            None => {}
        }
        let src = self.src.node(&object)?;
        let Some(dst) = &self.dst else {
            let added = target.add_node(src.as_ref());
            return added.map_err(|error| object.place(&self.src.field).problem(error));
        };
        let dst = dst.node(&object)?;
        // The weight, the time and the relation: a field that a flag names, or the default field.
        let signal = match &self.rules {
            Some(rules) => rules.signal(|_, field| Ok::<_, BadInput>(object.scalar(field)))?,
            None => None,
        };
        let weight = || match &self.weight {
            Some(field) => object.required(field).and_then(|()| object.weight(field)),
            None => object.weight("weight"),
        };
        let signal = signal.map_or_else(|| weight().map(Signal::Weight), Ok)?;
        let time = match &self.time {
            Some(field) => {
                object.required(field).and_then(|()| object.time(field, &mut target.state().times))?
            }
            None if self.known.is_none() && !object.has("time") => {
                object.time("timestamp", &mut target.state().times)?
            }
            None => object.time("time", &mut target.state().times)?,
        };
        let of_object = self.relation_of(&object, signals)?;
        let relation = of_object.as_deref().or(signals.relation);
        let place = || object.place(self.weight.as_deref().unwrap_or("weight"));
        let put = signals.put(target, (src.as_ref(), dst.as_ref()), signal, time, relation);
        put.map_err(|problem| place().problem(problem))
    }
}

impl EdgeFields {
    /// Removes the edge of an object.
    pub(crate) fn unlink(
        &self,
        object: &JsonLine<'_>,
        signals: Signals<'_>,
        batch: &mut Batch,
    ) -> Result<(), BadInput> {
        let Some(dst) = &self.dst else { return Ok(()) };
        let (src, dst) = (self.src.node(object)?, dst.node(object)?);
        let of_object = self.relation_of(object, signals)?;
        let relation = of_object.as_deref().or(signals.relation);
        let unlinked = batch.unlink(src.as_ref(), dst.as_ref(), relation);
        unlinked.map_err(|error| object.place(&self.src.field).problem(error))
    }

    /// The relation that the object names.
    fn relation_of<'a>(
        &self,
        object: &JsonLine<'a>,
        signals: Signals<'_>,
    ) -> Result<Option<Cow<'a, str>>, BadInput> {
        match (&self.relation, signals.relation) {
            (None, Some(_)) => Ok(None),
            (None, None) => object.optional_text("relation"),
            (Some(field), _) => object.text(field, "a relation").map(Some),
        }
    }
}

impl FieldEnd {
    fn node<'a>(&'a self, object: &JsonLine<'a>) -> Result<FieldNode<'a>, BadInput> {
        let node = match &self.kind {
            FieldKind::Written => {
                let text = object.text(&self.field, "a node such as \"pin:1\"")?;
                split_name(text).map_err(|error| object.place(&self.field).problem(error))?
            }
            FieldKind::Fixed(kind) => FieldNode { kind: kind.into(), key: object.key(&self.field)? },
            FieldKind::Field(kind) => {
                FieldNode { kind: object.text(kind, "a kind")?, key: object.key(&self.field)? }
            }
        };
        node.as_ref().validate().map_err(|error| object.place(&self.field).problem(error))?;
        Ok(node)
    }
}

/// A node's name as its fields have it.
struct FieldNode<'a> {
    kind: Cow<'a, str>,
    key: Cow<'a, str>,
}

impl FieldNode<'_> {
    fn as_ref(&self) -> NodeRef<'_> {
        NodeRef { kind: &self.kind, key: &self.key }
    }
}

/// The parts of `kind:key`, borrowed where the text is.
fn split_name(text: Cow<'_, str>) -> Result<FieldNode<'_>, Error> {
    match text {
        Cow::Borrowed(text) => {
            NodeRef::parse(text).map(|node| FieldNode { kind: node.kind.into(), key: node.key.into() })
        }
        Cow::Owned(text) => NodeRef::parse(&text).map(|node| {
            let name = node.to_name();
            FieldNode { kind: name.kind.into(), key: name.key.into() }
        }),
    }
    .map_err(Error::from)
}
