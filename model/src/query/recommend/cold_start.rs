//! Cold start: recommendations for a history without embeddings, from walks or from popularity.
//! Must not know embeddings: it reads a snapshot after the readers' lock is released.

use std::cmp::Reverse;
use std::collections::HashSet;

use hedgerow_storage::{Epoch, KindIx, NodeIx, NodeName, Snapshot};
use hedgerow_walker::{PixieOptions, Policy, pixie};

use crate::config::error::Error;
use crate::query::answer::{AnswerSource, FoundNode, FoundNodes};
use crate::query::answer_explanation::ExplanationInput;
use crate::query::embeddings::Embeddings;
use crate::query::interests::MOST_CLUSTERED;
use crate::query::query::Query;
use crate::query::recommend::history_query::HistoryQuery;

/// A question that the graph answers.
pub(crate) struct ColdStart {
    pub(crate) kind: KindIx,
    starts: Vec<NodeIx>,
    ignored: Vec<NodeName>,
    epoch: Epoch,
    dirty_nodes: u64,
    /// Rows of the embeddings.
    rows: usize,
    explanation: Option<ExplanationInput>,
}

impl ColdStart {
    pub(crate) fn new(
        query: HistoryQuery,
        options: &Query,
        embeddings: &Embeddings,
        dirty_nodes: u64,
    ) -> Self {
        let HistoryQuery { kind, walk_starts: starts, ignored, .. } = query;
        let explanation = options.explain.then(|| ExplanationInput::from_walks(embeddings, starts.clone()));
        Self {
            kind,
            starts,
            ignored,
            epoch: embeddings.epoch,
            dirty_nodes,
            rows: embeddings.rows(),
            explanation,
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
        // The number of candidates: enough that the excluded and the seen ones leave k. A filter may drop any number.
        let excluded: HashSet<NodeIx> =
            options.exclude.iter().filter_map(|name| snapshot.lookup(name.as_ref())).collect();
        let filter = options.filter.as_ref().zip(options.token_mask(snapshot));
        let dropped = excluded.len() + self.starts.len();
        let candidates =
            if filter.is_some() { self.rows + dropped } else { options.k.saturating_add(dropped) };

        // Walks first, then popularity.
        let visited = self.visited(options, snapshot, candidates)?;
        let source = if visited.is_empty() { AnswerSource::Popular } else { AnswerSource::Walks };
        let scored = match (source, popular) {
            (AnswerSource::Popular, Some(popular)) => with_scores(popular),
            (AnswerSource::Popular, None) => with_scores(&most_popular(snapshot, self.kind, candidates)),
            _ => visited,
        };

        // The best k that the question admits.
        let is_seen = |node: &NodeIx| !options.include_seen && self.starts.contains(node);
        let is_admitted =
            |node: NodeIx| filter.as_ref().is_none_or(|(filter, mask)| filter.admits(mask.of(node)));
        let kept = scored
            .into_iter()
            .filter(|&(node, _)| !excluded.contains(&node) && !is_seen(&node) && is_admitted(node));
        let nodes = kept.take(options.k).map(|(node, score)| FoundNode { node, score }).collect();
        let explanation = match source {
            AnswerSource::Popular => self.explanation.map(ExplanationInput::without_starts),
            _ => self.explanation,
        };
        Ok(FoundNodes {
            nodes,
            source,
            interests: Vec::new(),
            ignored: self.ignored,
            epoch: self.epoch,
            dirty_nodes: self.dirty_nodes,
            explanation,
        })
    }

    /// The nodes that walks from the history visit most.
    fn visited(&self, options: &Query, snapshot: &Snapshot, k: usize) -> Result<Vec<(NodeIx, f32)>, Error> {
        if self.starts.is_empty() || options.k == 0 {
            return Ok(Vec::new());
        }
        let queries: Vec<(NodeIx, f32)> =
            self.starts.iter().take(MOST_CLUSTERED).map(|&node| (node, 1.0)).collect();
        let policy = Policy::default_for(snapshot, self.kind);
        let answer = pixie(snapshot, &policy, &queries, k, &PixieOptions::default())?;
        Ok(answer.items.iter().map(|item| (item.node, item.score)).collect())
    }
}

fn with_scores(popular: &[(NodeIx, u64)]) -> Vec<(NodeIx, f32)> {
    popular.iter().map(|&(node, degree)| (node, degree as f32)).collect()
}

/// The `k` nodes of a kind with the most edges, ties by stable id. Cost: reads the degree of every node of the kind.
pub(crate) fn most_popular(snapshot: &Snapshot, kind: KindIx, k: usize) -> Vec<(NodeIx, u64)> {
    let mut nodes: Vec<(NodeIx, u64)> =
        snapshot.nodes_of(kind).map(|node| (node, snapshot.degree(node))).collect();
    let key = |&(node, degree): &(NodeIx, u64)| (Reverse(degree), snapshot.stable_id(node));
    if k < nodes.len() {
        if k > 0 {
            nodes.select_nth_unstable_by_key(k - 1, key);
        }
        nodes.truncate(k);
    }
    nodes.sort_unstable_by_key(key);
    nodes
}
