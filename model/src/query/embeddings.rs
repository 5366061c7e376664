//! The embeddings that readers see, and who among them may be an answer.
//! A refresh works on its own copy and hands over the changed rows at the end, in one short step.

use std::collections::HashSet;
use std::sync::Arc;

use hedgerow_storage::{Epoch, Generation, KindIx, NodeIx, Snapshot, StableId, TokenMask};

use crate::config::model_config::ModelConfig;
use crate::linalg::rows::normalize;
use crate::network::encoder::Encoder;
use crate::query::query::Query;
use crate::query::scan::{BLOCK, Hit, RankCount, Scan, ScanRequest};
use crate::state::state::{ABSENT, State};

/// Size: per row D numbers of 5 bytes, and 26 bytes of names and marks.
#[derive(Clone)]
pub(crate) struct Embeddings {
    pub(crate) generation: Generation,
    pub(crate) epoch: Epoch,
    /// What is embedded, and by which walks.
    pub(crate) recipe: ModelConfig,
    /// What computes embeddings; shared with refreshes.
    pub(crate) encoder: Arc<Encoder>,
    pub(crate) nodes: Vec<NodeIx>,
    row_of: Vec<u32>,
    pub(crate) ids: Vec<StableId>,
    kinds: Vec<KindIx>,
    alive: Vec<bool>,
    /// (rows, D).
    pub(crate) vectors: Scan,
    pub(crate) bias: Vec<f32>,
    /// What each counts in a history, see [`ModelConfig::influence`].
    influence: Vec<f32>,
}

impl Embeddings {
    /// What `state` holds, under the names that `snapshot` knows.
    pub(crate) fn of(state: &State, snapshot: &Snapshot, generation: Generation) -> Self {
        Self {
            generation,
            epoch: state.epoch,
            recipe: state.recipe.clone(),
            encoder: Arc::clone(&state.encoder),
            nodes: state.nodes.clone(),
            row_of: state.row_of.clone(),
            ids: state.nodes.iter().map(|&node| snapshot.stable_id(node)).collect(),
            kinds: state.nodes.iter().map(|&node| snapshot.kind(node)).collect(),
            alive: state.alive.clone(),
            vectors: Scan::new(state.vectors.clone()),
            bias: state.bias.clone(),
            influence: (0..state.rows()).map(|row| state.influence(row as u32)).collect(),
        }
    }

    /// Takes over the rows that a refresh changed. Cost: those rows.
    pub(crate) fn take_over(&mut self, state: &State, snapshot: &Snapshot, changed: &[u32]) {
        let new = &state.nodes[self.nodes.len()..];
        for (row, node) in (self.nodes.len() as u32..).zip(new) {
            if self.row_of.len() <= node.index() {
                self.row_of.resize(node.index() + 1, ABSENT);
            }
            self.row_of[node.index()] = row;
        }
        self.nodes.extend_from_slice(new);
        self.ids.extend(new.iter().map(|&node| snapshot.stable_id(node)));
        self.kinds.extend(new.iter().map(|&node| snapshot.kind(node)));
        self.alive.resize(self.nodes.len(), false);
        self.bias.resize(self.nodes.len(), 0.0);
        self.influence.resize(self.nodes.len(), 1.0);
        self.vectors.grow(self.nodes.len());
        for &row in changed {
            let at = row as usize;
            self.vectors.set(at, state.vectors.row(at));
            self.bias[at] = state.bias[at];
            self.alive[at] = state.alive[at];
            self.influence[at] = state.influence(row);
        }
        self.epoch = state.epoch;
    }

    /// Bytes of the copy that readers have.
    pub(crate) fn bytes(&self) -> usize {
        let names = size_of_val(&*self.nodes) + size_of_val(&*self.row_of) + size_of_val(&*self.ids);
        let marks = size_of_val(&*self.kinds) + size_of_val(&*self.alive) + size_of_val(&*self.influence);
        self.vectors.bytes() + size_of_val(&*self.bias) + names + marks
    }

    pub(crate) fn rows(&self) -> usize {
        self.nodes.len()
    }

