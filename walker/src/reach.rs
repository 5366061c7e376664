//! What an edge change reaches: the sources whose walks it altered, found backwards and without an index.

use std::collections::BTreeSet;

use hedgerow_storage::{Changes, List, ListBuf, NodeIx, RelationIx};
use rayon::prelude::*;

use crate::pick::pick;
use crate::stride::{BATCH, Stable, Stride};
use crate::walk::Walker;

/// Walks that are one task.
const WALKS_PER_TASK: usize = 32;

/// A list that differs, as it was and as it is.
struct Changed<'s> {
    relation: RelationIx,
    node: NodeIx,
    old: ListBuf,
    new: List<'s>,
}

impl Walker<'_> {
    /// Exactly the sources one of whose walks differs between the graph at `changes.from` and this walker's
    /// snapshot, which `changes` must lead to; ascending.
    ///
    /// A walk that changed has a first draw that changed, and up to it is the same in both graphs. So the draws
    /// of every touched list are compared, and from those that differ the walk is traced back in the new graph:
    /// before standing on v at hop t it stood on a neighbour of v whose own draw at t - 1 is v. Searches of a batch that
    /// meet go on as one.
    ///
    /// Cost: per touched list, two picks for each hop of each walk; about 2/degree of them differ, and each asks
    /// the v's neighbours, so that a list costs about as much whatever its degree and the size of the graph. Parallel over
    /// walks.
    pub fn reached(&self, changes: &Changes) -> Vec<NodeIx> {
        let changed = |(&(relation, node), _)| Changed {
            relation,
            node,
            old: changes.old_list(self.snapshot, relation, node),
            new: self.snapshot.list(relation, node),
        };
        let changed: Vec<Changed<'_>> =
            changes.lists.iter().collect::<Vec<_>>().into_par_iter().map(changed).collect();
        let reached = (0..self.options.walks)
            .into_par_iter()
            .with_min_len(WALKS_PER_TASK)
            .fold(BTreeSet::new, |mut sources, walk| {
                self.trace_back(walk, &changed, &mut sources);
                sources
            })
            .reduce(BTreeSet::new, |mut all, some| {
                all.extend(some);
                all
            });
        reached.into_iter().map(NodeIx::new).collect()
    }

    /// Adds the sources whose walk of that number came or comes through a draw that changed.
    fn trace_back(&self, walk: u32, changed: &[Changed<'_>], sources: &mut BTreeSet<u32>) {
        let Some(path) = self.paths.get(self.schedule.path(walk)) else { return };
        let keys = self.schedule.keys(walk);
        // The nodes that the walk stands on before a hop; the last hop first.
        let mut standing: Vec<u32> = Vec::new();
        let mut before: Vec<u32> = Vec::new();
        let mut at: Vec<u32> = Vec::new();
        let mut stride = Stride::new();
        for (hop_number, &key) in (0..keys.len() as u32).zip(keys).rev() {
            for list in changed {
                if path.relation(hop_number) == Some(list.relation)
                    && path.can_stand(self.snapshot.kind(list.node), hop_number)
                    && list.draws_otherwise(key)
                {
                    standing.push(list.node.get());
                }
            }
            standing.sort_unstable();
            standing.dedup();
            let Some(earlier) = hop_number.checked_sub(1) else { break };
            let Some(relation) = path.relation(earlier) else {
                standing.clear();
                continue;
            };
            let lists = self.snapshot.lists(relation);
            before.clear();
            for &node in &standing {
                let neighbors = lists.get(NodeIx::new(node)).neighbors();
                at.clear();
                at.extend_from_slice(neighbors);
                at.iter().take(BATCH).for_each(|&from| lists.prefetch(NodeIx::new(from)));
                stride.hop(lists, &mut at, |_| keys[earlier as usize], Stable, None);
                let comes = neighbors.iter().zip(&at).filter(|&(&from, &to)| {
                    to == node && path.can_stand(self.snapshot.kind(NodeIx::new(from)), earlier)
                });
                before.extend(comes.map(|(&from, _)| from));
            }
            std::mem::swap(&mut standing, &mut before);
        }
        sources.extend(standing.iter().filter(|&&node| self.snapshot.kind(NodeIx::new(node)) == self.kind));
    }
}

impl Changed<'_> {
    /// Whether a key leads elsewhere than before.
    fn draws_otherwise(&self, key: u64) -> bool {
        let old = self.old.as_list();
        pick(&old, key).map(|at| old.neighbor(at)) != pick(&self.new, key).map(|at| self.new.neighbor(at))
    }
}
