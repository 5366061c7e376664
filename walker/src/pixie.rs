//! Pixie: recommendations by random walks from query nodes, without training.
//! Owns the allocation of walks to query nodes, the early stop and the scores; the module `stable_walks` makes the walks.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use hedgerow_storage::{NodeIx, RelationIx, Snapshot};

use crate::error::Error;
use crate::options::{MAX_WALKS, WalkOptions};
use crate::policies::policy::Policy;
use crate::stable_walks;
use crate::walk_context::WalkContext;

/// Default of [`PixieOptions::budget`].
pub const BUDGET: u32 = 20_000;
/// Default of [`PixieOptions::visits`].
pub const VISITS: u32 = 8;
/// Default of [`PixieOptions::stop`].
pub const STOP: f32 = 0.5;

/// Walks per query node, on average, between two checks for an early stop. More would overshoot the target; fewer would
/// leave too few walks to interleave.
const WALKS_PER_CHECK: u64 = 256;

/// Options of [`pixie()`].
///
/// Equal graphs, equal queries and equal options, the seed included, give equal answers.
///
/// ```
/// use hedgerow_walker::{PixieOptions, pixie};
/// let default = PixieOptions::default();
/// assert_eq!((default.budget, default.visits, default.stop), (pixie::BUDGET, pixie::VISITS, pixie::STOP));
/// assert_eq!((default.seed, default.early), (1, None));
/// assert!(default.validate().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixieOptions {
    /// The random seed of all draws.
    pub seed: u64,
    /// Walks of all query nodes together; 1 to [`MAX_WALKS`], and at least one for each query node.
    pub budget: u32,
    /// Visits of a walk, at most; 1 to [`MAX_VISITS`](crate::options::MAX_VISITS).
    pub visits: u32,
    /// Probability that a walk ends after a visit, from 0 to below 1.
    pub stop: f32,
    /// The condition on which the walks end before the budget; `None` makes all walks.
    pub early: Option<EarlyStop>,
}

/// A condition that ends walks early: `nodes` nodes have `visits` visits each.
///
/// The visits by the walks of all query nodes are added. Only nodes that may be in the answer count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyStop {
    /// The number of nodes; 1 or more.
    pub nodes: u32,
    /// The number of visits of each node; 1 or more.
    pub visits: u32,
}

impl Default for PixieOptions {
    fn default() -> Self {
        Self { seed: 1, budget: BUDGET, visits: VISITS, stop: STOP, early: None }
    }
}

impl PixieOptions {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// [`Error::Option`] with the first value that is not.
    pub fn validate(&self) -> Result<(), Error> {
        if !(1..=MAX_WALKS).contains(&self.budget) {
            return refuse("budget", &self.budget, "1 to 100,000 walks");
        }
        match self.early {
            Some(EarlyStop { nodes: 0, .. }) => return refuse("early nodes", &0, "1 or more"),
            Some(EarlyStop { visits: 0, .. }) => return refuse("early visits", &0, "1 or more"),
            Some(_) | None => {}
        }
        self.walks().validate()
    }

    fn walks(&self) -> WalkOptions {
        let Self { seed, budget, visits, stop, early: _ } = *self;
        WalkOptions { seed, walks: budget, visits, stop, ..WalkOptions::default() }
    }
}

fn refuse<T>(option: &'static str, found: &impl ToString, expected: &'static str) -> Result<T, Error> {
    Err(Error::Option { option, found: found.to_string(), expected })
}

/// A node in the answer of [`pixie()`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recommended {
    /// The node.
    pub node: NodeIx,
    /// The square of the sum of the square roots of the visits by each query node's walks.
    ///
    /// For one query node this is the number of visits. For n query nodes it is up to n times that number, if the walks
    /// of all of them visit the node equally often.
    pub score: f32,
    /// The number of visits by the walks of all query nodes.
    pub visits: u32,
}

/// The answer of [`pixie()`]: the nodes visited most, and the number of walks made.
#[derive(Clone, Debug, PartialEq)]
pub struct PixieAnswer {
    /// The nodes, without the query nodes; the highest score first, ties by stable id.
    pub items: Vec<Recommended>,
    /// The walks made, of all query nodes together.
    pub walks: u32,
    /// True if [`PixieOptions::early`] ended the walks before the budget was used.
    pub stopped_early: bool,
}

