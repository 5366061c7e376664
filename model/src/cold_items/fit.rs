//! The fit of the constants of cold items: each of some items is asked for without its lists, and the items that it occurs together
//! with are ranked.

use std::collections::HashMap;

use hedgerow_storage::{CancelToken, KindIx, NodeIx, Snapshot};
use hedgerow_walker::{DegreePowers, FilterPowers, FilterSums, GraphFilter, ListRelations, Policy};
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::cold_items::cold_scores::{ColdPowers, similar_items};
use crate::cold_items::token_index::TokenIndex;
use crate::config::error::Error;
use crate::config::graph_constants::ColdConstants;

/// Items that are asked for, at most.
const QUERIES: usize = 500;
/// Items below which nothing is fitted.
const FEWEST_QUERIES: usize = 50;
/// Items that are looked at for enough queries, at most.
const CANDIDATES: usize = 4000;
/// Items that are ranked for each query, at most.
const ITEMS_PER_QUERY: usize = 5;
/// Lists that a query and a ranked item share, at least.
const FEWEST_LISTS: f32 = 2.0;
/// The least lift: the lists that they share, divided by those expected by chance.
const LEAST_LIFT: f64 = 2.0;
/// Items that all queries reach together, about, in each setting. Where one query reaches hundreds of thousands, fewer queries are asked.
const REACHED_ITEMS: usize = 10_000_000;
/// Queries of a task, which share the memory of their sums.
const QUERIES_PER_TASK: usize = 16;

/// The exponents and weights that are tried: of rarity with the first exponent of items, then of items, each with all combinations of
/// the other two.
const RARITIES: [f32; 4] = [1.0, 2.0, 3.0, 4.0];
const ITEM_EXPONENTS: [f32; 5] = [0.25, 0.0, 0.5, 0.75, 1.0];
const OWN_WEIGHTS: [f32; 7] = [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
const DEGREE_EXPONENTS: [f32; 9] = [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.5, 0.7];

/// An item that is asked for, and items that go with it.
struct Query {
    row: u32,
    items: Vec<NodeIx>,
}

/// The items of a kind that have tokens.
struct Items<'a> {
    snapshot: &'a Snapshot,
    relations: &'a ListRelations,
    nodes: Vec<NodeIx>,
    tokens: TokenIndex,
    /// All items of the kind.
    count: usize,
}

/// The constants with the best gain, and that gain: the mean of 1 / log2(1 + rank) of items that go with a query, if the query's lists
/// are not known. `None` if the kind has no lists, or too few items with tokens and lists.
///
/// An item that is asked for is no similar item itself, so none of its lists is used, except that they are one longer than without it.
///
/// Determinism: a function of the graph's content and the seed.
/// Cost: for each of up to [`QUERIES`] items and eight settings, two hops from a hundred items, and 63 rankings of what these reach.
pub(crate) fn fit_cold(
    snapshot: &Snapshot,
    policy: &Policy,
    seed: u64,
    cancel: &CancelToken,
) -> Result<Option<(ColdConstants, f64)>, Error> {
    let Some(relations) = ListRelations::new(snapshot, policy) else { return Ok(None) };
    let items = Items::new(snapshot, &relations);
    let mut queries = items.queries(seed);
    if queries.len() < FEWEST_QUERIES {
        return Ok(None);
    }
    let reached = items.reached_by(&queries[..FEWEST_QUERIES]) / FEWEST_QUERIES;
    queries.truncate((REACHED_ITEMS / reached.max(1)).max(FEWEST_QUERIES));
    let stage = cancel.stage("cold items", (RARITIES.len() + ITEM_EXPONENTS.len() - 1) as u64);
    let mut best: Option<(ColdConstants, f64)> = None;
    let mut try_setting = |rarity, item| {
        let start = ColdConstants { rarity, item, ..ColdConstants::default() };
        for (constants, gain) in items.gains(&queries, start) {
            if best.as_ref().is_none_or(|(_, best)| gain > *best) {
                best = Some((constants, gain));
            }
        }
        stage.advance(1)?;
        Ok::<f32, Error>(best.as_ref().map_or(rarity, |(constants, _)| constants.rarity))
    };
    let mut rarity = RARITIES[0];
    for tried in RARITIES {
        rarity = try_setting(tried, ITEM_EXPONENTS[0])?;
    }
    for &item in &ITEM_EXPONENTS[1..] {
        try_setting(rarity, item)?;
    }
    stage.end();
    Ok(best)
}

