//! The quality of related items, beside baselines that rank the same items.

use hedgerow_storage::{CancelToken, KindIx, NodeIx, NodeName, Snapshot};
use rayon::prelude::*;

use crate::config::error::Error;
use crate::evaluate::baselines::{Baseline, Ranking, Task};
use crate::evaluate::candidates::Candidates;
use crate::evaluate::comparison::{
    BaselineQuality, Comparison, EvaluateOptions, PartQuality, answer_in_portions, sample,
};
use crate::evaluate::mean::{Mean, QueryGroups};
use crate::evaluate::related_quality::{RelatedQuality, quality, reciprocal};
use crate::query::embeddings::Embeddings;
use crate::query::scan::RankCount;
use crate::query::score_part::ScorePart;
use crate::query::similar::related_question::RelatedQuestions;

/// Queries of a task, which share the memory of their sums.
const QUERIES_PER_TASK: usize = 8;

/// The ranks that [`Engine::similar`](crate::Engine::similar) gives to the second node of each pair.
fn related_counts(
    questions: &RelatedQuestions<'_>,
    pairs: &[(u32, u32)],
    kind: KindIx,
    embeddings: &Embeddings,
) -> Vec<RankCount> {
    let tasks = pairs.par_chunks(QUERIES_PER_TASK).map(|pairs| {
        let mut sums = questions.sums();
        let count = |&(query, item): &(u32, u32)| match questions.of(query, &mut sums) {
            Some(found) => found.rank_count(item, kind, embeddings),
            None => embeddings.rank_counts(&[(query, item)], kind)[0],
        };
        pairs.iter().map(count).collect::<Vec<RankCount>>()
    });
    tasks.collect::<Vec<_>>().concat()
}

/// Ranks all items for the first node of each pair, and measures the rank of the second.
pub(crate) fn compare_related(
    embeddings: &Embeddings,
    snapshot: &Snapshot,
    pairs: &[(NodeName, NodeName)],
    options: &EvaluateOptions,
    cancel: &CancelToken,
) -> Result<Comparison<RelatedQuality>, Error> {
    // The pairs in rows.
    let kind = embeddings.kind_of_items(snapshot, pairs.iter().map(|(_, item)| item))?;
    let candidates = Candidates::new(embeddings, snapshot, kind);
    let rows = pairs.iter().map(|(query, item)| {
        let row = |name: &NodeName| embeddings.require_row(name.as_ref(), snapshot);
        Ok((row(query)?, row(item)?))
    });
    let rows = rows.collect::<Result<Vec<(u32, u32)>, Error>>()?;
    let node = |row: u32| embeddings.nodes[row as usize];
    let query_nodes: Vec<NodeIx> = rows.iter().map(|&(query, _)| node(query)).collect();

    // The model's ranks of all pairs.
    let ranks = |counts: Vec<RankCount>| counts.into_iter().map(RankCount::rank).collect::<Vec<f64>>();
    let questions = RelatedQuestions::new(kind, embeddings, snapshot);
    let counts = answer_in_portions("model", &rows, cancel, |rows| {
        Ok(match &questions {
            Some(questions) => related_counts(questions, rows, kind, embeddings),
            None => embeddings.rank_counts(rows, kind),
        })
    })?;
    let of_model = ranks(counts);
    let model = quality(&of_model, &QueryGroups::new(query_nodes.iter().copied()));

    // The model's ranks of the compared pairs.
    let sample = sample(&query_nodes, options.compared, snapshot);
    let of_model: Vec<f64> = sample.iter().map(|&at| of_model[at]).collect();
    let groups = QueryGroups::new(sample.iter().map(|&at| query_nodes[at]));
    let compared = quality(&of_model, &groups);

    let lead = |other: &[f64]| {
        let leads = of_model.iter().zip(other);
        let leads: Vec<f64> = leads.map(|(&model, &other)| reciprocal(model) - reciprocal(other)).collect();
        Mean::of(&leads, &groups)
    };

    // The baselines' ranks of the same pairs.
    let pairs: Vec<(NodeIx, NodeIx)> =
        sample.iter().map(|&at| (node(rows[at].0), node(rows[at].1))).collect();
    let mut baselines = Vec::new();
    for baseline in Baseline::able_to_rank(&candidates).filter(|_| !sample.is_empty()) {
        let ranking = Ranking::new(&candidates, baseline, Task::Related, cancel)?;
        let counts =
            answer_in_portions(baseline.name(), &pairs, cancel, |pairs| ranking.rank_counts(pairs, cancel))?;
        let of_baseline = ranks(counts);
        let (quality, lead) = (quality(&of_baseline, &groups), lead(&of_baseline));
        baselines.push(BaselineQuality { baseline, quality, lead });
    }

    // The ranks by embeddings alone. All else in the score comes from the graph, and hardly differs from the whole.
    let mut parts = Vec::new();
    if questions.is_some() && !sample.is_empty() {
        let part = ScorePart::Embeddings;
        let rows: Vec<(u32, u32)> = sample.iter().map(|&at| rows[at]).collect();
        let counts =
            answer_in_portions(part.name(), &rows, cancel, |rows| Ok(embeddings.rank_counts(rows, kind)))?;
        let of_part = ranks(counts);
        parts.push(PartQuality { part, quality: quality(&of_part, &groups), lead: lead(&of_part) });
    }
    Ok(Comparison { model, compared, baselines, parts })
}
