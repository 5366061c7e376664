//! A snapshot with everything that its walks need.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::OnceLock;

use hedgerow_storage::{FlatLists, KindIx, Lists, NodeIx, RelationIx, Snapshot};

use crate::draw_keys::DrawKeys;
use crate::error::Error;
use crate::interleaved::{ENDED, Interleaver, StableDraw};
use crate::options::WalkOptions;
use crate::policy::{Path, Policy};
use crate::stable_draw::stable_draw;
use crate::visits::VisitColumns;

/// Walks over one snapshot by one policy.
///
/// Each source owns [`WalkOptions::walks`] independent, correctly distributed walks. Walks of the same number
/// from different sources that meet at the same hop go on together.
pub struct Walker<'s> {
    pub(crate) snapshot: &'s Snapshot,
    pub(crate) options: WalkOptions,
    pub(crate) kind: KindIx,
    pub(crate) paths: Vec<Path>,
    pub(crate) keys: DrawKeys,
    /// By node, whether a walk that steps on it ends.
    excluded: Option<&'s [bool]>,
    /// By relation, once a job was large enough to ask for it; nothing where lists are flat already.
    flattened: Vec<OnceLock<Option<FlatLists>>>,
}

impl<'s> Walker<'s> {
    /// # Errors
    /// Options out of range, or a policy of a kind that the store does not have.
    pub fn new(snapshot: &'s Snapshot, options: WalkOptions, policy: &Policy) -> Result<Self, Error> {
        options.validate()?;
        let resolved = policy.resolve(snapshot)?;
        let lengths: Vec<u32> = resolved.paths.iter().map(|path| path.relations.len() as u32).collect();
        Ok(Self {
            snapshot,
            options,
            kind: resolved.kind,
            keys: DrawKeys::new(&options, &lengths),
            paths: resolved.paths,
            excluded: None,
            flattened: (0..snapshot.relation_count()).map(|_| OnceLock::new()).collect(),
        })
    }

    /// The same walks, but one that steps on a excluded node ends before it does. `excluded` is by node; what lies beyond its
    /// end is open. For neighbourhoods that shall not know of some nodes; [`Walker::affected_sources`] does not heed it.
    #[must_use]
    pub fn excluding(mut self, excluded: &'s [bool]) -> Self {
        self.excluded = Some(excluded);
        self
    }

    /// Ends the walks that stepped on a excluded node.
    pub(crate) fn end_at_excluded(&self, at: &mut [u32]) {
        if let Some(excluded) = self.excluded {
            for at in at.iter_mut().filter(|at| excluded.get(**at as usize) == Some(&true)) {
                *at = ENDED;
            }
        }
    }

