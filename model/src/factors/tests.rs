//! The factors beside their definitions, computed in double precision on whole matrices.

use hedgerow_storage::{Batch, CancelToken, Edge, NodeRef, Snapshot, Store};
use hedgerow_walker::{DegreePowers, FilterPowers, GraphFilter, ListRelations, Policy, RelationWeights};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::config::graph_constants::Exponents;
use crate::factors::edge_sums::{Dampings, EdgeSums};
use crate::factors::fit::{Fit, fit};
use crate::factors::item_factors::FoldInItem;
use crate::factors::item_lists::ItemLists;
use crate::factors::least_squares::{Factors, LossConstants, ResidualLoss};
use crate::linalg::normal_equations::{Factor, RANK};

const CONSTANTS: LossConstants = LossConstants {
    exponents: Exponents { history: 0.6, list: 0.4, item: 0.3 },
    strength: 0.7,
    unobserved: 0.1,
    regularization: 0.02,
};

/// Users who like items of their group more than others.
pub(in crate::factors) fn edges(users: usize, items: usize, seed: u64) -> Vec<(String, String)> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut edges = Vec::new();
    for user in 0..users {
        for item in 0..items {
            let likes = if user % 3 == item % 3 { 0.4 } else { 0.08 };
            if rng.random_bool(likes) {
                edges.push((format!("u{user}"), format!("i{item}")));
            }
        }
    }
    edges
}

pub(in crate::factors) fn stored(edges: &[(String, String)]) -> (tempfile::TempDir, Snapshot) {
    stored_in(edges, |_, _| None)
}

/// A third of the edges are views, which count a fifth.
fn stored_with_views(edges: &[(String, String)]) -> (tempfile::TempDir, Snapshot) {
    let is_view =
        |user: &str, item: &str| user.bytes().chain(item.bytes()).map(u32::from).sum::<u32>() % 3 == 0;
    stored_in(edges, |user, item| Some(if is_view(user, item) { "views" } else { "likes" }))
}

fn stored_in(
    edges: &[(String, String)],
    relation: impl Fn(&str, &str) -> Option<&'static str>,
) -> (tempfile::TempDir, Snapshot) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::options().create(true).open(folder.path().join("store")).expect("it opens");
    let mut batch = Batch::new();
    for (user, item) in edges {
        let relation = relation(user, item);
        let (user, item) = (NodeRef { kind: "user", key: user }, NodeRef { kind: "item", key: item });
        batch.link(user, item, Edge { relation, ..Edge::default() }).expect("an edge");
    }
    store.commit(&batch).expect("a commit");
    (folder, store.snapshot())
}

fn policy(snapshot: &Snapshot) -> Policy {
    let policy = Policy::default_for(snapshot, snapshot.kind_ix("item").expect("items"));
    if snapshot.relation_ix("views").is_none() {
        return policy;
    }
    let weights = [("views".to_owned(), 0.2), ("likes".to_owned(), 1.0)];
    policy.with_relations(&RelationWeights::new(weights).expect("two weights"))
}

pub(in crate::factors) fn item_lists(snapshot: &Snapshot) -> ItemLists {
    ItemLists::new(snapshot, &ListRelations::new(snapshot, &policy(snapshot)).expect("lists"))
}

fn powers() -> FilterPowers {
    let Exponents { history, list, .. } = CONSTANTS.exponents;
    FilterPowers { history: DegreePowers::new(history), list: DegreePowers::new(list) }
}

