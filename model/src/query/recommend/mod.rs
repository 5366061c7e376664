//! Recommendations: from the embeddings or, with no embedded history, from walks and popularity.
//! `interests` finds the interests of a history, and `nearest` ranks rows.

pub(crate) mod batch;
mod cold_start;
pub(crate) mod history_query;
mod history_question;
mod merge;

use std::collections::HashSet;

use hedgerow_storage::{NodeIx, Snapshot};

use crate::config::error::Error;
use crate::query::answer::{AnswerSource, FoundNode, FoundNodes};
use crate::query::answer_explanation::ExplanationInput;
use crate::query::embeddings::Embeddings;
use crate::query::query::{Query, Recipient};
use crate::query::recommend::cold_start::ColdStart;
use crate::query::recommend::history_query::HistoryQuery;
use crate::query::recommend::history_question::{HistoryQuestion, HistoryQuestions};
use crate::query::recommend::merge::{MergedRow, merge};
use crate::query::scan::Hit;

/// A recommendation as far as the embeddings make it. It borrows nothing of them.
pub(crate) enum Recommendation {
    Found(FoundNodes),
    /// No node of the history is embedded, so the graph has the answer.
    ColdStart(ColdStart),
}

/// The best rows for each interest of a history.
#[derive(Default)]
struct FoundLists {
    lists: Vec<Vec<Hit>>,
    /// The questions to the graph that found them. Empty if embeddings found them.
    graph: Vec<HistoryQuestion>,
}

impl Recommendation {
    /// The answer for one recipient.
    pub(crate) fn new(
        recipient: &Recipient,
        options: &Query,
        embeddings: &Embeddings,
        snapshot: &Snapshot,
        dirty_nodes: u64,
    ) -> Result<Self, Error> {
        let query = HistoryQuery::new(recipient, options, embeddings, snapshot)?;
        let mut excluded: HashSet<u32> = options.excluded_rows(embeddings, snapshot).collect();
        if !options.include_seen {
            excluded.extend(&query.history);
        }
        let mask = options.token_mask(snapshot);
        let request = options.row_request(Some(query.kind), mask.as_ref());
        let graph = HistoryQuestions::new(query.kind, options, embeddings, snapshot)?;
        let questions =
            graph.as_ref().map_or_else(Vec::new, |graph| graph.of(&query, None, &mut graph.sums()));
        let lists = match &graph {
            Some(graph) if !questions.is_empty() => {
                let best = |question: &HistoryQuestion| {
                    question.best(graph.factor_rows, embeddings, &request, &excluded)
                };
                questions.iter().map(best).collect()
            }
            _ => query.vectors.iter().map(|vector| embeddings.nearest(vector, &request, &excluded)).collect(),
        };
        let found = FoundLists { lists, graph: questions };
        Self::from_lists(query, found, options, embeddings, snapshot, dirty_nodes)
    }

    /// The answer from the best rows for each interest.
    fn from_lists(
        query: HistoryQuery,
        found: FoundLists,
        options: &Query,
        embeddings: &Embeddings,
        snapshot: &Snapshot,
        dirty_nodes: u64,
    ) -> Result<Self, Error> {
        let FoundLists { lists, graph } = found;
        if query.vectors.is_empty() && graph.is_empty() {
            return Ok(Self::ColdStart(ColdStart::new(query, options, embeddings, dirty_nodes)));
        }
        let rows = merge(&query.interests, lists, options.k);
        let explain = || -> Result<ExplanationInput, Error> {
            let interest = |found: &MergedRow| query.interests.get(found.interest).map(|_| found.interest);
            if let Some(graph_rows) = embeddings.graph_rows(query.kind).filter(|_| !graph.is_empty()) {
                let factor_rows = graph_rows.factor_rows(embeddings)?;
                let parts = |found: &MergedRow| graph[found.interest].parts(found.row, factor_rows);
                let answers = rows.iter().map(|found| (parts(found), interest(found)));
                Ok(ExplanationInput::from_graph(embeddings, graph_rows, &query.items, answers))
            } else {
                let vector = |found: &MergedRow| query.vectors[found.interest].as_slice();
                let answers = rows.iter().map(|found| (found.row, vector(found), interest(found)));
                Ok(ExplanationInput::from_rows(embeddings, &query.history, answers, !options.cosine))
            }
        };
        let explanation = options.explain.then(explain).transpose()?;
        let nodes = rows
            .iter()
            .map(|found| FoundNode { node: embeddings.nodes[found.row as usize], score: found.score });
        Ok(Self::Found(FoundNodes {
            nodes: nodes.collect(),
            source: if graph.is_empty() { AnswerSource::Embeddings } else { AnswerSource::Graph },
            interests: query.named_interests(embeddings, snapshot),
            ignored: query.ignored,
            epoch: embeddings.epoch,
            dirty_nodes,
            explanation,
        }))
    }

    /// The nodes, which a cold start takes from the graph. `popular` is all nodes of the kind by popularity, if that is known.
    ///
    /// It reads the snapshot only, so it needs no lock on the embeddings.
    pub(crate) fn found(
        self,
        options: &Query,
        snapshot: &Snapshot,
        popular: Option<&[(NodeIx, u64)]>,
    ) -> Result<FoundNodes, Error> {
        match self {
            Self::Found(found) => Ok(found),
            Self::ColdStart(cold_start) => cold_start.answer(options, snapshot, popular),
        }
    }
}
