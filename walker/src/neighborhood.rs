//! Neighbourhoods: the nodes that a source's walks visit most.

use hedgerow_storage::NodeIx;
use rayon::prelude::*;

use crate::walk::Walker;

/// A node of a neighbourhood. Its importance is `count` over the sum of the neighbourhood's counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Visit {
    /// The node visited.
    pub node: NodeIx,
    /// By how many visits of all the source's walks.
    pub count: u32,
}

impl Walker<'_> {
    /// The neighbourhood of `source`: all nodes of its kind but itself that its walks visited at least
    /// `min_visits` times, by count, then by stable id, the first `top` of them (PinSage, section 3.1).
    ///
    /// Cost: walks x mean hops picks, and sorting the visits.
    pub fn neighborhood(&self, source: NodeIx) -> Vec<Visit> {
        self.neighborhood_with(source, &mut Vec::new())
    }

    /// The neighbourhoods of many sources, in their order; parallel over sources, the same for any number of
    /// threads.
    pub fn neighborhoods(&self, sources: &[NodeIx]) -> Vec<Vec<Visit>> {
        sources
            .par_iter()
            .map_init(Vec::new, |visited, &source| self.neighborhood_with(source, visited))
            .collect()
    }

    fn neighborhood_with(&self, source: NodeIx, visited: &mut Vec<NodeIx>) -> Vec<Visit> {
        visited.clear();
        for walk in 0..self.options.walks {
            visited.extend(self.walk(source, walk).filter(|&node| node != source));
        }
        visited.sort_unstable();
        let mut kept: Vec<Visit> = visited
            .chunk_by(|a, b| a == b)
            .map(|same| Visit { node: same[0], count: same.len() as u32 })
            .filter(|visit| visit.count >= self.options.min_visits && self.counts(visit.node))
            .collect();
        kept.sort_by_cached_key(|visit| (u32::MAX - visit.count, self.snapshot.stable_id(visit.node)));
        kept.truncate(self.options.top as usize);
        kept
    }

    /// Whether visits of `node` count: those of the policy's own kind do.
    pub(crate) fn counts(&self, node: NodeIx) -> bool {
        self.snapshot.kind(node) == self.kind
    }
}
