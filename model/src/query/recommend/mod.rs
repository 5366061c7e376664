//! Recommendations: from the embeddings or, with no embedded history, from walks and popularity.
//! `interests` finds the interests of a history, and `nearest` ranks rows.

pub(crate) mod batch;
mod cold_start;
pub(crate) mod history_query;
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
use crate::query::recommend::merge::merge;
use crate::query::scan::Hit;

/// A recommendation as far as the embeddings make it. It borrows nothing of them.
pub(crate) enum Recommendation {
    Found(FoundNodes),
    /// No node of the history is embedded, so the graph has the answer.
    ColdStart(ColdStart),
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
        let nearest = |vector: &Vec<f32>| embeddings.nearest(vector, &request, &excluded);
        let lists = query.vectors.iter().map(nearest).collect();
        Ok(Self::from_lists(query, lists, options, embeddings, snapshot, dirty_nodes))
    }

    /// The answer from the nearest rows to each query vector.
    fn from_lists(
        query: HistoryQuery,
        lists: Vec<Vec<Hit>>,
        options: &Query,
        embeddings: &Embeddings,
        snapshot: &Snapshot,
        dirty_nodes: u64,
    ) -> Self {
        if query.vectors.is_empty() {
            return Self::ColdStart(ColdStart::new(query, options, embeddings, dirty_nodes));
        }
        let rows = merge(&query.interests, lists, options.k);
        let explanation = options.explain.then(|| {
            let answers = rows.iter().map(|found| {
                let interest = query.interests.get(found.interest).map(|_| found.interest);
                (found.row, query.vectors[found.interest].as_slice(), interest)
            });
            ExplanationInput::from_rows(embeddings, &query.history, answers, !options.cosine)
        });
        let nodes = rows
            .iter()
            .map(|found| FoundNode { node: embeddings.nodes[found.row as usize], score: found.score });
        Self::Found(FoundNodes {
            nodes: nodes.collect(),
            source: AnswerSource::Embeddings,
            interests: query.named_interests(embeddings, snapshot),
            ignored: query.ignored,
            epoch: embeddings.epoch,
            dirty_nodes,
            explanation,
        })
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
