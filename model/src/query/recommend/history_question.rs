//! A history as a question to the graph: live sums over two hops, and factors for a scan. Both together rank the items.
//! Must not know interests and explanations.

use hedgerow_storage::{CancelToken, KindIx, NodeIx, Snapshot};
use hedgerow_walker::{GraphFilter, HistorySum, ListRelations};
use rayon::prelude::*;

use crate::config::error::Error;
use crate::factors::edge_sums::rest;
use crate::factors::item_factors::FoldInItem;
use crate::linalg::normal_equations::RANK;
use crate::query::cold_question::ColdQuestion;
use crate::query::embeddings::Embeddings;
use crate::query::graph_rows::{FactorRows, GraphParts, GraphRows};
use crate::query::nearest::RowRequest;
use crate::query::query::Query;
use crate::query::question::row_set::RowSet;
use crate::query::recommend::history_query::HistoryQuery;
use crate::query::scan::Hit;
use crate::query::score_part::ScorePart;

/// Items without lists of a history that count: those with the smallest stable ids.
const MAX_COLD_HISTORY: usize = 10;

/// The graph's question for one history. Size: 4 bytes for each row of the embeddings.
pub(crate) struct HistoryQuestion {
    /// The query vector for [`FactorRows::vectors`].
    pub(crate) vector: Vec<f32>,
    /// The filter's part of each row's score.
    pub(crate) filter: Vec<f32>,
}

/// The common part of all questions to the graph about one kind.
pub(crate) struct HistoryQuestions<'a> {
    pub(crate) rows: &'a GraphRows,
    pub(crate) factor_rows: &'a FactorRows,
    relations: ListRelations,
    embeddings: &'a Embeddings,
    snapshot: &'a Snapshot,
    /// For each row of the embeddings the power of its degree in the filter's score, if it is computed.
    powers: Vec<f32>,
}

/// Memory for the sums of one question after the other.
pub(crate) struct HistorySums<'a> {
    filter: GraphFilter<'a>,
    cold: Option<ColdQuestion<'a>>,
}

impl<'a> HistoryQuestions<'a> {
    /// `None` if the kind has no factors or no lists, or the question asks for cosines.
    ///
    /// # Errors
    /// Damage of the factors.
    pub(crate) fn new(
        kind: KindIx,
        options: &Query,
        embeddings: &'a Embeddings,
        snapshot: &'a Snapshot,
    ) -> Result<Option<Self>, Error> {
        let rows = embeddings.graph_rows(kind).filter(|_| !options.cosine);
        let found = rows.and_then(|rows| Some((rows, rows.relations(snapshot)?)));
        let Some((rows, relations)) = found else { return Ok(None) };
        let factor_rows = rows.factor_rows(embeddings)?;
        Ok(Some(Self { rows, factor_rows, relations, embeddings, snapshot, powers: Vec::new() }))
    }

    /// The same for many questions: the degrees of all rows are read once, in order. Of one question this would be most of the cost.
    pub(crate) fn with_powers(mut self) -> Self {
        let power = |&node: &NodeIx| self.rows.filter_power(self.relations.degree(self.snapshot, node));
        self.powers = self.embeddings.nodes.par_iter().map(power).collect();
        self
    }

    /// The filter's part of the score of a row's node.
    fn filter_score(&self, row: u32, node: NodeIx, sum: f32) -> f32 {
        let power = self.powers.get(row as usize).copied();
        let power =
            power.unwrap_or_else(|| self.rows.filter_power(self.relations.degree(self.snapshot, node)));
        self.rows.filter_score(sum, power)
    }

    /// Each thread needs sums of its own.
    pub(crate) fn sums(&self) -> HistorySums<'_> {
        let Self { rows, relations, embeddings, snapshot, .. } = self;
        HistorySums {
            filter: GraphFilter::new(snapshot, relations, rows.filter_powers()),
            cold: ColdQuestion::new(rows, relations, embeddings, snapshot),
        }
    }

    /// A question for each interest of a history, for a part of the score if one is given. None at all if an interest reaches nothing.
    pub(crate) fn of(
        &self,
        query: &HistoryQuery,
        part: Option<ScorePart>,
        sums: &mut HistorySums<'_>,
    ) -> Vec<HistoryQuestion> {
        // A part of a list is not the list.
        let recipient = query.recipient.filter(|_| query.items.len() == 1);
        let questions = query.items.iter().enumerate().map(|(at, items)| {
            let embedding = query.vectors.get(at).map(Vec::as_slice);
            HistoryQuestion::new(items, recipient, embedding, self, &mut sums.filter)
                .or_else(|| HistoryQuestion::cold(items, self, sums.cold.as_mut()?))
                .map(|question| match part {
                    Some(part) => question.of_part(part),
                    None => question,
                })
        });
        questions.collect::<Option<Vec<HistoryQuestion>>>().unwrap_or_default()
    }
}

