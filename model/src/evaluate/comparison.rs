//! How good the embeddings are, and whether they are better than what needs no learning. Owns what is asked of whom and how rankers are
//! compared; how an answer is judged is `recommended`'s and `related`'s, who answers beside the model `baselines`'.

use crate::evaluate::related_quality;
use hedgerow_storage::{CancelToken, NodeIx, NodeName, Snapshot};
use rayon::prelude::*;

use crate::config::error::Error;
use crate::engine::handle::Engine;
use crate::query::embeddings::Embeddings;
use crate::query::interests::Interests;
use crate::query::query::{Query, Recipient};
use crate::query::recommend::batch::Recommender;
use crate::query::scan::RankCount;

use crate::evaluate::baselines::Ranking;
use crate::evaluate::candidates::Candidates;
use crate::evaluate::mean::Askers;
use crate::evaluate::recommend_quality::{Judged, Wanted, judge};

use crate::evaluate::baselines::Baseline;
use crate::evaluate::mean::Mean;
use crate::evaluate::recommend_quality::RecommendQuality;
use crate::evaluate::related_quality::RelatedQuality;

/// Queries between two words on how far it is.
const QUERIES_AT_ONCE: usize = 1024;
/// Queries at most on which the model is compared with baselines.
pub const COMPARED: usize = 5_000;

/// What an evaluation is told.
///
/// ```
/// use hedgerow_model::{COMPARED, EvaluateOptions, Interests};
/// let default = EvaluateOptions::default();
/// assert_eq!((default.k, default.interests, default.compared), (20, Interests::AtMost(1), COMPARED));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvaluateOptions {
    /// How many items are shown to a user; related items are always all ranked.
    pub k: usize,
    /// By how many interests a user asks.
    pub interests: Interests,
    /// Users or pairs at most on which the model is compared with baselines; none with 0. Where there are more, those whose asker has
    /// the smallest stable id, a hash of its name: a random sample that is the same whoever draws it.
    pub compared: usize,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        Self { k: 20, interests: Interests::default(), compared: COMPARED }
    }
}

/// The quality of a model, and of what needs no training beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison<Q> {
    /// The model, over all queries.
    pub model: Q,
    /// The model over the queries of the comparison, of which there may be none.
    pub compared: Q,
    /// The others over the same queries; none where nothing was to be compared.
    pub baselines: Vec<BaselineQuality<Q>>,
}

/// A baseline, and the model beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineQuality<Q> {
    /// Who ranked.
    pub baseline: Baseline,
    /// How well.
    pub quality: Q,
    /// By how much the model is better, query by query: in ndcg for recommendations, in mrr for related items.
    pub lead: Mean,
}

/// Whether a model is better than the best of the baselines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is, and the interval of its lead is above 0.
    Better,
    /// It is not, and the interval is below 0.
    Worse,
    /// The interval of its lead holds 0, or there are too few queries for one.
    Unclear,
}

impl<Q> Comparison<Q> {
    /// The best of the baselines: the one that the model leads by least.
    pub fn best(&self) -> Option<&BaselineQuality<Q>> {
        self.baselines.iter().reduce(|a, b| if b.lead.mean < a.lead.mean { b } else { a })
    }

    /// Whether the model is better than the best of them; none where there are none. That it is the best one which is asked is
    /// no advantage to the model: chance helps whoever comes out best.
    pub fn verdict(&self) -> Option<Verdict> {
        let lead = self.best()?.lead;
        Some(match lead.is_off_zero() {
            true if lead.mean > 0.0 => Verdict::Better,
            true => Verdict::Worse,
            false => Verdict::Unclear,
        })
    }
}

