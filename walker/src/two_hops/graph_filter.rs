//! The graph filter: exact sums over two hops, from the items of a history through their lists to other items.
//! It keeps no state about the graph, so it is as current as its snapshot. Must not know models.

use hedgerow_storage::{NodeIx, Snapshot};

use crate::two_hops::degree_powers::DegreePowers;
use crate::two_hops::list_relations::ListRelations;
use crate::two_hops::sums::Sums;

/// Most items of a history that count: those with the smallest stable ids, which are hashes of their names.
pub const MAX_HISTORY: usize = 1000;

/// The powers by which degrees damp the sums of a filter.
#[derive(Clone, Debug)]
pub struct FilterPowers {
    /// Of the items of the history.
    pub history: DegreePowers,
    /// Of the lists.
    pub list: DegreePowers,
}

/// Sums over two hops.
///
/// For a history H, an item j and degrees d, the sum is
///
/// ```text
/// F(H, j) = sum over i in H of  w_i d_i^-a * sum over the lists v of both i and j of  s_iv s_vj d_v^-b
/// ```
///
/// with the exponents a and b of [`FilterPowers`], the items' weights w, and the strengths s of edges. A strength is the weight of the
/// edge's relation in the policy. Of an item with more than [`MAX_LISTS`](crate::MAX_LISTS) lists, and of long lists, a sample counts and stands for
/// all. Degrees are numbers of edges. Weights and times of edges do not count.
///
/// # Shapes
/// 8 bytes for each node of the graph. The system provides memory only for the parts that a sum touches.
/// # Determinism
/// Canonical: stores of equal content give equal bits. Terms are added in the order of stable ids and neighbor lists.
/// # Source
/// `RP3beta` (Paudel et al., "Updatable, accurate, diverse, and scalable recommendations for interactive applications", ACM TIIS 2017)
/// with free exponents; the linear filter of GF-CF (Shen et al., CIKM 2021) has a = b = 1/2.
#[derive(Debug)]
pub struct GraphFilter<'s> {
    snapshot: &'s Snapshot,
    relations: &'s ListRelations,
    powers: &'s FilterPowers,
    /// By list.
    amounts: Sums,
    /// By item.
    sums: Sums,
}

/// The sums of one history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilterSums {
    /// Each item with a sum above 0, in the order in which it was first reached. Items of the history are among them.
    pub items: Vec<(NodeIx, f32)>,
    /// The items of the history that count, by stable id, each once.
    pub history: Vec<HistorySum>,
}

/// An item of a history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistorySum {
    /// The item.
    pub item: NodeIx,
    /// Its own sum, F(H, i).
    pub sum: f32,
    /// The part of its sum that it contributes itself.
    pub own: f32,
    /// The number of its lists.
    pub degree: usize,
    /// `d_i^-a`, times the item's weight.
    pub damping: f32,
    /// The item's weight.
    pub weight: f32,
}

impl<'s> GraphFilter<'s> {
    /// A filter over a snapshot. Cost: address space for [`GraphFilter`]'s sums.
    pub fn new(snapshot: &'s Snapshot, relations: &'s ListRelations, powers: &'s FilterPowers) -> Self {
        Self { snapshot, relations, powers, amounts: Sums::new(snapshot), sums: Sums::new(snapshot) }
    }

    /// The sums of a history. Nodes of other kinds do not count, and a repeated node counts once.
    ///
    /// # Panics
    /// As [`Snapshot`] does, for a node that the store never numbered.
    /// # Cost
    /// The items of all lists of the history, each list once; about [`MAX_READS`](crate::MAX_READS) for each item of the history at most.
    pub fn sums(&mut self, history: &[NodeIx]) -> FilterSums {
        let mut items = Vec::new();
        let history: Vec<(NodeIx, f32)> = history.iter().map(|&item| (item, 1.0)).collect();
        let history = self.pass_sums(&history, |item, sum| items.push((item, sum)));
        FilterSums { items, history }
    }

    /// As [`GraphFilter::sums`], but items count with weights, of a repeated item the first, and each sum is passed on instead of
    /// collected.
    ///
    /// # Panics
    /// As [`GraphFilter::sums`].
    /// # Cost
    /// As that of [`GraphFilter::sums`].
    pub fn pass_sums(&mut self, history: &[(NodeIx, f32)], each: impl FnMut(NodeIx, f32)) -> Vec<HistorySum> {
        let mut starts = history.to_vec();
        self.order(&mut starts);
        starts.dedup_by_key(|(item, _)| *item);
        self.pass_sums_from(starts, each)
    }

