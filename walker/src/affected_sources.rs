//! What an edge change reaches: the sources whose walks it altered, found backwards and without an index.

use std::collections::HashMap;

use hedgerow_storage::{CancelToken, Changes, List, ListBuf, NodeIx, RelationIx};
use rayon::prelude::*;

use crate::error::Error;
use crate::hash::fold;
use crate::interleaved::{Interleaver, StableDraw, WALKS_IN_FLIGHT};
use crate::stable_draw::draw_position;
use crate::walker::Walker;

/// Changed lists that are one task.
const LISTS_PER_TASK: usize = 16;
/// Neighbours to be asked below which searches are not worth a second thread: it would take longer to wake.
const NEIGHBORS_PER_THREAD: usize = 50_000;

/// A draw that leads elsewhere than before. Ordered by walk, then the last hop first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ChangedDraw {
    walk: u32,
    hop: std::cmp::Reverse<u32>,
    node: u32,
}

/// A list that differs, as it was and as it is.
struct Changed<'s> {
    relation: RelationIx,
    node: NodeIx,
    old: ListBuf,
    new: List<'s>,
}

/// Where a walk leads elsewhere than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkDifference {
    /// The walk's number.
    pub walk: u32,
    /// The hop from 0 on.
    pub hop: u32,
    /// Where the walk stands before that hop, in both graphs.
    pub at: NodeIx,
    /// The relation of the hop.
    pub relation: RelationIx,
    /// Where it led; nowhere from a node that had no neighbour.
    pub was: Option<NodeIx>,
    /// Where it leads.
    pub now: Option<NodeIx>,
}

impl<'s> Walker<'s> {
    /// The first difference of each walk of a source between the graph at `changes.from` and this walker's snapshot, which
    /// `changes` must lead to. Empty for those that [`Walker::affected_sources`] leaves out.
    ///
    /// Cost: all walks of the source, and a copy of every changed list that they step on.
    pub fn walk_differences(&self, changes: &Changes, source: NodeIx) -> Vec<WalkDifference> {
        let mut before: HashMap<(RelationIx, NodeIx), ListBuf> = HashMap::new();
        let mut changed_draws = Vec::new();
        for walk in 0..self.options.walks {
            let Some(path) = self.paths.get(self.keys.path_of(walk)) else { break };
            let mut at = source;
            for (hop, &key) in (0..).zip(self.keys.of_walk(walk)) {
                let Some(relation) = path.relation(hop) else { break };
                let now = drawn_neighbor(&self.snapshot.list(relation, at), key);
                if changes.lists.contains_key(&(relation, at)) {
                    let old = || changes.old_list(self.snapshot, relation, at);
                    let was =
                        drawn_neighbor(&before.entry((relation, at)).or_insert_with(old).as_list(), key);
                    if was != now {
                        changed_draws.push(WalkDifference { walk, hop, at, relation, was, now });
                        break;
                    }
                }
                let Some(next) = now else { break };
                at = next;
            }
        }
        changed_draws
    }

