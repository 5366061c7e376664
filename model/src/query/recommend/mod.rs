//! Recommendations: from the embeddings or, with no embedded history, from walks and popularity.
//! `interests` finds the interests of a history, and `nearest` ranks rows.

pub(crate) mod batch;
mod cold_start;
pub(crate) mod history_query;
mod history_question;
mod merge;
pub(crate) mod model_choice;

use hedgerow_storage::{CancelToken, NodeIx, Snapshot};

use crate::config::error::Error;
use crate::query::answer::{AnswerSource, FoundNode, FoundNodes};
use crate::query::answer_explanation::ExplanationInput;
use crate::query::embeddings::Embeddings;
use crate::query::query::{Query, Recipient};
use crate::query::question::diversity::{PoolMember, choose};
use crate::query::question::restrictions::Restrictions;
use crate::query::question::row_set::RowSet;
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
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let restrictions = &Restrictions::new(options, embeddings, snapshot)?;
        let query = HistoryQuery::new(recipient, options, embeddings, snapshot)?;
        let excluded = excluded_rows(&query, options, restrictions, embeddings, snapshot);
        let filter = options.node_filter(snapshot, query.kind)?;
        let request = options.row_request(Some(query.kind), filter.as_ref(), restrictions);
        // The hops of the graph and the scans are parts of the question.
        cancel.check()?;
        let graph = HistoryQuestions::new(query.kind, options, embeddings, snapshot)?;
        let questions =
            graph.as_ref().map_or_else(Vec::new, |graph| graph.of(&query, None, &mut graph.sums()));
        let lists = match &graph {
            Some(graph) if !questions.is_empty() => {
                let best = |question: &HistoryQuestion| {
                    question.best(graph.factor_rows, embeddings, &request, &excluded, cancel)
                };
                questions.iter().map(best).collect::<Result<_, Error>>()?
            }
            _ => {
                let nearest = |vector: &Vec<f32>| embeddings.nearest(vector, &request, &excluded, cancel);
                query.vectors.iter().map(nearest).collect::<Result<_, Error>>()?
            }
        };
        let found = FoundLists { lists, graph: questions };
        let sources = Sources { embeddings, snapshot, options, restrictions, dirty_nodes };
        Self::from_lists(query, found, &sources, cancel)
    }

    /// The answer from the best rows for each interest.
    fn from_lists(
        query: HistoryQuery,
        found: FoundLists,
        sources: &Sources<'_>,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let Sources { embeddings, snapshot, options, restrictions, dirty_nodes } = *sources;
        let FoundLists { lists, graph } = found;
        if query.vectors.is_empty() && graph.is_empty() {
            return Ok(Self::ColdStart(ColdStart::new(query, sources)));
        }
        let mut rows = merge(&query.interests, lists, options.rows_to_find());
        if options.has_pool() {
            let member = |found: &MergedRow| PoolMember {
                row: Some(found.row),
                score: found.score,
                id: embeddings.ids[found.row as usize],
            };
            let pool: Vec<PoolMember> = rows.iter().map(member).collect();
            let chosen = choose(&pool, options.k, options.diverse, &embeddings.vectors, cancel)?;
            rows = chosen.into_iter().map(|at| rows[at]).collect();
        }
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
            ignored: [&query.ignored[..], restrictions.ignored()].concat(),
            generation: embeddings.generation,
            epoch: embeddings.epoch,
            dirty_nodes,
            explanation,
        }))
    }

    /// The nodes, which a cold start takes from the graph. `popular` is all nodes of the kind by popularity, if that is known.
    ///
    /// It reads the snapshot only, so it needs no lock on the embeddings. With [`Query::diverse`] a cold start finds the pool that
    /// [`choose_different`] chooses from.
    pub(crate) fn found(
        self,
        options: &Query,
        snapshot: &Snapshot,
        popular: Option<&[(NodeIx, u64)]>,
        cancel: &CancelToken,
    ) -> Result<FoundNodes, Error> {
        match self {
            Self::Found(found) => Ok(found),
            Self::ColdStart(cold_start) => {
                cancel.check()?;
                cold_start.answer(options, snapshot, popular)
            }
        }
    }

    /// True if the answer is a pool that [`choose_different`] chooses from.
    pub(crate) fn is_pool(&self, options: &Query) -> bool {
        matches!(self, Self::ColdStart(_)) && options.has_pool()
    }
}

/// The sources of an answer, and its options.
#[derive(Clone, Copy)]
struct Sources<'a> {
    embeddings: &'a Embeddings,
    snapshot: &'a Snapshot,
    options: &'a Query,
    restrictions: &'a Restrictions,
    dirty_nodes: u64,
}

/// The rows that are no answers to a history.
fn excluded_rows(
    query: &HistoryQuery,
    options: &Query,
    restrictions: &Restrictions,
    embeddings: &Embeddings,
    snapshot: &Snapshot,
) -> RowSet {
    let seen: &[u32] = if options.include_seen { &[] } else { &query.history };
    restrictions.excluded_rows(query.recipient, embeddings, snapshot).chain(seen.iter().copied()).collect()
}

/// Chooses the answers of a cold start from its pool. Their similarity is that of the embeddings, whose epoch the answer has then.
pub(crate) fn choose_different(
    mut pool: FoundNodes,
    options: &Query,
    embeddings: &Embeddings,
    snapshot: &Snapshot,
    cancel: &CancelToken,
) -> Result<FoundNodes, Error> {
    let member = |&FoundNode { node, score }: &FoundNode| PoolMember {
        row: embeddings.row(node),
        score,
        id: snapshot.stable_id(node),
    };
    let members: Vec<PoolMember> = pool.nodes.iter().map(member).collect();
    let chosen = choose(&members, options.k, options.diverse, &embeddings.vectors, cancel)?;
    pool.nodes = chosen.into_iter().map(|at| pool.nodes[at]).collect();
    (pool.generation, pool.epoch) = (embeddings.generation, embeddings.epoch);
    Ok(pool)
}
