//! The walker: a host's handle on all walks over one snapshot by one policy.
//! Owns the public methods and their contracts; the modules that it calls make the walks.

use std::ops::Range;

use hedgerow_storage::{CancelToken, Changes, NodeIx, Snapshot};

use crate::affected_sources::{self, WalkDifference};
use crate::error::Error;
use crate::neighborhood::{self, Neighborhoods};
use crate::options::WalkOptions;
use crate::policies::policy::Policy;
use crate::stable_walks;
use crate::uniform_walks::{self, UniformWalks};
use crate::visits::Visit;
use crate::walk_context::WalkContext;

/// Walks over one snapshot by one policy.
///
/// Each source owns [`WalkOptions::walks`] independent walks with exact transition probabilities. Walks of the same number
/// from different sources that meet at the same hop continue as one walk.
///
/// # Panics
/// A method may panic, as [`Snapshot`] does, for a node that the store never numbered.
///
/// # Example
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use hedgerow_storage::{Batch, Edge, NodeRef, Store};
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::options().create(true).open(folder.path().join("store"))?;
/// # let mut batch = Batch::new();
/// # for (board, pin) in [("jazz", "1"), ("jazz", "2")] {
/// #     batch.link(NodeRef::new("board", board)?, NodeRef::new("pin", pin)?, Edge::default())?;
/// # }
/// # store.commit(&batch)?;
/// use hedgerow_walker::{Policy, WalkOptions, Walker};
/// // The board jazz holds pins 1 and 2.
/// let snapshot = store.snapshot();
/// let pin = |key| snapshot.require(NodeRef { kind: "pin", key });
/// let policy = Policy::default_for(&snapshot, snapshot.kind(pin("1")?));
/// let walker = Walker::new(&snapshot, WalkOptions::default(), &policy)?;
/// let neighborhood = walker.neighborhood(pin("1")?);
/// assert_eq!(neighborhood.len(), 1);
/// assert_eq!(neighborhood[0].node, pin("2")?);
/// # Ok(())
/// # }
/// ```
pub struct Walker<'s> {
    context: WalkContext<'s>,
}

impl<'s> Walker<'s> {
    /// A walker over a snapshot, with the policy's names looked up in it.
    ///
    /// # Errors
    /// - [`Error::Option`]: an option out of its range, or a path without a relation;
    /// - [`Error::UnknownKind`]: a policy of a kind that the store does not have.
    ///
    /// # Cost
    /// 16 bytes for each hop of the walks of one source, and nothing for each node.
    pub fn new(snapshot: &'s Snapshot, options: WalkOptions, policy: &Policy) -> Result<Self, Error> {
        Ok(Self { context: WalkContext::new(snapshot, options, policy)? })
    }

    /// The same walks, ended before they step on an excluded node.
    ///
    /// `excluded` is indexed by node; nodes beyond its end are not excluded. [`Walker::affected_sources`],
    /// [`Walker::walk_differences`] and [`Walker::uniform_walks`] ignore it.
    #[must_use]
    pub fn excluding(self, excluded: &'s [bool]) -> Self {
        Self { context: self.context.excluding(excluded) }
    }

