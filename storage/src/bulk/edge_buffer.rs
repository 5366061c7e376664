//! Edges by the names of their ends, collected for a bulk load.
//! Owns their texts in one arena and validates every value, as a batch does; knows no node numbers.

use std::collections::HashMap;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use crate::adjacency::list::NO_TIME;
use crate::types::batch::Edge;
use crate::types::error::Error;
use crate::types::ids::StableId;
use crate::types::names::NodeRef;
use crate::types::names::{check_key, check_kind, check_relation};
use crate::types::weights::repeat::Repeat;

/// Edges between named nodes, and nodes, in the order in which a [`BulkLoad`](crate::BulkLoad) adds them.
///
/// Filling a buffer is most of the work and needs no load. So several threads can each fill one while
/// [`BulkLoad::links`](crate::BulkLoad::links) adds another.
///
/// # Cost
/// Some 80 ns an edge. 16 bytes and its key for an end, unless it occurred shortly before. 8 bytes an edge, plus 4, 8
/// and 1 where any edge has a weight, a time or a [`Repeat`].
///
/// # Example
/// ```
/// # use hedgerow_storage::{Edge, EdgeBuffer, NodeRef};
/// # fn main() -> Result<(), hedgerow_storage::Error> {
/// let mut links = EdgeBuffer::new();
/// links.link(NodeRef::parse("pin:1")?, NodeRef::parse("board:7")?, Edge::default())?;
/// links.add_node(NodeRef::parse("board:8")?)?;
/// assert_eq!(links.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct EdgeBuffer {
    kinds: Vec<Kind>,
    relations: Vec<String>,
    /// The keys, concatenated.
    keys: String,
    names: Vec<Name>,
    nodes: usize,
    pub(super) edges: Vec<(u32, u32)>,
    pub(super) groups: Vec<Group>,
    group_at: HashMap<Group, u32>,
    /// The group of each edge; empty while there is one group.
    pub(super) group_of: Vec<u32>,
    /// Empty while all weights are 1.
    pub(super) weights: Vec<f32>,
    /// Empty while no edge has a time.
    pub(super) times: Vec<i64>,
    /// Empty while the last edge of equal ones counts.
    pub(super) repeats: Vec<Repeat>,
    /// The input of the hash: kind, zero byte and key of a name.
    hashed: Vec<u8>,
    /// A cache of recent names. The low bits of the id select the entry, which holds the high bits and the index of the
    /// name. A frequent name is stored once and resolved once.
    recent: Vec<(u32, u32)>,
    /// For each end of the last edge its kind and name.
    last: [Option<(u16, u32)>; 2],
    last_group: u32,
}

/// The most distinct kinds and relations in a buffer; the load checks the limits of the store.
const MAX_NUMBERED: usize = u16::MAX as usize;

/// The number of entries of the cache of recent names, in 64 KiB.
const RECENT: usize = 1 << 13;

/// A kind of the names.
#[derive(Clone, Debug)]
struct Kind {
    name: String,
    /// The prefix of the hash input.
    prefix: Vec<u8>,
}

/// A stored name: the end of its key in the text; it starts at the end of the name before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    pub(super) id: StableId,
    end: u32,
    pub(super) kind: u16,
}

/// Edges between two kinds in one relation, which is given only where the caller named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Group {
    pub(super) kinds: (u16, u16),
    pub(super) relation: Option<u16>,
}