    /// The sums of items that count with different weights: the term of each is multiplied by its weight. The weights of a repeated
    /// item are added.
    ///
    /// # Panics
    /// As [`GraphFilter::sums`].
    /// # Cost
    /// As that of [`GraphFilter::sums`].
    pub fn weighted_sums(&mut self, items: &[(NodeIx, f32)]) -> FilterSums {
        let mut starts = items.to_vec();
        self.order(&mut starts);
        starts.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            if is_same {
                kept.1 += next.1;
            }
            is_same
        });
        let mut items = Vec::new();
        let history = self.pass_sums_from(starts, |item, sum| items.push((item, sum)));
        FilterSums { items, history }
    }

    /// Keeps the items of the kind, by stable id.
    fn order(&self, starts: &mut Vec<(NodeIx, f32)>) {
        starts.retain(|&(node, _)| self.snapshot.kind(node) == self.relations.kind());
        starts.sort_by_key(|&(node, _)| self.snapshot.stable_id(node));
    }

    fn pass_sums_from(
        &mut self,
        mut starts: Vec<(NodeIx, f32)>,
        each: impl FnMut(NodeIx, f32),
    ) -> Vec<HistorySum> {
        let Self { snapshot, relations, powers, amounts, sums } = self;
        starts.truncate(MAX_HISTORY);
        let start = |(item, weight): (NodeIx, f32)| {
            let degree = relations.degree(snapshot, item);
            let damping = weight * powers.history.of(degree);
            let own = amounts.add_lists(item, damping, snapshot, relations, &powers.list);
            HistorySum { item, sum: 0.0, own, degree, damping, weight }
        };
        let mut history: Vec<HistorySum> = starts.into_iter().map(start).collect();
        sums.add_items(&amounts.take(), history.len(), snapshot, relations);
        for start in &mut history {
            start.sum = sums.by_node[start.item.index()];
        }
        sums.drain(each);
        history
    }
}

#[cfg(test)]
pub(in crate::two_hops) mod tests {
    use std::collections::BTreeMap;

    use std::time::Duration;

    use hedgerow_storage::{Batch, Edge, NodeIx, NodeRef, RelationOptions, Snapshot, Store};

    use super::*;
    use crate::policies::policy::Policy;
    use crate::policies::relation_weights::RelationWeights;
    use crate::two_hops::list_relations::{FEWEST_ITEMS, MAX_LISTS};

