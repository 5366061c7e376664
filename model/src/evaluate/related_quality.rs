//! Ranks judged: of the item that belongs to a query, among all others. Knows nothing of who ranked.

use crate::evaluate::mean::{Askers, Mean};

/// Quality of related items; means over pairs.
#[derive(Clone, Debug, PartialEq)]
pub struct RelatedQuality {
    /// Share of pairs whose item ranks in the best 10.
    pub hr10: Mean,
    /// In the best 100.
    pub hr100: Mean,
    /// In the best 500.
    pub hr500: Mean,
    /// Mean of 1 / rank.
    pub mrr: Mean,
    /// Mean of 1 / (rank / 100, rounded up), as in the paper.
    pub mrr100: Mean,
    /// Pairs evaluated.
    pub pairs: u64,
}

/// What a rank counts in the figure by which a model is judged.
pub(super) fn reciprocal(rank: f64) -> f64 {
    1.0 / rank
}

pub(super) fn quality(ranks: &[f64], askers: &Askers) -> RelatedQuality {
    let mean = |of: &dyn Fn(f64) -> f64| {
        let values: Vec<f64> = ranks.iter().copied().map(of).collect();
        Mean::of(&values, askers)
    };
    let within = |best: f64| mean(&move |rank| f64::from(u8::from(rank <= best)));
    RelatedQuality {
        hr10: within(10.0),
        hr100: within(100.0),
        hr500: within(500.0),
        mrr: mean(&reciprocal),
        mrr100: mean(&|rank| 1.0 / (rank / 100.0).ceil()),
        pairs: ranks.len() as u64,
    }
}