#[test]
fn the_core_has_the_items_and_lists_with_the_most_edges() {
    let (_folder, snapshot) = stored(&edges(60, 40, 3));
    let all = item_lists(&snapshot);
    let core = all.core(all.edge_count() / 3);
    assert!(core.edge_count() <= all.edge_count() / 3 && core.edge_count() > all.edge_count() / 5);
    let degrees = |keep: &dyn Fn(u64) -> bool| -> Vec<usize> {
        let items = (0..all.item_count()).filter(|&item| keep(all.item_ids[item]));
        items.map(|item| all.of_item.columns_of(item).len()).collect()
    };
    let inside = degrees(&|id| core.item_ids.contains(&id));
    let outside = degrees(&|id| !core.item_ids.contains(&id));
    assert_eq!(inside.len(), core.item_count());
    assert!(inside.iter().min() >= outside.iter().max(), "{inside:?} {outside:?}");
    assert!(core.list_count() < all.list_count());

    let rows: Vec<[f32; 1]> = core.item_ids.iter().map(|&id| [id as f32]).collect();
    let expected = |id: &u64| if core.item_ids.contains(id) { [*id as f32] } else { [0.0] };
    let expected: Vec<[f32; 1]> = all.item_ids.iter().map(expected).collect();
    assert_eq!(all.rows_from(&core, &rows), expected);

    let whole = all.core(all.edge_count());
    assert_eq!((whole.edge_count(), whole.item_ids), (all.edge_count(), all.item_ids));
}

/// An edge must not explain itself: the score without it is the score in a graph that never had it.
#[test]
fn the_score_without_an_edge_is_that_of_the_graph_without_it() {
    for stored in [stored as StoreEdges, stored_with_views] {
        compare_scores_without_each_edge(stored);
    }
}

/// Stores edges between users and items.
type StoreEdges = fn(&[(String, String)]) -> (tempfile::TempDir, Snapshot);

fn compare_scores_without_each_edge(stored: StoreEdges) {
    let all = edges(12, 10, 1);
    let (_folder, snapshot) = stored(&all);
    let lists = item_lists(&snapshot);
    let dampings = Dampings::new(&lists, &CONSTANTS.exponents);
    let scores = EdgeSums::new(&lists, &dampings).scores(&lists, &dampings);
    let item_power = DegreePowers::new(CONSTANTS.exponents.item);
    for item in 0..lists.item_count() {
        let name = snapshot.name(lists.items[item]).key;
        for place in lists.of_item.range(item) {
            let user = lists.of_item.columns()[place];
            let user = snapshot.name(list_node(&snapshot, &lists, user)).key;
            let mut fewer = all.clone();
            fewer.retain(|edge| *edge != (user.clone(), name.clone()));
            let (_folder, without) = stored(&fewer);
            let relations = ListRelations::new(&without, &policy(&without)).expect("lists");
            let powers = powers();
            let history: Vec<_> = fewer
                .iter()
                .filter(|edge| edge.0 == user)
                .map(|edge| without.require(NodeRef { kind: "item", key: &edge.1 }).expect("an item"))
                .map(|item| {
                    let user = without.require(NodeRef { kind: "user", key: &user }).expect("it has items");
                    (item, relations.strength(&without, user, item))
                })
                .collect();
            let mut sums = Vec::new();
            let mut filter = GraphFilter::new(&without, &relations, &powers);
            filter.pass_sums(&history, |item, sum| sums.push((item, sum)));
            let node = without.lookup(NodeRef { kind: "item", key: &name });
            let found = node.and_then(|node| sums.iter().find(|(other, _)| *other == node));
            let expected =
                found.map_or(0.0, |&(node, sum)| sum * item_power.of(relations.degree(&without, node)));
            let score = scores.without[place];
            assert!((score - expected).abs() < 1e-5, "{user} {name}: {score} and {expected}");
        }
    }
}

fn list_node(snapshot: &Snapshot, lists: &ItemLists, row: u32) -> hedgerow_storage::NodeIx {
    let kind = snapshot.kind_ix("user").expect("users");
    let mut users: Vec<_> = snapshot.nodes_of(kind).collect();
    users.retain(|&user| snapshot.degree(user) > 0);
    users.sort_by_key(|&user| snapshot.stable_id(user));
    assert_eq!(users.len(), lists.list_count());
    users[row as usize]
}