/// The `k` nodes of the policy's kind that walks from the query nodes, each with a weight, visit most.
///
/// Every query node with an edge gets one walk. The rest of the budget is split in proportion to `weight * s`, with
/// `s = degree * (C - ln degree)`. Nodes of a larger degree get more walks, since their walks spread wider, but fewer than in
/// proportion to the degree. The degree counts the relations through which the policy leaves a node. C is one more than the
/// logarithm of the largest degree among the query nodes, the smallest number for which s grows with every degree.
///
/// A node given twice counts once, with the sum of its weights. If no query node has an edge, the answer is empty.
///
/// # Errors
/// - [`Error::Option`]: an option out of its range, `k` of 0, no query node, or fewer walks than query nodes with an edge;
/// - [`Error::Query`]: a query node of another kind than the policy's, or a weight that is not a finite number above 0;
/// - [`Error::UnknownKind`]: a policy of a kind that the store does not have.
///
/// # Panics
/// As [`Snapshot`] does, for a node that the store never numbered.
///
/// # Determinism
/// Canonical: a function of the graph's content, the policy, the options and the set of queries. The logarithm is the
/// platform's, so the number of walks of a query node may differ by one between platforms.
///
/// # Cost
/// At most the budget's walks on the calling thread, whatever the size of the graph. A call with the default budget was
/// measured at 10 ms, of which 1 to 3 ms are setup, counting and sorting.
///
/// # Source
/// Eksombatchai et al., Pixie (arXiv 1711.07601), section 3.1: equations 1 to 3, algorithms 2 and 3. Departures: the
/// budget counts walks, not steps. The paper's C is the largest degree of the whole graph, which takes a pass over all
/// nodes and makes s nearly linear. The paper stops the walks of each query node separately.
///
/// # Example
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use hedgerow_storage::{Batch, Edge, NodeRef, Store};
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::options().create(true).open(folder.path().join("store"))?;
/// # let mut batch = Batch::new();
/// # for (board, pin) in [("jazz", "1"), ("jazz", "2"), ("rock", "2"), ("rock", "3")] {
/// #     batch.link(NodeRef::new("board", board)?, NodeRef::new("pin", pin)?, Edge::default())?;
/// # }
/// # store.commit(&batch)?;
/// use hedgerow_walker::{PixieOptions, Policy, pixie};
/// // The board jazz holds pins 1 and 2, rock holds pins 2 and 3.
/// let snapshot = store.snapshot();
/// let pin = |key| snapshot.require(NodeRef { kind: "pin", key });
/// let policy = Policy::default_for(&snapshot, snapshot.kind(pin("1")?));
/// let queries = [(pin("1")?, 1.0), (pin("3")?, 1.0)];
/// let answer = pixie(&snapshot, &policy, &queries, 10, &PixieOptions::default())?;
/// assert_eq!(answer.items.len(), 1);
/// assert_eq!(answer.items[0].node, pin("2")?);
/// # Ok(())
/// # }
/// ```
pub fn pixie(
    snapshot: &Snapshot,
    policy: &Policy,
    queries: &[(NodeIx, f32)],
    k: usize,
    options: &PixieOptions,
) -> Result<PixieAnswer, Error> {
    options.validate()?;
    if k == 0 {
        return refuse("k", &k, "1 or more");
    }
    // Validate the queries and allocate the walks.
    let context = WalkContext::new(snapshot, options.walks(), policy)?;
    let queries = merged_queries(&context, policy, queries)?;
    let mut query_walks = allocate_walks(&context, &queries)?;
    let mut query_nodes: Vec<NodeIx> = queries.iter().map(|&(node, _)| node).collect();
    query_nodes.sort_unstable();
    let is_item = |node| context.is_counted(node) && query_nodes.binary_search(&node).is_err();

    // Without an early stop all walks are made in one turn.
    let mut counter = options.early.map(EarlyStopCounter::new);
    let budgeted: u64 = query_walks.iter().map(|query| u64::from(query.budget())).sum();
    let turns = if counter.is_some() {
        budgeted.div_ceil(WALKS_PER_CHECK * query_walks.len().max(1) as u64)
    } else {
        1
    };
    let mut walks = 0;
    for turn in 0..turns {
        for query in &mut query_walks {
            let (part, before) = (query.part(turn, turns), query.visited.len());
            walks += part.len() as u32;
            stable_walks::append_visits(&context, query.node, part, &mut query.visited);
            if let Some(counter) = &mut counter {
                counter.add(&query.visited[before..], is_item);
            }
        }
        if counter.as_ref().is_some_and(EarlyStopCounter::is_enough) {
            break;
        }
    }
    // Score the nodes, rank them and keep the first k.
    let mut items = scores(query_walks, is_item);
    items.sort_by_cached_key(|item| (Reverse(item.score.to_bits()), snapshot.stable_id(item.node)));
    items.truncate(k);
    Ok(PixieAnswer { items, walks, stopped_early: u64::from(walks) < budgeted })
}

