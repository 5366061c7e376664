//! Comparisons of a model with baselines: their options, their results and their sample of queries.
//! Must not know which queries are ranked; `recommend_comparison` and `related_comparison` do.

use std::fmt;

use hedgerow_storage::{CancelToken, NodeIx, Snapshot};

use crate::config::error::Error;
use crate::evaluate::baselines::Baseline;
use crate::evaluate::mean::Mean;
use crate::query::interests::Interests;
use crate::query::score_part::ScorePart;

/// Queries between two reports of progress.
const QUERIES_AT_ONCE: usize = 1024;

/// The options of an evaluation.
///
/// ```
/// use hedgerow_model::{EvaluateOptions, Interests};
/// let default = EvaluateOptions::default();
/// assert_eq!((default.k, default.interests), (20, Interests::AtMost(1)));
/// assert_eq!((default.compared, EvaluateOptions::COMPARED), (5_000, 5_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EvaluateOptions {
    /// The number of items that a user is shown, 1 or more. Related items are always ranked in full.
    pub k: usize,
    /// The number of interests that a user's history is split into.
    pub interests: Interests,
    /// Most users or pairs on which the model is compared with baselines; 0 compares none. If there are more, those with the
    /// smallest stable id of the query node are taken. A stable id is a hash of the name, so the sample is random and the same
    /// in every run.
    pub compared: usize,
}

impl EvaluateOptions {
    /// The default of [`EvaluateOptions::compared`].
    pub const COMPARED: usize = 5_000;
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        Self { k: 20, interests: Interests::default(), compared: Self::COMPARED }
    }
}

/// The quality of a model beside the quality of baselines.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Comparison<Q> {
    /// The model over all queries.
    pub model: Q,
    /// The model over the compared queries, which may be none.
    pub compared: Q,
    /// The baselines over the compared queries. Empty if no query is compared.
    pub baselines: Vec<BaselineQuality<Q>>,
    /// The parts of the model's score over the compared queries. Empty if no query is compared, or embeddings alone answer.
    pub parts: Vec<PartQuality<Q>>,
}

/// The quality of a part of the score, and the lead of the whole.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PartQuality<Q> {
    /// The part.
    pub part: ScorePart,
    /// Its quality.
    pub quality: Q,
    /// As [`BaselineQuality::lead`].
    pub lead: Mean,
}

/// The quality of a baseline, and the lead of the model.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BaselineQuality<Q> {
    /// The baseline.
    pub baseline: Baseline,
    /// Its quality.
    pub quality: Q,
    /// The model's figure less the baseline's, query by query: ndcg for recommendations, mrr for related items.
    pub lead: Mean,
}

/// The result of comparing a model with the best baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Verdict {
    /// The interval of the model's lead is above 0.
    Better,
    /// The interval of the model's lead is below 0.
    Worse,
    /// The interval of the model's lead contains 0, or there are too few queries for an interval.
    Unclear,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Unclear => "unclear",
        })
    }
}

impl<Q> Comparison<Q> {
    /// The best baseline: the one with the smallest lead of the model.
    pub fn best(&self) -> Option<&BaselineQuality<Q>> {
        self.baselines.iter().reduce(|a, b| if b.lead.mean < a.lead.mean { b } else { a })
    }

    /// The verdict against the best baseline; `None` without baselines. Choosing the best baseline does not favor the model: chance
    /// helps the baseline that comes out best.
    pub fn verdict(&self) -> Option<Verdict> {
        let lead = self.best()?.lead;
        Some(match lead.is_off_zero() {
            true if lead.mean > 0.0 => Verdict::Better,
            true => Verdict::Worse,
            false => Verdict::Unclear,
        })
    }
}

/// The places of the compared queries, ascending. `query_nodes` is the node of each query.
pub(super) fn sample(query_nodes: &[NodeIx], most: usize, snapshot: &Snapshot) -> Vec<usize> {
    let mut places: Vec<usize> = (0..query_nodes.len()).collect();
    if most < places.len() {
        places.sort_by_key(|&at| snapshot.stable_id(query_nodes[at]));
        places.truncate(most);
        places.sort_unstable();
    }
    places
}

/// Answers queries in portions, and reports progress after each.
pub(super) fn answer_in_portions<Q, A>(
    ranker: &'static str,
    queries: &[Q],
    cancel: &CancelToken,
    answer: impl Fn(&[Q]) -> Result<Vec<A>, Error>,
) -> Result<Vec<A>, Error> {
    let stage = cancel.stage(ranker, queries.len() as u64);
    let mut answers = Vec::with_capacity(queries.len());
    for portion in queries.chunks(QUERIES_AT_ONCE) {
        cancel.check()?;
        answers.extend(answer(portion)?);
        stage.advance(portion.len() as u64)?;
    }
    stage.end();
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(leads: &[(f64, Option<f64>)]) -> Comparison<()> {
        let quality = |(baseline, &(mean, margin)): (Baseline, &(f64, Option<f64>))| BaselineQuality {
            baseline,
            quality: (),
            lead: Mean { mean, margin },
        };
        Comparison {
            model: (),
            compared: (),
            baselines: Baseline::ALL.into_iter().zip(leads).map(quality).collect(),
            parts: Vec::new(),
        }
    }

    #[test]
    fn a_verdict_compares_with_the_best_baseline_and_needs_an_interval_off_zero() {
        let better = comparison(&[(0.5, Some(0.01)), (0.02, Some(0.01)), (0.3, Some(0.01))]);
        assert_eq!(better.best().map(|best| best.baseline), Some(Baseline::Cooccurrence));
        assert_eq!(better.verdict(), Some(Verdict::Better));
        let last = (-0.02, Some(0.01));
        assert_eq!(comparison(&[(0.5, Some(0.01)), (0.3, Some(0.01)), last]).verdict(), Some(Verdict::Worse));
        for margin in [Some(0.01), None] {
            assert_eq!(comparison(&[(0.5, Some(0.01)), (0.01, margin)]).verdict(), Some(Verdict::Unclear));
        }
        assert_eq!(comparison(&[]).verdict(), None);
    }
}
