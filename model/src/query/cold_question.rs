//! Items without lists as a question to the graph: the scores that similar items with lists give.
//! Must not know the other scores from the graph.

use hedgerow_storage::Snapshot;
use hedgerow_walker::{GraphFilter, ListRelations};

use crate::cold_items::cold_scores::similar_items;
use crate::query::embeddings::Embeddings;
use crate::query::graph_rows::{ColdRows, GraphRows};

/// Questions about items without lists, one after the other. It has memory for sums, so each thread needs one.
pub(crate) struct ColdQuestion<'a> {
    rows: &'a ColdRows,
    filter: GraphFilter<'a>,
    relations: &'a ListRelations,
    embeddings: &'a Embeddings,
    snapshot: &'a Snapshot,
}

impl<'a> ColdQuestion<'a> {
    /// `None` if the kind has no constants for such items.
    pub(crate) fn new(
        rows: &'a GraphRows,
        relations: &'a ListRelations,
        embeddings: &'a Embeddings,
        snapshot: &'a Snapshot,
    ) -> Option<Self> {
        let rows = rows.cold()?;
        let filter = GraphFilter::new(snapshot, relations, &rows.powers.filter);
        Some(Self { rows, filter, relations, embeddings, snapshot })
    }

    /// The score of each row that is reached from some rows together. `rows` are in the order of stable ids.
    ///
    /// Cost: the rows with a token in common, and two hops from a hundred items for each row.
    pub(crate) fn scores(&mut self, rows: &[u32]) -> Vec<(u32, f32)> {
        let Self { rows: cold, filter, relations, embeddings, snapshot } = self;
        let (powers, tokens) = (&cold.powers, cold.tokens(embeddings));
        let node = |row: u32| embeddings.is_alive(row).then(|| embeddings.nodes[row as usize]);
        let similar_to =
            |&row: &u32| similar_items(row, tokens, powers.constants(), snapshot, relations, node);
        let similar: Vec<_> = rows.iter().flat_map(similar_to).collect();
        let scores = powers.scores(&filter.weighted_sums(&similar), snapshot, relations);
        scores.into_iter().filter_map(|(node, score)| Some((embeddings.row(node)?, score))).collect()
    }
}
