//! Candidates: the items that all rankers rank, and the histories of users.

use std::cmp::Reverse;

use hedgerow_storage::{KindIx, NodeIx, Snapshot};
use hedgerow_walker::{CountedRelations, RelationWeights};

use crate::query::embeddings::Embeddings;
use crate::query::recommend::history_query::history_of;

/// The embedded nodes of a kind, and the graph as it is now.
pub(super) struct Candidates<'a> {
    pub(super) embeddings: &'a Embeddings,
    pub(super) snapshot: &'a Snapshot,
    pub(super) kind: KindIx,
    /// The items by number of edges, largest first, ties by stable id.
    pub(super) items: Vec<NodeIx>,
    /// All relations but those of dislikes.
    relations: CountedRelations,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(embeddings: &'a Embeddings, snapshot: &'a Snapshot, kind: KindIx) -> Self {
        let rows = (0..embeddings.rows() as u32)
            .filter(|&row| embeddings.is_alive(row) && embeddings.kind(row) == kind);
        let mut items: Vec<NodeIx> = rows.map(|row| embeddings.nodes[row as usize]).collect();
        let relations = CountedRelations::new(snapshot, &RelationWeights::default());
        items.sort_by_cached_key(|&item| {
            (Reverse(relations.degree(snapshot, item)), snapshot.stable_id(item))
        });
        Self { embeddings, snapshot, kind, items, relations }
    }

    /// The number of edges of a node, without dislikes.
    pub(super) fn degree(&self, node: NodeIx) -> u64 {
        self.relations.degree(self.snapshot, node)
    }

    pub(super) fn contains(&self, node: NodeIx) -> bool {
        self.snapshot.kind(node) == self.kind && self.embeddings.row(node).is_some()
    }

    /// The neighbors of a user that have the kind, by stable id.
    pub(super) fn history(&self, user: NodeIx) -> Vec<NodeIx> {
        let relations = self.embeddings.config.counted(self.snapshot);
        let linked = history_of(user, self.snapshot, &relations).into_iter().map(|listed| listed.node);
        linked.filter(|&node| self.snapshot.kind(node) == self.kind).collect()
    }
}
