//! The file `properties`: the typed properties of each kind, their values in columns, and the labels.
//! The rows of a kind are its nodes in the order of their numbers. A bitmap and counts lead from a node to its row.

use std::collections::BTreeSet;

use crate::fs::disk::Target;
use crate::fs::header::Fingerprint;
use crate::fs::mmap::SharedNumbers;
use crate::fs::section::SectionFile;
use crate::fs::section_stream::SectionStream;
use crate::segments::numbered;
use crate::segments::property_column::{Bits, Column, section_count};
use crate::types::cancel::CancelToken;
use crate::types::codec;
use crate::types::codec::{Decode, Encode};
use crate::types::error::Error;
use crate::types::ids::{KindIx, NodeIx};
use crate::types::property::{MAX_PROPERTIES, PropertyType};

const KIND: [u8; 4] = *b"PROP";
const VERSION: u32 = 1;

/// A property of a kind.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub(crate) struct PropertyMeta {
    pub(crate) kind: u8,
    pub(crate) name: String,
    pub(crate) of: PropertyType,
    /// The number of nodes with a value.
    pub(crate) count: u64,
}

#[derive(Encode, Decode)]
struct Meta {
    bound: u32,
    properties: Vec<PropertyMeta>,
    labels: Vec<(u8, u16)>,
}

/// The properties in a checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Properties {
    pub(crate) schema: Vec<PropertyMeta>,
    /// Kinds with the property that labels their nodes.
    pub(crate) labels: Vec<(u8, u16)>,
    /// By kind; `None` for a kind without properties.
    rows: Vec<Option<Rows>>,
    columns: Vec<Column>,
}

/// The rows of a kind.
#[derive(Debug)]
pub(crate) struct Rows {
    /// A bit for each node of the kind.
    nodes: SharedNumbers<u64>,
    /// The number of bits before each word.
    before: SharedNumbers<u32>,
}

impl Rows {
    #[inline]
    pub(crate) fn row(&self, node: NodeIx) -> Option<usize> {
        let (word, bit) = (node.index() / 64, node.index() % 64);
        let bits = *self.nodes.get(word)?;
        let below = bits & ((1 << bit) - 1);
        (bits >> bit & 1 == 1).then(|| self.before[word] as usize + below.count_ones() as usize)
    }

    fn count(&self) -> usize {
        let last = self.nodes.last().map_or(0, |word| word.count_ones());
        self.before.last().map_or(0, |&before| before as usize) + last as usize
    }

    /// True if the bits are those of nodes below the bound and the counts are theirs.
    fn is_consistent(&self, bound: usize) -> bool {
        let mut count = 0;
        let counted = self.nodes.iter().zip(&*self.before).all(|(word, &before)| {
            let is_before = before == count;
            count += word.count_ones();
            is_before
        });
        counted
            && (bound.is_multiple_of(64) || self.nodes.last().is_none_or(|word| word >> (bound % 64) == 0))
    }
}

impl Properties {
    /// Opens the file of a store with nodes below `bound`, of so many kinds.
    pub(crate) fn open(file: &SectionFile, bound: u32, kinds: usize) -> Result<Self, Error> {
        // The schema.
        file.require(KIND, VERSION)?;
        let damaged = |place: &str, what: &str| file.damaged(place, what);
        let Meta { bound: covered, properties: schema, labels } =
            codec::decode(file.section(*b"meta\0\0\0\0")?)
                .map_err(|_| damaged("section 'meta'", "unreadable"))?;
        let is_known = |property: &PropertyMeta| usize::from(property.kind) < kinds;
        let names: BTreeSet<_> = schema.iter().map(|property| (property.kind, &property.name)).collect();
        if covered > bound || schema.len() > MAX_PROPERTIES || !schema.iter().all(is_known) {
            return Err(damaged("section 'meta'", "counts that do not match the file of nodes"));
        }
        let is_label = |&(kind, at): &(u8, u16)| {
            schema.get(usize::from(at)).is_some_and(|property| property.kind == kind)
        };
        if names.len() != schema.len() || !labels.iter().all(is_label) || !labels.is_sorted() {
            return Err(damaged("section 'meta'", "properties that contradict each other"));
        }
        // The rows of each kind that has properties.
        let (bound, mut rows): (_, Vec<Option<Rows>>) = (covered as usize, Vec::new());
        rows.resize_with(kinds, || None);
        for kind in schema.iter().map(|property| usize::from(property.kind)) {
            if rows[kind].is_some() {
                continue;
            }
            let of_kind = Rows {
                nodes: file.slice(numbered(*b"node", kind))?,
                before: file.slice(numbered(*b"rank", kind))?,
            };
            let has_length =
                of_kind.nodes.len() == bound.div_ceil(64) && of_kind.before.len() == of_kind.nodes.len();
            if !has_length || !file.was_verified() && !of_kind.is_consistent(bound) {
                return Err(damaged(&format!("rows of kind {kind}"), "they do not match the nodes"));
            }
            rows[kind] = Some(of_kind);
        }
        // The columns.
        let mut columns = Vec::new();
        for (at, property) in schema.iter().enumerate() {
            let rows = rows[usize::from(property.kind)].as_ref().map_or(0, Rows::count);
            let column = Column::open(file, at, property.of, rows)?;
            if !file.was_verified() && column.count() != property.count {
                let what = "a number of values that differs from the count";
                return Err(damaged(&format!("property {at}"), what));
            }
            columns.push(column);
        }
        Ok(Self { schema, labels, rows, columns })
    }

