//! A batch: changes that a host collects before it commits them together.
//! Owns texts and numbers in one arena and validates every value on its own; knows no store.

use crate::types::batch_properties::BatchValue;
use crate::types::error::Error;
use crate::types::ids::StableId;
use crate::types::names::NodeRef;
use crate::types::names::check_relation;
use crate::types::position::Position;
use crate::types::position::{MAX_POSITIONS, check_source};
use crate::types::property::PropertyType;
use crate::types::weights::relation_options::StoredOptions;
use crate::types::weights::repeat::Repeat;

/// The most operations in one batch, so that a commit uses bounded memory. sled advises against batches over 1 MB.
/// Measured, a batch of 800,000 new edges (some 35 MB of log) takes 2.3 s and 0.5 GB, and is as durable as any other.
pub const MAX_BATCH_OPS: usize = 1_000_000;
/// The most bytes of names, tokens and numbers in one batch.
pub const MAX_BATCH_BYTES: usize = 256 << 20;
/// The most tokens of one node.
pub const MAX_TOKENS: usize = 4096;
/// The longest token, in bytes.
pub const MAX_TOKEN_BYTES: usize = 512;
/// The most bytes of all tokens of one node together.
pub const MAX_TOKENS_BYTES: usize = 16 << 10;
/// The most numbers in one row of a dense block.
pub const MAX_DENSE_WIDTH: usize = 4096;
/// The largest number in a dense row, and the smallest with a minus sign.
///
/// A model multiplies a row of 4096 such numbers with weights up to 1, takes the result through two dense products of up
/// to 12,288 numbers, and sums 4096 squares. The sum stays below 1e38, so it is finite in `f32`. Edge weights need no
/// such range: a draw reads only their ratio to the largest weight of the list, so nothing adds them.
pub const MAX_DENSE_VALUE: f32 = 1e6;

/// The values of an edge, besides the two nodes it links.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Edge<'a> {
    /// The strength of the edge: finite and above 0; 1 by default.
    pub weight: f32,
    /// The time of the edge in microseconds since 1970, UTC; any value but `i64::MIN`. A store that an earlier version made keeps its own
    /// unit: see [`Snapshot::time_unit`](crate::Snapshot::time_unit).
    pub time: Option<i64>,
    /// The relation; by default the one named by the two kinds in alphabetical order, such as `board-pin`.
    #[cfg_attr(feature = "serde", serde(borrow))]
    pub relation: Option<&'a str>,
    /// The effect on an edge that is there already.
    #[cfg_attr(feature = "serde", serde(default))]
    pub repeat: Repeat,
}

impl Default for Edge<'_> {
    fn default() -> Self {
        Self { weight: 1.0, time: None, relation: None, repeat: Repeat::Last }
    }
}

impl Edge<'_> {
    /// Refuses a weight or a time outside the allowed values.
    pub(crate) fn check_values(&self) -> Result<(), Error> {
        if !self.weight.is_finite() || self.weight <= 0.0 {
            return Err(Error::invalid("weight", &self.weight.to_string(), "a finite number above 0"));
        }
        if self.time == Some(i64::MIN) {
            return Err(Error::invalid("time", "-9223372036854775808", "a larger number"));
        }
        Ok(())
    }
}

/// Changes that are committed together: all of them or none.
///
/// Operations take effect in the order in which they were added, so a later one may undo an earlier one.
///
/// # Example
/// ```
/// # use hedgerow_storage::{Batch, Edge, NodeRef};
/// # fn main() -> Result<(), hedgerow_storage::Error> {
/// let mut batch = Batch::new();
/// batch.link(NodeRef::parse("pin:1")?, NodeRef::parse("board:7")?, Edge::default())?;
/// batch.set_tokens(NodeRef::parse("pin:1")?, &["genre=Jazz"])?;
/// assert_eq!(batch.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(super) text: String,
    numbers: Vec<f32>,
    /// The bytes of all values.
    pub(super) values: Vec<u8>,
    /// The names of properties, each once.
    pub(super) property_names: Vec<TextRange>,
    pub(super) ops: Vec<BatchOp>,
    /// Separate from `ops`, so that a full batch still takes positions.
    positions: Vec<(TextRange, Option<Position>)>,
}

