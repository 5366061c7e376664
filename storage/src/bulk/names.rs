//! The nodes of a load: kinds, keys and stable ids by number.
//! Owns the check that no node occurs twice; knows nothing of edges.

use std::collections::BTreeSet;
use std::ops::Range;

use rayon::prelude::*;

use crate::fs::prefetch::prefetch;
use crate::graph::plan::{MAX_KINDS, MAX_NODES};
use crate::segments::{FREE, home, insert_nodes, slot_count};
use crate::types::error::Error;
use crate::types::ids::{KindIx, NodeIx, StableId};
use crate::types::names::NodeRef;
use crate::types::names::{check_key, check_kind};

use crate::bulk::edge_buffer::EdgeBuffer;

/// The number of names by which a lookup is prefetched.
pub(crate) const AHEAD: usize = 16;
/// Names that a thread compares as one task.
const COMPARED: usize = 1 << 13;
/// The position of the kind above the end of the key; the keys of 2^32 nodes end below 2^41.
const KIND_SHIFT: u32 = 56;

/// The bits that select a slot of the directory. An input may come in the order of its stable ids, as an export does. Their top bits
/// would crowd all nodes so far into the first slots of a directory that still grows.
fn mixed(id: StableId) -> StableId {
    StableId::new(id.get().wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The nodes, in a few arrays.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeNames {
    kinds: Vec<String>,
    /// By node.
    ids: Vec<StableId>,
    /// The end of each key in `keys`, and above it the kind: one word for comparing a name.
    ends: Vec<u64>,
    keys: String,
    /// A hash table from stable id to node.
    directory: Vec<u32>,
}

impl NodeNames {
    /// Every node's number is below it.
    pub(crate) fn bound(&self) -> u32 {
        self.ids.len() as u32
    }

    pub(crate) fn kinds(&self) -> &[String] {
        &self.kinds
    }

    pub(crate) fn kind(&self, node: NodeIx) -> KindIx {
        KindIx::new((self.ends[node.index()] >> KIND_SHIFT) as u8)
    }

    /// The stable id of every node.
    pub(crate) fn ids(&self) -> &[StableId] {
        &self.ids
    }

    pub(crate) fn key(&self, node: NodeIx) -> &str {
        let Range { start, end } = self.place(node);
        &self.keys[start..end]
    }

    /// The range of the key in `keys`.
    fn place(&self, node: NodeIx) -> Range<usize> {
        let end = |at: usize| (self.ends[at] & ((1 << KIND_SHIFT) - 1)) as usize;
        node.index().checked_sub(1).map_or(0, end)..end(node.index())
    }

    fn name(&self, node: NodeIx) -> NodeRef<'_> {
        NodeRef { kind: &self.kinds[self.kind(node).index()], key: self.key(node) }
    }

    /// Adds nodes of a kind and returns their numbers; if one is refused, none is added.
    pub(crate) fn add(
        &mut self,
        kind: &str,
        keys: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Range<u32>, Error> {
        check_kind(kind)?;
        let (first, kinds) = (self.bound(), self.kinds.len());
        let added = self.append(kind, keys).and_then(|()| self.insert_nodes(first));
        if added.is_err() {
            self.truncate(first, kinds);
        }
        added.map(|()| first..self.bound())
    }

    fn append(&mut self, kind: &str, keys: impl IntoIterator<Item = impl AsRef<str>>) -> Result<(), Error> {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_none() {
            return Ok(());
        }
        let at = self.known_kind(kind)?;
        for key in keys {
            let key = key.as_ref();
            check_key(key)?;
            self.push(at, key, NodeRef { kind, key }.stable_id())?;
        }
        Ok(())
    }

    /// The number of a kind, which is added if it is new.
    pub(crate) fn known_kind(&mut self, kind: &str) -> Result<u8, Error> {
        let at = self.kinds.iter().position(|other| other == kind).unwrap_or(self.kinds.len());
        if at >= MAX_KINDS {
            return Err(Error::Limit { what: "kinds", limit: MAX_KINDS as u64, found: at as u64 + 1 });
        }
        if at == self.kinds.len() {
            self.kinds.push(kind.to_owned());
        }
        Ok(at as u8)
    }

    /// Adds a node that is not in the directory yet.
    fn push(&mut self, kind: u8, key: &str, id: StableId) -> Result<(), Error> {
        let found = u64::from(self.bound()) + 1;
        if found > MAX_NODES {
            return Err(Error::Limit { what: "nodes", limit: MAX_NODES, found });
        }
        self.ids.push(id);
        self.keys.push_str(key);
        self.ends.push(u64::from(kind) << KIND_SHIFT | self.keys.len() as u64);
        Ok(())
    }

    /// The numbers of named nodes. New ones are added in the order of the names; if one is refused, none is added.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name whose stable id is that of another, [`Error::Limit`] for too many kinds or nodes.
    ///
    /// # Cost
    /// Some 30 ns of one thread for a name, and as much again of all threads.
    pub(crate) fn resolve(&mut self, buffer: &EdgeBuffer) -> Result<Vec<NodeIx>, Error> {
        let (first, kinds) = (self.bound(), self.kinds.len());
        let resolved = self.find(buffer).and_then(|numbers| self.compare(buffer, &numbers).map(|()| numbers));
        if resolved.is_err() {
            self.truncate(first, kinds);
        }
        resolved
    }

    /// The number of a named node, which is added if it is new.
    ///
    /// # Errors
    /// As for [`Self::resolve`].
    pub(crate) fn find_or_add(&mut self, name: NodeRef<'_>, id: StableId) -> Result<NodeIx, Error> {
        if self.directory.is_empty() {
            // At least two slots, so that a lookup has a slot to read.
            self.insert_nodes(self.bound())?;
        }
        if let Some(node) = self.lookup(id) {
            let known = self.name(node);
            return if known == name { Ok(node) } else { Err(collision(name, known)) };
        }
        let kind = self.known_kind(name.kind)?;
        let node = self.bound();
        self.push(kind, name.key, id)?;
        self.insert_nodes(node)?;
        Ok(NodeIx::new(node))
    }

    /// Fetches what a lookup of this id reads first.
    pub(crate) fn prefetch(&self, id: StableId) {
        if !self.directory.is_empty() {
            prefetch(&self.directory, home(mixed(id), self.directory.len()));
        }
    }

    /// The numbers, found by stable id alone.
    fn find(&mut self, buffer: &EdgeBuffer) -> Result<Vec<NodeIx>, Error> {
        // At least two slots, so that a lookup has a slot to read.
        self.insert_nodes(self.bound())?;
        let names = buffer.names();
        let mut kinds: Vec<Option<u8>> = vec![None; buffer.kind_count()];
        let mut numbers = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            // The slot is prefetched first, then the id of its node.
            let slots = self.directory.len();
            if let Some(later) = names.get(at + 2 * AHEAD) {
                prefetch(&self.directory, home(mixed(later.id), slots));
            }
            if let Some(soon) = names.get(at + AHEAD) {
                prefetch(&self.ids, self.directory[home(mixed(soon.id), slots)] as usize);
            }
            if let Some(node) = self.lookup(name.id) {
                numbers.push(node);
                continue;
            }
            let kind = &mut kinds[usize::from(name.kind)];
            let kind = match *kind {
                Some(kind) => kind,
                None => *kind.insert(self.known_kind(buffer.kind(name.kind))?),
            };
            let node = self.bound();
            self.push(kind, buffer.key(at), name.id)?;
            self.insert_nodes(node)?;
            numbers.push(NodeIx::new(node));
        }
        Ok(numbers)
    }

    /// The node with a stable id, in a directory with slots.
    fn lookup(&self, id: StableId) -> Option<NodeIx> {
        let slots = self.directory.len();
        let mut slot = home(mixed(id), slots);
        while self.directory[slot] != FREE {
            let node = NodeIx::new(self.directory[slot]);
            if self.ids[node.index()] == id {
                return Some(node);
            }
            slot = (slot + 1) & (slots - 1);
        }
        None
    }

    /// Refuses the first name that differs from the name of the node with its stable id.
    fn compare(&self, buffer: &EdgeBuffer, numbers: &[NodeIx]) -> Result<(), Error> {
        let kinds: Vec<Option<usize>> = (0..buffer.kind_count() as u16)
            .map(|kind| self.kinds.iter().position(|other| other == buffer.kind(kind)))
            .collect();
        let keys = self.keys.as_bytes();
        let first_other = |(chunk, some): (usize, &[NodeIx])| {
            let first = chunk * COMPARED;
            (first..).zip(some).find_map(|(at, &node)| {
                if let Some(later) = some.get(at - first + 2 * AHEAD) {
                    prefetch(&self.ends, later.index());
                }
                if let Some(soon) = some.get(at - first + AHEAD) {
                    prefetch(keys, self.place(*soon).start);
                }
                let kind = kinds[usize::from(buffer.names()[at].kind)];
                let is_same_key = kind == Some(self.kind(node).index())
                    && is_same(&keys[self.place(node)], buffer.key_bytes(at));
                (!is_same_key).then_some(at)
            })
        };
        let other = numbers.par_chunks(COMPARED).enumerate().find_map_first(first_other);
        other.map_or(Ok(()), |at| {
            let name = NodeRef { kind: buffer.kind(buffer.names()[at].kind), key: buffer.key(at) };
            Err(collision(name, self.name(numbers[at])))
        })
    }

    /// Inserts the nodes from `first` on into the directory.
    fn insert_nodes(&mut self, first: u32) -> Result<(), Error> {
        let (bound, slots) = (self.bound(), slot_count(self.bound()));
        let mut nodes = first..bound;
        if self.directory.len() < slots {
            self.directory = vec![FREE; slots];
            nodes = 0..bound;
        }
        let id = |node: u32| mixed(self.ids[node as usize]);
        let entered = insert_nodes(&mut self.directory, nodes, id, |one, other| id(one) == id(other));
        entered.map_err(|(node, other)| {
            let (name, other) = (self.name(NodeIx::new(node)), self.name(NodeIx::new(other)));
            if name == other {
                return Error::invalid("node", &name.to_string(), "each node once");
            }
            collision(name, other)
        })
    }

    /// Frees the memory that only adding nodes needs.
    pub(crate) fn close(&mut self) {
        self.directory = Vec::new();
    }

    /// Removes the nodes from `bound` on.
    pub(crate) fn truncate(&mut self, bound: u32, kinds: usize) {
        let nodes = bound as usize;
        self.kinds.truncate(kinds);
        self.ids.truncate(nodes);
        self.ends.truncate(nodes);
        let bytes = nodes.checked_sub(1).map_or(0, |last| self.place(NodeIx::new(last as u32)).end);
        self.keys.truncate(bytes);
        self.directory.clear();
        self.insert_nodes(0).expect("the remaining nodes differ");
    }

    /// The pairs of kinds that edges link, the smaller number first, ascending.
    ///
    /// # Errors
    /// The index of the first edge with an end that is not a node.
    pub(crate) fn pairs(&self, edges: &[(NodeIx, NodeIx)]) -> Result<BTreeSet<(u8, u8)>, usize> {
        // One more row and column than kinds, for ends that are not nodes.
        let no_kind = self.kinds.len();
        let kind = |node: NodeIx| if node.get() < self.bound() { self.kind(node).index() } else { no_kind };
        let none = || vec![false; (no_kind + 1) * (no_kind + 1)];
        let note = |mut seen: Vec<bool>, &(a, b): &(NodeIx, NodeIx)| {
            seen[kind(a) * (no_kind + 1) + kind(b)] = true;
            seen
        };
        let seen =
            edges.par_iter().with_min_len(1 << 16).fold(none, note).reduce(none, |one, other| {
                one.into_iter().zip(other).map(|(one, other)| one | other).collect()
            });
        let mut pairs = BTreeSet::new();
        for at in (0..seen.len()).filter(|&at| seen[at]) {
            let (a, b) = (at / (no_kind + 1), at % (no_kind + 1));
            if a.max(b) == no_kind {
                let is_stray = |&(a, b): &(NodeIx, NodeIx)| kind(a).max(kind(b)) == no_kind;
                return Err(edges.iter().position(is_stray).expect("one was seen"));
            }
            pairs.insert((a.min(b) as u8, a.max(b) as u8));
        }
        Ok(pairs)
    }
}

/// True for equal keys; most are so short that a call would take longer.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let word = |key: &[u8], at: usize| u64::from_le_bytes(key[at..at + 8].try_into().expect("eight bytes"));
    match one.len() {
        0..8 => one.iter().zip(other).fold(0, |differs, (one, other)| differs | one ^ other) == 0,
        len @ 8..=16 => word(one, 0) == word(other, 0) && word(one, len - 8) == word(other, len - 8),
        _ => one == other,
    }
}

