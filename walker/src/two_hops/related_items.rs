//! Related items: two hops from one item, and two more from the items that these reach first.
//! It keeps no state about the graph, as the graph filter. Many questions to one snapshot may keep second hops.

use std::collections::HashMap;

use hedgerow_storage::{NodeIx, Snapshot};

use crate::two_hops::degree_powers::DegreePowers;
use crate::two_hops::list_relations::ListRelations;
use crate::two_hops::sums::Sums;

/// Items that second hops start from. With 50 the reciprocal rank on gowalla is 1 % lower, with 200 not higher.
pub const SECOND_HOPS: usize = 100;

/// The powers by which degrees damp related items, and the weight of second hops.
#[derive(Clone, Debug)]
pub struct RelatedPowers {
    /// Of the lists: b.
    pub list: DegreePowers,
    /// Of the items that are scored: c.
    pub item: DegreePowers,
    /// Of the items that second hops go through.
    pub hop: DegreePowers,
    /// The weight of second hops: w.
    pub second_hops: f32,
}

/// Second hops that earlier questions found, for later ones to the same snapshot, relations and powers.
///
/// Size: up to 800 bytes an item.
#[derive(Debug)]
pub struct SecondHops {
    /// Most items; 0 keeps none.
    most: usize,
    /// The row of an item in N.
    by_item: HashMap<NodeIx, Vec<(NodeIx, f32)>>,
}

impl SecondHops {
    /// No hops yet, and later those of `most` items.
    pub fn new(most: usize) -> Self {
        Self { most, by_item: HashMap::new() }
    }
}

/// Scores of the items that are related to one.
///
/// With degrees d and strengths s of edges, as in [`GraphFilter`](crate::GraphFilter), the score of item j for item q is
///
/// ```text
/// C_ij  = sum over the lists v of both i and j of  s_iv s_vj d_v^-b
/// N_ij  = the 100 largest C_ij d_j^-hop of a row, divided by their sum
/// score = d_j^-c C_qj / (sum over l of C_ql)  +  w * sum over i of N_qi N_ij
/// ```
///
/// An item is not related to itself: `C_ii` is 0. Long lists are sampled as in [`GraphFilter`](crate::GraphFilter).
///
/// # Shapes
/// 12 bytes for each node of the graph. The system provides memory only for the parts that a score touches.
/// # Determinism
/// Canonical: stores of equal content give equal bits.
#[derive(Debug)]
pub struct RelatedItems<'s> {
    snapshot: &'s Snapshot,
    relations: &'s ListRelations,
    powers: &'s RelatedPowers,
    lists: Sums,
    row: Sums,
    scores: Sums,
    hops: SecondHops,
}

impl<'s> RelatedItems<'s> {
    /// Cost: address space for the sums.
    pub fn new(snapshot: &'s Snapshot, relations: &'s ListRelations, powers: &'s RelatedPowers) -> Self {
        let sums = || Sums::new(snapshot);
        let hops = SecondHops::new(0);
        Self { snapshot, relations, powers, lists: sums(), row: sums(), scores: sums(), hops }
    }

    /// Keeps second hops, and takes those that were kept before. The scores are the same.
    #[must_use]
    pub fn with_hops(self, hops: SecondHops) -> Self {
        Self { hops, ..self }
    }

    /// The second hops that were kept.
    pub fn into_hops(self) -> SecondHops {
        self.hops
    }

    /// The items with a score above 0, in no promised order. None for a node of another kind.
    ///
    /// # Panics
    /// As [`Snapshot`] does, for a node that the store never numbered.
    /// # Cost
    /// A hundred and one times two hops, without those that are kept.
    pub fn scores(&mut self, item: NodeIx) -> Vec<(NodeIx, f32)> {
        if self.snapshot.kind(item) != self.relations.kind() {
            return Vec::new();
        }
        let row = self.row(item);
        let total: f32 = row.iter().map(|(_, sum)| sum).sum();
        for &(other, sum) in &row {
            let damping = self.powers.item.of(self.relations.degree(self.snapshot, other));
            self.scores.add(other.get(), damping * sum / total);
        }
        if self.powers.second_hops > 0.0 {
            for (hop, share) in self.strongest(row) {
                let mut computed = Vec::new();
                if !self.hops.by_item.contains_key(&hop) {
                    let next = self.row(hop);
                    computed = self.strongest(next);
                    if self.hops.by_item.len() < self.hops.most {
                        self.hops.by_item.insert(hop, std::mem::take(&mut computed));
                    }
                }
                let share = self.powers.second_hops * share;
                for &(other, next_share) in self.hops.by_item.get(&hop).unwrap_or(&computed) {
                    self.scores.add(other.get(), share * next_share);
                }
            }
        }
        let mut scores = self.scores.take();
        scores.retain(|&(other, score)| other != item && score > 0.0);
        scores
    }

