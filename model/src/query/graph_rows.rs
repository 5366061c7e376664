//! The items of a kind with factors, as answers read them: scaled factors to scan, the powers of the graph filter, and tokens.
//! Must not know histories and questions.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use hedgerow_storage::{KindIx, NodeIx, Snapshot, StableId};
use hedgerow_walker::{DegreePowers, FilterPowers, GraphFilter, ListRelations, Policy, RelatedPowers};

use crate::cold_items::cold_scores::ColdPowers;
use crate::cold_items::token_index::TokenIndex;
use crate::config::degree;
use crate::config::error::Error;
use crate::config::graph_constants::GraphConstants;
use crate::config::model_config::ModelConfig;
use crate::factors::item_factors::ItemFactors;
use crate::factors::model_factors::ModelFactors;
use crate::linalg::normal_equations::{Factor, RANK};
use crate::linalg::rounded_rows::RoundedRows;
use crate::linalg::rows::dot;
use crate::query::embeddings::Embeddings;
use crate::query::scan::Scan;
use crate::state::layer_rows::ABSENT;

/// The graph's part in answers about one kind. Rows of factors and the tokens' index are made by the first answer that reads them.
///
/// Size: see [`FactorRows`], and the tokens' index.
#[derive(Clone)]
pub(crate) struct GraphRows {
    pub(crate) kind: KindIx,
    policy: Policy,
    constants: GraphConstants,
    factors: ModelFactors,
    /// The place of the kind among the factors.
    at: usize,
    powers: Arc<GraphPowers>,
    factor_rows: OnceLock<FactorRows>,
    cold: Option<ColdRows>,
}

/// The factors of the rows of a kind, for recommendations.
///
/// Size: a byte for each of the [`RANK`] numbers of every row of the embeddings, and for each of its D numbers if embeddings have a
/// weight; 8 bytes a row.
#[derive(Clone)]
pub(crate) struct FactorRows {
    factors: Arc<[ItemFactors]>,
    /// The place of the kind among the factors.
    at: usize,
    powers: Arc<GraphPowers>,
    /// For each row of the embeddings the place of its factors, or [`ABSENT`].
    place_of: Vec<u32>,
    /// For each row of the embeddings `d^-e z`, with the degree level of the embeddings' epoch, or zeros without factors. If embeddings
    /// have a weight, the embedding times this weight follows.
    pub(crate) vectors: Scan,
}

/// The tokens of all rows of the kind, for questions about items without lists.
#[derive(Clone)]
pub(crate) struct ColdRows {
    kind: KindIx,
    pub(crate) powers: Arc<ColdPowers>,
    /// The graph of the embeddings' epoch, until the index is made.
    snapshot: Option<Snapshot>,
    index: OnceLock<Arc<TokenIndex>>,
}

/// The parts of a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GraphParts {
    pub(crate) filter: f32,
    pub(crate) factors: f32,
    pub(crate) embeddings: f32,
}

/// The origin of the filter's part of a score, without the rows.
pub(crate) struct FilterSource {
    policy: Policy,
    powers: Arc<GraphPowers>,
}

impl FilterSource {
    /// The item of a history, given with strengths, that most of an answer's sum comes from, and its share; ties by stable id. `None` if two hops do not
    /// join any to the answer. Cost: two hops from the answer.
    pub(crate) fn largest_share(
        &self,
        history: &[(NodeIx, f32)],
        answer: NodeIx,
        snapshot: &Snapshot,
    ) -> Option<(NodeIx, f32)> {
        let relations = ListRelations::new(snapshot, &self.policy)?;
        let filter = &self.powers.filter;
        // G is symmetric, so two hops from the answer reach each item with the sum that the item gives to the answer.
        let from_answer = GraphFilter::new(snapshot, &relations, filter).sums(&[answer]);
        let history: HashMap<NodeIx, f32> = history.iter().copied().collect();
        let given = |&(item, sum): &(NodeIx, f32)| {
            let degree = relations.degree(snapshot, item);
            history.get(&item).map(|strength| (item, strength * sum * filter.history.of(degree)))
        };
        let given: Vec<(NodeIx, f32)> = from_answer.items.iter().filter_map(given).collect();
        let total: f32 = given.iter().map(|(_, sum)| sum).sum();
        let id = |item: NodeIx| snapshot.stable_id(item);
        let largest =
            given.into_iter().max_by(|a, b| a.1.total_cmp(&b.1).then_with(|| id(b.0).cmp(&id(a.0))));
        largest.map(|(item, sum)| (item, sum / total))
    }
}

/// Degrees to the fitted powers.
struct GraphPowers {
    filter: FilterPowers,
    related: RelatedPowers,
    /// `d^-(c + e)`.
    item: DegreePowers,
    /// `(d - 1)^-c` at d - 1, for items of a history.
    history_item: DegreePowers,
    /// `d^-e`, by degree level.
    level: Vec<f32>,
}