/// The query nodes with their weights, in the order of their stable ids.
///
/// The weights of a repeated node are added, the smallest first, so that the order of the queries does not matter.
fn merged_queries(
    context: &WalkContext<'_>,
    policy: &Policy,
    queries: &[(NodeIx, f32)],
) -> Result<Vec<(NodeIx, f64)>, Error> {
    if queries.is_empty() {
        return refuse("queries", &"none", "one node or more");
    }
    for &(node, weight) in queries {
        let refuse = |found, expected| {
            Err(Error::Query { node: context.snapshot.name(node).to_string(), found, expected })
        };
        if !context.is_counted(node) {
            let kind = context.snapshot.kind_name(context.snapshot.kind(node));
            return refuse(format!("kind {kind}"), format!("kind {}, as in the policy", policy.kind));
        }
        if !(weight.is_finite() && weight > 0.0) {
            return refuse(format!("weight {weight}"), "a finite number above 0".into());
        }
    }
    let mut queries = queries.to_vec();
    queries.sort_by_key(|&(node, weight)| (context.snapshot.stable_id(node), weight.to_bits()));
    let repeated = queries.chunk_by(|a, b| a.0 == b.0);
    Ok(repeated.map(|same| (same[0].0, same.iter().map(|&(_, weight)| f64::from(weight)).sum())).collect())
}

/// A query node with the walks allocated to it.
struct QueryWalks {
    node: NodeIx,
    /// The numbers of the walks.
    walks: Range<u32>,
    visited: Vec<NodeIx>,
}

impl QueryWalks {
    fn budget(&self) -> u32 {
        self.walks.end - self.walks.start
    }

    /// The walks of one turn. The turns divide all walks into equal parts.
    fn part(&self, turn: u64, turns: u64) -> Range<u32> {
        let bound = |turn| self.walks.start + (u64::from(self.budget()) * turn / turns) as u32;
        bound(turn)..bound(turn + 1)
    }
}

/// The query nodes that have an edge, with consecutive ranges of walk numbers.
fn allocate_walks(context: &WalkContext<'_>, queries: &[(NodeIx, f64)]) -> Result<Vec<QueryWalks>, Error> {
    let mut relations: Vec<RelationIx> = context.paths.iter().filter_map(|path| path.relation(0)).collect();
    relations.sort_unstable();
    relations.dedup();
    let degree = |node| {
        relations.iter().map(|&relation| context.snapshot.list(relation, node).degree()).sum::<usize>()
    };
    let linked: Vec<(NodeIx, f64, f64)> = queries
        .iter()
        .map(|&(node, weight)| (node, weight, degree(node) as f64))
        .filter(|&(.., degree)| degree > 0.0)
        .collect();
    let budget = context.options.walks;
    let Some(rest) = budget.checked_sub(linked.len() as u32) else {
        return refuse("budget", &budget, "at least one walk for each query node");
    };
    let c = 1.0 + linked.iter().map(|&(.., degree)| degree).fold(1.0, f64::max).ln();
    let share = |weight: f64, degree: f64| weight * degree * (c - degree.ln());
    let all_shares: f64 = linked.iter().map(|&(_, weight, degree)| share(weight, degree)).sum();
    // Each walk number belongs to one query node. Walks of the same number would continue as one where they meet, but the
    // score rewards nodes that the walks of several query nodes visit independently.
    let mut next = 0;
    let with_walks = |(node, weight, degree)| {
        // Rounded down, so that the sum stays within the budget.
        let walks = 1 + (f64::from(rest) * (share(weight, degree) / all_shares)) as u32;
        next += walks;
        QueryWalks { node, walks: next - walks..next, visited: Vec::new() }
    };
    Ok(linked.into_iter().map(with_walks).collect())
}

/// The visits so far, compared with the target of an early stop.
struct EarlyStopCounter {
    target: EarlyStop,
    visits: HashMap<NodeIx, u32>,
    /// Nodes that have the target's visits.
    nodes_done: u32,
}

