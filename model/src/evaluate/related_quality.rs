//! Figures of related items, from the rank of each query's item. Must not know the ranker.

use std::fmt;

use crate::evaluate::mean::{Mean, QueryGroups};

/// Quality of related items; means over pairs.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RelatedQuality {
    /// The share of pairs whose item ranks among the best 10.
    pub hr10: Mean,
    /// The share of pairs whose item ranks among the best 100.
    pub hr100: Mean,
    /// The share of pairs whose item ranks among the best 500.
    pub hr500: Mean,
    /// The mean of 1 / rank.
    pub mrr: Mean,
    /// The mean of 1 / (rank / 100, rounded up), as in the paper.
    pub mrr100: Mean,
    /// Pairs evaluated.
    pub pairs: u64,
}

impl fmt::Display for RelatedQuality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hr10, hr100, hr500, mrr, mrr100, pairs } = self;
        write!(f, "HR@10 {hr10}, HR@100 {hr100}, HR@500 {hr500}, MRR {mrr}, MRR/100 {mrr100}, {pairs} pairs")
    }
}

/// The figure of a rank by which models are compared.
pub(super) fn reciprocal(rank: f64) -> f64 {
    1.0 / rank
}

pub(super) fn quality(ranks: &[f64], groups: &QueryGroups) -> RelatedQuality {
    let mean = |of: &dyn Fn(f64) -> f64| {
        let values: Vec<f64> = ranks.iter().copied().map(of).collect();
        Mean::of(&values, groups)
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