impl Engine {
    /// Asks for each user as [`Engine::recommend`] does and compares with the items given: all nodes of their kind are ranked but
    /// those that the store links to the user. Users are of any kind; items that the store does not know count as not found.
    /// Baselines rank the same items, for a sample of the users.
    ///
    /// # Errors
    /// An unknown user, or users without any item of an embedded kind; a cancellation.
    /// # Determinism
    /// The same bits for any number of threads.
    /// # Cost
    /// Copies the embeddings, so that no refresh waits for it. Users x rows x D operations; for each user that is compared the lists
    /// of all who share an item with it.
    pub fn evaluate_recommend(
        &self,
        users: &[(NodeName, Vec<NodeName>)],
        options: &EvaluateOptions,
        cancel: &CancelToken,
    ) -> Result<Comparison<RecommendQuality>, Error> {
        let (embeddings, snapshot) = self.copy()?;
        let kind = embeddings.one_kind(&snapshot, users.iter().flat_map(|(_, items)| items))?;
        let name = snapshot.kind_name(kind).to_owned();
        let query =
            Query { k: options.k, kind: Some(name), interests: options.interests, ..Query::default() };
        let recommender = Recommender::new(embeddings, snapshot, query, 0)?;
        let (embeddings, snapshot) = recommender.sources();
        let field = Candidates::new(embeddings, snapshot, kind);
        let wanted = |(user, items): &(NodeName, Vec<NodeName>)| {
            let user = snapshot.require(user.as_ref())?;
            let known = items.iter().filter_map(|item| snapshot.lookup(item.as_ref())).collect();
            Ok(Wanted { user, history: field.history(user), items: known, count: items.len() })
        };
        let wanted: Vec<Wanted> = users.par_iter().map(wanted).collect::<Result<_, Error>>()?;
        let askers: Vec<NodeIx> = wanted.iter().map(|wanted| wanted.user).collect();
        let answers = each("model", users, cancel, |users| {
            let audiences: Vec<Recipient> =
                users.iter().map(|(user, _)| Recipient::Node(user.clone())).collect();
            recommender.nodes(&audiences)
        })?;

        let judged = |places: &[usize], answers: &[Vec<NodeIx>]| -> (Judged, RecommendQuality) {
            let wanted: Vec<&Wanted> = places.iter().map(|&at| &wanted[at]).collect();
            let judged = judge(answers.iter().zip(wanted.iter().copied()), &field, options.k);
            let quality = judged.quality(&field, &Askers::new(wanted.iter().map(|wanted| wanted.user)));
            (judged, quality)
        };
        let (_, model) = judged(&(0..wanted.len()).collect::<Vec<_>>(), &answers);
        let sample = sample(&askers, options.compared, snapshot);
        let sampled: Vec<Vec<NodeIx>> = sample.iter().map(|&at| answers[at].clone()).collect();
        let (of_model, compared) = judged(&sample, &sampled);
        let histories: Vec<&[NodeIx]> = sample.iter().map(|&at| wanted[at].history.as_slice()).collect();
        let mut baselines = Vec::new();
        for baseline in Baseline::ALL.into_iter().filter(|_| !sample.is_empty()) {
            let starts = histories.iter().flat_map(|history| history.iter().copied());
            let ranking = Ranking::of_histories(&field, baseline, starts, cancel)?;
            let answers = each(baseline.name(), &histories, cancel, |histories| {
                ranking.answers(histories, options.k, cancel)
            })?;
            let (of_baseline, quality) = judged(&sample, &answers);
            let leads = of_model.ndcg.iter().zip(&of_baseline.ndcg).map(|(model, baseline)| model - baseline);
            let askers = Askers::new(sample.iter().map(|&at| askers[at]));
            let lead = Mean::of(&leads.collect::<Vec<f64>>(), &askers);
            baselines.push(BaselineQuality { baseline, quality, lead });
        }
        Ok(Comparison { model, compared, baselines })
    }