impl<'a> Items<'a> {
    fn new(snapshot: &'a Snapshot, relations: &'a ListRelations) -> Self {
        let (mut nodes, mut tokens) = (Vec::new(), TokenIndex::default());
        for node in snapshot.nodes_of(relations.kind()) {
            let of_node = snapshot.tokens(node);
            if !of_node.is_empty() {
                tokens.set(nodes.len() as u32, &of_node);
                nodes.push(node);
            }
        }
        let count = snapshot.nodes_of(relations.kind()).count();
        Self { snapshot, relations, nodes, tokens, count }
    }

    /// Items by hash that go with others.
    fn queries(&self, seed: u64) -> Vec<Query> {
        let id = |row: u32| self.snapshot.stable_id(self.nodes[row as usize]).get();
        let hash = |row: &u32| xxh3_64_with_seed(&id(*row).to_le_bytes(), seed);
        let mut rows: Vec<u32> = (0..self.nodes.len() as u32).collect();
        rows.retain(|&row| self.relations.degree(self.snapshot, self.nodes[row as usize]) > 0);
        rows.sort_by_cached_key(hash);
        rows.truncate(CANDIDATES);

        let (edges, squares) = self.list_lengths();
        let none = FilterPowers { history: DegreePowers::new(0.0), list: DegreePowers::new(0.0) };
        let tasks = rows.par_chunks(QUERIES_PER_TASK).map(|rows| {
            let mut shared_lists = GraphFilter::new(self.snapshot, self.relations, &none);
            let query = |&row: &u32| {
                let node = self.nodes[row as usize];
                let degree = |node| self.relations.degree(self.snapshot, node) as f64;
                let goes_along = |&(other, lists): &(NodeIx, f32)| {
                    // The chance that a list holds two items grows with the square of its length.
                    let by_chance = degree(node) * degree(other) * squares / (edges * edges);
                    other != node && lists >= FEWEST_LISTS && f64::from(lists) >= LEAST_LIFT * by_chance
                };
                let mut items: Vec<NodeIx> = shared_lists
                    .sums(&[node])
                    .items
                    .into_iter()
                    .filter(goes_along)
                    .map(|(other, _)| other)
                    .collect();
                let hash = |other: &NodeIx| {
                    let mut key = [0; 16];
                    key[..8].copy_from_slice(&id(row).to_le_bytes());
                    key[8..].copy_from_slice(&self.snapshot.stable_id(*other).get().to_le_bytes());
                    xxh3_64_with_seed(&key, seed)
                };
                items.sort_by_cached_key(hash);
                items.truncate(ITEMS_PER_QUERY);
                (!items.is_empty()).then_some(Query { row, items })
            };
            rows.iter().filter_map(query).collect::<Vec<Query>>()
        });
        let mut queries: Vec<Query> = tasks.collect::<Vec<_>>().into_iter().flatten().collect();
        queries.truncate(QUERIES);
        queries
    }

    /// The number of items that some queries reach.
    fn reached_by(&self, queries: &[Query]) -> usize {
        let Self { snapshot, relations, nodes, tokens, .. } = self;
        let start = ColdConstants::default();
        let powers = ColdPowers::new(start);
        let tasks = queries.par_chunks(QUERIES_PER_TASK).map(|queries| {
            let mut filter = GraphFilter::new(snapshot, relations, &powers.filter);
            let node = |row: u32| Some(nodes[row as usize]);
            let mut reached = |query: &Query| {
                let similar = similar_items(query.row, tokens, &start, snapshot, relations, node);
                filter.weighted_sums(&similar).items.len()
            };
            queries.iter().map(&mut reached).sum::<usize>()
        });
        tasks.sum()
    }

    /// The sum of the lengths of all lists, and of their squares.
    fn list_lengths(&self) -> (f64, f64) {
        let kinds = (0..self.snapshot.kind_count()).map(|kind| KindIx::new(kind as u8));
        let lists =
            kinds.filter(|&kind| kind != self.relations.kind()).flat_map(|kind| self.snapshot.nodes_of(kind));
        let lengths = lists.map(|list| self.relations.degree(self.snapshot, list) as f64);
        lengths.fold((0.0, 0.0), |(sum, squares), length| (sum + length, squares + length * length))
    }

