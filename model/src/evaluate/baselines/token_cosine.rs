//! Attribute cosine: items with similar tokens, popular ones first.

use hedgerow_storage::NodeIx;

use crate::cold_items::token_index::TokenIndex;
use crate::evaluate::candidates::Candidates;

/// The exponent of the logarithm in a token's weight: tf-idf.
const EXPONENT: f32 = 1.0;

/// The tokens of the candidates.
pub(super) struct TokenCosine(TokenIndex);

impl TokenCosine {
    pub(super) fn new(candidates: &Candidates<'_>) -> Self {
        let mut index = TokenIndex::default();
        for &item in &candidates.items {
            if let Some(row) = candidates.embeddings.row(item) {
                index.set(row, &candidates.snapshot.tokens(item));
            }
        }
        Self(index)
    }

    /// The sum over a history of each other item's cosine, times the logarithm of the item's degree.
    pub(super) fn scores(&self, candidates: &Candidates<'_>, history: &[NodeIx]) -> Vec<(NodeIx, f64)> {
        let Candidates { embeddings, snapshot, .. } = *candidates;
        let mut sums = vec![0.0; embeddings.rows()];
        let id = |row: u32| embeddings.ids[row as usize].get();
        let rows: Vec<u32> = history.iter().filter_map(|&item| embeddings.row(item)).collect();
        for &row in &rows {
            for (other, cosine) in self.0.nearest(row, EXPONENT, usize::MAX, |_| true, id) {
                sums[other as usize] += f64::from(cosine);
            }
        }
        for row in rows {
            sums[row as usize] = 0.0;
        }
        let reached = sums.into_iter().enumerate().filter(|(_, sum)| *sum > 0.0);
        let score = |(row, sum): (usize, f64)| {
            let item = embeddings.nodes[row];
            (item, sum * (2.0 + snapshot.degree(item) as f64).ln())
        };
        reached.map(score).collect()
    }
}