    pub(in crate::two_hops) fn pin(key: &str) -> NodeRef<'_> {
        NodeRef { kind: "pin", key }
    }

    pub(in crate::two_hops) fn stored(
        boards: &[(String, Vec<String>)],
        more: &[(NodeRef<'_>, NodeRef<'_>)],
    ) -> (tempfile::TempDir, Snapshot) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path().join("store")).expect("it opens");
        let mut batch = Batch::new();
        for (board, pins) in boards {
            for key in pins {
                batch
                    .link(NodeRef { kind: "board", key: board }, pin(key), Edge::default())
                    .expect("an edge");
            }
        }
        for (a, b) in more {
            batch.link(*a, *b, Edge::default()).expect("an edge");
        }
        store.commit(&batch).expect("a commit");
        (folder, store.snapshot())
    }

    /// As [`stored`], with edges of the relation `weak`.
    fn stored_with_weak(
        boards: &[(String, Vec<String>)],
        weak: &[(&str, &str)],
    ) -> (tempfile::TempDir, Snapshot) {
        let (folder, _) = stored(boards, &[]);
        let store = Store::options().open(folder.path().join("store")).expect("it opens");
        let mut batch = Batch::new();
        for (board, key) in weak {
            let edge = Edge { relation: Some("weak"), ..Edge::default() };
            batch.link(NodeRef { kind: "board", key: board }, pin(key), edge).expect("an edge");
        }
        store.commit(&batch).expect("a commit");
        (folder, store.snapshot())
    }

    pub(in crate::two_hops) fn relations(snapshot: &Snapshot) -> ListRelations {
        let kind = snapshot.kind_ix("pin").expect("a kind");
        ListRelations::new(snapshot, &Policy::default_for(snapshot, kind)).expect("pins have boards")
    }

    fn powers(history: f32, list: f32) -> FilterPowers {
        FilterPowers { history: DegreePowers::new(history), list: DegreePowers::new(list) }
    }

    fn sums(
        snapshot: &Snapshot,
        history: &[&str],
        powers: &FilterPowers,
    ) -> (BTreeMap<String, f32>, FilterSums) {
        let relations = relations(snapshot);
        let nodes: Vec<NodeIx> =
            history.iter().map(|key| snapshot.require(pin(key)).expect("a pin")).collect();
        let mut filter = GraphFilter::new(snapshot, &relations, powers);
        let first = filter.sums(&nodes);
        assert_eq!(filter.sums(&nodes), first, "a sum leaves nothing behind");
        let named = first.items.iter().map(|&(node, sum)| (snapshot.name(node).key, sum));
        (named.collect(), first)
    }

    pub(in crate::two_hops) fn boards(boards: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
        let board = |(board, pins): &(&str, &str)| {
            ((*board).to_owned(), pins.chars().map(|pin| pin.to_string()).collect())
        };
        boards.iter().map(board).collect()
    }

    /// Board w holds a, b, c, d; x holds a, b; y holds b, e. With both exponents 1, from a: w gives 1/2 * 1/4 to each of its pins,
    /// x gives 1/2 * 1/2. The pin e is three hops away.
    #[test]
    fn sums_are_the_hand_worked_numbers() {
        let (_folder, snapshot) = stored(&boards(&[("w", "abcd"), ("x", "ab"), ("y", "be")]), &[]);
        let (of, all) = sums(&snapshot, &["a", "a"], &powers(1.0, 1.0));
        let expected = [("a", 0.375), ("b", 0.375), ("c", 0.125), ("d", 0.125)];
        assert_eq!(of, expected.map(|(key, sum)| (key.to_owned(), sum)).into());
        let [start] = all.history[..] else { panic!("one start") };
        assert_eq!((start.sum, start.own, start.degree, start.damping), (0.375, 0.375, 2, 0.5));

        let (of, all) = sums(&snapshot, &["a", "b"], &powers(0.0, 0.0));
        assert_eq!((of["c"], of["e"], of["b"]), (2.0, 1.0, 5.0));
        let own: f32 = all.history.iter().map(|start| start.own).sum();
        assert_eq!(own, 5.0, "a has two boards, b has three");
    }

    #[test]
    fn weights_multiply_terms_and_those_of_a_repeated_item_are_added() {
        let (_folder, snapshot) = stored(&boards(&[("w", "abcd"), ("x", "ab"), ("y", "be")]), &[]);
        let relations = relations(&snapshot);
        let powers = powers(1.0, 0.5);
        let node = |key| snapshot.require(pin(key)).expect("a pin");
        let (a, b) = (node("a"), node("b"));
        let mut filter = GraphFilter::new(&snapshot, &relations, &powers);
        let sum = |sums: &FilterSums, item| {
            sums.items.iter().find(|(other, _)| *other == item).map_or(0.0, |(_, sum)| *sum)
        };
        let (of_a, of_b) = (filter.sums(&[a]), filter.sums(&[b]));
        let weighted = filter.weighted_sums(&[(b, 2.0), (a, 0.25), (a, 0.25)]);
        for key in ["a", "b", "c", "d", "e"] {
            let item = node(key);
            let expected = 0.5 * sum(&of_a, item) + 2.0 * sum(&of_b, item);
            assert!((sum(&weighted, item) - expected).abs() < 1e-6, "{key}");
        }
        assert_eq!(filter.weighted_sums(&[(b, 1.0), (a, 1.0)]), filter.sums(&[a, b, a]));
    }

    /// Boards w and x hold a and b, and a and c. With a half-life of a day and exponents of 0, the edges of x count half as much.
    #[test]
    fn an_edge_counts_as_of_the_policys_moment_where_weights_fade() {
        let day = 86_400_000_000;
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path().join("store")).expect("it opens");
        let mut batch = Batch::new();
        let half_life = Some(Duration::from_hours(24));
        let fading = RelationOptions { half_life, is_dislike: false };
        batch.declare_relation("board-pin", fading).expect("valid");
        for (board, key, days) in [("w", "a", 100), ("w", "b", 101), ("x", "a", 99), ("x", "c", 100)] {
            let edge = Edge { weight: 3.0, time: Some(days * day), ..Edge::default() };
            batch.link(NodeRef { kind: "board", key: board }, pin(key), edge).expect("an edge");
        }
        store.commit(&batch).expect("a commit");
        let snapshot = store.snapshot();
        let kind = snapshot.kind_ix("pin").expect("a kind");
        let node = |key| snapshot.require(pin(key)).expect("a pin");
        for (moment, scale) in [(100, 1.0), (102, 1.0 / 16.0)] {
            let policy = Policy::default_for(&snapshot, kind).as_of(moment * day);
            let relations = ListRelations::new(&snapshot, &policy).expect("pins have boards");
            let powers = powers(0.0, 0.0);
            let sums: BTreeMap<NodeIx, f32> = GraphFilter::new(&snapshot, &relations, &powers)
                .sums(&[node("a")])
                .items
                .into_iter()
                .collect();
            // To b: 3 for w and 2 * 3 for b; to c: half of 3 for x and 3 for c. All fade alike.
            let expected = [("a", 9.0 + 2.25), ("b", 18.0), ("c", 4.5)];
            for (key, expected) in expected {
                let found = sums[&node(key)];
                assert!((found / (expected * scale) - 1.0).abs() < 1e-6, "{key} as of {moment}: {found}");
            }
        }
    }

    /// Board w holds a and b, and c by a relation that counts a half. From a: w gives 1 to a and b, and a half to c. From c, each hop
    /// counts a half once, and to c itself twice.
    #[test]
    fn the_weight_of_a_relation_counts_on_both_hops() {
        let (_folder, snapshot) = stored_with_weak(&boards(&[("w", "ab")]), &[("w", "c")]);
        let weights = [("board-pin".to_owned(), 2.0), ("weak".to_owned(), 1.0)];
        let weights = RelationWeights::new(weights).expect("two weights");
        let kind = snapshot.kind_ix("pin").expect("a kind");
        let policy = Policy::default_for(&snapshot, kind).with_relations(&weights);
        let relations = ListRelations::new(&snapshot, &policy).expect("pins have boards");
        let powers = powers(0.0, 0.0);
        let mut filter = GraphFilter::new(&snapshot, &relations, &powers);
        for (start, own, expected) in [("a", 1.0, [1.0, 1.0, 0.5]), ("c", 0.25, [0.5, 0.5, 0.25])] {
            let start = snapshot.require(pin(start)).expect("a pin");
            let found = filter.sums(&[start]);
            let sum = |key| {
                let node = snapshot.require(pin(key)).expect("a pin");
                found.items.iter().find(|(item, _)| *item == node).map_or(0.0, |(_, sum)| *sum)
            };
            assert_eq!(["a", "b", "c"].map(sum), expected);
            assert_eq!((found.history[0].own, found.history[0].degree), (own, 1));
        }
    }

    /// In one relation pins are joined to boards, to pins and to authors; only boards and authors are lists.
    #[test]
    fn neighbors_of_the_same_kind_are_no_lists() {
        let author = NodeRef { kind: "author", key: "k" };
        let more = [(author, pin("a")), (author, pin("c")), (pin("a"), pin("z")), (pin("z"), pin("c"))];
        let (_folder, snapshot) = stored(&boards(&[("w", "ab")]), &more);
        let (of, _) = sums(&snapshot, &["a"], &powers(0.0, 0.0));
        assert_eq!(of.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    /// Pin 7 is on 299 boards of its own and on one of 3,000 pins, of which a sample counts. The sample stands for all, so the sum over
    /// all pins is what it would be without a limit, and it does not depend on the order in which the pins came.
    #[test]
    fn a_long_list_counts_by_a_sample_that_is_a_function_of_its_content() {
        let pins: Vec<String> = (0..3000).map(|pin| pin.to_string()).collect();
        let mut boards: Vec<(String, Vec<String>)> =
            (0..MAX_LISTS - 1).map(|board| (format!("b{board}"), vec!["7".to_owned()])).collect();
        boards.push(("w".to_owned(), pins));
        let (_folder, snapshot) = stored(&boards, &[]);
        let (of, _) = sums(&snapshot, &["7"], &powers(0.0, 0.0));
        assert!((FEWEST_ITEMS..=FEWEST_ITEMS + 1).contains(&of.len()), "{}", of.len());
        let total: f32 = of.values().sum();
        assert!((total - 3299.0).abs() < 0.1, "{total}");
        // Pin 8 brings no further list, but reads of its own, so twice as many pins count.
        let (of_both, _) = sums(&snapshot, &["7", "8"], &powers(0.0, 0.0));
        assert!((2 * FEWEST_ITEMS..=2 * FEWEST_ITEMS + 2).contains(&of_both.len()), "{}", of_both.len());
        let total: f32 = of_both.values().sum();
        assert!((total - 6299.0).abs() < 0.5, "{total}");
        boards.reverse();
        for (_, pins) in &mut boards {
            pins.reverse();
        }
        let (_folder, reversed) = stored(&boards, &[]);
        assert_eq!(sums(&reversed, &["7"], &powers(0.0, 0.0)).0, of);
        assert_eq!(sums(&reversed, &["8", "7"], &powers(0.0, 0.0)).0, of_both);
    }

    #[test]
    fn a_history_of_other_kinds_or_of_nothing_has_no_sums() {
        let (_folder, snapshot) = stored(&boards(&[("w", "ab")]), &[]);
        let relations = relations(&snapshot);
        let powers = powers(1.0, 1.0);
        let board = snapshot.require(NodeRef { kind: "board", key: "w" }).expect("a board");
        let mut filter = GraphFilter::new(&snapshot, &relations, &powers);
        assert_eq!(filter.sums(&[board]), FilterSums::default());
        assert_eq!(filter.sums(&[]), FilterSums::default());
    }
}
