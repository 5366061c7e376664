//! A node as a question to the graph: live scores of related items, and embeddings for what these do not reach.
//! Must not know names and explanations.

use std::collections::HashSet;

use hedgerow_storage::{KindIx, NodeIx, Snapshot};
use hedgerow_walker::{ListRelations, RelatedItems, SecondHops};

use crate::query::cold_question::ColdQuestion;
use crate::query::embeddings::Embeddings;
use crate::query::graph_rows::GraphRows;
use crate::query::nearest::RowRequest;
use crate::query::query::Query;
use crate::query::scan::{Hit, RankCount, TopK};

/// The weight of cosine and popularity beside the scores of related items. So small that they order only what two hops do not tell
/// apart: items that they do not reach, and equal ones.
pub(crate) const EMBEDDING_WEIGHT: f32 = 1e-5;
/// No cosine is higher, with its error of rounding.
const HIGHEST_COSINE: f32 = 1.001;

/// The common part of all questions about the related items of one kind.
pub(crate) struct RelatedQuestions<'a> {
    rows: &'a GraphRows,
    /// True if the graph answers for items with lists.
    has_related: bool,
    relations: ListRelations,
    embeddings: &'a Embeddings,
    snapshot: &'a Snapshot,
}

/// Memory for the sums of one question after the other.
pub(crate) struct RelatedSums<'a> {
    related: RelatedItems<'a>,
    cold: Option<ColdQuestion<'a>>,
}

impl RelatedSums<'_> {
    pub(crate) fn into_hops(self) -> SecondHops {
        self.related.into_hops()
    }
}

/// The related items of one node.
pub(crate) struct RelatedQuestion {
    row: u32,
    /// The score of each row that is reached.
    scores: Vec<(u32, f32)>,
}

impl<'a> RelatedQuestions<'a> {
    /// `None` if the kind has no fitted constants or no lists.
    pub(crate) fn new(kind: KindIx, embeddings: &'a Embeddings, snapshot: &'a Snapshot) -> Option<Self> {
        let rows = embeddings.graph_rows(kind)?;
        // Embeddings of features know what the lists of an item do not tell.
        let has_related = embeddings.config.has_identities(snapshot.kind_name(kind));
        Some(Self { rows, has_related, relations: rows.relations(snapshot)?, embeddings, snapshot })
    }

    /// Each thread needs sums of its own.
    pub(crate) fn sums(&self) -> RelatedSums<'_> {
        let Self { rows, relations, embeddings, snapshot, .. } = self;
        RelatedSums {
            related: RelatedItems::new(snapshot, relations, rows.related_powers()),
            cold: ColdQuestion::new(rows, relations, embeddings, snapshot),
        }
    }

    /// Sums that keep second hops, and take those of earlier questions.
    pub(crate) fn sums_with(&self, hops: SecondHops) -> RelatedSums<'_> {
        let RelatedSums { related, cold } = self.sums();
        RelatedSums { related: related.with_hops(hops), cold }
    }

    /// `None` if embeddings answer: the graph reaches nothing from the row's node, or it has features and lists.
    pub(crate) fn of(&self, row: u32, sums: &mut RelatedSums<'_>) -> Option<RelatedQuestion> {
        let Self { has_related, relations, embeddings, snapshot, .. } = self;
        let node = embeddings.nodes[row as usize];
        let scores: Vec<(u32, f32)> = if relations.degree(snapshot, node) == 0 {
            sums.cold.as_mut()?.scores(&[row])
        } else if *has_related {
            let score = |(node, score): (NodeIx, f32)| Some((embeddings.row(node)?, score));
            sums.related.scores(node).into_iter().filter_map(score).collect()
        } else {
            Vec::new()
        };
        (!scores.is_empty()).then_some(RelatedQuestion { row, scores })
    }
}

impl RelatedQuestion {
    /// The rows that are reached.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> + '_ {
        self.scores.iter().map(|(row, _)| *row)
    }

    /// The best rows, best first, from the best rows by the embeddings alone. Scores of these are times [`EMBEDDING_WEIGHT`].
    pub(crate) fn best(
        &self,
        by_embeddings: &[Hit],
        embeddings: &Embeddings,
        options: &Query,
        request: &RowRequest<'_>,
        is_excluded: impl Fn(u32) -> bool,
    ) -> Vec<Hit> {
        let order = |row: u32| embeddings.ids[row as usize].get();
        let mut not_reached: HashSet<u32> = by_embeddings.iter().map(|&(row, _)| row).collect();
        let mut best = TopK::new(request.k, request.bounds);
        let query = embeddings.vectors.query(&embeddings.vector(self.row));
        for &(row, score) in &self.scores {
            not_reached.remove(&row);
            // Mostly even the highest cosine would not be enough, and none is computed.
            let highest =
                score + EMBEDDING_WEIGHT * (HIGHEST_COSINE + embeddings.bias[row as usize].max(0.0));
            if !best.may_take(highest) {
                continue;
            }
            let score = score + EMBEDDING_WEIGHT * embeddings.score(&query, row, !options.cosine);
            if best.may_take(score) && !is_excluded(row) && embeddings.is_admitted(row, request) {
                best.offer((row, score), &order);
            }
        }
        for &(row, score) in by_embeddings.iter().filter(|(row, _)| not_reached.contains(row)) {
            best.offer((row, score), &order);
        }
        best.finish(&order)
    }

    /// The score of a row by the graph; 0 if it is not reached.
    pub(crate) fn graph_score(&self, row: u32) -> f32 {
        self.scores.iter().find(|(other, _)| *other == row).map_or(0.0, |(_, score)| *score)
    }

    /// The rank of an item: the rows of a kind that score higher, and those that score the same. Neither the query nor the item
    /// counts.
    ///
    /// Cost: the score of every row by the embeddings.
    pub(crate) fn rank_count(&self, item: u32, kind: KindIx, embeddings: &Embeddings) -> RankCount {
        let mut by_row: Vec<f32> = vec![0.0; embeddings.rows()];
        for &(row, score) in &self.scores {
            by_row[row as usize] = score;
        }
        let cosines = embeddings.vectors.scores(&embeddings.vector(self.row));
        let score = |row: u32| {
            let row = row as usize;
            let by_embeddings = EMBEDDING_WEIGHT * (cosines[row] + embeddings.bias[row]);
            // What is not reached is scored as in `best`, without an addition.
            if by_row[row] > 0.0 { by_row[row] + by_embeddings } else { by_embeddings }
        };
        let level = score(item);
        let mut count = RankCount { higher: 0, equal: 0 };
        let others = (0..embeddings.rows() as u32).filter(|&row| row != item && row != self.row);
        for row in others.filter(|&row| embeddings.is_alive(row) && embeddings.kind(row) == kind) {
            let score = score(row);
            count.higher += u64::from(score > level);
            count.equal += u64::from(score == level);
        }
        count
    }
}