    /// A property's column, and the rows of the nodes in it.
    pub(crate) fn column(&self, property: u16) -> Option<(&Rows, &Column)> {
        let at = usize::from(property);
        let rows = self.rows[usize::from(self.schema.get(at)?.kind)].as_ref()?;
        Some((rows, &self.columns[at]))
    }

    /// The bytes of a node's value; `None` where it has none.
    #[inline]
    pub(crate) fn value(&self, property: u16, node: NodeIx) -> Option<&[u8]> {
        let (rows, column) = self.column(property)?;
        column.bytes(rows.row(node)?)
    }

    /// Writes the file for all nodes below `bound`. `value` gives the bytes of a value.
    ///
    /// # Cost
    /// A pass over the nodes for each kind with properties, and one or two over the values of each property. Memory of at most four bytes
    /// for each node of a kind.
    pub(crate) fn write<'a>(
        to: Target<'_>,
        bound: u32,
        (schema, labels): (&[PropertyMeta], Vec<(u8, u16)>),
        kind: impl Fn(NodeIx) -> KindIx,
        value: impl Fn(u16, NodeIx) -> Option<&'a [u8]>,
        cancel: &CancelToken,
    ) -> Result<Fingerprint, Error> {
        let kinds: BTreeSet<u8> = schema.iter().map(|property| property.kind).collect();
        let columns: usize = schema.iter().map(|property| section_count(property.of)).sum();
        let mut stream = SectionStream::create(to, KIND, VERSION, 1 + 2 * kinds.len() + columns)?;
        let stage = cancel.stage("properties", u64::from(bound) * schema.len() as u64);
        for &of in &kinds {
            // The nodes of the kind.
            let mut nodes = Bits::default();
            (0..bound).for_each(|node| nodes.push(kind(NodeIx::new(node)).get() == of));
            let words = nodes.words;
            let mut before = Vec::with_capacity(words.len());
            let mut count = 0;
            for word in &words {
                before.push(count);
                count += word.count_ones();
            }
            stream.begin(numbered(*b"node", usize::from(of)))?;
            stream.write(bytemuck::cast_slice(&words))?;
            stream.begin(numbered(*b"rank", usize::from(of)))?;
            stream.write(bytemuck::cast_slice(&before))?;
            // The columns of the kind.
            let in_word = |(at, word): (usize, &u64)| {
                let (at, word) = (at as u32 * 64, *word);
                (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| NodeIx::new(at + bit))
            };
            let rows = || words.iter().enumerate().flat_map(in_word);
            for (at, property) in schema.iter().enumerate().filter(|(_, property)| property.kind == of) {
                Column::write(&mut stream, at, property.of, || rows().map(|node| value(at as u16, node)))?;
                stage.advance(u64::from(bound))?;
            }
        }
        stage.end();
        stream.begin(*b"meta\0\0\0\0")?;
        stream.write(&codec::encode(&Meta { bound, properties: schema.to_vec(), labels }))?;
        stream.finish()
    }
}