/// The loss on whole matrices, in double precision.
fn loss(lists: &ItemLists, dampings: &Dampings, scale: f32, q: &[Factor], z: &[Factor]) -> f64 {
    let LossConstants { unobserved, regularization, .. } = CONSTANTS;
    let scores = EdgeSums::new(lists, dampings).scores(lists, dampings);
    let (users, items) = (lists.list_count(), lists.item_count());
    let (a0, lambda, scale) = (f64::from(unobserved), f64::from(regularization), f64::from(scale));
    let square = |row: &Factor| row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
    let mut total = 0.0;
    for (user, q) in q.iter().enumerate() {
        let confidences: f64 = lists.of_list.row(user).map(|(_, strength)| f64::from(strength)).sum();
        total += lambda * (confidences + a0 * items as f64) * square(q);
        // The filter's score of every item, edge or not.
        let mut sums = vec![0.0f64; items];
        for (start, first) in lists.of_list.row(user) {
            for (other, second) in lists.of_item.row(start as usize) {
                for (item, third) in lists.of_list.row(other as usize) {
                    sums[item as usize] += f64::from(first * second * third)
                        * f64::from(dampings.history[start as usize])
                        * f64::from(dampings.list[other as usize]);
                }
            }
        }
        for (item, z) in z.iter().enumerate() {
            let product: f64 = q.iter().zip(z).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            let edge = lists.of_item.range(item).find(|&at| lists.of_item.columns()[at] as usize == user);
            let score = match edge {
                Some(at) => scale * f64::from(scores.without[at]),
                None => scale * f64::from(dampings.item[item]) * sums[item],
            };
            total += a0 * (score + product).powi(2);
            let confidence = edge.map_or(0.0, |at| f64::from(lists.of_item.values()[at]));
            total += confidence * (1.0 - score - product).powi(2);
        }
    }
    for (item, z) in z.iter().enumerate() {
        let confidences: f64 = lists.of_item.row(item).map(|(_, strength)| f64::from(strength)).sum();
        total += lambda * (confidences + a0 * users as f64) * square(z);
    }
    total
}

/// The lists' factors are the minimum for the items': a step to any side makes the loss larger. And each sweep makes it smaller.
#[test]
fn every_step_minimizes_the_loss() {
    for stored in [stored as StoreEdges, stored_with_views] {
        minimize_the_loss_in(&stored(&edges(24, 18, 2)).1);
    }
}

fn minimize_the_loss_in(snapshot: &Snapshot) {
    let lists = item_lists(snapshot);
    let dampings = Dampings::new(&lists, &CONSTANTS.exponents);
    let scores = EdgeSums::new(&lists, &dampings).scores(&lists, &dampings);
    let fitted = ResidualLoss::new(&lists, &dampings, &scores, CONSTANTS);
    let every: Vec<u32> = (0..lists.list_count() as u32).collect();
    let mut factors = ResidualLoss::start(&lists, 3);
    let mut before = f64::INFINITY;
    for _ in 0..5 {
        let z = &factors.z;
        let q = fitted.list_factors(z, &every);
        let of_lists = loss(&lists, &dampings, fitted.scale, &q, z);
        for (row, at) in [(0, 0), (5, 17), (20, RANK - 1)] {
            for step in [-0.01, 0.01] {
                let mut moved = q.clone();
                moved[row][at] += step;
                assert!(loss(&lists, &dampings, fitted.scale, &moved, z) > of_lists);
            }
        }
        let Factors { z, .. } = fitted.sweep(&factors);
        let of_items = loss(&lists, &dampings, fitted.scale, &q, &z);
        assert!(of_items < of_lists && of_lists < before, "{of_items} {of_lists} {before}");
        for (row, at) in [(0, 1), (7, 40), (17, 3)] {
            for step in [-0.01, 0.01] {
                let mut moved = z.clone();
                moved[row][at] += step;
                assert!(loss(&lists, &dampings, fitted.scale, &q, &moved) > of_items);
            }
        }
        before = of_items;
        factors = Factors { q, z };
    }
}

