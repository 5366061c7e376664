//! Affected sources: the sources whose walks an edge change altered, found by tracing changed draws back.
//! Keeps no index from nodes to walks, and knows nothing of the neighborhoods or embeddings that follow.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use hedgerow_storage::{CancelToken, Changes, ListBuilder, NodeIx, RelationIx};
use rayon::prelude::*;

use crate::error::Error;
use crate::interleaved::{Interleaver, StableDraw, WALKS_IN_FLIGHT};
use crate::stable_draw::{drawn_neighbor, expected_tries};
use crate::walk_context::WalkContext;

/// Changed lists in one task.
const LISTS_PER_TASK: usize = 16;
/// Neighbors to ask below which one thread does all searches. To wake a second one would take longer.
const NEIGHBORS_PER_THREAD: usize = 50_000;

/// A draw that leads to another node than before. Draws are ordered by walk, then by hop, the last hop first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ChangedDraw {
    walk: u32,
    hop: Reverse<u32>,
    node: u32,
}

/// The first hop of a walk that leads to another node than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkDifference {
    /// The walk's number.
    pub walk: u32,
    /// The hop, counted from 0.
    pub hop: u32,
    /// The node that the walk stands on before the hop, the same in both graphs.
    pub at: NodeIx,
    /// The relation of the hop.
    pub relation: RelationIx,
    /// The node that the hop led to; `None` if the list was empty.
    pub was: Option<NodeIx>,
    /// The node that the hop leads to; `None` if the list is empty.
    pub now: Option<NodeIx>,
}

/// The first differences of a source's walks; see [`Walker::walk_differences`](crate::Walker::walk_differences).
pub(crate) fn walk_differences(
    context: &WalkContext<'_>,
    changes: &Changes,
    source: NodeIx,
) -> Vec<WalkDifference> {
    let mut old_lists: HashMap<(RelationIx, NodeIx), ListBuilder> = HashMap::new();
    let mut differences = Vec::new();
    for walk in 0..context.options.walks {
        let Some(path) = context.paths.get(context.keys.path_of(walk as usize)) else { break };
        let mut at = source;
        for (hop, &key) in (0..).zip(context.keys.of_walk(walk)) {
            let Some(relation) = path.relation(hop) else { break };
            let now = drawn_neighbor(&context.snapshot.list(relation, at), key);
            if changes.lists.contains_key(&(relation, at)) {
                let old = || changes.old_list(context.snapshot, relation, at);
                let old = old_lists.entry((relation, at)).or_insert_with(old);
                let was = drawn_neighbor(&old.as_list(), key);
                if was != now {
                    differences.push(WalkDifference { walk, hop, at, relation, was, now });
                    break;
                }
            }
            let Some(next) = now else { break };
            at = next;
        }
    }
    differences
}

/// The sources of changed walks, ascending; see [`Walker::affected_sources`](crate::Walker::affected_sources). `None` if the search
/// would ask more than `most_asked` neighbors.
pub(crate) fn affected_sources(
    context: &WalkContext<'_>,
    changes: &Changes,
    most_asked: u64,
    cancel: &CancelToken,
) -> Result<Option<Vec<NodeIx>>, Error> {
    let limit = AskLimit { asked: AtomicU64::new(0), most: most_asked };
    let draws = changed_draws(context, changes, &limit, cancel)?;
    let mut sources = trace_all(context, &draws, &limit, cancel)?;
    if limit.is_exceeded() {
        return Ok(None);
    }
    sources.par_sort_unstable();
    sources.dedup();
    Ok(Some(sources.into_iter().map(NodeIx::new).collect()))
}

/// Tries of draws that take as long as asking a neighbor.
const TRIES_PER_ASKED: f64 = 8.0;

/// The neighbors that a search asked, and the most that it may ask. Comparing the draws of a list counts as asking some.
///
/// Determinism: all comparisons and searches together count to a fixed number. The limit is exceeded if and only if that number is
/// above it, in whatever order they count.
struct AskLimit {
    asked: AtomicU64,
    most: u64,
}

impl AskLimit {
    fn add(&self, neighbors: u64) {
        self.asked.fetch_add(neighbors, Ordering::Relaxed);
    }

    fn is_exceeded(&self) -> bool {
        self.asked.load(Ordering::Relaxed) > self.most
    }
}

/// The draws of all touched lists that differ, in order; only some of them once the limit is exceeded.
fn changed_draws(
    context: &WalkContext<'_>,
    changes: &Changes,
    limit: &AskLimit,
    cancel: &CancelToken,
) -> Result<Vec<ChangedDraw>, hedgerow_storage::Error> {
    let is_walked =
        |relation: &RelationIx| context.paths.iter().any(|path| path.relations.contains(&Some(*relation)));
    let lists: Vec<(RelationIx, NodeIx)> =
        changes.lists.keys().copied().filter(|(relation, _)| is_walked(relation)).collect();
    let stage = cancel.stage("lists compared", lists.len() as u64);
    let compare = |&(relation, node): &(RelationIx, NodeIx)| {
        stage.advance(1)?;
        if limit.is_exceeded() {
            return Ok(Vec::new());
        }
        let old = changes.old_list(context.snapshot, relation, node);
        let tries = expected_tries(&old.as_list()) + expected_tries(&context.snapshot.list(relation, node));
        limit.add((tries * context.hops_per_source() as f64 / TRIES_PER_ASKED) as u64);
        Ok(changed_draws_of(context, relation, node, &old))
    };
    let draws: Vec<Vec<ChangedDraw>> = lists
        .par_iter()
        .with_min_len(LISTS_PER_TASK)
        .map(compare)
        .collect::<Result<_, hedgerow_storage::Error>>()?;
    stage.end();
    let mut draws = draws.concat();
    draws.par_sort_unstable();
    Ok(draws)
}

