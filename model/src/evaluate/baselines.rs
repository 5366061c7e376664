//! What ranks without having learned anything, to judge a model by. Knows the graph, and of embeddings only who has one.

use std::collections::HashSet;

use hedgerow_storage::{CancelToken, NodeIx, Snapshot};
use hedgerow_walker::{Cooccurrence, Neighborhoods, Policy, Visit, WalkOptions, Walker};
use rayon::prelude::*;

use crate::config::error::Error;
use crate::evaluate::candidates::Candidates;
use crate::query::scan::RankCount;

/// Queries of a task, which share the memory that sums take.
const QUERIES_PER_TASK: usize = 32;
/// Answers that may come before the best ones so far are sorted out.
const ROOM: usize = 64;
/// Walks from each node, of one visit: gowalla's NDCG@20 is .150 with them, .143 with as many hops in walks of three visits, .152 with
/// twice as many walks.
const WALKS: u32 = 1_000;
/// Nodes whose walks are made together: their visits take 32 MB until they are counted.
const SOURCES_AT_ONCE: usize = 8_192;
/// Visited nodes that count, for each node of a history.
const TOP: u32 = 200;

/// A ranking that needs no training.
///
/// Where a user is asked for, each ranks by the user's history; where it has fewer answers than are asked for, what is most popular
/// follows, as in [`Engine::recommend`](crate::Engine::recommend).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Baseline {
    /// By degree, whoever asks.
    Popularity,
    /// By the cosine of neighbor sets, see [`Cooccurrence`]; of a history, by the sum of the cosines with all of it.
    ///
    /// Source: Deshpande and Karypis, "Item-based top-N recommendation algorithms" (ACM TOIS 22, 2004), with all neighbors.
    Cooccurrence,
    /// By visits of stable walks, as embeddings are made from, with all that is learned left out; from a history as many walks from
    /// each node of it, which is more than [`pixie`](hedgerow_walker::pixie())'s shares find.
    ///
    /// Source: Cooper et al., "Random walks in recommender systems" (WWW 2014), `P3`, by walks.
    Walks,
}

impl Baseline {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Popularity, Self::Cooccurrence, Self::Walks];

    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Popularity => "popularity",
            Self::Cooccurrence => "cooccurrence",
            Self::Walks => "walks",
        }
    }
}

/// A baseline that is ready to rank.
pub(super) struct Ranking<'a> {
    field: &'a Candidates<'a>,
    baseline: Baseline,
    /// Where walks lead from all that histories hold.
    visited: Option<Visited>,
}

impl<'a> Ranking<'a> {
    pub(super) fn new(field: &'a Candidates<'a>, baseline: Baseline) -> Self {
        Self { field, baseline, visited: None }
    }

    /// `nodes`: of all histories that will be asked with.
    pub(super) fn of_histories(
        field: &'a Candidates<'a>,
        baseline: Baseline,
        nodes: impl Iterator<Item = NodeIx>,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let walks = baseline == Baseline::Walks;
        let visited = walks.then(|| Visited::new(field, nodes, TOP, cancel)).transpose()?;
        Ok(Self { field, baseline, visited })
    }