    /// Ranks all nodes of the pairs' kind for the first of each pair and finds the second: its rank is 1 + those that score higher
    /// + half of those that score the same, the first itself left out. Baselines do so for a sample of the pairs.
    ///
    /// # Errors
    /// An unknown node, or one without an embedding; a cancellation.
    /// # Determinism
    /// The same bits for any number of threads; scores are those of [`Engine::similar`].
    /// # Cost
    /// Copies the embeddings, so that no refresh waits for it. Pairs x rows x D operations.
    pub fn evaluate_related(
        &self,
        pairs: &[(NodeName, NodeName)],
        options: &EvaluateOptions,
        cancel: &CancelToken,
    ) -> Result<Comparison<RelatedQuality>, Error> {
        let (embeddings, snapshot) = self.copy()?;
        let kind = embeddings.one_kind(&snapshot, pairs.iter().map(|(_, item)| item))?;
        let field = Candidates::new(&embeddings, &snapshot, kind);
        let rows = pairs.iter().map(|(query, item)| {
            let row = |name: &NodeName| embeddings.require(name.as_ref(), &snapshot);
            Ok((row(query)?, row(item)?))
        });
        let rows = rows.collect::<Result<Vec<(u32, u32)>, Error>>()?;
        let node = |row: u32| embeddings.nodes[row as usize];
        let askers: Vec<NodeIx> = rows.iter().map(|&(query, _)| node(query)).collect();
        let ranks = |above: Vec<RankCount>| above.into_iter().map(RankCount::rank).collect::<Vec<f64>>();
        let of_model = each("model", &rows, cancel, |rows| Ok(embeddings.above(rows, kind)))?;
        let of_model = ranks(of_model);

        let model = related_quality::quality(&of_model, &Askers::new(askers.iter().copied()));
        let sample = sample(&askers, options.compared, &snapshot);
        let of_model: Vec<f64> = sample.iter().map(|&at| of_model[at]).collect();
        let askers = Askers::new(sample.iter().map(|&at| askers[at]));
        let compared = related_quality::quality(&of_model, &askers);
        let pairs: Vec<(NodeIx, NodeIx)> =
            sample.iter().map(|&at| (node(rows[at].0), node(rows[at].1))).collect();
        let mut baselines = Vec::new();
        for baseline in Baseline::ALL.into_iter().filter(|_| !sample.is_empty()) {
            let ranking = Ranking::new(&field, baseline);
            let of_baseline = each(baseline.name(), &pairs, cancel, |pairs| ranking.above(pairs, cancel))?;
            let of_baseline = ranks(of_baseline);
            let leads = of_model.iter().zip(&of_baseline);
            let leads: Vec<f64> = leads
                .map(|(&model, &baseline)| {
                    related_quality::reciprocal(model) - related_quality::reciprocal(baseline)
                })
                .collect();
            let quality = related_quality::quality(&of_baseline, &askers);
            baselines.push(BaselineQuality { baseline, quality, lead: Mean::of(&leads, &askers) });
        }
        Ok(Comparison { model, compared, baselines })
    }

    /// What an evaluation works on: whoever waited behind one that held the embeddings would keep all other readers waiting.
    fn copy(&self) -> Result<(Embeddings, Snapshot), Error> {
        self.with_embeddings(|embeddings, snapshot| Ok((embeddings.clone(), snapshot.clone())))
    }
}

/// The places of the queries that are compared, ascending.
fn sample(askers: &[NodeIx], most: usize, snapshot: &Snapshot) -> Vec<usize> {
    let mut places: Vec<usize> = (0..askers.len()).collect();
    if most < places.len() {
        places.sort_by_key(|&at| snapshot.stable_id(askers[at]));
        places.truncate(most);
        places.sort_unstable();
    }
    places
}

/// Answers some queries at a time, and says so.
fn each<Q, A>(
    ranker: &'static str,
    queries: &[Q],
    cancel: &CancelToken,
    answer: impl Fn(&[Q]) -> Result<Vec<A>, Error>,
) -> Result<Vec<A>, Error> {
    let stage = cancel.stage(ranker, queries.len() as u64);
    let mut answers = Vec::with_capacity(queries.len());
    for queries in queries.chunks(QUERIES_AT_ONCE) {
        cancel.check()?;
        answers.extend(answer(queries)?);
        stage.advance(queries.len() as u64)?;
    }
    stage.end();
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(leads: &[(f64, Option<f64>)]) -> Comparison<()> {
        let beside = |(baseline, &(mean, margin)): (Baseline, &(f64, Option<f64>))| BaselineQuality {
            baseline,
            quality: (),
            lead: Mean { mean, margin },
        };
        Comparison {
            model: (),
            compared: (),
            baselines: Baseline::ALL.into_iter().zip(leads).map(beside).collect(),
        }
    }

    #[test]
    fn a_model_is_judged_beside_the_best_of_the_others_and_beyond_chance() {
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