    /// The mean gain of the queries' items for each combination of degree exponent and own weight.
    fn gains(&self, queries: &[Query], start: ColdConstants) -> Vec<(ColdConstants, f64)> {
        let Self { snapshot, relations, nodes, tokens, count } = self;
        let powers = ColdPowers::new(start);
        let degree_powers = DEGREE_EXPONENTS.map(DegreePowers::new);
        let combinations = DEGREE_EXPONENTS
            .iter()
            .flat_map(|&degree| OWN_WEIGHTS.map(|own| ColdConstants { own, degree, ..start }));
        let tasks = queries.par_chunks(QUERIES_PER_TASK).map(|queries| {
            let mut filter = GraphFilter::new(snapshot, relations, &powers.filter);
            let mut gains = Vec::new();
            for Query { row, items } in queries {
                let node = |row: u32| Some(nodes[row as usize]);
                let similar = similar_items(*row, tokens, &start, snapshot, relations, node);
                let reached = Reached::new(nodes[*row as usize], &filter.weighted_sums(&similar));
                let of_query = degree_powers.iter().flat_map(|powers| {
                    let power = |&item: &NodeIx| powers.of(relations.degree(snapshot, item));
                    let powers: Vec<f32> = reached.items.iter().map(power).collect();
                    OWN_WEIGHTS.map(|own| reached.gain(items, &powers, own, *count))
                });
                gains.push(of_query.collect::<Vec<f64>>());
            }
            gains
        });
        let pairs: usize = queries.iter().map(|query| query.items.len()).sum();
        let mut sums = vec![0.0; DEGREE_EXPONENTS.len() * OWN_WEIGHTS.len()];
        for gains in tasks.collect::<Vec<_>>().into_iter().flatten() {
            sums.iter_mut().zip(gains).for_each(|(sum, gain)| *sum += gain);
        }
        combinations.zip(sums.into_iter().map(|sum| sum / pairs as f64)).collect()
    }
}

/// The items that a query reaches, without the query.
struct Reached {
    items: Vec<NodeIx>,
    sums: Vec<f32>,
    /// The part of each sum that the item gives itself.
    own: Vec<f32>,
}

impl Reached {
    fn new(query: NodeIx, sums: &FilterSums) -> Self {
        let own: HashMap<NodeIx, f32> = sums.history.iter().map(|start| (start.item, start.own)).collect();
        let of_others = || sums.items.iter().filter(|(item, _)| *item != query);
        Self {
            items: of_others().map(|(item, _)| *item).collect(),
            sums: of_others().map(|(_, sum)| *sum).collect(),
            own: of_others().map(|(item, _)| own.get(item).copied().unwrap_or(0.0)).collect(),
        }
    }

