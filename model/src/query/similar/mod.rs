//! Similar nodes: the items that the graph relates to a node, then the rows nearest to its row.

pub(crate) mod batch;
pub(crate) mod related_question;

use hedgerow_storage::{CancelToken, KindIx, NodeRef, Snapshot};

use crate::config::error::Error;
use crate::query::answer::{AnswerSource, FoundNode, FoundNodes};
use crate::query::answer_explanation::ExplanationInput;
use crate::query::embeddings::Embeddings;
use crate::query::nearest::RowRequest;
use crate::query::query::Query;
use crate::query::question::diversity::{PoolMember, choose};
use crate::query::question::restrictions::Restrictions;
use crate::query::question::row_set::RowSet;
use crate::query::scan::Hit;
use crate::query::similar::related_question::{EMBEDDING_WEIGHT, RelatedQuestion, RelatedQuestions};

/// A node that similar ones are asked for.
struct SimilarQuestion {
    row: u32,
    /// The kind of the answers.
    kind: KindIx,
    /// The row's vector.
    vector: Vec<f32>,
    /// The rows that are no answers.
    excluded: RowSet,
}

impl SimilarQuestion {
    fn new(
        node: NodeRef<'_>,
        options: &Query,
        restrictions: &Restrictions,
        embeddings: &Embeddings,
        snapshot: &Snapshot,
    ) -> Result<Self, Error> {
        let row = embeddings.require_row(node, snapshot)?;
        let kind = embeddings.require_kind(options.kind.as_deref().unwrap_or(node.kind), snapshot)?;
        // A filter that does not fit the kind is an error of this question alone.
        options.node_filter(snapshot, kind)?;
        let asking = Some(embeddings.nodes[row as usize]);
        let excluded = restrictions.excluded_rows(asking, embeddings, snapshot).chain([row]).collect();
        Ok(Self { row, kind, vector: embeddings.vector(row), excluded })
    }

    /// The rows that the scan leaves out. A page also leaves out rows that the graph scores: those before it are not told apart from
    /// those in it by their embeddings.
    fn not_scanned(&self, related: Option<&RelatedQuestion>, request: &RowRequest<'_>) -> Option<RowSet> {
        let related = related.filter(|_| request.bounds.after.is_some())?;
        Some(self.excluded.rows().chain(related.rows()).collect())
    }

    /// The answer from the best rows of the scan and, if there are any, the graph's scores.
    fn answer(
        &self,
        mut hits: Vec<Hit>,
        related: Option<&RelatedQuestion>,
        sources: &Sources<'_>,
        request: &RowRequest<'_>,
        cancel: &CancelToken,
    ) -> Result<FoundNodes, Error> {
        let Sources { embeddings, options, restrictions, dirty_nodes } = *sources;
        if let Some(related) = related {
            hits = related.best(&hits, embeddings, options, request, |row| self.excluded.contains(row));
        }
        if options.has_pool() {
            let member =
                |&(row, score): &Hit| PoolMember { row: Some(row), score, id: embeddings.ids[row as usize] };
            let pool: Vec<PoolMember> = hits.iter().map(member).collect();
            let chosen = choose(&pool, options.k, options.diverse, &embeddings.vectors, cancel)?;
            hits = chosen.into_iter().map(|at| hits[at]).collect();
        }
        let explanation = options.explain.then(|| {
            let answers = hits.iter().map(|&(row, _)| (row, &self.vector[..], None));
            let input = ExplanationInput::from_rows(embeddings, &[self.row], answers, !options.cosine);
            match related {
                Some(related) => input.with_filter(hits.iter().map(|&(row, _)| related.graph_score(row))),
                None => input,
            }
        });
        let found = |(row, score): Hit| FoundNode { node: embeddings.nodes[row as usize], score };
        Ok(FoundNodes {
            nodes: hits.into_iter().map(found).collect(),
            source: if related.is_some() { AnswerSource::Graph } else { AnswerSource::Embeddings },
            interests: Vec::new(),
            ignored: restrictions.ignored().to_vec(),
            generation: embeddings.generation,
            epoch: embeddings.epoch,
            dirty_nodes,
            explanation,
        })
    }
}

/// The sources of an answer, and its options.
#[derive(Clone, Copy)]
struct Sources<'a> {
    embeddings: &'a Embeddings,
    options: &'a Query,
    restrictions: &'a Restrictions,
    dirty_nodes: u64,
}

/// The request of a scan for rows that the graph does not reach, if it reaches some: their scores count little then.
fn scanned<'a>(request: &RowRequest<'a>, has_related: bool) -> RowRequest<'a> {
    RowRequest { scale: if has_related { EMBEDDING_WEIGHT } else { 1.0 }, ..*request }
}

/// The nodes that are similar to a node, without the node itself.
pub(crate) fn similar(
    embeddings: &Embeddings,
    snapshot: &Snapshot,
    node: NodeRef<'_>,
    options: &Query,
    dirty_nodes: u64,
    cancel: &CancelToken,
) -> Result<FoundNodes, Error> {
    let restrictions = &Restrictions::new(options, embeddings, snapshot)?;
    let question = SimilarQuestion::new(node, options, restrictions, embeddings, snapshot)?;
    let filter = options.node_filter(snapshot, question.kind)?;
    let request = options.row_request(Some(question.kind), filter.as_ref(), restrictions);

    // The graph's scores come first, if the kind has constants of them and the question is not for cosines alone.
    cancel.check()?;
    let questions = RelatedQuestions::new(question.kind, embeddings, snapshot).filter(|_| !options.cosine);
    let related = questions.as_ref().and_then(|questions| questions.of(question.row, &mut questions.sums()));
    let not_scanned = question.not_scanned(related.as_ref(), &request);
    let hits = embeddings.nearest(
        &question.vector,
        &scanned(&request, related.is_some()),
        not_scanned.as_ref().unwrap_or(&question.excluded),
        cancel,
    )?;
    let sources = Sources { embeddings, options, restrictions, dirty_nodes };
    question.answer(hits, related.as_ref(), &sources, &request, cancel)
}