/// A point in a batch, before later changes: the lengths of its parts.
#[derive(Clone, Debug)]
pub struct Savepoint([usize; 6]);

/// A range of the batch's text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextRange {
    start: u32,
    len: u16,
}

/// A node's name in the batch's text, with its stable id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchName {
    kind: TextRange,
    key: TextRange,
    pub(crate) id: StableId,
}

/// One operation of a batch; its names are ranges of the batch's text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BatchOp {
    Add {
        node: BatchName,
    },
    Link {
        a: BatchName,
        b: BatchName,
        weight: f32,
        time: Option<i64>,
        relation: Option<TextRange>,
        repeat: Repeat,
    },
    Unlink {
        a: BatchName,
        b: BatchName,
        relation: Option<TextRange>,
    },
    Remove {
        node: BatchName,
    },
    /// The tokens stand one after another in the text, from `start` on: see [`Batch::tokens`].
    Tokens {
        node: BatchName,
        start: u32,
        bytes: u32,
    },
    Dense {
        node: BatchName,
        block: TextRange,
        first: u32,
        width: u16,
    },
    /// Here and below a property is the index of its name: see [`Batch::property_name`].
    Property {
        kind: TextRange,
        property: u16,
        of: PropertyType,
    },
    Label {
        kind: TextRange,
        property: Option<u16>,
    },
    Relation {
        name: TextRange,
        options: StoredOptions,
    },
    /// `None` removes the value.
    Value {
        node: BatchName,
        property: u16,
        value: Option<BatchValue>,
    },
}

impl Batch {
    /// A batch without changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of changes.
    pub fn len(&self) -> usize {
        self.ops.len() + self.positions.len()
    }