    /// The nodes that walk number `walk` from `source` visits, in order: those at the ends of its path's cycles.
    ///
    /// # Panics
    /// For a walk number that is not below [`WalkOptions::walks`].
    ///
    /// # Cost
    /// One [`stable_draw`](crate::stable_draw()) per hop.
    pub fn walk(&self, source: NodeIx, walk: u32) -> impl Iterator<Item = NodeIx> + '_ {
        stable_walks::visits(&self.context, source, walk)
    }

    /// The nodes that walk number `walk` from `source` stands on, one for each hop, visited or passed.
    ///
    /// A walk ends early at a node without a neighbor in the relation of the hop.
    ///
    /// # Panics
    /// For a walk number that is not below [`WalkOptions::walks`].
    ///
    /// # Cost
    /// One [`stable_draw`](crate::stable_draw()) per hop.
    pub fn hops(&self, source: NodeIx, walk: u32) -> impl Iterator<Item = NodeIx> + '_ {
        stable_walks::hops(&self.context, source, walk)
    }

    /// Appends every node that the walks with these numbers from `source` visit, once for each visit.
    ///
    /// # Panics
    /// For a walk number that is not below [`WalkOptions::walks`].
    ///
    /// # Determinism
    /// The order is the same in every call, but it may differ between versions of this crate.
    ///
    /// # Cost
    /// One [`stable_draw`](crate::stable_draw()) per hop, 128 walks interleaved.
    pub fn visits(&self, source: NodeIx, walks: Range<u32>, visited: &mut Vec<NodeIx>) {
        stable_walks::append_visits(&self.context, source, walks, visited);
    }

    /// The neighborhood of `source`: the nodes that its walks visit most, largest count first, ties by stable id.
    ///
    /// It holds nodes of the source's kind without the source itself, with [`WalkOptions::min_visits`] visits or more, and at
    /// most [`WalkOptions::top`] of them.
    ///
    /// # Determinism
    /// Canonical: a function of the graph's content, the policy and the options.
    ///
    /// # Cost
    /// One [`stable_draw`](crate::stable_draw()) per hop of all walks, and sorting the visits.
    ///
    /// # Source
    /// Ying et al., `PinSage` (arXiv 1806.01973), section 3.1.
    pub fn neighborhood(&self, source: NodeIx) -> Vec<Visit> {
        neighborhood::neighborhood(&self.context, source)
    }

    /// The neighborhoods of many sources, in the order of the sources.
    ///
    /// # Errors
    /// [`Error::Store`] with the cancellation after `cancel` was raised, or if there is no memory for a large job.
    ///
    /// # Determinism
    /// The same for any number of threads, and equal to [`Walker::neighborhood`] of each source.
    ///
    /// # Cost
    /// As [`Walker::neighborhood`] of each source, or about half if a quarter of all nodes are sources. Then all walks read
    /// tables of every node's draws, and hold four bytes per visit, 4 GiB at most. Parallel over sources and nodes.
    pub fn neighborhoods(&self, sources: &[NodeIx], cancel: &CancelToken) -> Result<Neighborhoods, Error> {
        neighborhood::neighborhoods(&self.context, sources, cancel)
    }

    /// Calls `each` with the neighborhood of each source, in the order of the sources.
    ///
    /// # Errors
    /// As for [`Walker::neighborhoods`]. Some calls were made by then.
    ///
    /// # Cost
    /// As [`Walker::neighborhoods`]. The neighborhoods of some two million sources are in memory at a time.
    pub fn for_each_neighborhood(
        &self,
        sources: &[NodeIx],
        cancel: &CancelToken,
        each: impl FnMut(&[Visit]),
    ) -> Result<(), Error> {
        neighborhood::for_each_neighborhood(&self.context, sources, cancel, each)
    }

    /// A uniform walk of `hops` hops from each source, in the order of the sources.
    ///
    /// A hop is uniform over the neighbors, or proportional to weight. A source listed several times gets several walks. Walk
    /// number n follows the path that stable walk number n follows, see [`Policy`]. [`WalkOptions`] play no part.
    ///
    /// # Errors
    /// [`Error::Store`] with the cancellation after `cancel` was raised, or if there is no memory for a large job.
    ///
    /// # Determinism
    /// A function of the graph, the sources in their order, `hops` and `seed`; the same for any number of threads. Unlike
    /// stable walks, an edge change may change any draw at its ends.
    ///
    /// # Cost
    /// One or two random reads per hop, 128 walks interleaved; four bytes per hop. Parallel over sources.
    pub fn uniform_walks(
        &self,
        sources: &[NodeIx],
        hops: usize,
        seed: u64,
        cancel: &CancelToken,
    ) -> Result<UniformWalks, Error> {
        uniform_walks::uniform_walks(&self.context, sources, hops, seed, cancel)
    }

    /// Exactly the sources with a walk that differs between the graph at `changes.from` and this walker's snapshot,
    /// ascending.
    ///
    /// `changes` must lead to this walker's snapshot. A changed walk has a first changed draw, and is equal in both
    /// graphs up to it. So all draws of the touched lists are compared, and each changed draw is traced back in the new
    /// graph. A walk that stands on node v at hop t came from a neighbor of v whose own draw at hop t - 1 is v.
    /// Searches of one walk number that meet continue as one.
    ///
    /// # Errors
    /// [`Error::Store`] with the cancellation after `cancel` was raised.
    ///
    /// # Determinism
    /// The same for any number of threads.
    ///
    /// # Cost
    /// Two draws per touched list, walk and hop. About 2/degree of the draws differ, and each of them asks all neighbors of
    /// its node. So the cost of a list depends on neither its degree nor the graph's size. It was measured at 0.1 ms per
    /// edge, both at 75,000 and at 1.5 million nodes. Parallel over lists and walks if the work is worth a second thread.
    pub fn affected_sources(&self, changes: &Changes, cancel: &CancelToken) -> Result<Vec<NodeIx>, Error> {
        // No search asks so many.
        Ok(self.affected_sources_within(changes, u64::MAX, cancel)?.unwrap_or_default())
    }

    /// As [`Walker::affected_sources`], but `None` if the search would ask more than `most_asked` neighbors for their draws. To compare
    /// the draws of a changed list counts too, by the tries that they are expected to take.
    ///
    /// Asking a neighbor costs about as much as a hop. A batch that changes most draws of long lists, as one edge of a very high weight
    /// does, may ask more than walking again from every source takes.
    ///
    /// # Errors
    /// As for [`Walker::affected_sources`].
    /// # Determinism
    /// The same for any number of threads.
    pub fn affected_sources_within(
        &self,
        changes: &Changes,
        most_asked: u64,
        cancel: &CancelToken,
    ) -> Result<Option<Vec<NodeIx>>, Error> {
        affected_sources::affected_sources(&self.context, changes, most_asked, cancel)
    }

    /// The hops that all walks of one source take at most.
    pub fn hops_per_source(&self) -> usize {
        self.context.hops_per_source()
    }

    /// The first difference of each walk of `source` between the graph at `changes.from` and this walker's snapshot.
    ///
    /// `changes` must lead to this walker's snapshot. The result is empty for sources that [`Walker::affected_sources`]
    /// leaves out.
    ///
    /// # Cost
    /// All walks of the source, and a copy of every changed list that they step on.
    pub fn walk_differences(&self, changes: &Changes, source: NodeIx) -> Vec<WalkDifference> {
        affected_sources::walk_differences(&self.context, changes, source)
    }
}
