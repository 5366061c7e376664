//! Baselines: rankings that need no training, to compare a model with. They read the graph; of the embeddings they know only which
//! nodes have one.

use std::collections::HashSet;
use std::fmt;

use hedgerow_storage::{CancelToken, NodeIx, Snapshot};
use hedgerow_walker::{Cooccurrence, Neighborhoods, Policy, Visit, WalkOptions, Walker};
use rayon::prelude::*;

use crate::config::error::Error;
use crate::evaluate::candidates::Candidates;
use crate::query::scan::RankCount;

/// Queries of a task, which share the memory of the sums.
const QUERIES_PER_TASK: usize = 32;
/// Answers beyond two for each place before they are pruned.
const ROOM: usize = 64;
/// Walks from each node, of one visit. The NDCG@20 on gowalla is .150 with them, .143 with as many hops in walks of three visits, and
/// .152 with twice as many walks.
const WALKS: u32 = 1_000;
/// Nodes whose walks are made together. Their visits take 32 MB until they are counted.
const SOURCES_AT_ONCE: usize = 8_192;
/// Most visited nodes that count, for each node of a history.
const TOP: u32 = 200;

/// A ranking that needs no training.
///
/// For a user, each baseline ranks by the user's history. If it has fewer answers than the question asks for, the most popular items
/// follow, as in [`Engine::recommend`](crate::Engine::recommend).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Baseline {
    /// By degree, the same for every query.
    Popularity,
    /// By the cosine of neighbor sets, see [`Cooccurrence`]; for a history, by the sum of the cosines with its nodes.
    ///
    /// Source: Deshpande and Karypis, "Item-based top-N recommendation algorithms" (ACM TOIS 22, 2004), with all neighbors.
    Cooccurrence,
    /// By visits of stable walks, the walks that embeddings are computed from, without anything learned. For a history it makes the
    /// same number of walks from each node, which finds more than the shares of [`pixie`](hedgerow_walker::pixie()).
    ///
    /// Source: Cooper et al., "Random walks in recommender systems" (WWW 2014), `P3`, by walks.
    Walks,
}

impl Baseline {
    /// All baselines.
    pub const ALL: [Self; 3] = [Self::Popularity, Self::Cooccurrence, Self::Walks];

    /// The name, one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Popularity => "popularity",
            Self::Cooccurrence => "cooccurrence",
            Self::Walks => "walks",
        }
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A baseline over the candidates, ready to rank.
pub(super) struct Ranking<'a> {
    candidates: &'a Candidates<'a>,
    baseline: Baseline,
    /// The walks from all nodes of the histories.
    visited: Option<Visited>,
}

impl<'a> Ranking<'a> {
    pub(super) fn new(candidates: &'a Candidates<'a>, baseline: Baseline) -> Self {
        Self { candidates, baseline, visited: None }
    }

    /// A ranking for histories. `nodes` is the nodes of all histories that it will rank for.
    pub(super) fn of_histories(
        candidates: &'a Candidates<'a>,
        baseline: Baseline,
        nodes: impl Iterator<Item = NodeIx>,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let walks = baseline == Baseline::Walks;
        let visited = walks.then(|| Visited::new(candidates, nodes, TOP, cancel)).transpose()?;
        Ok(Self { candidates, baseline, visited })
    }