    /// True for a batch without changes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all changes and keeps the allocated memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.numbers.clear();
        self.values.clear();
        self.property_names.clear();
        self.ops.clear();
        self.positions.clear();
    }

    /// The bytes of names, tokens, numbers and values so far; [`MAX_BATCH_BYTES`] bounds them.
    pub fn bytes(&self) -> usize {
        self.text.len() + 4 * self.numbers.len() + self.values.len()
    }

    /// True once the batch holds half of the operations or bytes that it takes. Until then all properties of a node fit.
    pub fn is_half_full(&self) -> bool {
        self.len() >= MAX_BATCH_OPS / 2 || self.bytes() >= MAX_BATCH_BYTES / 2
    }

    /// The changes so far, to return to with [`Self::roll_back`].
    pub fn savepoint(&self) -> Savepoint {
        let Self { text, numbers, values, property_names, ops, positions } = self;
        let (numbers, values, names) = (numbers.len(), values.len(), property_names.len());
        Savepoint([text.len(), numbers, values, names, ops.len(), positions.len()])
    }

    /// Removes the changes since a savepoint of this batch.
    pub fn roll_back(&mut self, to: &Savepoint) {
        let Savepoint([text, numbers, values, names, ops, positions]) = *to;
        self.text.truncate(text);
        self.numbers.truncate(numbers);
        self.values.truncate(values);
        self.property_names.truncate(names);
        self.ops.truncate(ops);
        self.positions.truncate(positions);
    }

    /// Creates a node without edges; has no effect where the node exists.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name, [`Error::Limit`] when the batch is full.
    pub fn add_node<'a>(&mut self, node: impl Into<NodeRef<'a>>) -> Result<(), Error> {
        let node = node.into();
        node.validate()?;
        self.check_room(name_bytes(node))?;
        let node = self.name(node);
        self.ops.push(BatchOp::Add { node });
        Ok(())
    }

    /// Links two nodes and creates them where needed. [`Edge::repeat`] says what happens where the edge exists.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name, weight or time, [`Error::Limit`] when the batch is full.
    pub fn link<'a>(
        &mut self,
        a: impl Into<NodeRef<'a>>,
        b: impl Into<NodeRef<'a>>,
        edge: Edge<'_>,
    ) -> Result<(), Error> {
        let (a, b) = (a.into(), b.into());
        a.validate()?;
        b.validate()?;
        edge.relation.map_or(Ok(()), check_relation)?;
        edge.check_values()?;
        self.check_room(name_bytes(a) + name_bytes(b) + edge.relation.map_or(0, str::len))?;
        let (a, b) = (self.name(a), self.name(b));
        let relation = edge.relation.map(|relation| self.text(relation));
        let Edge { weight, time, repeat, .. } = edge;
        self.ops.push(BatchOp::Link { a, b, weight, time, relation, repeat });
        Ok(())
    }

    /// Removes the edge between two nodes. Where there is none, the commit counts it as absent.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name, [`Error::Limit`] when the batch is full.
    pub fn unlink<'a>(
        &mut self,
        a: impl Into<NodeRef<'a>>,
        b: impl Into<NodeRef<'a>>,
        relation: Option<&str>,
    ) -> Result<(), Error> {
        let (a, b) = (a.into(), b.into());
        a.validate()?;
        b.validate()?;
        relation.map_or(Ok(()), check_relation)?;
        self.check_room(name_bytes(a) + name_bytes(b) + relation.map_or(0, str::len))?;
        let (a, b) = (self.name(a), self.name(b));
        let relation = relation.map(|relation| self.text(relation));
        self.ops.push(BatchOp::Unlink { a, b, relation });
        Ok(())
    }

    /// Removes a node with its edges and features. The commit fails where there is no such node.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name, [`Error::Limit`] when the batch is full.
    pub fn remove<'a>(&mut self, node: impl Into<NodeRef<'a>>) -> Result<(), Error> {
        let node = node.into();
        node.validate()?;
        self.check_room(name_bytes(node))?;
        let node = self.name(node);
        self.ops.push(BatchOp::Remove { node });
        Ok(())
    }

    /// Replaces the whole set of a node's tokens and creates the node where needed. Order and repetition of tokens do
    /// not matter.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name or a token that is not 1 to 512 bytes. [`Error::Limit`] for more than 4096
    /// tokens or more than 16 KiB of tokens, or when the batch is full.
    pub fn set_tokens<'a>(
        &mut self,
        node: impl Into<NodeRef<'a>>,
        tokens: &[impl AsRef<str>],
    ) -> Result<(), Error> {
        let node = node.into();
        node.validate()?;
        let mut sorted: Vec<&str> = tokens.iter().map(AsRef::as_ref).collect();
        sorted.sort_unstable();
        sorted.dedup();
        if let Some(bad) = sorted.iter().find(|token| token.is_empty() || token.len() > MAX_TOKEN_BYTES) {
            return Err(Error::invalid("token", bad, format!("1 to {MAX_TOKEN_BYTES} bytes")));
        }
        limit("tokens of a node", sorted.len(), MAX_TOKENS)?;
        let bytes = sorted.iter().map(|token| token.len()).sum();
        limit("bytes of tokens of a node", bytes, MAX_TOKENS_BYTES)?;
        self.check_room(name_bytes(node) + bytes + 4 * sorted.len())?;
        let node = self.name(node);
        let start = self.text.len() as u32;
        for token in sorted {
            // Tokens may contain any character, so no separator works: four hexadecimal digits before each token hold
            // its length.
            let len = token.len();
            for shift in [12, 8, 4, 0] {
                self.text.push(char::from(b"0123456789abcdef"[len >> shift & 15]));
            }
            self.text.push_str(token);
        }
        let bytes = self.text.len() as u32 - start;
        self.ops.push(BatchOp::Tokens { node, start, bytes });
        Ok(())
    }

    /// Replaces a node's row in a dense block and creates the node where needed. The first row of a block sets its
    /// width.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name, a width that is not 1 to 4096, or a number that is NaN or not from -1,000,000
    /// to 1,000,000 ([`MAX_DENSE_VALUE`]). [`Error::Limit`] when the batch is full. A width other than the block's fails
    /// the commit.
    pub fn set_dense<'a>(
        &mut self,
        node: impl Into<NodeRef<'a>>,
        block: &str,
        values: &[f32],
    ) -> Result<(), Error> {
        let node = node.into();
        node.validate()?;
        crate::types::names::check_block(block)?;
        if values.is_empty() || values.len() > MAX_DENSE_WIDTH {
            let rule = format!("1 to {MAX_DENSE_WIDTH} numbers");
            return Err(Error::invalid("dense row", &format!("{} numbers", values.len()), rule));
        }
        if let Some(at) = values.iter().position(|value| value.is_nan() || value.abs() > MAX_DENSE_VALUE) {
            let rule = format!("numbers from -{MAX_DENSE_VALUE} to {MAX_DENSE_VALUE}; scale the features");
            return Err(Error::invalid("dense row", &format!("{:?} at {at}", values[at]), rule));
        }
        self.check_room(name_bytes(node) + block.len() + 4 * values.len())?;
        let node = self.name(node);
        let block = self.text(block);
        let first = self.numbers.len() as u32;
        self.numbers.extend_from_slice(values);
        self.ops.push(BatchOp::Dense { node, block, first, width: values.len() as u16 });
        Ok(())
    }

    /// Records the position up to which the input `source` has been applied, including this batch. The last position
    /// per source wins. A batch may hold positions and nothing else.
    ///
    /// # Visibility
    /// Durable together with the changes of the batch: after a crash both are there, or neither.
    /// [`Store::position`](crate::Store::position) reads it. It makes no node dirty.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that is not 1 to 4096 bytes, [`Error::Limit`] when the batch is full. The commit
    /// fails with [`Error::Limit`] where the store has positions of 256 other sources.
    pub fn set_position(&mut self, source: &str, position: Position) -> Result<(), Error> {
        self.push_position(source, Some(position))
    }

    /// Removes the position of the input `source`; has no effect where there is none.
    ///
    /// # Errors
    /// As for [`Self::set_position`].
    pub fn forget_position(&mut self, source: &str) -> Result<(), Error> {
        self.push_position(source, None)
    }

    fn push_position(&mut self, source: &str, to: Option<Position>) -> Result<(), Error> {
        check_source(source)?;
        limit("positions in a batch", self.positions.len() + 1, MAX_POSITIONS)?;
        self.check_byte_room(source.len())?;
        let source = self.text(source);
        self.positions.push((source, to));
        Ok(())
    }

    /// Refuses one more operation with this many bytes when the batch is full.
    pub(super) fn check_room(&self, bytes: usize) -> Result<(), Error> {
        limit("operations in a batch", self.ops.len() + 1, MAX_BATCH_OPS)?;
        self.check_byte_room(bytes)
    }

    pub(super) fn check_byte_room(&self, bytes: usize) -> Result<(), Error> {
        limit("bytes in a batch", self.bytes() + bytes, MAX_BATCH_BYTES)
    }

    pub(super) fn text(&mut self, text: &str) -> TextRange {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        TextRange { start, len: text.len() as u16 }
    }

    pub(super) fn name(&mut self, node: NodeRef<'_>) -> BatchName {
        BatchName { kind: self.text(node.kind), key: self.text(node.key), id: node.stable_id() }
    }

    /// Gives the node that was added last the id of another.
    #[cfg(test)]
    pub(crate) fn forge(&mut self, id: StableId) {
        if let Some(BatchOp::Add { node }) = self.ops.last_mut() {
            node.id = id;
        }
    }

    pub(crate) fn ops(&self) -> &[BatchOp] {
        &self.ops
    }

    /// Sources with their new positions, in the order of the calls.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (&str, Option<Position>)> {
        self.positions.iter().map(|&(source, to)| (self.read(source), to))
    }

    pub(crate) fn read(&self, text: TextRange) -> &str {
        &self.text[text.start as usize..text.start as usize + text.len as usize]
    }

    pub(crate) fn node(&self, name: BatchName) -> NodeRef<'_> {
        NodeRef { kind: self.read(name.kind), key: self.read(name.key) }
    }

    /// The tokens of a [`BatchOp::Tokens`], sorted.
    pub(crate) fn tokens(&self, start: u32, bytes: u32) -> Vec<&str> {
        let mut rest = &self.text[start as usize..(start + bytes) as usize];
        let mut tokens = Vec::new();
        while !rest.is_empty() {
            let len = usize::from_str_radix(&rest[..4], 16).expect("set_tokens wrote four digits");
            tokens.push(&rest[4..4 + len]);
            rest = &rest[4 + len..];
        }
        tokens
    }

    pub(crate) fn numbers(&self, first: u32, width: u16) -> &[f32] {
        &self.numbers[first as usize..first as usize + width as usize]
    }
}

