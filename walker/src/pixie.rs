//! Pixie: the nodes that walks from one or several query nodes visit most, without any training.
//! Owns how walks are shared out, when they may stop, and how visits become scores; never how a walk is made.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use hedgerow_storage::{NodeIx, RelationIx, Snapshot};

use crate::error::Error;
use crate::options::{MAX_WALKS, WalkOptions};
use crate::policy::Policy;
use crate::stable_walks;
use crate::walk_context::WalkContext;

/// Walks of an answer, those of all its query nodes together.
pub const BUDGET: u32 = 20_000;
/// Node visits of a walk at most.
pub const VISITS: u32 = 8;
/// Probability that a walk ends after a visit.
pub const STOP: f32 = 0.5;

/// Walks per query node, on average, between two checks for an early stop. More would overshoot, and with fewer
/// the walker has too little to interleave.
const WALKS_PER_CHECK: u64 = 256;

/// Options of [`pixie()`]; equal options, seed included, equal queries and equal graphs give equal answers.
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
    /// The seed of all draws.
    pub seed: u64,
    /// Walks of all query nodes together, 1 to [`MAX_WALKS`].
    pub budget: u32,
    /// Node visits of a walk at most, 1 to [`MAX_VISITS`](crate::options::MAX_VISITS).
    pub visits: u32,
    /// Probability that a walk ends after a visit, from 0 to below 1.
    pub stop: f32,
    /// When to be content with fewer walks; `None` makes them all.
    pub early: Option<EarlyStop>,
}

/// Walks end early once `nodes` nodes have `visits` visits each.
///
/// Visits by the walks of all query nodes are added, and only nodes that the answer may hold count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyStop {
    /// How many nodes, 1 or more.
    pub nodes: u32,
    /// How many visits each, 1 or more.
    pub visits: u32,
}

impl Default for PixieOptions {
    fn default() -> Self {
        Self { seed: 1, budget: BUDGET, visits: VISITS, stop: STOP, early: None }
    }
}

impl PixieOptions {
    /// Checks every value.
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

/// A node that [`pixie()`] answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recommended {
    /// The node.
    pub node: NodeIx,
    /// The square of the sum, over the query nodes, of the root of the visits by their walks: the visits for one
    /// query node, up to as many times more as there are query nodes for a node that all of them lead to.
    pub score: f32,
    /// Visits by the walks of all query nodes.
    pub visits: u32,
}

/// What walks visited most, and how many it took.
#[derive(Clone, Debug, PartialEq)]
pub struct PixieAnswer {
    /// Highest score first, ties by stable id; without the query nodes.
    pub items: Vec<Recommended>,
    /// Walks made, of all query nodes together.
    pub walks: u32,
    /// Whether [`PixieOptions::early`] ended the walks before the budget did.
    pub stopped_early: bool,
}

/// The `k` nodes of the policy's kind that walks from the query nodes, each with a weight, visit most.
///
/// Every query node gets one walk, and the rest of the budget is split in proportion to `weight * s` with
/// `s = degree * (C - ln degree)`: the popular get more walks, as theirs spread wider, but fewer than in
/// proportion to their degree. The degree counts the relations by which the policy leaves a node, and C is one
/// more than the logarithm of the largest degree among the query nodes, the smallest number with which s grows
/// with every degree. A node given twice counts once, with both weights. From query nodes without an edge there
/// are no walks; where all are, the answer is empty.
///
/// # Errors
/// Options out of range; no query node, or a smaller budget than query nodes; a query node of another kind than
/// the policy's; a weight that is not a finite number above 0; `k` of 0.
/// # Panics
/// As [`Snapshot`] does, for numbers that the store never gave out.
/// # Determinism
/// Canonical: a function of the graph's content, the policy, the options and the queries as a set. The logarithm is
/// the platform's, so between platforms the share of a query node may differ by a walk.
/// # Cost
/// At most the budget's walks on the calling thread, whatever the graph's size, and setting up, counting and
/// sorting: 1 to 3 of 10 ms, measured for the default budget.
/// # Source
/// Eksombatchai et al., Pixie (arXiv 1711.07601), section 3.1: equations 1 to 3, algorithms 2 and 3. The budget
/// counts walks, not steps. The paper takes the largest degree of the whole graph for C, which is a pass over all
/// nodes and makes s all but linear. It stops the walks of each query node by themselves.
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
/// // jazz holds pins 1 and 2, rock holds pins 2 and 3.
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
    let context = WalkContext::new(snapshot, options.walks(), policy)?;
    let queries = merged_queries(&context, policy, queries)?;
    let mut starts = allocate_walks(&context, &queries)?;
    let mut asked: Vec<NodeIx> = queries.iter().map(|&(node, _)| node).collect();
    asked.sort_unstable();
    let is_item = |node| context.is_counted(node) && asked.binary_search(&node).is_err();

    let mut counter = options.early.map(EarlyStopCounter::new);
    let budgeted: u64 = starts.iter().map(|start| u64::from(start.budget())).sum();
    let turns =
        if counter.is_some() { budgeted.div_ceil(WALKS_PER_CHECK * starts.len().max(1) as u64) } else { 1 };
    let mut walks = 0;
    for turn in 0..turns {
        for start in &mut starts {
            let (part, before) = (start.part(turn, turns), start.visited.len());
            walks += part.len() as u32;
            stable_walks::append_visits(&context, start.node, part, &mut start.visited);
            if let Some(counter) = &mut counter {
                counter.add(&start.visited[before..], is_item);
            }
        }
        if counter.as_ref().is_some_and(EarlyStopCounter::is_enough) {
            break;
        }
    }
    let mut items = scores(starts, is_item);
    items.sort_by_cached_key(|item| (Reverse(item.score.to_bits()), snapshot.stable_id(item.node)));
    items.truncate(k);
    Ok(PixieAnswer { items, walks, stopped_early: u64::from(walks) < budgeted })
}