impl GraphRows {
    /// The kinds that have factors, without what answers make.
    pub(crate) fn of(config: &ModelConfig, factors: &ModelFactors, snapshot: &Snapshot) -> Vec<Self> {
        let each = config.graph.iter().enumerate();
        each.filter_map(|(at, constants)| {
            let kind = snapshot.kind_ix(&constants.kind)?;
            let policy = config.policies.iter().find(|policy| policy.kind == constants.kind)?.clone();
            let lowest = (0..degree::levels()).map(degree::lowest);
            let level = DegreePowers::new(constants.degree);
            let powers = GraphPowers {
                filter: constants.powers(),
                related: constants.related.powers(),
                item: DegreePowers::new(constants.exponents.item + constants.degree),
                history_item: DegreePowers::new(constants.exponents.item),
                level: lowest.map(|lowest| level.of(usize::try_from(lowest).unwrap_or(usize::MAX))).collect(),
            };
            Some(Self {
                kind,
                policy,
                constants: constants.clone(),
                factors: factors.clone(),
                at,
                powers: Arc::new(powers),
                factor_rows: OnceLock::new(),
                cold: constants.cold.map(|constants| ColdRows {
                    kind,
                    powers: Arc::new(ColdPowers::new(constants)),
                    snapshot: Some(snapshot.clone()),
                    index: OnceLock::new(),
                }),
            })
        })
        .collect()
    }

    /// Makes everything that answers read.
    ///
    /// # Errors
    /// Damage of the factors.
    pub(crate) fn prepare(&mut self, embeddings: &Embeddings) -> Result<(), Error> {
        self.factor_rows(embeddings)?;
        if let Some(cold) = &mut self.cold {
            cold.tokens(embeddings);
            cold.snapshot = None;
        }
        Ok(())
    }

    /// Takes over rows that a refresh changed in the embeddings, and new ones.
    pub(crate) fn copy_changed(&mut self, embeddings: &Embeddings, snapshot: &Snapshot, changed: &[u32]) {
        if let Some(rows) = self.factor_rows.get_mut() {
            rows.copy_changed(embeddings, changed);
        }
        if let Some(cold) = &mut self.cold {
            cold.copy_changed(embeddings, snapshot, changed);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let rows = self.factor_rows.get().map_or(0, FactorRows::bytes);
        let index = self.cold.as_ref().and_then(|cold| cold.index.get());
        rows + index.map_or(0, |index| index.bytes())
    }

    /// The tokens of all rows, for items without lists. `None` if the kind has no constants for such items.
    pub(crate) fn cold(&self) -> Option<&ColdRows> {
        self.cold.as_ref()
    }

    /// The factors of the rows. Cost: the first time all rows.
    ///
    /// # Errors
    /// Damage of the factors.
    pub(crate) fn factor_rows(&self, embeddings: &Embeddings) -> Result<&FactorRows, Error> {
        if let Some(rows) = self.factor_rows.get() {
            return Ok(rows);
        }
        // Two threads may make them. Neither waits for the other, which may be waiting for a task of this one.
        let rows = FactorRows::new(self.factors.get()?, self.at, &self.powers, embeddings);
        Ok(self.factor_rows.get_or_init(|| rows))
    }

    pub(crate) fn filter_powers(&self) -> &FilterPowers {
        &self.powers.filter
    }

    pub(crate) fn related_powers(&self) -> &RelatedPowers {
        &self.powers.related
    }

    /// The origin of the filter's part of a score.
    pub(crate) fn source(&self) -> FilterSource {
        FilterSource { policy: self.policy.clone(), powers: Arc::clone(&self.powers) }
    }

    /// The relations to lists. `None` if the graph lost them.
    pub(crate) fn relations(&self, snapshot: &Snapshot) -> Option<ListRelations> {
        ListRelations::new(snapshot, &self.policy)
    }

    /// `d_j^-(c + e)`.
    pub(crate) fn filter_power(&self, degree: usize) -> f32 {
        self.powers.item.of(degree)
    }

    /// The filter's part of a score: `scale d_j^-(c + e) F`, from the power of the degree.
    pub(crate) fn filter_score(&self, sum: f32, power: f32) -> f32 {
        self.constants.scale * sum * power
    }

    /// The filter's score of an item of this degree in the loss of the factors: `scale d_j^-c F`.
    pub(crate) fn fitted_score(&self, sum: f32, degree: usize) -> f32 {
        self.constants.scale * sum * self.powers.history_item.of(degree)
    }
}

impl FactorRows {
    fn new(
        factors: Arc<[ItemFactors]>,
        at: usize,
        powers: &Arc<GraphPowers>,
        embeddings: &Embeddings,
    ) -> Self {
        let weight = factors[at].constants.embeddings;
        let dim = if weight > 0.0 { RANK + embeddings.vectors.dim() } else { RANK };
        let (place_of, vectors) = (Vec::new(), Scan::default());
        let mut rows = Self { factors, at, powers: Arc::clone(powers), place_of, vectors };
        rows.place_of = rows.places(&embeddings.ids);
        rows.vectors = Scan::new(RoundedRows::filled(embeddings.rows(), dim, |row, numbers| {
            rows.write_vector(embeddings, row, numbers);
        }));
        rows
    }