/// Cheap sweeps come as far as exact ones, in about twice as many.
#[test]
fn cheap_sweeps_reach_the_loss_of_exact_ones() {
    let (_folder, snapshot) = stored(&edges(24, 18, 2));
    let lists = item_lists(&snapshot);
    let dampings = Dampings::new(&lists, &CONSTANTS.exponents);
    let scores = EdgeSums::new(&lists, &dampings).scores(&lists, &dampings);
    let fitted = ResidualLoss::new(&lists, &dampings, &scores, CONSTANTS);
    let loss_after = |sweeps: usize, sweep: &dyn Fn(&Factors) -> Factors| {
        let factors = (0..sweeps).fold(ResidualLoss::start(&lists, 3), |factors, _| sweep(&factors));
        loss(&lists, &dampings, fitted.scale, &factors.q, &factors.z)
    };
    let exact = loss_after(8, &|factors| fitted.sweep(factors));
    let cheap = loss_after(16, &|factors| fitted.improve(factors));
    assert!((cheap / exact - 1.0).abs() < 0.01, "{cheap} and {exact}");
}

/// A history gets the factors that its list has in the training, from sums that are made anew.
#[test]
fn the_factors_of_a_history_are_those_of_its_list() {
    for stored in [stored as StoreEdges, stored_with_views] {
        compare_factors_of_histories_in(&stored(&edges(40, 20, 4)).1);
    }
}

fn compare_factors_of_histories_in(snapshot: &Snapshot) {
    let cancel = CancelToken::new();
    let Fit { factors, .. } =
        fit(snapshot, &policy(snapshot), &[], 1, &cancel).expect("fitted").expect("lists");
    let lists = item_lists(snapshot);
    let exponents = factors.constants.exponents;
    let dampings = Dampings::new(&lists, &exponents);
    let scores = EdgeSums::new(&lists, &dampings).scores(&lists, &dampings);
    let constants = LossConstants {
        exponents,
        strength: (f64::from(factors.constants.scale) * scores.mean()) as f32,
        unobserved: factors.constants.unobserved,
        regularization: factors.constants.regularization,
    };
    let fitted = ResidualLoss::new(&lists, &dampings, &scores, constants);
    let every: Vec<u32> = (0..lists.list_count() as u32).collect();
    let q = fitted.list_factors(&factors.z, &every);
    let scale = factors.constants.scale;
    for (list, expected) in q.iter().enumerate() {
        let history: Vec<FoldInItem> = lists
            .of_list
            .columns_of(list)
            .iter()
            .map(|&item| {
                let mut places = lists.of_item.range(item as usize);
                let at = places.find(|&at| lists.of_item.columns()[at] as usize == list).expect("an edge");
                FoldInItem {
                    factor: factors.place(lists.item_ids[item as usize]),
                    with: scale * scores.with[at],
                    without: scale * scores.without[at],
                    confidence: lists.of_item.values()[at],
                }
            })
            .collect();
        let found = factors.fold_in(&history);
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-4, "{a} and {b}");
        }
    }
}

/// Stores with the same edges have the same constants and factors to the bit, however the edges came, with one thread and with more.
#[test]
fn a_fit_is_a_function_of_the_edges_and_the_seed() {
    let mut all = edges(60, 30, 5);
    let fitted = |all: &[(String, String)], threads: usize| {
        let (_folder, snapshot) = stored(all);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let cancel = CancelToken::new();
        pool.install(|| fit(&snapshot, &policy(&snapshot), &[], 1, &cancel))
            .expect("fitted")
            .expect("lists")
            .factors
    };
    let first = fitted(&all, 1);
    all.shuffle(&mut StdRng::seed_from_u64(6));
    let second = fitted(&all, 4);
    assert_eq!(second.constants, first.constants);
    assert_eq!(second.ids, first.ids);
    assert_eq!((&*second.z, &*second.pulls), (&*first.z, &*first.pulls));
}