    /// The best `k` items for each history, without the history itself.
    pub(super) fn answers(
        &self,
        histories: &[&[NodeIx]],
        k: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<NodeIx>>, Error> {
        self.each(histories, self.visited.as_ref(), |scores, history| {
            Ok(best(self.candidates, &scores.of(history, cancel)?, history, k))
        })
    }

    /// The rank of the second node of each pair for the first.
    pub(super) fn rank_counts(
        &self,
        pairs: &[(NodeIx, NodeIx)],
        cancel: &CancelToken,
    ) -> Result<Vec<RankCount>, Error> {
        if self.baseline == Baseline::Popularity {
            let items = self.candidates.items.iter();
            let degrees: Vec<u64> = items.map(|&item| self.candidates.snapshot.degree(item)).collect();
            return Ok(pairs.iter().map(|&pair| by_degree(self.candidates, &degrees, pair)).collect());
        }
        let queries = || pairs.iter().map(|&(query, _)| query);
        let walks = self.baseline == Baseline::Walks;
        let visited =
            walks.then(|| Visited::new(self.candidates, queries(), u32::MAX, cancel)).transpose()?;
        self.each(pairs, visited.as_ref(), |scores, &(query, item)| {
            Ok(rank_count(self.candidates, &scores.of(&[query], cancel)?, query, item))
        })
    }

    fn each<Q: Sync, A: Send>(
        &self,
        queries: &[Q],
        visited: Option<&Visited>,
        answer: impl Fn(&mut Scores<'_>, &Q) -> Result<A, Error> + Sync,
    ) -> Result<Vec<A>, Error> {
        let tasks = queries.par_chunks(QUERIES_PER_TASK).map(|queries| {
            let mut scores = Scores::new(self.baseline, self.candidates.snapshot, visited);
            queries.iter().map(|query| answer(&mut scores, query)).collect::<Result<Vec<A>, Error>>()
        });
        Ok(tasks.collect::<Result<Vec<Vec<A>>, Error>>()?.into_iter().flatten().collect())
    }
}

/// The visits of walks from a set of nodes.
struct Visited {
    /// The nodes, ascending.
    sources: Vec<NodeIx>,
    /// Their neighborhoods, in blocks of [`SOURCES_AT_ONCE`] sources.
    blocks: Vec<Neighborhoods>,
}

impl Visited {
    fn new(
        candidates: &Candidates<'_>,
        sources: impl Iterator<Item = NodeIx>,
        top: u32,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let mut sources: Vec<NodeIx> = sources.collect();
        sources.sort_unstable();
        sources.dedup();
        let options = WalkOptions { walks: WALKS, visits: 1, min_visits: 1, top, ..WalkOptions::default() };
        let policy = Policy::default_for(candidates.snapshot, candidates.kind);
        let walker = Walker::new(candidates.snapshot, options, &policy)?;
        let blocks = sources.chunks(SOURCES_AT_ONCE).map(|block| walker.neighborhoods(block, cancel));
        let blocks = blocks.collect::<Result<Vec<Neighborhoods>, _>>()?;
        Ok(Self { sources, blocks })
    }

    fn of(&self, source: NodeIx) -> &[Visit] {
        let place = self.sources.binary_search(&source);
        place.map_or(&[], |place| self.blocks[place / SOURCES_AT_ONCE].of(place % SOURCES_AT_ONCE))
    }
}

/// The computation of scores, for one history after the other.
enum Scores<'a> {
    Nothing,
    Cooccurrence(Cooccurrence<'a>),
    /// The visits of each node; zeros between two histories.
    Walks(&'a Visited, Vec<u64>),
}

impl<'a> Scores<'a> {
    fn new(baseline: Baseline, snapshot: &'a Snapshot, visited: Option<&'a Visited>) -> Self {
        match (baseline, visited) {
            (Baseline::Popularity | Baseline::Walks, None) | (Baseline::Popularity, Some(_)) => Self::Nothing,
            (Baseline::Cooccurrence, _) => Self::Cooccurrence(Cooccurrence::new(snapshot)),
            (Baseline::Walks, Some(visited)) => Self::Walks(visited, vec![0; snapshot.bound() as usize]),
        }
    }

    /// The nodes with scores above 0 that are not in the history, in no order.
    fn of(&mut self, history: &[NodeIx], cancel: &CancelToken) -> Result<Vec<(NodeIx, f64)>, Error> {
        match self {
            Self::Nothing => Ok(Vec::new()),
            Self::Cooccurrence(cooccurrence) => Ok(cooccurrence.cosine_sums(history, cancel)?),
            Self::Walks(visited, sums) => {
                let mut found = Vec::new();
                for visit in history.iter().flat_map(|&node| visited.of(node)) {
                    let sum = &mut sums[visit.node.index()];
                    if *sum == 0 {
                        found.push(visit.node);
                    }
                    *sum += u64::from(visit.count);
                }
                for node in history {
                    sums[node.index()] = 0;
                }
                let visits = found.into_iter().map(|node| (node, std::mem::take(&mut sums[node.index()])));
                Ok(visits
                    .filter(|(_, visits)| *visits > 0)
                    .map(|(node, visits)| (node, visits as f64))
                    .collect())
            }
        }
    }
}

/// The best `k` candidates, ties by stable id. The most popular ones follow if there are fewer.
fn best(candidates: &Candidates<'_>, scored: &[(NodeIx, f64)], history: &[NodeIx], k: usize) -> Vec<NodeIx> {
    let id = |node: NodeIx| candidates.snapshot.stable_id(node);
    let order =
        |a: &(NodeIx, f64), b: &(NodeIx, f64)| b.1.total_cmp(&a.1).then_with(|| id(a.0).cmp(&id(b.0)));
    let mut best: Vec<(NodeIx, f64)> = Vec::new();
    let mut least = 0.0;
    for &(node, score) in scored {
        if score >= least && candidates.contains(node) {
            best.push((node, score));
            if k > 0 && best.len() >= k.saturating_mul(2).saturating_add(ROOM) {
                best.select_nth_unstable_by(k - 1, order);
                best.truncate(k);
                least = best[k - 1].1;
            }
        }
    }
    best.sort_unstable_by(order);
    best.truncate(k);
    let mut best: Vec<NodeIx> = best.into_iter().map(|(node, _)| node).collect();
    if best.len() < k {
        let taken: HashSet<NodeIx> = best.iter().chain(history).copied().collect();
        let popular = candidates.items.iter().copied().filter(|item| !taken.contains(item));
        best.extend(popular.take(k - best.len()));
    }
    best
}

/// The rank of an item by its score. Nodes that are not listed have score 0.
fn rank_count(
    candidates: &Candidates<'_>,
    scored: &[(NodeIx, f64)],
    query: NodeIx,
    item: NodeIx,
) -> RankCount {
    let level = scored.iter().find(|(node, _)| *node == item).map_or(0.0, |(_, score)| *score);
    let is_other = |node: NodeIx| node != query && node != item && candidates.contains(node);
    let (mut higher, mut equal, mut listed) = (0, 0, 0);
    for &(_, score) in scored.iter().filter(|(node, _)| is_other(*node)) {
        listed += 1;
        higher += u64::from(score > level);
        equal += u64::from(score == level);
    }
    if level == 0.0 {
        equal = others(candidates, query, item) - listed;
    }
    RankCount { higher, equal }
}

/// The number of candidates other than the query and the item.
fn others(candidates: &Candidates<'_>, query: NodeIx, item: NodeIx) -> u64 {
    let own = u64::from(candidates.contains(query)) + u64::from(item != query && candidates.contains(item));
    candidates.items.len() as u64 - own
}

/// The rank of an item by its degree. `degrees` has the degrees of the items, largest first.
fn by_degree(candidates: &Candidates<'_>, degrees: &[u64], (query, item): (NodeIx, NodeIx)) -> RankCount {
    let level = candidates.snapshot.degree(item);
    let higher = degrees.partition_point(|&degree| degree > level) as u64;
    let equal = degrees.partition_point(|&degree| degree >= level) as u64 - higher;
    let counts_query =
        |is_counted: bool| u64::from(is_counted && query != item && candidates.contains(query));
    let query_degree = candidates.snapshot.degree(query);
    RankCount {
        higher: higher - counts_query(query_degree > level),
        equal: equal - counts_query(query_degree == level) - u64::from(candidates.contains(item)),
    }
}