    /// Exactly the sources one of whose walks differs between the graph at `changes.from` and this walker's
    /// snapshot, which `changes` must lead to; ascending.
    ///
    /// A walk that changed has a first draw that changed, and up to it is the same in both graphs. So the draws
    /// of every touched list are compared, and from those that differ the walk is traced back in the new graph:
    /// before standing on v at hop t it stood on a neighbour of v whose own draw at t - 1 is v. Searches of a batch that
    /// meet go on as one.
    ///
    /// Cost: per touched list, two picks for each hop of each walk; about 2/degree of them differ, and each asks
    /// the v's neighbours, so that a list costs about as much whatever its degree and the size of the graph (measured: 0.1 ms
    /// an edge at 75 thousand and at 1.5 million nodes). Parallel over lists and walks where it is worth a thread.
    ///
    /// # Errors
    /// [`Error::Store`] with the cancellation, once `cancel` was raised.
    pub fn affected_sources(&self, changes: &Changes, cancel: &CancelToken) -> Result<Vec<NodeIx>, Error> {
        let changed: Vec<(RelationIx, NodeIx)> = changes.lists.keys().copied().collect();
        let changed_draws = |&(relation, node): &(RelationIx, NodeIx)| {
            let old = changes.old_list(self.snapshot, relation, node);
            let new = self.snapshot.list(relation, node);
            Comparison { walker: self, list: Changed { relation, node, old, new } }.run()
        };
        let stage = cancel.stage("lists compared", changed.len() as u64);
        let compared = |list: &(RelationIx, NodeIx)| {
            stage.advance(1)?;
            Ok(changed_draws(list))
        };
        let changed_draws: Vec<Vec<ChangedDraw>> = changed
            .par_iter()
            .with_min_len(LISTS_PER_TASK)
            .map(compared)
            .collect::<Result<_, hedgerow_storage::Error>>()?;
        stage.end();
        let mut changed_draws = changed_draws.concat();
        changed_draws.par_sort_unstable();
        let walks: Vec<&[ChangedDraw]> =
            changed_draws.chunk_by(|one, other| one.walk == other.walk).collect();
        let stage = cancel.stage("walks traced back", walks.len() as u64);
        let degree = |draw: &ChangedDraw| self.snapshot.degree(NodeIx::new(draw.node)) as usize;
        let mut affected: Vec<u32> = if changed_draws.iter().map(degree).sum::<usize>() < NEIGHBORS_PER_THREAD
        {
            let mut search = Search::new();
            for draws in walks {
                stage.advance(1)?;
                self.trace_back(draws, &mut search);
            }
            search.sources
        } else {
            let trace = |mut search: Search<'s>, draws: &&[ChangedDraw]| {
                stage.advance(1)?;
                self.trace_back(draws, &mut search);
                Ok::<_, hedgerow_storage::Error>(search)
            };
            let searches = walks.par_iter().try_fold(Search::new, trace);
            searches.map(|search| Ok::<_, hedgerow_storage::Error>(search?.sources)).try_reduce(
                Vec::new,
                |mut all, some| {
                    all.extend(some);
                    Ok(all)
                },
            )?
        };
        stage.end();
        affected.par_sort_unstable();
        affected.dedup();
        Ok(affected.into_iter().map(NodeIx::new).collect())
    }

    /// Adds the sources whose walk came or comes through one of these draws, which are all of one walk.
    fn trace_back(&self, draws: &[ChangedDraw], search: &mut Search<'s>) {
        let walk = draws[0].walk;
        let Some(path) = self.paths.get(self.keys.path_of(walk)) else { return };
        let keys = self.keys.of_walk(walk);
        let Search { interleaver, standing, before, at, sources } = search;
        standing.clear();
        let mut draws = draws.iter().peekable();
        for hop in (0..=draws.peek().map_or(0, |draw| draw.hop.0)).rev() {
            while let Some(draw) = draws.next_if(|draw| draw.hop.0 == hop) {
                standing.push(draw.node);
            }
            standing.sort_unstable();
            standing.dedup();
            let Some(earlier) = hop.checked_sub(1) else { break };
            before.clear();
            // Nobody comes by a relation that there is not.
            if let Some(lists) = path.relation(earlier).map(|relation| self.snapshot.lists(relation)) {
                for &node in &*standing {
                    let list = lists.get(NodeIx::new(node));
                    at.clear();
                    list.runs().for_each(|run| at.extend_from_slice(run));
                    for &from in at.iter().take(WALKS_IN_FLIGHT) {
                        lists.prefetch(NodeIx::new(from));
                    }
                    interleaver.hop(lists, at, |_| keys[earlier as usize], StableDraw, None);
                    let comes = list.neighbors().zip(&*at).filter(|&(from, &to)| {
                        to == node && path.can_reach(self.snapshot.kind(from), earlier)
                    });
                    before.extend(comes.map(|(from, _)| from.get()));
                }
            }
            std::mem::swap(standing, before);
        }
        sources.extend(standing.iter().filter(|&&node| self.snapshot.kind(NodeIx::new(node)) == self.kind));
    }
}

/// A search under way: what was found, and memory that it keeps from walk to walk.
struct Search<'a> {
    interleaver: Interleaver<'a>,
    /// The nodes that the walk stands on before a hop, and those before the hop before.
    standing: Vec<u32>,
    before: Vec<u32>,
    at: Vec<u32>,
    sources: Vec<u32>,
}

impl Search<'_> {
    fn new() -> Self {
        let (standing, before, at, sources) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { interleaver: Interleaver::new(), standing, before, at, sources }
    }
}

/// All draws from a list, old and new.
struct Comparison<'a, 's> {
    walker: &'a Walker<'s>,
    list: Changed<'s>,
}

impl Comparison<'_, '_> {
    fn run(self) -> Vec<ChangedDraw> {
        let Changed { relation, node, old, new } = &self.list;
        let (walker, old) = (self.walker, old.as_list());
        let kind = walker.snapshot.kind(*node);
        let mut changed_draws = Vec::new();
        for walk in 0..walker.options.walks {
            let Some(path) = walker.paths.get(walker.keys.path_of(walk)) else { break };
            for (hop, &key) in (0..).zip(walker.keys.of_walk(walk)) {
                if path.relation(hop) == Some(*relation)
                    && path.can_reach(kind, hop)
                    && drawn_neighbor(&old, key) != drawn_neighbor(new, key)
                {
                    changed_draws.push(ChangedDraw { walk, hop: std::cmp::Reverse(hop), node: node.get() });
                }
            }
        }
        changed_draws
    }
}

/// Who a key draws, as [`stable_draw`](crate::stable_draw()) does.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a hop is a handful of these: with calls between them a sweep takes a sixth longer"
)]
fn drawn_neighbor(list: &List<'_>, key: u64) -> Option<NodeIx> {
    if list.is_empty() {
        return None;
    }
    Some(list.neighbor(draw_position(list, fold(key, list.salt()))))
}