/// The draws of one list that differ between its old state and the snapshot.
fn changed_draws_of(
    context: &WalkContext<'_>,
    relation: RelationIx,
    node: NodeIx,
    old: &ListBuilder,
) -> Vec<ChangedDraw> {
    let (old, new) = (old.as_list(), context.snapshot.list(relation, node));
    let kind = context.snapshot.kind(node);
    let mut draws = Vec::new();
    for walk in 0..context.options.walks {
        let Some(path) = context.paths.get(context.keys.path_of(walk as usize)) else { break };
        for (hop, &key) in (0..).zip(context.keys.of_walk(walk)) {
            if path.relation(hop) == Some(relation)
                && path.can_reach(kind, hop)
                && drawn_neighbor(&old, key) != drawn_neighbor(&new, key)
            {
                draws.push(ChangedDraw { walk, hop: Reverse(hop), node: node.get() });
            }
        }
    }
    draws
}

/// The sources that the draws trace back to, in no order and with repetitions; only some of them once the limit is exceeded.
fn trace_all<'s>(
    context: &WalkContext<'s>,
    draws: &[ChangedDraw],
    limit: &AskLimit,
    cancel: &CancelToken,
) -> Result<Vec<u32>, hedgerow_storage::Error> {
    let walks: Vec<&[ChangedDraw]> = draws.chunk_by(|one, other| one.walk == other.walk).collect();
    let stage = cancel.stage("walks traced back", walks.len() as u64);
    let trace = |mut search: Search<'s>, draws: &&[ChangedDraw]| {
        stage.advance(1)?;
        trace_back(context, draws, limit, &mut search);
        Ok::<_, hedgerow_storage::Error>(search)
    };
    let degree = |draw: &ChangedDraw| context.snapshot.degree(NodeIx::new(draw.node)) as usize;
    let sources = if draws.iter().map(degree).sum::<usize>() < NEIGHBORS_PER_THREAD {
        walks.iter().try_fold(Search::new(), trace)?.sources
    } else {
        let searches = walks.par_iter().try_fold(Search::new, trace);
        let sources = searches.map(|search| search.map(|search| search.sources));
        sources.try_reduce(Vec::new, |mut all, some| {
            all.extend(some);
            Ok(all)
        })?
    };
    stage.end();
    Ok(sources)
}

/// Adds the sources whose walk passes through one of these draws, which all belong to one walk. Ends early once the limit is exceeded.
fn trace_back<'s>(
    context: &WalkContext<'s>,
    draws: &[ChangedDraw],
    limit: &AskLimit,
    search: &mut Search<'s>,
) {
    let walk = draws[0].walk;
    let Some(path) = context.paths.get(context.keys.path_of(walk as usize)) else { return };
    let keys = context.keys.of_walk(walk);
    let Search { interleaver, standing, before, at, sources } = search;
    standing.clear();
    let mut draws = draws.iter().peekable();
    for hop in (0..=draws.peek().map_or(0, |draw| draw.hop.0)).rev() {
        // Join the nodes traced back from later hops with the changed draws of this hop.
        while let Some(draw) = draws.next_if(|draw| draw.hop.0 == hop) {
            standing.push(draw.node);
        }
        standing.sort_unstable();
        standing.dedup();
        let Some(earlier) = hop.checked_sub(1) else { break };
        before.clear();
        // No walk comes through a relation that the store does not have.
        if let Some(lists) = path.relation(earlier).map(|relation| context.snapshot.lists(relation)) {
            for &node in &*standing {
                if limit.is_exceeded() {
                    return;
                }
                // Make the draw of the earlier hop at every neighbor.
                let list = lists.get(NodeIx::new(node));
                at.clear();
                list.runs().for_each(|run| at.extend_from_slice(run));
                limit.add(at.len() as u64);
                for &from in at.iter().take(WALKS_IN_FLIGHT) {
                    lists.prefetch(NodeIx::new(from));
                }
                interleaver.hop(lists, at, |_| keys[earlier as usize], StableDraw, None);
                // Keep the neighbors whose draw leads to this node.
                let leads_here = list.neighbors().zip(&*at).filter(|&(from, &to)| {
                    to == node && path.can_reach(context.snapshot.kind(from), earlier)
                });
                before.extend(leads_here.map(|(from, _)| from.get()));
            }
        }
        std::mem::swap(standing, before);
    }
    // A path may return to its first relation on another kind, but walks start on the policy's kind only.
    let is_source = |node: u32| context.is_counted(NodeIx::new(node));
    sources.extend(standing.iter().filter(|&&node| is_source(node)));
}

/// A backward search: the sources found, and memory that it keeps from walk to walk.
struct Search<'a> {
    interleaver: Interleaver<'a>,
    /// The nodes that the walk stands on before the present hop.
    standing: Vec<u32>,
    /// The nodes that the walk stands on before the earlier hop.
    before: Vec<u32>,
    /// The neighbors of a node, then the nodes that their draws lead to.
    at: Vec<u32>,
    sources: Vec<u32>,
}

impl Search<'_> {
    fn new() -> Self {
        let (standing, before, at, sources) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { interleaver: Interleaver::new(), standing, before, at, sources }
    }
}
