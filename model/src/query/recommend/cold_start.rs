//! Cold start: recommendations for a history without embeddings, from walks or from popularity.
//! Must not know embeddings: it reads a snapshot after the readers' lock is released.

use std::cmp::Reverse;
use std::collections::HashSet;

use hedgerow_storage::{Epoch, Generation, KindIx, NodeIx, NodeName, Snapshot};
use hedgerow_walker::{CountedRelations, PixieOptions, Policy, RelationWeights, pixie};

use crate::config::error::Error;
use crate::query::answer::{AnswerSource, FoundNode, FoundNodes};
use crate::query::answer_explanation::ExplanationInput;
use crate::query::interests::MOST_CLUSTERED;
use crate::query::query::Query;
use crate::query::recommend::Sources;
use crate::query::recommend::history_query::HistoryQuery;
use crate::query::scan::Bounds;

/// A question that the graph answers.
pub(crate) struct ColdStart {
    pub(crate) kind: KindIx,
    starts: Vec<NodeIx>,
    /// Nodes that are no answers, without those of the history.
    excluded: HashSet<NodeIx>,
    /// The only nodes that may be answers; `None` allows all.
    candidates: Option<HashSet<NodeIx>>,
    bounds: Bounds,
    ignored: Vec<NodeName>,
    generation: Generation,
    epoch: Epoch,
    dirty_nodes: u64,
    explanation: Option<ExplanationInput>,
    relations: RelationWeights,
}

impl ColdStart {
    pub(super) fn new(query: HistoryQuery, sources: &Sources<'_>) -> Self {
        let Sources { embeddings, snapshot, options, restrictions, dirty_nodes } = *sources;
        let HistoryQuery { kind, walk_starts: starts, ignored, recipient, .. } = query;
        let explanation = options.explain.then(|| ExplanationInput::from_walks(embeddings, starts.clone()));
        Self {
            kind,
            starts,
            excluded: restrictions.excluded(recipient, snapshot).collect(),
            candidates: restrictions.candidates.as_ref().map(|candidates| candidates.nodes.clone()),
            bounds: restrictions.bounds,
            ignored: [&ignored[..], restrictions.ignored()].concat(),
            generation: embeddings.generation,
            epoch: embeddings.epoch,
            dirty_nodes,
            explanation,
            relations: embeddings.config.relations.clone(),
        }
    }

    /// The nodes that walks visit most or, if walks find none, the most popular ones. `popular` is the result of
    /// [`most_popular`] for all nodes of the kind, if that is known.
    pub(crate) fn answer(
        self,
        options: &Query,
        snapshot: &Snapshot,
        popular: Option<&[(NodeIx, u64)]>,
    ) -> Result<FoundNodes, Error> {
        // The number of nodes to find: enough that the excluded and the seen ones leave k. Others may drop any number.
        let filter = options.node_filter(snapshot, self.kind)?;
        let dropped = self.excluded.len() + self.starts.len();
        let drops_any = filter.is_some() || self.candidates.is_some() || self.bounds.after.is_some();
        let wanted = options.rows_to_find();
        let to_find = if drops_any { usize::MAX } else { wanted.saturating_add(dropped) };

        // Walks first, then popularity.
        let visited = self.visited(snapshot, to_find)?;
        let source = if visited.is_empty() { AnswerSource::Popular } else { AnswerSource::Walks };
        let scored = match (source, popular) {
            (AnswerSource::Popular, Some(popular)) => with_scores(popular),
            (AnswerSource::Popular, None) => {
                with_scores(&most_popular(snapshot, self.kind, &self.relations, to_find))
            }
            _ => visited,
        };

        // The best k that the question admits.
        let is_seen = |node: &NodeIx| !options.include_seen && self.starts.contains(node);
        let is_admitted = |node: NodeIx| {
            self.candidates.as_ref().is_none_or(|candidates| candidates.contains(&node))
                && filter.as_ref().is_none_or(|filter| filter.admits(node))
        };
        let is_within = |node, score| self.bounds.admit(score, || snapshot.stable_id(node).get());
        let kept = scored.into_iter().filter(|&(node, score)| {
            !self.excluded.contains(&node) && !is_seen(&node) && is_within(node, score) && is_admitted(node)
        });
        let nodes = kept.take(wanted).map(|(node, score)| FoundNode { node, score }).collect();
        let explanation = match source {
            AnswerSource::Popular => self.explanation.map(ExplanationInput::without_starts),
            _ => self.explanation,
        };
        Ok(FoundNodes {
            nodes,
            source,
            interests: Vec::new(),
            ignored: self.ignored,
            generation: self.generation,
            epoch: self.epoch,
            dirty_nodes: self.dirty_nodes,
            explanation,
        })
    }

    /// The nodes that walks from the history visit most.
    fn visited(&self, snapshot: &Snapshot, k: usize) -> Result<Vec<(NodeIx, f32)>, Error> {
        if self.starts.is_empty() {
            return Ok(Vec::new());
        }
        let queries: Vec<(NodeIx, f32)> =
            self.starts.iter().take(MOST_CLUSTERED).map(|&node| (node, 1.0)).collect();
        let policy = Policy::default_for(snapshot, self.kind).with_relations(&self.relations);
        let answer = pixie(snapshot, &policy, &queries, k, &PixieOptions::default())?;
        Ok(answer.items.iter().map(|item| (item.node, item.score)).collect())
    }
}

fn with_scores(popular: &[(NodeIx, u64)]) -> Vec<(NodeIx, f32)> {
    popular.iter().map(|&(node, degree)| (node, degree as f32)).collect()
}

/// The `k` nodes of a kind with the most edges that count, ties by stable id. Cost: reads the degree of every node of the kind.
pub(crate) fn most_popular(
    snapshot: &Snapshot,
    kind: KindIx,
    relations: &RelationWeights,
    k: usize,
) -> Vec<(NodeIx, u64)> {
    let counted = CountedRelations::new(snapshot, relations);
    let mut nodes: Vec<(NodeIx, u64)> =
        snapshot.nodes_of(kind).map(|node| (node, counted.degree(snapshot, node))).collect();
    // Degrees that are one score are ordered by stable id, as scores are.
    let key =
        |&(node, degree): &(NodeIx, u64)| (Reverse((degree as f32).to_bits()), snapshot.stable_id(node));
    if k < nodes.len() {
        if k > 0 {
            nodes.select_nth_unstable_by_key(k - 1, key);
        }
        nodes.truncate(k);
    }
    nodes.sort_unstable_by_key(key);
    nodes
}