    /// The embedded kinds.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.recipe.targets().map(str::to_owned).collect()
    }

    /// The row of a node that is embedded.
    pub(crate) fn row(&self, node: NodeIx) -> Option<u32> {
        let row = *self.row_of.get(node.index())?;
        (row != ABSENT && self.is_alive(row)).then_some(row)
    }

    pub(crate) fn is_alive(&self, row: u32) -> bool {
        self.alive[row as usize]
    }

    pub(crate) fn kind(&self, row: u32) -> KindIx {
        self.kinds[row as usize]
    }

    pub(crate) fn vector(&self, row: u32) -> &[f32] {
        self.vectors.row(row as usize)
    }

    /// The unit vector of the sum of the listed rows, each by its influence: what a history asks for. Zeros from no rows.
    pub(crate) fn mean(&self, rows: &[u32]) -> Vec<f32> {
        let mut mean = vec![0.0; self.vectors.dim()];
        for &row in rows {
            for (sum, value) in mean.iter_mut().zip(self.vector(row)) {
                *sum += self.influence[row as usize] * value;
            }
        }
        normalize(&mut mean);
        mean
    }

    /// The living rows that score best for `query`, as many as `options` says, without the excluded ones:
    /// `query . vector + bias`, ties by stable id. Exact, and the same for any number of threads.
    ///
    /// `marks`: of the tokens of the filter, where there is one.
    pub(crate) fn nearest(
        &self,
        query: &[f32],
        options: &Query,
        kind: Option<KindIx>,
        excluded: &HashSet<u32>,
        marks: Option<&TokenMask<'_>>,
    ) -> Vec<Hit> {
        let excluded = Excluded::new(excluded);
        let may = self.may_answer(options, kind, marks);
        let wanted = |first: usize| may(first) & !excluded.word(first);
        self.with_wish(options, &wanted, |wish| self.vectors.nearest(query, wish))
    }

    /// The same for many questions: a query and the rows that are left out for it, ascending.
    pub(crate) fn nearest_each(
        &self,
        questions: &[(&[f32], &[u32])],
        options: &Query,
        kind: KindIx,
        marks: Option<&TokenMask<'_>>,
    ) -> Vec<Vec<Hit>> {
        let queries: Vec<&[f32]> = questions.iter().map(|(query, _)| *query).collect();
        let left_out = |question: usize, row: u32| questions[question].1.binary_search(&row).is_ok();
        let may = self.may_answer(options, Some(kind), marks);
        self.with_wish(options, &may, |wish| self.vectors.nearest_each(&queries, wish, &left_out))
    }

    /// For each question how many rows score higher than a row, and how many the same, among the living ones of a kind that are neither
    /// the row itself nor the one that asks: the query's row and the row to find. Scores are those of [`Embeddings::nearest`].
    pub(crate) fn above(&self, questions: &[(u32, u32)], kind: KindIx) -> Vec<RankCount> {
        let score = |query: u32, row: u32| {
            self.vectors.score(self.vector(query), row as usize) + self.bias[row as usize]
        };
        let wanted: Vec<f32> = questions.iter().map(|&(query, row)| score(query, row)).collect();
        let asked = questions.iter().zip(&wanted);
        let asked: Vec<(&[f32], f32)> =
            asked.map(|(&(query, _), &wanted)| (self.vector(query), wanted)).collect();
        let options = Query::default();
        let may = self.may_answer(&options, Some(kind), None);
        let mut counted = self.vectors.above(&asked, &self.bias, &may);
        for ((counted, &(query, row)), &wanted) in counted.iter_mut().zip(questions).zip(&wanted) {
            let own = [query, row];
            for &row in &own[usize::from(query == row)..] {
                if self.is_alive(row) && self.kind(row) == kind {
                    counted.higher -= u64::from(score(query, row) > wanted);
                    counted.equal -= u64::from(score(query, row) == wanted);
                }
            }
        }
        counted
    }

    /// A bit for each row of a block that may be an answer.
    fn may_answer<'a>(
        &'a self,
        options: &'a Query,
        kind: Option<KindIx>,
        marks: Option<&'a TokenMask<'a>>,
    ) -> impl Fn(usize) -> u64 + Sync + 'a {
        let filter = options.filter.as_ref().zip(marks);
        let may = move |row: usize| {
            self.alive[row]
                && kind.is_none_or(|kind| self.kinds[row] == kind)
                && filter.is_none_or(|(filter, marks)| filter.admits(marks.of(self.nodes[row])))
        };
        move |first| {
            let rows = first..(first + BLOCK).min(self.rows());
            rows.enumerate().fold(0, |word, (at, row)| word | u64::from(may(row)) << at)
        }
    }

    fn with_wish<T>(
        &self,
        options: &Query,
        wanted: &(dyn Fn(usize) -> u64 + Sync),
        find: impl FnOnce(&ScanRequest<'_>) -> T,
    ) -> T {
        let order = |row: u32| self.ids[row as usize].get();
        let bias = (!options.cosine).then_some(&self.bias[..]);
        find(&ScanRequest { k: options.k, bias, wanted, order: &order })
    }
}