pub(super) fn name_bytes(node: NodeRef<'_>) -> usize {
    node.kind.len() + node.key.len()
}

pub(super) fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), Error> {
    if found > limit { Err(Error::Limit { what, limit: limit as u64, found: found as u64 }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::property::PropertyValue;

    fn node(text: &str) -> NodeRef<'_> {
        NodeRef::parse(text).expect("valid")
    }

    #[test]
    fn tokens_come_back_sorted_and_once() {
        let mut batch = Batch::new();
        batch.set_tokens(node("pin:1"), &["b", "a:\n", "b", "\u{e9}"]).expect("valid");
        let BatchOp::Tokens { start, bytes, .. } = batch.ops()[0] else { panic!("one op of tokens") };
        assert_eq!(batch.tokens(start, bytes), ["a:\n", "b", "\u{e9}"]);
    }

    #[test]
    fn bad_values_are_refused_and_leave_no_trace() {
        let mut batch = Batch::new();
        let (a, b) = (node("pin:1"), node("board:1"));
        for weight in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(batch.link(a, b, Edge { weight, ..Edge::default() }).is_err(), "{weight}");
        }
        assert!(batch.link(a, b, Edge { time: Some(i64::MIN), ..Edge::default() }).is_err());
        assert!(batch.link(a, b, Edge { relation: Some("a b"), ..Edge::default() }).is_err());
        assert!(batch.link(NodeRef { kind: "", key: "" }, b, Edge::default()).is_err());
        assert!(batch.set_tokens(a, &[""]).is_err());
        assert!(batch.set_tokens(a, &["x".repeat(513)]).is_err());
        let many: Vec<String> = (0..4097).map(|n| n.to_string()).collect();
        assert!(batch.set_tokens(a, &many).is_err());
        assert!(batch.set_dense(a, "photo", &[]).is_err());
        for value in [f32::NAN, f32::INFINITY, MAX_DENSE_VALUE.next_up(), f32::MIN] {
            assert!(batch.set_dense(a, "photo", &[1.0, value]).is_err(), "{value}");
        }
        assert!(batch.set_dense(a, "photo", &vec![1.0; 4097]).is_err());
        assert!(batch.set_position("", 1.into()).is_err());
        assert!(batch.forget_position(&"x".repeat(4097)).is_err());
        assert!(batch.is_empty() && batch.text.is_empty());
    }

    #[test]
    fn the_ends_of_the_range_of_dense_numbers_are_allowed() {
        let mut batch = Batch::new();
        let ends = [MAX_DENSE_VALUE, -MAX_DENSE_VALUE, 0.0, f32::MIN_POSITIVE];
        batch.set_dense(node("pin:1"), "photo", &ends).expect("numbers in the range");
    }

    #[test]
    fn a_batch_that_is_rolled_back_is_as_it_was() {
        let mut batch = Batch::new();
        batch.set_tokens(node("pin:1"), &["a"]).expect("valid");
        let (before, savepoint) = (format!("{batch:?}"), batch.savepoint());
        batch.set_property(node("pin:1"), "title", &PropertyValue::Text("b")).expect("valid");
        batch.set_dense(node("pin:2"), "photo", &[1.0]).expect("valid");
        batch.set_position("input", 1.into()).expect("valid");
        batch.roll_back(&savepoint);
        assert_eq!(format!("{batch:?}"), before);
    }

    #[test]
    fn a_batch_has_a_bound() {
        let mut batch = Batch::new();
        let full = (0..MAX_BATCH_OPS).try_for_each(|_| batch.add_node(node("a:1")));
        assert!(full.is_ok());
        assert!(matches!(batch.add_node(node("a:1")), Err(Error::Limit { .. })));
        batch.set_position("input", 1.into()).expect("a full batch still says how far it goes");
    }
}
