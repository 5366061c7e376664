//! A snapshot with everything that its walks need.

use std::ops::Range;

use hedgerow_storage::{KindIx, NodeIx, Snapshot};

use crate::error::Error;
use crate::options::WalkOptions;
use crate::pick::pick;
use crate::policy::{Path, Policy};
use crate::schedule::Schedule;

/// Walks over one snapshot by one policy.
///
/// Each source owns [`WalkOptions::walks`] independent, correctly distributed walks. Walks of the same number
/// from different sources that meet at the same hop go on together.
pub struct Walker<'s> {
    pub(crate) snapshot: &'s Snapshot,
    pub(crate) options: WalkOptions,
    pub(crate) kind: KindIx,
    pub(crate) paths: Vec<Path>,
    pub(crate) schedule: Schedule,
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
            schedule: Schedule::new(&options, &lengths),
            paths: resolved.paths,
        })
    }

    /// The nodes that walk number `walk` from `source` visits, in order: those at the ends of its path's
    /// cycles. Cost: one [`pick`] per hop.
    pub fn walk(&self, source: NodeIx, walk: u32) -> impl Iterator<Item = NodeIx> + '_ {
        let cycle = self.paths.get(self.schedule.path(walk)).map_or(1, |path| path.relations.len());
        self.hops(source, walk).skip(cycle - 1).step_by(cycle)
    }

    /// Appends every node that the walks with these numbers from `source` visit, as often as they visit it. The
    /// order is the same every time, but not otherwise promised. Cost: one [`pick`] per hop.
    ///
    /// # Panics
    /// A number that is not below [`WalkOptions::walks`].
    pub fn visits(&self, source: NodeIx, walks: Range<u32>, visited: &mut Vec<NodeIx>) {
        for walk in walks {
            visited.extend(self.walk(source, walk));
        }
    }

    /// Every node that walk number `walk` from `source` stands on after a hop, visited or passed. A walk ends
    /// early where its relation has no neighbour.
    pub fn hops(&self, source: NodeIx, walk: u32) -> impl Iterator<Item = NodeIx> + '_ {
        let keys = self.schedule.keys(walk);
        let path = self.paths.get(self.schedule.path(walk));
        (0u32..).zip(keys).scan(source, move |at, (hop, &key)| {
            *at = self.step(path?, *at, hop, key)?;
            Some(*at)
        })
    }

    /// Where the draw with `key` at hop `hop` leads from `node`.
    pub(crate) fn step(&self, path: &Path, node: NodeIx, hop: u32, key: u64) -> Option<NodeIx> {
        let list = self.snapshot.list(path.relation(hop)?, node);
        pick(&list, key).map(|position| list.neighbor(position))
    }
}
