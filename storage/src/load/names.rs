//! The nodes of a load: kinds, keys and stable ids by number.
//! Owns the check that no node comes twice; knows nothing of edges.

use std::collections::BTreeSet;
use std::ops::Range;

use rayon::prelude::*;

use crate::base::{FREE, enter, slot_count};
use crate::name::{check_key, check_kind};
use crate::plan::{MAX_KINDS, MAX_NODES};
use crate::{Error, KindIx, NodeIx, NodeRef, StableId};

/// What is known of the nodes, a few arrays in all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    kinds: Vec<String>,
    /// By node.
    kind: Vec<u8>,
    ids: Vec<StableId>,
    /// Where each key ends in `keys`.
    ends: Vec<u64>,
    keys: String,
    /// From stable id to node, as in the file of keys.
    directory: Vec<u32>,
}

impl Names {
    /// Every node's number is below it.
    pub(crate) fn bound(&self) -> u32 {
        self.kind.len() as u32
    }

    pub(crate) fn kinds(&self) -> &[String] {
        &self.kinds
    }

    pub(crate) fn kind(&self, node: NodeIx) -> KindIx {
        KindIx::new(self.kind[node.index()])
    }

    /// The stable id of every node.
    pub(crate) fn ids(&self) -> &[StableId] {
        &self.ids
    }

    pub(crate) fn key(&self, node: NodeIx) -> &str {
        let start = node.index().checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.keys[start as usize..self.ends[node.index()] as usize]
    }

    fn name(&self, node: NodeIx) -> NodeRef<'_> {
        NodeRef { kind: &self.kinds[self.kind(node).index()], key: self.key(node) }
    }

    /// Adds nodes of a kind, and returns their numbers; where one is refused, none is added.
    pub(crate) fn add(
        &mut self,
        kind: &str,
        keys: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Range<u32>, Error> {
        check_kind(kind)?;
        let (first, kinds) = (self.bound(), self.kinds.len());
        let added = self.append(kind, keys).and_then(|()| self.enter(first));
        if added.is_err() {
            self.cut(first, kinds);
        }
        added.map(|()| first..self.bound())
    }

    fn append(&mut self, kind: &str, keys: impl IntoIterator<Item = impl AsRef<str>>) -> Result<(), Error> {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_none() {
            return Ok(());
        }
        let at = self.kinds.iter().position(|other| other == kind).unwrap_or(self.kinds.len());
        if at >= MAX_KINDS {
            return Err(Error::Limit { what: "kinds", limit: MAX_KINDS as u64, found: at as u64 + 1 });
        }
        if at == self.kinds.len() {
            self.kinds.push(kind.to_owned());
        }
        for key in keys {
            let key = key.as_ref();
            check_key(key)?;
            let found = u64::from(self.bound()) + 1;
            if found > MAX_NODES {
                return Err(Error::Limit { what: "nodes", limit: MAX_NODES, found });
            }
            self.kind.push(at as u8);
            self.ids.push(NodeRef { kind, key }.stable_id());
            self.keys.push_str(key);
            self.ends.push(self.keys.len() as u64);
        }
        Ok(())
    }

    /// Enters the nodes from `first` on in the directory.
    fn enter(&mut self, first: u32) -> Result<(), Error> {
        let (bound, slots) = (self.bound(), slot_count(self.bound()));
        let mut nodes = first..bound;
        if self.directory.len() < slots {
            self.directory = vec![FREE; slots];
            nodes = 0..bound;
        }
        let id = |node: u32| self.ids[node as usize];
        let entered = enter(&mut self.directory, nodes, id, |one, other| id(one) == id(other));
        entered.map_err(|(node, other)| {
            let (name, other) = (self.name(NodeIx::new(node)), self.name(NodeIx::new(other)));
            let rule = if name == other {
                "every node once".to_owned()
            } else {
                format!("a key whose stable id is not that of {other}; choose another key")
            };
            Error::invalid("node", &name.to_string(), rule)
        })
    }

    /// Gives up what only adding nodes takes.
    pub(crate) fn close(&mut self) {
        self.directory = Vec::new();
    }

    /// Forgets the nodes from `bound` on.
    fn cut(&mut self, bound: u32, kinds: usize) {
        let nodes = bound as usize;
        self.kinds.truncate(kinds);
        self.kind.truncate(nodes);
        self.ids.truncate(nodes);
        self.ends.truncate(nodes);
        self.keys.truncate(self.ends.last().map_or(0, |&end| end as usize));
        self.directory.clear();
        self.enter(0).expect("nobody of those who stay was there twice");
    }

    /// The pairs of kinds that edges link, the smaller number first, ascending.
    ///
    /// # Errors
    /// The place of the first edge with an end that is not a node.
    pub(crate) fn pairs(&self, edges: &[(NodeIx, NodeIx)]) -> Result<BTreeSet<(u8, u8)>, usize> {
        // One more row and column than kinds, for ends that are nobody's.
        let nobody = self.kinds.len();
        let kind = |node: NodeIx| self.kind.get(node.index()).map_or(nobody, |&kind| usize::from(kind));
        let none = || vec![false; (nobody + 1) * (nobody + 1)];
        let mark = |mut seen: Vec<bool>, &(a, b): &(NodeIx, NodeIx)| {
            seen[kind(a) * (nobody + 1) + kind(b)] = true;
            seen
        };
        let seen =
            edges.par_iter().with_min_len(1 << 16).fold(none, mark).reduce(none, |one, other| {
                one.into_iter().zip(other).map(|(one, other)| one | other).collect()
            });
        let mut pairs = BTreeSet::new();
        for at in (0..seen.len()).filter(|&at| seen[at]) {
            let (a, b) = (at / (nobody + 1), at % (nobody + 1));
            if a.max(b) == nobody {
                let is_stray = |&(a, b): &(NodeIx, NodeIx)| kind(a).max(kind(b)) == nobody;
                return Err(edges.iter().position(is_stray).expect("one was seen"));
            }
            pairs.insert((a.min(b) as u8, a.max(b) as u8));
        }
        Ok(pairs)
    }
}