impl EarlyStopCounter {
    fn new(target: EarlyStop) -> Self {
        Self { target, visits: HashMap::new(), nodes_done: 0 }
    }

    fn add(&mut self, visited: &[NodeIx], is_item: impl Fn(NodeIx) -> bool) {
        for &node in visited {
            let visits = self.visits.entry(node).or_default();
            *visits += 1;
            if *visits == self.target.visits && is_item(node) {
                self.nodes_done += 1;
            }
        }
    }

    fn is_enough(&self) -> bool {
        self.nodes_done >= self.target.nodes
    }
}

/// The visited nodes that may be in the answer, with their scores, in no promised order.
fn scores(query_walks: Vec<QueryWalks>, is_item: impl Fn(NodeIx) -> bool) -> Vec<Recommended> {
    let mut counts: Vec<(NodeIx, u32)> = Vec::new();
    for QueryWalks { mut visited, .. } in query_walks {
        visited.sort_unstable();
        counts.extend(visited.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32)));
    }
    // The sort is stable, so that roots are added in the order of the query nodes' stable ids.
    counts.sort_by_key(|&(node, _)| node);
    let of_nodes = counts.chunk_by(|a, b| a.0 == b.0).filter(|same| is_item(same[0].0));
    let scored = of_nodes.map(|same| {
        let roots: f64 = same.iter().map(|&(_, visits)| f64::from(visits).sqrt()).sum();
        let visits = same.iter().map(|&(_, visits)| visits).sum();
        Recommended { node: same[0].0, score: (roots * roots) as f32, visits }
    });
    scored.collect()
}

#[cfg(test)]
mod tests {
    use hedgerow_storage::{Batch, Edge, NodeRef, Store};

    use super::*;

    /// Pins of degree 1, 8 and 0. With C = 1 + ln 8 their s is 1 + ln 8 = 3.08, 8 and 0.
    #[test]
    fn walks_are_allocated_by_degree_but_not_in_proportion_to_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path().join("store")).expect("it opens");
        let mut batch = Batch::new();
        for board in 0..8 {
            let (key, hub) = (board.to_string(), NodeRef { kind: "pin", key: "hub" });
            let board = NodeRef { kind: "board", key: &key };
            batch.link(board, hub, Edge::default()).expect("a valid edge");
        }
        let (board, leaf) = (NodeRef { kind: "board", key: "0" }, NodeRef { kind: "pin", key: "leaf" });
        batch.link(board, leaf, Edge::default()).expect("a valid edge");
        batch.add_node(NodeRef { kind: "pin", key: "lone" }).expect("a valid node");
        store.commit(&batch).expect("a commit");

        let snapshot = store.snapshot();
        let pin = |key| snapshot.require(NodeRef { kind: "pin", key }).expect("it is there");
        let policy = Policy::default_for(&snapshot, snapshot.kind(pin("hub")));
        let shares = |budget, weights: [f64; 3]| {
            let options = PixieOptions { budget, ..PixieOptions::default() };
            let context = WalkContext::new(&snapshot, options.walks(), &policy).expect("valid walks");
            let queries = ["leaf", "hub", "lone"].map(pin).into_iter().zip(weights).collect::<Vec<_>>();
            let query_walks = allocate_walks(&context, &queries).expect("walks for all");
            assert_eq!(
                (query_walks.len(), query_walks[0].node, query_walks[1].node),
                (2, pin("leaf"), pin("hub"))
            );
            assert_eq!(
                query_walks[0].walks.end, query_walks[1].walks.start,
                "no walk number belongs to two query nodes"
            );
            [query_walks[0].budget(), query_walks[1].budget()]
        };
        assert_eq!(shares(1002, [1.0, 1.0, 1.0]), [278, 723]);
        assert_eq!(shares(1002, [1.0, 3.0, 9.0]), [114, 887]);
        assert_eq!(shares(2, [1.0, 1000.0, 1.0]), [1, 1], "each linked query node has a walk");
    }

    #[test]
    fn the_parts_of_all_turns_are_all_walks() {
        let query = QueryWalks { node: NodeIx::new(0), walks: 10..117, visited: Vec::new() };
        for turns in [1, 2, 7, 107, 200] {
            let parts = (0..turns).flat_map(|turn| query.part(turn, turns));
            assert_eq!(parts.collect::<Vec<_>>(), (10..117).collect::<Vec<_>>(), "{turns} turns");
        }
    }
}
