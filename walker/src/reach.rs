//! What an edge change reaches: the sources whose walks it altered, found backwards and without an index.

use std::collections::BTreeSet;

use hedgerow_storage::{Changes, NodeIx, RelationIx};
use rayon::prelude::*;

use crate::pick::pick;
use crate::policy::Path;
use crate::walk::Walker;

/// Changed lists times walks below which a search is not worth a task of its own.
const SEARCHES_PER_TASK: usize = 64;

impl Walker<'_> {
    /// Exactly the sources one of whose walks differs between the graph at `changes.from` and this walker's
    /// snapshot, which `changes` must lead to; ascending.
    ///
    /// A walk that changed has a first draw that changed, and up to it is the same in both graphs. So the draws
    /// of every touched list are compared, and from those that differ the walk is traced back in the new graph:
    /// before standing on v at hop t it stood on a neighbour of v whose own draw at t - 1 is v.
    ///
    /// Cost: per touched list, two picks for each hop of each walk; about 2/degree of them differ, and each asks
    /// the v's neighbours, so that a list costs about as much whatever its degree (measured: 500 to 4,000 hashes
    /// an edge). Parallel over touched lists and walks.
    pub fn reached(&self, changes: &Changes) -> Vec<NodeIx> {
        let lists: Vec<(RelationIx, NodeIx)> = changes.lists.keys().copied().collect();
        let reached = lists
            .par_iter()
            .map(|&(relation, node)| {
                let old = changes.old_list(self.snapshot, relation, node);
                let (old, new) = (old.as_list(), self.snapshot.list(relation, node));
                (0..self.options.walks)
                    .into_par_iter()
                    .with_min_len(SEARCHES_PER_TASK)
                    .fold(BTreeSet::new, |mut sources, walk| {
                        let Some(path) = self.paths.get(self.schedule.path(walk)) else { return sources };
                        for (hop, &key) in (0u32..).zip(self.schedule.keys(walk)) {
                            if path.relation(hop) == Some(relation)
                                && path.can_stand(self.snapshot.kind(node), hop)
                                && pick(&old, key).map(|at| old.neighbor(at))
                                    != pick(&new, key).map(|at| new.neighbor(at))
                            {
                                self.trace_back(path, walk, hop, node, &mut sources);
                            }
                        }
                        sources
                    })
                    .reduce(BTreeSet::new, |mut all, some| {
                        all.extend(some);
                        all
                    })
            })
            .reduce(BTreeSet::new, |mut all, some| {
                all.extend(some);
                all
            });
        reached.into_iter().collect()
    }

    /// Adds the sources whose walk number `walk` stands on `node` before hop `hop`.
    fn trace_back(&self, path: &Path, walk: u32, hop: u32, node: NodeIx, sources: &mut BTreeSet<NodeIx>) {
        let Some(before) = hop.checked_sub(1) else {
            if self.snapshot.kind(node) == self.kind {
                sources.insert(node);
            }
            return;
        };
        let Some(relation) = path.relation(before) else { return };
        let key = self.schedule.keys(walk)[before as usize];
        for &from in self.snapshot.list(relation, node).neighbors() {
            let from = NodeIx::new(from);
            if path.can_stand(self.snapshot.kind(from), before)
                && self.step(path, from, before, key) == Some(node)
            {
                self.trace_back(path, walk, before, from, sources);
            }
        }
    }
}