    /// The best `k` for each history, without what is in it.
    pub(super) fn answers(
        &self,
        histories: &[&[NodeIx]],
        k: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<NodeIx>>, Error> {
        self.each(histories, self.visited.as_ref(), |scores, history| {
            Ok(best(self.field, &scores.of(history, cancel)?, history, k))
        })
    }

    /// Where the second of each pair stands for the first.
    pub(super) fn above(
        &self,
        pairs: &[(NodeIx, NodeIx)],
        cancel: &CancelToken,
    ) -> Result<Vec<RankCount>, Error> {
        if self.baseline == Baseline::Popularity {
            let items = self.field.items.iter();
            let degrees: Vec<u64> = items.map(|&item| self.field.snapshot.degree(item)).collect();
            return Ok(pairs.iter().map(|&pair| by_degree(self.field, &degrees, pair)).collect());
        }
        let queries = || pairs.iter().map(|&(query, _)| query);
        let walks = self.baseline == Baseline::Walks;
        let visited = walks.then(|| Visited::new(self.field, queries(), u32::MAX, cancel)).transpose()?;
        self.each(pairs, visited.as_ref(), |scores, &(query, item)| {
            Ok(above(self.field, &scores.of(&[query], cancel)?, query, item))
        })
    }

    fn each<Q: Sync, A: Send>(
        &self,
        queries: &[Q],
        visited: Option<&Visited>,
        answer: impl Fn(&mut Scores<'_>, &Q) -> Result<A, Error> + Sync,
    ) -> Result<Vec<A>, Error> {
        let tasks = queries.par_chunks(QUERIES_PER_TASK).map(|queries| {
            let mut scores = Scores::new(self.baseline, self.field.snapshot, visited);
            queries.iter().map(|query| answer(&mut scores, query)).collect::<Result<Vec<A>, Error>>()
        });
        Ok(tasks.collect::<Result<Vec<Vec<A>>, Error>>()?.into_iter().flatten().collect())
    }
}

/// Where walks lead from some nodes.
struct Visited {
    /// Ascending.
    sources: Vec<NodeIx>,
    /// Of so many sources each.
    blocks: Vec<Neighborhoods>,
}

impl Visited {
    fn new(
        field: &Candidates<'_>,
        sources: impl Iterator<Item = NodeIx>,
        top: u32,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let mut sources: Vec<NodeIx> = sources.collect();
        sources.sort_unstable();
        sources.dedup();
        let options = WalkOptions { walks: WALKS, visits: 1, min_visits: 1, top, ..WalkOptions::default() };
        let policy = Policy::default_for(field.snapshot, field.kind);
        let walker = Walker::new(field.snapshot, options, &policy)?;
        let blocks = sources.chunks(SOURCES_AT_ONCE).map(|block| walker.neighborhoods(block, cancel));
        let blocks = blocks.collect::<Result<Vec<Neighborhoods>, _>>()?;
        Ok(Self { sources, blocks })
    }

    fn of(&self, source: NodeIx) -> &[Visit] {
        let place = self.sources.binary_search(&source);
        place.map_or(&[], |place| self.blocks[place / SOURCES_AT_ONCE].of(place % SOURCES_AT_ONCE))
    }
}

/// Scores for one history after the other.
enum Scores<'a> {
    Nothing,
    Cooccurrence(Cooccurrence<'a>),
    /// By node, the visits; zeros between two histories.
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

    /// Of all that has a score above 0 and is not in the history; in no particular order.
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

/// Ties by stable id, as everywhere.
fn best(field: &Candidates<'_>, scored: &[(NodeIx, f64)], history: &[NodeIx], k: usize) -> Vec<NodeIx> {
    let id = |node: NodeIx| field.snapshot.stable_id(node);
    let order =
        |a: &(NodeIx, f64), b: &(NodeIx, f64)| b.1.total_cmp(&a.1).then_with(|| id(a.0).cmp(&id(b.0)));
    let mut best: Vec<(NodeIx, f64)> = Vec::new();
    let mut least = 0.0;
    for &(node, score) in scored {
        if score >= least && field.holds(node) {
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
        let popular = field.items.iter().copied().filter(|item| !taken.contains(item));
        best.extend(popular.take(k - best.len()));
    }
    best
}

/// By scores of which all that are not listed are 0.
fn above(field: &Candidates<'_>, scored: &[(NodeIx, f64)], query: NodeIx, item: NodeIx) -> RankCount {
    let wanted = scored.iter().find(|(node, _)| *node == item).map_or(0.0, |(_, score)| *score);
    let is_other = |node: NodeIx| node != query && node != item && field.holds(node);
    let (mut higher, mut equal, mut listed) = (0, 0, 0);
    for &(_, score) in scored.iter().filter(|(node, _)| is_other(*node)) {
        listed += 1;
        higher += u64::from(score > wanted);
        equal += u64::from(score == wanted);
    }
    if wanted == 0.0 {
        equal = others(field, query, item) - listed;
    }
    RankCount { higher, equal }
}

/// How many may be answers beside the query and the item.
fn others(field: &Candidates<'_>, query: NodeIx, item: NodeIx) -> u64 {
    let own = u64::from(field.holds(query)) + u64::from(item != query && field.holds(item));
    field.items.len() as u64 - own
}

/// `degrees`: of the items, largest first.
fn by_degree(field: &Candidates<'_>, degrees: &[u64], (query, item): (NodeIx, NodeIx)) -> RankCount {
    let wanted = field.snapshot.degree(item);
    let higher = degrees.partition_point(|&degree| degree > wanted) as u64;
    let equal = degrees.partition_point(|&degree| degree >= wanted) as u64 - higher;
    let asks = |fits: bool| u64::from(fits && query != item && field.holds(query));
    let own = field.snapshot.degree(query);
    RankCount {
        higher: higher - asks(own > wanted),
        equal: equal - asks(own == wanted) - u64::from(field.holds(item)),
    }
}
