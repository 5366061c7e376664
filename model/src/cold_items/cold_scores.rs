//! Scores for items without lists: two hops from similar items that have lists.

use std::collections::HashMap;

use hedgerow_storage::{NodeIx, Snapshot};
use hedgerow_walker::{DegreePowers, FilterPowers, FilterSums, ListRelations};

use crate::cold_items::token_index::TokenIndex;
use crate::config::graph_constants::ColdConstants;

/// Similar items that stand for an item without lists, at most.
const SIMILAR_ITEMS: usize = 100;

/// The powers and weights of [`ColdConstants`].
#[derive(Clone, Debug)]
pub(crate) struct ColdPowers {
    constants: ColdConstants,
    pub(crate) filter: FilterPowers,
    degree: DegreePowers,
}

/// The items with lists that are most similar to a row, with their weights: the squares of the cosines. `node` gives the node of a row
/// that may stand for others, and none for other rows.
pub(crate) fn similar_items(
    row: u32,
    tokens: &TokenIndex,
    constants: &ColdConstants,
    snapshot: &Snapshot,
    relations: &ListRelations,
    node: impl Fn(u32) -> Option<NodeIx>,
) -> Vec<(NodeIx, f32)> {
    let has_lists = |row| node(row).is_some_and(|node| relations.degree(snapshot, node) > 0);
    let id = |row| node(row).map_or(0, |node| snapshot.stable_id(node).get());
    let nearest = tokens.nearest(row, constants.rarity, SIMILAR_ITEMS, has_lists, id);
    nearest.into_iter().filter_map(|(row, cosine)| Some((node(row)?, cosine * cosine))).collect()
}

impl ColdPowers {
    pub(crate) fn new(constants: ColdConstants) -> Self {
        let ColdConstants { item, list, degree, .. } = constants;
        let filter = FilterPowers { history: DegreePowers::new(item), list: DegreePowers::new(list) };
        Self { constants, filter, degree: DegreePowers::new(degree) }
    }

    pub(crate) fn constants(&self) -> &ColdConstants {
        &self.constants
    }

    /// The score of each item with a score above 0, from the sums of the similar items.
    pub(crate) fn scores(
        &self,
        sums: &FilterSums,
        snapshot: &Snapshot,
        relations: &ListRelations,
    ) -> Vec<(NodeIx, f32)> {
        let own: HashMap<NodeIx, f32> = sums.history.iter().map(|start| (start.item, start.own)).collect();
        let score = |&(item, sum): &(NodeIx, f32)| {
            let left_out = own.get(&item).map_or(0.0, |own| (1.0 - self.constants.own) * own);
            let score = self.degree.of(relations.degree(snapshot, item)) * (sum - left_out);
            (score > 0.0).then_some((item, score))
        };
        sums.items.iter().filter_map(score).collect()
    }
}