impl HistoryQuestion {
    /// The question of a history of items with their strengths. `recipient` is the list that has them, if they are in the graph as a list, and `embedding` the
    /// unit vector of the history, if it has one. `None` if two hops from the history reach nothing.
    ///
    /// Cost: two hops, and the factors of the history.
    fn new(
        items: &[(NodeIx, f32)],
        recipient: Option<NodeIx>,
        embedding: Option<&[f32]>,
        questions: &HistoryQuestions<'_>,
        filter: &mut GraphFilter<'_>,
    ) -> Option<Self> {
        let HistoryQuestions { rows: graph, factor_rows, relations, embeddings, snapshot, .. } = questions;
        let (mut scores, mut is_reached) = (vec![0.0; embeddings.rows()], false);
        let history = filter.pass_sums(items, |item, sum| {
            is_reached = true;
            if let Some(row) = embeddings.row(item) {
                scores[row as usize] = questions.filter_score(row, item, sum);
            }
        });
        if !is_reached {
            return None;
        }
        let own_list = recipient.map(|list| relations.degree(snapshot, list)).filter(|&degree| degree > 0);
        let list_damping = own_list.map_or(0.0, |degree| graph.filter_powers().list.of(degree));
        // What the list that asks leads from its items to one of them, without the strength of that one's edge.
        let by_own_list = |item: &HistorySum| item.weight * item.damping;
        let by_all: f32 = history.iter().map(by_own_list).sum();
        let fold_in_item = |item: &HistorySum| {
            // What remains of the item's sum without itself and without the list that asks.
            let by_list = item.weight * list_damping * (by_all - by_own_list(item));
            let others = rest(item.sum, item.own + by_list);
            FoldInItem {
                factor: embeddings.row(item.item).and_then(|row| factor_rows.place(row)),
                with: graph.fitted_score(item.sum, item.degree),
                without: if item.degree > 1 { graph.fitted_score(others, item.degree - 1) } else { 0.0 },
                confidence: item.weight,
            }
        };
        let history: Vec<FoldInItem> = history.iter().map(fold_in_item).collect();
        let factors = factor_rows.factors().fold_in(&history);
        Some(Self { vector: factor_rows.query_vector(&factors, embedding), filter: scores })
    }

    /// The question of a history of items without lists: what items with similar tokens lead to. `None` if there are none.
    fn cold(
        items: &[(NodeIx, f32)],
        questions: &HistoryQuestions<'_>,
        cold: &mut ColdQuestion<'_>,
    ) -> Option<Self> {
        let HistoryQuestions { rows: graph, factor_rows, embeddings, .. } = questions;
        let of_kind = |row: &u32| embeddings.kind(*row) == graph.kind;
        let mut rows: Vec<u32> =
            items.iter().filter_map(|&(item, _)| embeddings.row(item)).filter(of_kind).collect();
        rows.sort_unstable_by_key(|&row| embeddings.ids[row as usize]);
        rows.dedup();
        rows.truncate(MAX_COLD_HISTORY);
        let scores = cold.scores(&rows);
        let mut filter = vec![0.0; embeddings.rows()];
        for &(row, score) in &scores {
            filter[row as usize] = score;
        }
        let vector = factor_rows.query_vector(&[0.0; RANK], None);
        (!scores.is_empty()).then_some(Self { vector, filter })
    }

    /// The best rows, best first.
    ///
    /// Cost: a scan of all rows.
    pub(crate) fn best(
        &self,
        rows: &FactorRows,
        embeddings: &Embeddings,
        request: &RowRequest<'_>,
        excluded: &RowSet,
        cancel: &CancelToken,
    ) -> Result<Vec<Hit>, Error> {
        embeddings.nearest_by(&rows.vectors, &self.vector, Some(&self.filter), request, excluded, cancel)
    }

    /// The question for a part of the score alone.
    pub(crate) fn of_part(mut self, part: ScorePart) -> Self {
        let (of_factors, of_embedding) = self.vector.split_at_mut(RANK);
        if part == ScorePart::Filter {
            of_factors.fill(0.0);
        }
        of_embedding.fill(0.0);
        self
    }

    /// The parts of a row's score.
    pub(crate) fn parts(&self, row: u32, rows: &FactorRows) -> GraphParts {
        rows.parts(row, &self.vector, self.filter[row as usize])
    }
}