    /// The lists of a relation, flat where some job made them so.
    pub(crate) fn lists(&self, relation: RelationIx) -> Lists<'_> {
        match self.flattened[relation.index()].get() {
            Some(Some(flat)) => flat.lists(self.snapshot, relation),
            Some(None) | None => self.snapshot.lists(relation),
        }
    }

    /// Makes the lists flat for a job of so many hops, if it is worth that: from as many hops as there are nodes.
    pub(crate) fn flatten_lists(&self, hops: usize) -> Result<(), Error> {
        if hops < self.snapshot.bound() as usize {
            return Ok(());
        }
        for relation in self.paths.iter().flat_map(|path| path.relations.iter().flatten()) {
            let flat = &self.flattened[relation.index()];
            if flat.get().is_none() {
                // Two jobs may both make them; the copies are alike.
                let _ = flat.set(FlatLists::of(self.snapshot, *relation)?);
            }
        }
        Ok(())
    }

    /// The nodes that walk number `walk` from `source` visits, in order: those at the ends of its path's
    /// cycles. Cost: one [`stable_draw`] per hop.
    pub fn walk(&self, source: NodeIx, walk: u32) -> impl Iterator<Item = NodeIx> + '_ {
        let cycle = self.paths.get(self.keys.path_of(walk)).map_or(1, |path| path.relations.len());
        self.hops(source, walk).skip(cycle - 1).step_by(cycle)
    }

    /// Appends every node that the walks with these numbers from `source` visit, as often as they visit it. The
    /// order is the same every time, but not otherwise promised. Cost: one [`stable_draw`] per hop.
    ///
    /// # Panics
    /// A number that is not below [`WalkOptions::walks`].
    pub fn visits(&self, source: NodeIx, walks: Range<u32>, visited: &mut Vec<NodeIx>) {
        let mut interleaver = Interleaver::new();
        for (number, path) in self.paths.iter().enumerate() {
            let of_path = walks.clone().filter(|&walk| self.keys.path_of(walk) == number);
            let mut keys: Vec<&[u64]> = of_path.map(|walk| self.keys.of_walk(walk)).collect();
            keys.sort_by_key(|keys| Reverse(keys.len()));
            let mut at = vec![source.get(); keys.len()];
            for hop in 0..keys.first().map_or(0, |keys| keys.len()) {
                let Some(relation) = path.relation(hop as u32) else { break };
                at.truncate(keys.partition_point(|keys| keys.len() > hop));
                let next = path.relation(hop as u32 + 1).map(|relation| self.lists(relation));
                interleaver.hop(self.lists(relation), &mut at, |i| keys[i][hop], StableDraw, next);
                self.end_at_excluded(&mut at);
                if (hop + 1).is_multiple_of(path.relations.len()) {
                    visited.extend(at.iter().filter(|&&node| node != ENDED).map(|&node| NodeIx::new(node)));
                }
            }
        }
    }

    /// Whether a node's visits are counted.
    pub(crate) fn is_counted(&self, node: NodeIx) -> bool {
        self.snapshot.kind(node) == self.kind
    }

    /// Every node that walk number `walk` from `source` stands on after a hop, visited or passed. A walk ends
    /// early where its relation has no neighbour.
    pub fn hops(&self, source: NodeIx, walk: u32) -> impl Iterator<Item = NodeIx> + '_ {
        let keys = self.keys.of_walk(walk);
        let path = self.paths.get(self.keys.path_of(walk));
        (0u32..).zip(keys).scan(source, move |at, (hop, &key)| {
            *at = self.step(path?, *at, hop, key)?;
            Some(*at)
        })
    }

    /// Where the draw with `key` at hop `hop` leads from `node`.
    fn step(&self, path: &Path, node: NodeIx, hop: u32, key: u64) -> Option<NodeIx> {
        let list = self.snapshot.list(path.relation(hop)?, node);
        let next = list.neighbor(stable_draw(&list, key)?);
        let excluded = self.excluded.is_some_and(|excluded| excluded.get(next.index()) == Some(&true));
        (!excluded).then_some(next)
    }

    /// The visits of all walks of a few sources, made side by side; as many sources as a power of two.
    pub(crate) fn interleaved_walks(&self, sources: &[NodeIx]) -> VisitColumns {
        let shift = sources.len().trailing_zeros();
        let mut columns = Vec::with_capacity(self.visits_per_source() << shift);
        let mut interleaver = Interleaver::new();
        for (path, path_keys) in self.paths.iter().zip(self.keys.by_path()) {
            let walks = path_keys.by_hop.first().map_or(0, Vec::len);
            let mut at: Vec<u32> =
                (0..walks).flat_map(|_| sources.iter().map(|source| source.get())).collect();
            for (number, keys) in (0..).zip(&path_keys.by_hop) {
                let Some(relation) = path.relation(number) else { break };
                at.truncate(keys.len() << shift);
                let next = path.relation(number + 1).map(|relation| self.lists(relation));
                interleaver.hop(self.lists(relation), &mut at, |i| keys[i >> shift], StableDraw, next);
                self.end_at_excluded(&mut at);
                if (number as usize + 1).is_multiple_of(path.relations.len()) {
                    columns.extend_from_slice(&at);
                }
            }
        }
        VisitColumns { width: sources.len(), columns }
    }
}
