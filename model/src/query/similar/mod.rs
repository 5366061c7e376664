//! Similar nodes: the items that the graph relates to a node, then the rows nearest to its row.

pub(crate) mod related_question;

use std::collections::HashSet;

use hedgerow_storage::{NodeRef, Snapshot};

use crate::config::error::Error;
use crate::query::answer::{AnswerSource, FoundNode, FoundNodes};
use crate::query::answer_explanation::ExplanationInput;
use crate::query::embeddings::Embeddings;
use crate::query::query::Query;
use crate::query::similar::related_question::RelatedQuestions;

/// The nodes that are similar to a node, without the node itself.
pub(crate) fn similar(
    embeddings: &Embeddings,
    snapshot: &Snapshot,
    node: NodeRef<'_>,
    options: &Query,
    dirty_nodes: u64,
) -> Result<FoundNodes, Error> {
    let row = embeddings.require_row(node, snapshot)?;
    let kind = embeddings.require_kind(options.kind.as_deref().unwrap_or(node.kind), snapshot)?;
    let excluded: HashSet<u32> = options.excluded_rows(embeddings, snapshot).chain([row]).collect();
    let mask = options.token_mask(snapshot);
    let query = embeddings.vector(row);
    let request = options.row_request(Some(kind), mask.as_ref());
    let mut hits = embeddings.nearest(&query, &request, &excluded);

    // The graph's scores come first, if the kind has constants of them and the question is not for cosines alone.
    let questions = RelatedQuestions::new(kind, embeddings, snapshot).filter(|_| !options.cosine);
    let related = questions.as_ref().and_then(|questions| questions.of(row, &mut questions.sums()));
    if let Some(related) = &related {
        hits = related.best(&hits, embeddings, options, &request, |row| excluded.contains(&row));
    }

    let explanation = options.explain.then(|| {
        let answers = hits.iter().map(|&(row, _)| (row, &query[..], None));
        let input = ExplanationInput::from_rows(embeddings, &[row], answers, !options.cosine);
        match &related {
            Some(related) => input.with_filter(hits.iter().map(|&(row, _)| related.graph_score(row))),
            None => input,
        }
    });
    let found = |(row, score): (u32, f32)| FoundNode { node: embeddings.nodes[row as usize], score };
    Ok(FoundNodes {
        nodes: hits.into_iter().map(found).collect(),
        source: if related.is_some() { AnswerSource::Graph } else { AnswerSource::Embeddings },
        interests: Vec::new(),
        ignored: Vec::new(),
        epoch: embeddings.epoch,
        dirty_nodes,
        explanation,
    })
}