impl EdgeBuffer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of edges and nodes added.
    pub fn len(&self) -> usize {
        self.nodes + self.edges.len()
    }

    /// True for an empty buffer.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all edges and nodes and keeps the allocated memory.
    pub fn clear(&mut self) {
        self.kinds.clear();
        self.relations.clear();
        self.keys.clear();
        self.names.clear();
        self.nodes = 0;
        self.edges.clear();
        self.groups.clear();
        self.group_at.clear();
        self.group_of.clear();
        self.weights.clear();
        self.times.clear();
        self.repeats.clear();
        self.recent.clear();
        self.last = [None; 2];
        self.last_group = 0;
    }

    /// Adds a node, which may exist already.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name, [`Error::Limit`] for more than 4 GiB of keys or 65,533 kinds.
    pub fn add_node<'a>(&mut self, node: impl Into<NodeRef<'a>>) -> Result<(), Error> {
        let node = node.into();
        let kind = self.check(0, node)?;
        self.check_room(node.key.len())?;
        self.name(0, kind, node);
        self.nodes += 1;
        Ok(())
    }

    /// Links two nodes, as [`Batch::link`](crate::Batch::link) does.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name, weight or time, [`Error::Limit`] for more than 4 GiB of keys or 65,533 kinds.
    pub fn link<'a>(
        &mut self,
        a: impl Into<NodeRef<'a>>,
        b: impl Into<NodeRef<'a>>,
        edge: Edge<'_>,
    ) -> Result<(), Error> {
        let (a, b) = (a.into(), b.into());
        let (kind_of_a, kind_of_b) = (self.check(0, a)?, self.check(1, b)?);
        let is_known = |name: &str| self.relations.iter().any(|relation| relation == name);
        edge.relation.filter(|name| !is_known(name)).map_or(Ok(()), check_relation)?;
        edge.check_values()?;
        self.check_room(a.key.len() + b.key.len())?;
        let (a, b) = (self.name(0, kind_of_a, a), self.name(1, kind_of_b, b));
        self.group(a, b, edge.relation);
        let before = self.edges.len();
        self.edges.push((a, b));
        let weight = edge.repeat.weight(edge.weight);
        if weight.to_bits() != 1.0_f32.to_bits() || !self.weights.is_empty() {
            self.weights.resize(before, 1.0);
            self.weights.push(weight);
        }
        if edge.time.is_some() || !self.times.is_empty() {
            self.times.resize(before, NO_TIME);
            self.times.push(edge.time.unwrap_or(NO_TIME));
        }
        if edge.repeat != Repeat::Last || !self.repeats.is_empty() {
            self.repeats.resize(before, Repeat::Last);
            self.repeats.push(edge.repeat);
        }
        Ok(())
    }

    /// Refuses a bad name; returns its kind if that is known.
    fn check(&self, end: usize, node: NodeRef<'_>) -> Result<Option<u16>, Error> {
        let kind = self.known_kind(end, node.kind);
        if kind.is_none() {
            check_kind(node.kind)?;
        }
        check_key(node.key).map(|()| kind)
    }

    /// Refuses an edge or a node with keys of this many bytes when the buffer is full.
    fn check_room(&self, bytes: usize) -> Result<(), Error> {
        // An edge adds at most two kinds.
        limit("kinds", self.kinds.len() + 2, MAX_NUMBERED)?;
        limit("relations", self.relations.len() + 1, MAX_NUMBERED)?;
        limit("bytes of keys", self.keys.len() + bytes, u32::MAX as usize)
    }

    fn known_kind(&self, end: usize, name: &str) -> Option<u16> {
        let last = self.last[end].map(|(kind, _)| kind);
        last.filter(|&kind| self.kinds[usize::from(kind)].name == name)
            .or_else(|| self.kinds.iter().position(|kind| kind.name == name).map(|at| at as u16))
    }

    /// The index of a valid name.
    fn name(&mut self, end: usize, kind: Option<u16>, node: NodeRef<'_>) -> u32 {
        // The other end may have added the kind.
        let kind = kind.or_else(|| self.known_kind(end, node.kind)).unwrap_or_else(|| {
            let prefix = [node.kind.as_bytes(), &[0]].concat();
            self.kinds.push(Kind { name: node.kind.to_owned(), prefix });
            self.kinds.len() as u16 - 1
        });
        // The last name at this end.
        let is_same_key = |at: u32| self.key_bytes(at as usize) == node.key.as_bytes();
        if let Some((last, at)) = self.last[end]
            && last == kind
            && is_same_key(at)
        {
            return at;
        }
        // A recent name, or a new one.
        self.hashed.clear();
        self.hashed.extend_from_slice(&self.kinds[usize::from(kind)].prefix);
        self.hashed.extend_from_slice(node.key.as_bytes());
        let id = StableId::new(xxh3_64(&self.hashed));
        if self.recent.is_empty() {
            self.recent.resize(RECENT, (0, u32::MAX));
        }
        let slot = id.get() as usize % RECENT;
        let tag = (id.get() >> 32) as u32;
        let (seen, recent) = self.recent[slot];
        let is_known = seen == tag
            && self.names.get(recent as usize).is_some_and(|name| name.id == id && name.kind == kind)
            && self.key_bytes(recent as usize) == node.key.as_bytes();
        let at = if is_known {
            recent
        } else {
            self.keys.push_str(node.key);
            self.names.push(Name { id, end: self.keys.len() as u32, kind });
            self.names.len() as u32 - 1
        };
        self.recent[slot] = (tag, at);
        self.last[end] = Some((kind, at));
        at
    }

    /// Records the group of an edge.
    fn group(&mut self, a: u32, b: u32, relation: Option<&str>) {
        let kinds = (self.names[a as usize].kind, self.names[b as usize].kind);
        let is_last = self.groups.get(self.last_group as usize).is_some_and(|group| {
            let named = group.relation.map(|at| self.relations[usize::from(at)].as_str());
            group.kinds == kinds && named == relation
        });
        if !is_last {
            let relation = relation.map(|name| {
                let known = self.relations.iter().position(|relation| relation == name);
                known.unwrap_or_else(|| {
                    self.relations.push(name.to_owned());
                    self.relations.len() - 1
                }) as u16
            });
            let group = Group { kinds, relation };
            self.last_group = *self.group_at.entry(group).or_insert_with(|| {
                self.groups.push(group);
                self.groups.len() as u32 - 1
            });
        }
        if self.groups.len() > 1 {
            self.group_of.resize(self.edges.len(), 0);
            self.group_of.push(self.last_group);
        }
    }

    /// Gives a name the id of another.
    #[cfg(test)]
    pub(super) fn forge(&mut self, at: usize, id: StableId) {
        self.names[at].id = id;
    }

    pub(super) fn names(&self) -> &[Name] {
        &self.names
    }

    pub(super) fn key(&self, at: usize) -> &str {
        &self.keys[self.place(at)]
    }

    pub(super) fn key_bytes(&self, at: usize) -> &[u8] {
        &self.keys.as_bytes()[self.place(at)]
    }

    fn place(&self, at: usize) -> Range<usize> {
        let start = at.checked_sub(1).map_or(0, |before| self.names[before].end);
        start as usize..self.names[at].end as usize
    }

    pub(super) fn kind_count(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn kind(&self, kind: u16) -> &str {
        &self.kinds[usize::from(kind)].name
    }

    pub(super) fn relation(&self, relation: u16) -> &str {
        &self.relations[usize::from(relation)]
    }
}

fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), Error> {
    if found > limit { Err(Error::Limit { what, limit: limit as u64, found: found as u64 }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_names_and_an_end_that_comes_again_is_kept_once() {
        let mut links = EdgeBuffer::new();
        let (source, weight) = (NodeRef::new("user", "0").expect("valid"), 2.0);
        for key in ["1", "2", "\u{e9}", "\u{e9}"] {
            let target = NodeRef::new("pin", key).expect("valid");
            links.link(source, target, Edge::default()).expect("valid");
        }
        links.link(source, source, Edge { weight, ..Edge::default() }).expect("valid");
        let names: Vec<String> = (0..links.names().len()).map(|at| links.key(at).to_owned()).collect();
        assert_eq!(names, ["0", "1", "2", "\u{e9}"]);
        for (at, name) in links.names().iter().enumerate() {
            let node = NodeRef { kind: links.kind(name.kind), key: links.key(at) };
            assert_eq!(name.id, node.stable_id());
        }
        assert_eq!(links.edges, [(0, 1), (0, 2), (0, 3), (0, 3), (0, 0)]);
        assert_eq!((links.weights.as_slice(), links.times.len()), (&[1.0, 1.0, 1.0, 1.0, 2.0][..], 0));
        assert_eq!((links.groups.len(), links.group_of.as_slice()), (2, &[0, 0, 0, 0, 1][..]));
    }

    #[test]
    fn what_is_refused_leaves_no_trace() {
        let mut links = EdgeBuffer::new();
        let (a, b) = (NodeRef { kind: "pin", key: "1" }, NodeRef { kind: "board", key: "1" });
        let long = "1".repeat(513);
        for bad in [
            NodeRef { kind: "p n", key: "1" },
            NodeRef { kind: "pin", key: "" },
            NodeRef { kind: "pin", key: &long },
        ] {
            assert!(links.add_node(bad).is_err());
            assert!(links.link(bad, b, Edge::default()).is_err());
            assert!(links.link(a, bad, Edge::default()).is_err());
        }
        for weight in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(links.link(a, b, Edge { weight, ..Edge::default() }).is_err(), "{weight}");
        }
        assert!(links.link(a, b, Edge { time: Some(i64::MIN), ..Edge::default() }).is_err());
        assert!(links.link(a, b, Edge { relation: Some("a b"), ..Edge::default() }).is_err());
        assert!(links.is_empty() && links.names.is_empty() && links.kinds.is_empty());
    }
}