    /// The sum of 1 / log2(1 + rank) over some items, with the score of [`ColdPowers::scores`]. `powers` are those of the degrees.
    /// Equal scores count half. Items that are not reached have score 0.
    fn gain(&self, items: &[NodeIx], powers: &[f32], own: f32, item_count: usize) -> f64 {
        let parts = powers.iter().zip(&self.sums).zip(&self.own);
        let scores: Vec<f32> =
            parts.map(|((power, sum), own_sum)| power * (sum - (1.0 - own) * own_sum)).collect();
        let gain = |item: &NodeIx| {
            let place = self.items.iter().position(|other| other == item);
            let level = place.map_or(0.0, |place| scores[place].max(0.0));
            // Counted without a branch, so that several are counted at once.
            let (mut higher, mut equal) = (0u32, 0u32);
            for score in &scores {
                higher += u32::from(*score > level);
                equal += u32::from(*score == level);
            }
            let equal = if level > 0.0 { equal as usize } else { item_count - 1 - higher as usize };
            let rank = 1.0 + f64::from(higher) + equal.saturating_sub(1) as f64 / 2.0;
            1.0 / (1.0 + rank).log2()
        };
        items.iter().map(gain).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use hedgerow_storage::{Batch, Edge, NodeRef, Store};

    use super::*;

    /// Boards hold pins of one topic. `tokens` gives the tokens of a pin: its topic is the pin's number modulo 6.
    fn snapshot(tokens: impl Fn(usize) -> Vec<String>) -> (tempfile::TempDir, Snapshot) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path().join("store")).expect("it opens");
        let mut batch = Batch::new();
        let mut key = String::new();
        for pin in 0..180 {
            key.clear();
            write!(key, "{pin}").expect("a text");
            let pin = NodeRef { kind: "pin", key: &key };
            batch.set_tokens(pin, &tokens(key.parse().expect("a number"))).expect("tokens");
        }
        let mut state = 11u64;
        for board in 0..240 {
            let board = board.to_string();
            for _ in 0..8 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let number = (state >> 33) as usize % 30 * 6 + board.parse::<usize>().expect("a number") % 6;
                let pin = number.to_string();
                let (board, pin) =
                    (NodeRef { kind: "board", key: &board }, NodeRef { kind: "pin", key: &pin });
                batch.link(board, pin, Edge::default()).expect("an edge");
            }
        }
        store.commit(&batch).expect("a commit");
        (folder, store.snapshot())
    }

    fn fitted(snapshot: &Snapshot) -> Option<(ColdConstants, f64)> {
        let policy = Policy::default_for(snapshot, snapshot.kind_ix("pin").expect("a kind"));
        fit_cold(snapshot, &policy, 3, &CancelToken::new()).expect("a fit")
    }

    #[test]
    fn tokens_that_tell_what_goes_together_gain_more_than_others() {
        let (_folder, of_topic) = snapshot(|pin| vec![format!("topic{}", pin % 6), format!("own{pin}")]);
        let (constants, gain) = fitted(&of_topic).expect("enough pins");
        let (_folder, of_nothing) = snapshot(|pin| vec![format!("color{}", pin / 6 % 5)]);
        let (_, without) = fitted(&of_nothing).expect("enough pins");
        assert!(gain > 1.2 * without, "{gain} {without} {constants:?}");
        assert_eq!(fitted(&of_topic).expect("enough pins"), (constants, gain), "the same seed");
    }

    #[test]
    fn too_few_items_with_tokens_have_no_fit() {
        let (_folder, few) = snapshot(|pin| if pin < 40 { vec!["some".to_owned()] } else { Vec::new() });
        assert!(fitted(&few).is_none());
        let (_folder, none) = snapshot(|_| Vec::new());
        assert!(fitted(&none).is_none());
    }

    /// The fit ranks in arrays what an answer scores item by item.
    #[test]
    fn gains_are_those_of_the_scores_of_answers() {
        let (_folder, snapshot) =
            snapshot(|pin| vec![format!("topic{}", pin % 6), format!("color{}", pin % 5)]);
        let policy = Policy::default_for(&snapshot, snapshot.kind_ix("pin").expect("a kind"));
        let relations = ListRelations::new(&snapshot, &policy).expect("boards");
        let items = Items::new(&snapshot, &relations);
        let queries = items.queries(3);
        let start = ColdConstants::default();
        let mut filter_powers = ColdPowers::new(start).filter;
        filter_powers.history = DegreePowers::new(start.item);
        let mut filter = GraphFilter::new(&snapshot, &relations, &filter_powers);
        for (constants, gain) in items.gains(&queries, start).into_iter().step_by(5) {
            let powers = ColdPowers::new(constants);
            let (mut sum, mut pairs) = (0.0, 0);
            for query in &queries {
                let node = |row: u32| Some(items.nodes[row as usize]);
                let similar =
                    similar_items(query.row, &items.tokens, &constants, &snapshot, &relations, node);
                let mut scores = powers.scores(&filter.weighted_sums(&similar), &snapshot, &relations);
                scores.retain(|(item, _)| *item != items.nodes[query.row as usize]);
                for item in &query.items {
                    let score =
                        |item| scores.iter().find(|(other, _)| *other == item).map_or(0.0, |found| found.1);
                    let others = snapshot
                        .nodes_of(relations.kind())
                        .filter(|other| *other != *item && *other != items.nodes[query.row as usize]);
                    let rank = others.fold(1.0, |rank, other| match score(other).total_cmp(&score(*item)) {
                        std::cmp::Ordering::Greater => rank + 1.0,
                        std::cmp::Ordering::Equal => rank + 0.5,
                        std::cmp::Ordering::Less => rank,
                    });
                    sum += 1.0 / f64::log2(1.0 + rank);
                    pairs += 1;
                }
            }
            let expected = sum / f64::from(pairs);
            assert!((gain - expected).abs() < 1e-3, "{gain} {expected} {constants:?}");
        }
    }
}
