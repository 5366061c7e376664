//! The quality of recommendations to users, beside baselines that rank the same items.

use hedgerow_storage::{CancelToken, NodeIx, NodeName, Snapshot};
use rayon::prelude::*;

use crate::config::error::Error;
use crate::evaluate::baselines::{Baseline, Ranking, Task};
use crate::evaluate::candidates::Candidates;
use crate::evaluate::comparison::{
    BaselineQuality, Comparison, EvaluateOptions, PartQuality, answer_in_portions, sample,
};
use crate::evaluate::mean::{Mean, QueryGroups};
use crate::evaluate::recommend_quality::{AnswerFigures, RecommendQuality, TestUser, measure};
use crate::query::embeddings::Embeddings;
use crate::query::query::{Query, Recipient, require_answers};
use crate::query::recommend::batch::Recommender;
use crate::query::score_part::ScorePart;

/// Recommends to each user and compares the answer with the user's test items.
pub(crate) fn compare_recommendations(
    embeddings: Embeddings,
    snapshot: Snapshot,
    users: &[(NodeName, Vec<NodeName>)],
    options: &EvaluateOptions,
    cancel: &CancelToken,
) -> Result<Comparison<RecommendQuality>, Error> {
    require_answers(options.k)?;
    // The question: items of the kind of the first test item.
    let kind = embeddings.kind_of_items(&snapshot, users.iter().flat_map(|(_, items)| items))?;
    let name = snapshot.kind_name(kind).to_owned();
    let query = Query { k: options.k, kind: Some(name), interests: options.interests, ..Query::default() };
    let recommender = Recommender::new(embeddings, snapshot, query, 0)?;
    let (embeddings, snapshot) = recommender.sources();
    let candidates = Candidates::new(embeddings, snapshot, kind);

    // The users in numbers.
    let test_user = |(user, items): &(NodeName, Vec<NodeName>)| {
        let user = snapshot.require(user.as_ref())?;
        let known = items.iter().filter_map(|item| snapshot.lookup(item.as_ref())).collect();
        Ok(TestUser { user, history: candidates.history(user), items: known, item_count: items.len() })
    };
    let test_users: Vec<TestUser> = users.par_iter().map(test_user).collect::<Result<_, Error>>()?;
    let user_nodes: Vec<NodeIx> = test_users.iter().map(|user| user.user).collect();

    // The model's answers to all users. Users are the progress of an evaluation, not the rows of a scan.
    let flag = cancel.reporting_to(&CancelToken::new());
    let answers = answer_in_portions("model", users, cancel, |users| {
        let recipients: Vec<Recipient> =
            users.iter().map(|(user, _)| Recipient::Node(user.clone())).collect();
        recommender.nodes(&recipients, None, &flag)
    })?;
    let measured = |places: &[usize], answers: &[Vec<NodeIx>]| -> (AnswerFigures, RecommendQuality) {
        let users: Vec<&TestUser> = places.iter().map(|&at| &test_users[at]).collect();
        let figures = measure(answers.iter().zip(users.iter().copied()), &candidates, options.k);
        let quality = figures.quality(&candidates, &QueryGroups::new(users.iter().map(|user| user.user)));
        (figures, quality)
    };
    let (_, model) = measured(&(0..test_users.len()).collect::<Vec<_>>(), &answers);

    // The model's answers to the compared users.
    let sample = sample(&user_nodes, options.compared, snapshot);
    let sampled: Vec<Vec<NodeIx>> = sample.iter().map(|&at| answers[at].clone()).collect();
    let (of_model, compared) = measured(&sample, &sampled);

    let lead = |other: &AnswerFigures| {
        let leads = of_model.ndcg.iter().zip(&other.ndcg).map(|(model, other)| model - other);
        let groups = QueryGroups::new(sample.iter().map(|&at| user_nodes[at]));
        Mean::of(&leads.collect::<Vec<f64>>(), &groups)
    };

    // The baselines' answers to the same users.
    let histories: Vec<&[NodeIx]> = sample.iter().map(|&at| test_users[at].history.as_slice()).collect();
    let mut baselines = Vec::new();
    for baseline in Baseline::able_to_rank(&candidates).filter(|_| !sample.is_empty()) {
        let ranking = Ranking::new(&candidates, baseline, Task::Recommend, cancel)?;
        let answers = answer_in_portions(baseline.name(), &histories, cancel, |histories| {
            ranking.answers(histories, options.k, cancel)
        })?;
        let (of_baseline, quality) = measured(&sample, &answers);
        baselines.push(BaselineQuality { baseline, quality, lead: lead(&of_baseline) });
    }

    // The answers of each part of the score.
    let has_parts = embeddings.graph_rows(kind).is_some() && !sample.is_empty();
    let recipients: Vec<Recipient> = sample.iter().map(|&at| Recipient::Node(users[at].0.clone())).collect();
    let mut parts = Vec::new();
    let all_parts = [ScorePart::Filter, ScorePart::Graph, ScorePart::Embeddings];
    for part in all_parts.into_iter().filter(|_| has_parts) {
        let answers = answer_in_portions(part.name(), &recipients, cancel, |recipients| {
            recommender.nodes(recipients, Some(part), &flag)
        })?;
        let (of_part, quality) = measured(&sample, &answers);
        parts.push(PartQuality { part, quality, lead: lead(&of_part) });
    }
    Ok(Comparison { model, compared, baselines, parts })
}