/// Rows that are left out, ascending.
struct Excluded(Vec<u32>);

impl Excluded {
    fn new(rows: &HashSet<u32>) -> Self {
        let mut rows: Vec<u32> = rows.iter().copied().collect();
        rows.sort_unstable();
        Self(rows)
    }

    /// A bit for each of them among the rows of a block.
    fn word(&self, first: usize) -> u64 {
        let from = self.0.partition_point(|&row| (row as usize) < first);
        let here = self.0[from..].iter().map(|&row| row as usize - first);
        here.take_while(|&at| at < BLOCK).fold(0, |word, at| word | 1 << at)
    }
}

#[cfg(test)]
impl Embeddings {
    /// Living nodes of one kind, numbered as their rows, with stable ids that fall as the numbers rise.
    pub(crate) fn example(vectors: &ndarray::Array2<f32>, bias: Vec<f32>) -> Self {
        let rows = bias.len() as u32;
        Self {
            generation: Generation::new(1),
            epoch: Epoch::new(1),
            recipe: ModelConfig::example(),
            encoder: Arc::new(Encoder::empty(&ModelConfig::example())),
            nodes: (0..rows).map(NodeIx::new).collect(),
            row_of: (0..rows).collect(),
            ids: (0..rows).map(|row| StableId::new(1_000_000 - u64::from(row))).collect(),
            kinds: vec![KindIx::new(0); rows as usize],
            alive: vec![true; rows as usize],
            vectors: vectors
                .as_slice()
                .and_then(|values| {
                    crate::linalg::huge_matrix::HugeMatrix::from_values(
                        rows as usize,
                        vectors.ncols(),
                        values,
                    )
                })
                .map(Scan::new)
                .expect("a row for each bias, in standard layout"),
            bias,
            influence: vec![1.0; rows as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Embeddings;
    use crate::query::query::Query;
    use hedgerow_storage::KindIx;
    use ndarray::array;
    use std::collections::HashSet;

    /// Rows 1 and 2 score the same; row 2 has the smaller stable id.
    #[test]
    fn the_nearest_come_by_score_then_by_stable_id() {
        let vectors = array![[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.6, 0.8]];
        let embeddings = Embeddings::example(&vectors, vec![0.0, 0.5, 0.5, 0.0]);
        let ranked = |options: &Query, excluded: &[u32]| {
            let excluded: HashSet<u32> = excluded.iter().copied().collect();
            let hits = embeddings.nearest(&[1.0, 0.0], options, None, &excluded, None);
            hits.into_iter().map(|(row, _)| row).collect::<Vec<_>>()
        };
        let rows = |k: usize, excluded: &[u32]| ranked(&Query { k, ..Query::default() }, excluded);
        assert_eq!(rows(10, &[]), [0, 3, 2, 1]);
        assert_eq!(rows(3, &[0]), [3, 2, 1]);
        assert_eq!(rows(2, &[3]), [0, 2]);
        assert!(rows(0, &[]).is_empty());
        let cosine = Query { k: 2, cosine: true, ..Query::default() };
        assert_eq!(ranked(&cosine, &[0]), [3, 2]);
    }

    /// A fan: the larger the number, the farther from node 0. With a bias node 4 ties with node 3, which is third of four.
    #[test]
    fn ranks_count_half_of_the_ties_and_not_the_one_that_asks() {
        let vectors = array![[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]];
        let embeddings = Embeddings::example(&vectors, vec![0.0, 0.0, 0.0, 0.0, 1.0]);
        let found = embeddings.above(&[(0, 1), (0, 3), (3, 0), (2, 2)], KindIx::new(0));
        assert_eq!(found.iter().map(|above| above.rank()).collect::<Vec<_>>(), [1.0, 3.5, 4.0, 1.0]);
    }
}