/// The weight of every query node, by stable id; those of a repeated one are added, smallest first.
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
            return refuse(format!("kind {kind}"), format!("kind {}, whose walks these are", policy.kind));
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

/// A query node with its share of the walks.
struct QueryWalks {
    node: NodeIx,
    /// The numbers of its walks.
    walks: Range<u32>,
    visited: Vec<NodeIx>,
}

impl QueryWalks {
    fn budget(&self) -> u32 {
        self.walks.end - self.walks.start
    }

    /// Its walks of one turn: all turns together are all walks, in equal parts.
    fn part(&self, turn: u64, turns: u64) -> Range<u32> {
        let bound = |turn| self.walks.start + (u64::from(self.budget()) * turn / turns) as u32;
        bound(turn)..bound(turn + 1)
    }
}

/// The query nodes that have an edge, with walks numbered one query node after the other.
fn allocate_walks(context: &WalkContext<'_>, queries: &[(NodeIx, f64)]) -> Result<Vec<QueryWalks>, Error> {
    let mut ways: Vec<RelationIx> = context.paths.iter().filter_map(|path| path.relation(0)).collect();
    ways.sort_unstable();
    ways.dedup();
    let degree = |node| ways.iter().map(|&way| context.snapshot.list(way, node).degree()).sum::<usize>();
    let linked: Vec<(NodeIx, f64, f64)> = queries
        .iter()
        .map(|&(node, weight)| (node, weight, degree(node) as f64))
        .filter(|&(.., degree)| degree > 0.0)
        .collect();
    let budget = context.options.walks;
    let Some(rest) = budget.checked_sub(linked.len() as u32) else {
        return refuse("budget", &budget, "a walk or more for every query node");
    };
    let c = 1.0 + linked.iter().map(|&(.., degree)| degree).fold(1.0, f64::max).ln();
    let claim = |weight: f64, degree: f64| weight * degree * (c - degree.ln());
    let claims: f64 = linked.iter().map(|&(_, weight, degree)| claim(weight, degree)).sum();
    // No number has two query nodes: walks of one number go on together where they meet, and the boost is for
    // nodes that several query nodes lead to independently.
    let mut next = 0;
    let start = |(node, weight, degree)| {
        // Rounded down, so that all together stay within the budget.
        let walks = 1 + (f64::from(rest) * (claim(weight, degree) / claims)) as u32;
        next += walks;
        QueryWalks { node, walks: next - walks..next, visited: Vec::new() }
    };
    Ok(linked.into_iter().map(start).collect())
}

/// Visits as they come, to see when there are enough.
struct EarlyStopCounter {
    wanted: EarlyStop,
    visits: HashMap<NodeIx, u32>,
    /// Nodes that have the visits wanted.
    reached: u32,
}

impl EarlyStopCounter {
    fn new(wanted: EarlyStop) -> Self {
        Self { wanted, visits: HashMap::new(), reached: 0 }
    }

    fn add(&mut self, visited: &[NodeIx], is_item: impl Fn(NodeIx) -> bool) {
        for &node in visited {
            let visits = self.visits.entry(node).or_default();
            *visits += 1;
            if *visits == self.wanted.visits && is_item(node) {
                self.reached += 1;
            }
        }
    }

    fn is_enough(&self) -> bool {
        self.reached >= self.wanted.nodes
    }
}

/// The visited nodes that may be in the answer, with their scores.
fn scores(starts: Vec<QueryWalks>, is_item: impl Fn(NodeIx) -> bool) -> Vec<Recommended> {
    let mut counts: Vec<(NodeIx, u32)> = Vec::new();
    for QueryWalks { mut visited, .. } in starts {
        visited.sort_unstable();
        counts.extend(visited.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32)));
    }
    // Stable, so that roots are added in the order of the query nodes' ids.
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

    /// Pins of degree 1, 8 and 0. With C = 1 + ln 8 they claim 1 + ln 8 = 3.08, 8 and 0.
    #[test]
    fn walks_are_shared_out_by_degree_but_not_in_proportion_to_it() {
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
            let starts = allocate_walks(&context, &queries).expect("walks for all");
            assert_eq!((starts.len(), starts[0].node, starts[1].node), (2, pin("leaf"), pin("hub")));
            assert_eq!(starts[0].walks.end, starts[1].walks.start, "no walk has two query nodes");
            [starts[0].budget(), starts[1].budget()]
        };
        assert_eq!(shares(1002, [1.0, 1.0, 1.0]), [278, 723]);
        assert_eq!(shares(1002, [1.0, 3.0, 9.0]), [114, 887]);
        assert_eq!(shares(2, [1.0, 1000.0, 1.0]), [1, 1], "every one has a walk");
    }

    #[test]
    fn the_parts_of_all_turns_are_all_walks() {
        let start = QueryWalks { node: NodeIx::new(0), walks: 10..117, visited: Vec::new() };
        for turns in [1, 2, 7, 107, 200] {
            let parts = (0..turns).flat_map(|turn| start.part(turn, turns));
            assert_eq!(parts.collect::<Vec<_>>(), (10..117).collect::<Vec<_>>(), "{turns} turns");
        }
    }
}