    fn copy_changed(&mut self, embeddings: &Embeddings, changed: &[u32]) {
        let new = &embeddings.ids[self.place_of.len()..];
        self.place_of.extend(self.places(new));
        self.vectors.grow(self.place_of.len());
        let mut vector = vec![0.0; self.vectors.dim()];
        for &row in changed {
            self.write_vector(embeddings, row as usize, &mut vector);
            self.vectors.set_later(row, &vector);
        }
        self.vectors.apply_changes();
    }

    fn bytes(&self) -> usize {
        self.vectors.bytes() + size_of_val(&*self.place_of)
    }

    pub(crate) fn factors(&self) -> &ItemFactors {
        &self.factors[self.at]
    }

    /// The place of a row's factors.
    pub(crate) fn place(&self, row: u32) -> Option<u32> {
        let place = self.place_of[row as usize];
        (place != ABSENT).then_some(place)
    }

    fn places(&self, ids: &[StableId]) -> Vec<u32> {
        let factors = self.factors();
        ids.iter().map(|id| factors.place(id.get()).unwrap_or(ABSENT)).collect()
    }

    fn write_vector(&self, embeddings: &Embeddings, row: usize, vector: &mut [f32]) {
        let (of_factors, of_embedding) = vector.split_at_mut(RANK);
        let by = self.powers.level[embeddings.levels[row] as usize];
        match self.place(row as u32) {
            Some(place) => {
                let z = &self.factors().z[place as usize];
                of_factors.iter_mut().zip(z).for_each(|(to, value)| *to = by * value);
            }
            None => of_factors.fill(0.0),
        }
        if !of_embedding.is_empty() {
            let weight = self.factors().constants.embeddings;
            let embedding = embeddings.vectors.row(row);
            of_embedding.iter_mut().zip(embedding.numbers()).for_each(|(to, value)| *to = weight * value);
        }
    }

    /// The query vector of a history for [`FactorRows::vectors`]: its factors, and its unit vector if embeddings have a weight.
    pub(crate) fn query_vector(&self, factors: &Factor, embedding: Option<&[f32]>) -> Vec<f32> {
        let mut query = vec![0.0; self.vectors.dim()];
        let (of_factors, of_embedding) = query.split_at_mut(RANK);
        of_factors.copy_from_slice(factors);
        if let Some(embedding) = embedding {
            of_embedding.iter_mut().zip(embedding).for_each(|(to, value)| *to = *value);
        }
        query
    }

    /// The parts of a row's score for a query vector, and the filter's part.
    pub(crate) fn parts(&self, row: u32, query: &[f32], filter: f32) -> GraphParts {
        let vector = self.vectors.numbers(row as usize);
        let query = self.vectors.query(query).numbers();
        let (of_factors, of_embedding) = vector.split_at(RANK);
        GraphParts {
            filter,
            factors: dot(&query[..RANK], of_factors),
            embeddings: dot(&query[RANK..vector.len()], of_embedding),
        }
    }
}

impl ColdRows {
    /// The index of the tokens of all rows. Cost: the first time all tokens.
    pub(crate) fn tokens(&self, embeddings: &Embeddings) -> &TokenIndex {
        if self.index.get().is_none() {
            let mut index = TokenIndex::default();
            if let Some(snapshot) = &self.snapshot {
                self.set_tokens(&mut index, embeddings, snapshot, 0..embeddings.rows() as u32);
            }
            self.index.get_or_init(|| Arc::new(index));
        }
        self.index.get().expect("it was made above")
    }

    fn copy_changed(&mut self, embeddings: &Embeddings, snapshot: &Snapshot, changed: &[u32]) {
        match self.index.take() {
            None => self.snapshot = Some(snapshot.clone()),
            Some(mut index) => {
                let changed = changed.iter().copied();
                self.set_tokens(Arc::make_mut(&mut index), embeddings, snapshot, changed);
                (self.snapshot, self.index) = (None, OnceLock::from(index));
            }
        }
    }

    /// Writes the tokens of some rows. A removed node has none.
    fn set_tokens(
        &self,
        index: &mut TokenIndex,
        embeddings: &Embeddings,
        snapshot: &Snapshot,
        rows: impl Iterator<Item = u32>,
    ) {
        for row in rows.filter(|&row| embeddings.kind(row) == self.kind) {
            let node = embeddings.nodes[row as usize];
            let tokens = if embeddings.is_alive(row) { snapshot.tokens(node) } else { Vec::new() };
            index.set(row, &tokens);
        }
    }
}