fn collision(name: NodeRef<'_>, other: NodeRef<'_>) -> Error {
    let rule = format!("a key whose stable id is not that of {other}; choose another key");
    Error::invalid("node", &name.to_string(), rule)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::types::batch::Edge;

    fn node(text: &str) -> NodeRef<'_> {
        NodeRef::parse(text).expect("valid")
    }

    fn buffer(pairs: &[(&str, &str)]) -> EdgeBuffer {
        let mut buffer = EdgeBuffer::new();
        let linked = pairs.iter().try_for_each(|(a, b)| buffer.link(node(a), node(b), Edge::default()));
        linked.expect("valid");
        buffer
    }

    /// Ids crowded into a few homes, and a directory that grows meanwhile.
    #[test]
    fn numbers_are_given_in_the_order_of_first_appearance() {
        let mut seed = 3_u64;
        let mut next = move |bound: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1442);
            (seed >> 33) % bound
        };
        let (mut names, mut model) = (NodeNames::default(), HashMap::new());
        for _ in 0..50 {
            let mut buffer = EdgeBuffer::new();
            for _ in 0..next(300) {
                let (a, b) = (format!("user:{}", next(900)), format!("pin:{}", next(900)));
                buffer.link(node(&a), node(&b), Edge::default()).expect("valid");
            }
            let crowd = |id: StableId| StableId::new(id.get() | 0xff00_0000_0000_0000);
            (0..buffer.names().len()).for_each(|at| buffer.forge(at, crowd(buffer.names()[at].id)));
            let numbers = names.resolve(&buffer).expect("all ids differ");
            for (at, &number) in numbers.iter().enumerate() {
                let name = (buffer.kind(buffer.names()[at].kind).to_owned(), buffer.key(at).to_owned());
                let known = model.len() as u32;
                assert_eq!(number.get(), *model.entry(name.clone()).or_insert(known));
                assert_eq!(names.name(number), NodeRef { kind: &name.0, key: &name.1 });
            }
        }
        assert_eq!(names.bound() as usize, model.len());
    }

    #[test]
    fn two_names_with_one_id_are_refused_and_nothing_of_the_call_stays() {
        let mut names = NodeNames::default();
        names.resolve(&buffer(&[("pin:1", "board:1")])).expect("valid");
        let cases =
            [("pin:3", "pin:2", "pin:1"), ("board:7", "user:1", "pin:1"), ("pin:9", "pin:8", "pin:9")];
        for (first, second, other) in cases {
            let mut bad = buffer(&[(first, "pin:4"), ("pin:5", second)]);
            let at = bad.names().len() - 1;
            bad.forge(at, node(other).stable_id());
            let error = names.resolve(&bad).expect_err("they are two").to_string();
            let expected = format!("found '{second}', expected a key whose stable id is not that of {other}");
            assert!(error.contains(&expected), "{error}");
            assert_eq!((names.bound(), names.kinds().len()), (2, 2));
        }
        let again = buffer(&[("pin:3", "pin:1")]);
        let numbers = names.resolve(&again).expect("nobody else has their ids");
        assert_eq!(numbers, [NodeIx::new(2), NodeIx::new(0)]);
    }
}