/// Users of three groups: what a user likes is hidden in part, and found by what the group likes.
#[test]
fn hidden_edges_are_found_again() {
    let (_folder, snapshot) = stored(&edges(120, 90, 7));
    let Fit { quality, .. } =
        fit(&snapshot, &policy(&snapshot), &[], 1, &CancelToken::new()).expect("fitted").expect("lists");
    assert!(quality.edges > 20 && quality.lists > 5, "{quality:?}");
    // A random order has a recall of about 20 / 80.
    assert!(quality.both.recall > 0.4, "{quality:?}");
}

/// The edges that embeddings are weighed by are not in what ranks them.
#[test]
fn held_out_edges_are_ranked_by_scores_that_do_not_know_them() {
    let (_folder, snapshot) = stored(&edges(120, 90, 7));
    let lists = item_lists(&snapshot);
    let items = |list: usize| lists.of_list.columns_of(list);
    let known: Vec<usize> = (0..lists.list_count()).filter(|&list| items(list).len() > 5).collect();
    let user = |list: usize| {
        let nodes = snapshot.nodes_of(snapshot.kind_ix("user").expect("a kind"));
        nodes.into_iter().find(|&node| {
            lists
                .edges_between(&snapshot, &[(node, lists.items[items(list)[0] as usize])])
                .iter()
                .any(|edge| edge.list as usize == list)
        })
    };
    let held_out: Vec<_> = known
        .iter()
        .map(|&list| (user(list).expect("its user"), lists.items[items(list)[0] as usize]))
        .collect();
    let cancel = CancelToken::new();
    let fitted = fit(&snapshot, &policy(&snapshot), &held_out, 1, &cancel).expect("fitted").expect("lists");
    let ranking = fitted.held_out.expect("held-out scores").ranking;
    assert_eq!(ranking.list_rows().iter().map(|&list| list as usize).collect::<Vec<_>>(), known);
    for ((list, history), hidden) in known.iter().zip(ranking.histories()).zip(ranking.hidden()) {
        assert_eq!(hidden, &items(*list)[..1]);
        assert!(history.iter().map(|(item, _)| item).eq(&items(*list)[1..]));
    }
    let without = fit(&snapshot, &policy(&snapshot), &[], 1, &cancel).expect("fitted").expect("lists");
    assert!(without.held_out.is_none());
}

#[test]
fn a_graph_without_lists_or_with_short_ones_only_has_no_factors() {
    let short: Vec<_> = (0..9).map(|at| (format!("u{}", at / 3), format!("i{at}"))).collect();
    let (_folder, snapshot) = stored(&short);
    let cancel = CancelToken::new();
    assert!(fit(&snapshot, &policy(&snapshot), &[], 1, &cancel).expect("no error").is_none());
    let alone = Policy { kind: "item".to_owned(), paths: Vec::new(), weights: Vec::new(), moment: 0 };
    assert!(fit(&snapshot, &alone, &[], 1, &cancel).expect("no error").is_none());
}

#[test]
fn a_cancelled_fit_is_an_error() {
    let (_folder, snapshot) = stored(&edges(40, 20, 8));
    let cancel = CancelToken::new();
    cancel.cancel();
    assert!(fit(&snapshot, &policy(&snapshot), &[], 1, &cancel).is_err());
}

/// Three lists of five items that share one item. Without an edge next to nothing is left of its score, and what rounding leaves must
/// not count.
#[test]
fn lists_that_share_almost_nothing_have_finite_factors() {
    let edges: Vec<_> = (0..13)
        .flat_map(|item: usize| {
            let lists = if item == 12 { 0..3 } else { item / 4..item / 4 + 1 };
            lists.map(move |list| (format!("u{list}"), format!("i{item}")))
        })
        .collect();
    let (_folder, snapshot) = stored(&edges);
    let Fit { factors, .. } =
        fit(&snapshot, &policy(&snapshot), &[], 1, &CancelToken::new()).expect("fitted").expect("lists");
    assert!(factors.is_finite(), "{:?}", factors.constants);
}