    /// `C_ij` for all items j that share a list with an item i.
    fn row(&mut self, item: NodeIx) -> Vec<(NodeIx, f32)> {
        self.lists.add_lists(item, 1.0, self.snapshot, self.relations, &self.powers.list);
        self.row.add_items(&self.lists.take(), 1, self.snapshot, self.relations);
        let mut row = self.row.take();
        row.retain(|&(other, _)| other != item);
        row
    }

    /// `N_ij`, largest first, ties by stable id.
    fn strongest(&self, mut row: Vec<(NodeIx, f32)>) -> Vec<(NodeIx, f32)> {
        for (other, sum) in &mut row {
            *sum *= self.powers.hop.of(self.relations.degree(self.snapshot, *other));
        }
        let id = |node: NodeIx| self.snapshot.stable_id(node);
        let order =
            |a: &(NodeIx, f32), b: &(NodeIx, f32)| b.1.total_cmp(&a.1).then_with(|| id(a.0).cmp(&id(b.0)));
        if row.len() > SECOND_HOPS {
            row.select_nth_unstable_by(SECOND_HOPS - 1, order);
            row.truncate(SECOND_HOPS);
        }
        row.sort_unstable_by(order);
        let total: f32 = row.iter().map(|(_, sum)| sum).sum();
        for (_, sum) in &mut row {
            *sum /= total;
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::two_hops::graph_filter::tests::{boards, pin, relations, stored};

    fn scores(item: &str, powers: &RelatedPowers) -> BTreeMap<String, f32> {
        let (_folder, snapshot) =
            stored(&boards(&[("w", "abc"), ("x", "ab"), ("y", "cd"), ("z", "de")]), &[]);
        let relations = relations(&snapshot);
        let mut related = RelatedItems::new(&snapshot, &relations, powers);
        let item = snapshot.require(pin(item)).expect("a pin");
        let first = related.scores(item);
        assert_eq!(related.scores(item), first, "a score leaves nothing behind");
        for most in [1, 2, 100] {
            let mut keeping =
                RelatedItems::new(&snapshot, &relations, powers).with_hops(SecondHops::new(most));
            for _ in 0..2 {
                assert_eq!(keeping.scores(item), first, "kept hops change no score");
            }
            let hops = keeping.into_hops();
            assert!(hops.by_item.len() <= most && (powers.second_hops > 0.0) != hops.by_item.is_empty());
        }
        first.into_iter().map(|(node, score)| (snapshot.name(node).key, score)).collect()
    }

    fn powers(list: f32, item: f32, second_hops: f32) -> RelatedPowers {
        let hop = DegreePowers::new(0.0);
        RelatedPowers { list: DegreePowers::new(list), item: DegreePowers::new(item), hop, second_hops }
    }

    /// From a, without damping: b shares two boards and c one, so 2/3 and 1/3. By second hops: N of ab is 2/3, of ac 1/3,
    /// of bc, cb and cd 1/3. So b gets 1/3 * 1/3 more, c gets 2/3 * 1/3, and d gets 1/3 * 1/3.
    #[test]
    fn scores_are_the_hand_worked_numbers() {
        let near = |found: BTreeMap<String, f32>, expected: &[(&str, f32)]| {
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (key, score) in expected {
                assert!((found[*key] - score).abs() < 1e-6, "{key}: {found:?}");
            }
        };
        near(scores("a", &powers(0.0, 0.0, 0.0)), &[("b", 2.0 / 3.0), ("c", 1.0 / 3.0)]);
        let ninth = 1.0 / 9.0;
        near(scores("a", &powers(0.0, 0.0, 1.0)), &[("b", 7.0 * ninth), ("c", 5.0 * ninth), ("d", ninth)]);
        // Board w of three counts 1/3, x of two counts 1/2; b has two edges.
        near(scores("a", &powers(1.0, 1.0, 0.0)), &[("b", 5.0 / 14.0), ("c", 1.0 / 7.0)]);
    }

    #[test]
    fn a_node_of_another_kind_has_no_related_items() {
        let (_folder, snapshot) = stored(&boards(&[("w", "abc")]), &[]);
        let relations = relations(&snapshot);
        let powers = powers(0.5, 0.1, 1.0);
        let board = snapshot.require(hedgerow_storage::NodeRef { kind: "board", key: "w" }).expect("a board");
        assert!(RelatedItems::new(&snapshot, &relations, &powers).scores(board).is_empty());
    }
}
