//! Answers for whom there is no embedding to ask with: from walks, or from degrees. Owns which of the two it is.

use std::cmp::Reverse;
use std::collections::HashSet;

use hedgerow_storage::{KindIx, NodeIx, Snapshot};
use hedgerow_walker::{PixieOptions, Policy, pixie};

use crate::config::error::Error;
use crate::query::embeddings::Embeddings;
use crate::query::interests::MOST_CLUSTERED;
use crate::query::query::Query;
use crate::query::recommend::{AnswerSource, Answered, Asked};

pub(crate) struct Cold<'a> {
    pub(crate) embeddings: &'a Embeddings,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) options: &'a Query,
}

impl Cold<'_> {
    /// The graph as it is now answers. `ranking` is what [`popular`] gives for all nodes of the kind, where that is known.
    pub(crate) fn answer(
        &self,
        asked: &Asked,
        ranking: Option<&[(NodeIx, u64)]>,
    ) -> Result<(AnswerSource, Vec<Answered>), Error> {
        let excluded: HashSet<NodeIx> =
            self.options.exclude.iter().filter_map(|name| self.snapshot.lookup(name.as_ref())).collect();
        let filter = self.options.filter.as_ref();
        let filter = filter.map(|filter| (filter, self.snapshot.token_mask(filter.tokens())));
        let wanted = match &filter {
            // How many of those that come first it will leave is not known.
            Some(_) => self.embeddings.rows() + excluded.len() + asked.starts.len(),
            None => self.options.k.saturating_add(excluded.len() + asked.starts.len()),
        };
        let scored = self.walked(asked, wanted)?;
        let basis = if scored.is_empty() { AnswerSource::Popular } else { AnswerSource::Walks };
        let scored = match (basis, ranking) {
            (AnswerSource::Popular, Some(ranking)) => as_scores(ranking),
            (AnswerSource::Popular, None) => as_scores(&popular(self.snapshot, asked.kind, wanted)),
            _ => scored,
        };
        let seen = |node: &NodeIx| !self.options.include_seen && asked.starts.contains(node);
        let fits = |node: NodeIx| filter.as_ref().is_none_or(|(filter, marks)| filter.admits(marks.of(node)));
        let kept =
            scored.into_iter().filter(|&(node, _)| !excluded.contains(&node) && !seen(&node) && fits(node));
        let answered = |(node, score)| Answered { node, row: self.embeddings.row(node), score, interest: 0 };
        Ok((basis, kept.take(self.options.k).map(answered).collect()))
    }

    fn walked(&self, asked: &Asked, k: usize) -> Result<Vec<(NodeIx, f32)>, Error> {
        if asked.starts.is_empty() || self.options.k == 0 {
            return Ok(Vec::new());
        }
        let queries: Vec<(NodeIx, f32)> =
            asked.starts.iter().take(MOST_CLUSTERED).map(|&node| (node, 1.0)).collect();
        let policy = Policy::default_for(self.snapshot, asked.kind);
        let answer = pixie(self.snapshot, &policy, &queries, k, &PixieOptions::default())?;
        Ok(answer.items.iter().map(|item| (item.node, item.score)).collect())
    }
}

fn as_scores(ranking: &[(NodeIx, u64)]) -> Vec<(NodeIx, f32)> {
    ranking.iter().map(|&(node, degree)| (node, degree as f32)).collect()
}

/// The nodes of a kind with most edges, as many as asked for, ties by stable id. Cost: a look at every node.
pub(crate) fn popular(snapshot: &Snapshot, kind: KindIx, most: usize) -> Vec<(NodeIx, u64)> {
    let mut nodes: Vec<(NodeIx, u64)> =
        snapshot.nodes_of(kind).map(|node| (node, snapshot.degree(node))).collect();
    let key = |&(node, degree): &(NodeIx, u64)| (Reverse(degree), snapshot.stable_id(node));
    if most < nodes.len() {
        if most > 0 {
            nodes.select_nth_unstable_by_key(most - 1, key);
        }
        nodes.truncate(most);
    }
    nodes.sort_unstable_by_key(key);
    nodes
}
