//! One snapshot with all that its walks need: options, resolved paths, draw keys, excluded nodes and flattened lists.
//! Owns what the kinds of walks share; it makes no walk itself.

use std::sync::OnceLock;

use hedgerow_storage::{FlattenedLists, KindIx, Lists, NodeIx, RelationIx, Snapshot};

use crate::draw_keys::{DrawKeys, PathKeys};
use crate::error::Error;
use crate::interleaved::ENDED;
use crate::options::WalkOptions;
use crate::policies::policy::{Path, Policy};

/// The most hops of all walks of a source, which bounds the memory of their keys. The most walks of the most visits over
/// paths of two relations have fewer.
const MAX_HOPS: u64 = 1 << 24;

/// The inputs of all walks over one snapshot by one policy.
pub(crate) struct WalkContext<'s> {
    pub(crate) snapshot: &'s Snapshot,
    pub(crate) options: WalkOptions,
    /// The kind of the sources and of the visits that count.
    pub(crate) kind: KindIx,
    pub(crate) paths: Vec<Path>,
    pub(crate) keys: DrawKeys,
    /// By node: true ends a walk before it steps there. Nodes beyond the end are not excluded.
    excluded: Option<&'s [bool]>,
    /// By relation. The first job that is large enough sets it, to `None` if no list changed since the checkpoint.
    flattened: Vec<OnceLock<Option<FlattenedLists>>>,
}

impl<'s> WalkContext<'s> {
    /// A context without excluded nodes.
    pub(crate) fn new(snapshot: &'s Snapshot, options: WalkOptions, policy: &Policy) -> Result<Self, Error> {
        options.validate()?;
        let resolved = policy.resolve(snapshot)?;
        let lengths: Vec<u32> = resolved.paths.iter().map(|path| path.relations.len() as u32).collect();
        let hops = u64::from(options.walks) * u64::from(options.visits);
        let hops = hops * u64::from(lengths.iter().copied().max().unwrap_or(0));
        if hops > MAX_HOPS {
            return Err(Error::Option {
                option: "policy",
                found: format!("up to {hops} hops from a source"),
                expected: "at most 16,777,216 hops: walks x visits x relations of the longest path",
            });
        }
        Ok(Self {
            snapshot,
            options,
            kind: resolved.kind,
            keys: DrawKeys::new(&options, &lengths, resolved.order),
            paths: resolved.paths,
            excluded: None,
            flattened: (0..snapshot.relation_count()).map(|_| OnceLock::new()).collect(),
        })
    }

    /// The same context with these nodes excluded, and no others.
    pub(crate) fn excluding(self, excluded: &'s [bool]) -> Self {
        Self { excluded: Some(excluded), ..self }
    }

    /// True for a node that no walk may step on.
    pub(crate) fn is_excluded(&self, node: NodeIx) -> bool {
        self.excluded.is_some_and(|excluded| excluded.get(node.index()) == Some(&true))
    }

    /// Ends the walks that stepped on an excluded node.
    pub(crate) fn end_at_excluded(&self, at: &mut [u32]) {
        if let Some(excluded) = self.excluded {
            for at in at.iter_mut().filter(|at| excluded.get(**at as usize) == Some(&true)) {
                *at = ENDED;
            }
        }
    }

    /// True for a node whose visits count.
    pub(crate) fn is_counted(&self, node: NodeIx) -> bool {
        self.snapshot.kind(node) == self.kind
    }

    /// The hops of all walks of one source, if none ends early.
    pub(crate) fn hops_per_source(&self) -> usize {
        self.keys.hops()
    }

    /// The largest number of visits that all walks of one source make.
    pub(crate) fn visits_per_source(&self) -> usize {
        let of_path = |(keys, path): (&PathKeys, &Path)| -> usize {
            let cycle = path.relations.len();
            keys.by_hop.iter().skip(cycle - 1).step_by(cycle).map(Vec::len).sum()
        };
        self.keys.by_path().iter().zip(&self.paths).map(of_path).sum()
    }

    /// The lists of a relation, flattened if a job flattened them.
    pub(crate) fn lists(&self, relation: RelationIx) -> Lists<'_> {
        match self.flattened[relation.index()].get() {
            Some(Some(flattened)) => flattened.lists(self.snapshot, relation),
            Some(None) | None => self.snapshot.lists(relation),
        }
    }

    /// Flattens the lists of all paths for a job of `hops` hops.
    ///
    /// Smaller jobs than one hop per node leave the lists alone, since flattening reads every record once.
    pub(crate) fn flatten_lists(&self, hops: usize) -> Result<(), Error> {
        if hops < self.snapshot.bound() as usize {
            return Ok(());
        }
        for relation in self.paths.iter().flat_map(|path| path.relations.iter().flatten()) {
            let flattened = &self.flattened[relation.index()];
            if flattened.get().is_none() {
                // Two jobs at the same time may both flatten. The copies are equal, and the later one is dropped.
                let _ = flattened.set(FlattenedLists::of(self.snapshot, *relation)?);
            }
        }
        Ok(())
    }
}
