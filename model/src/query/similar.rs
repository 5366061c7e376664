//! Similar nodes: the rows nearest to the row of a node.

use std::collections::HashSet;

use hedgerow_storage::{NodeRef, Snapshot};

use crate::config::error::Error;
use crate::query::answer::{AnswerSource, FoundNode, FoundNodes};
use crate::query::answer_explanation::ExplanationInput;
use crate::query::embeddings::Embeddings;
use crate::query::query::Query;

/// The nodes whose embeddings are nearest to that of a node, without the node itself.
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
    let hits = embeddings.nearest(query, &options.row_request(Some(kind), mask.as_ref()), &excluded);

    let explanation = options.explain.then(|| {
        let answers = hits.iter().map(|&(row, _)| (row, query, None));
        ExplanationInput::from_rows(embeddings, &[row], answers, !options.cosine)
    });
    let found = |(row, score): (u32, f32)| FoundNode { node: embeddings.nodes[row as usize], score };
    Ok(FoundNodes {
        nodes: hits.into_iter().map(found).collect(),
        source: AnswerSource::Embeddings,
        interests: Vec::new(),
        ignored: Vec::new(),
        epoch: embeddings.epoch,
        dirty_nodes,
        explanation,
    })
}
