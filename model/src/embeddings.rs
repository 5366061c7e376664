//! The embeddings that readers see, and the scan over them.
//! A refresh works on its own copy and hands over the changed rows at the end, in one short step.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use hedgerow_storage::{Epoch, Generation, KindIx, NodeIx, Snapshot, StableId};
use rayon::prelude::*;

use crate::ask::Query;
use crate::encoder::Encoder;
use crate::recipe::Recipe;
use crate::rows::{dot, normalize};
use crate::state::{ABSENT, State};
use crate::tall::Tall;

/// Rows that one task scans.
const ROWS_PER_TASK: usize = 4096;

/// Size: per row D + 1 numbers of 4 bytes and 14 bytes of names and marks.
#[derive(Clone)]
pub(crate) struct Embeddings {
    pub(crate) generation: Generation,
    pub(crate) epoch: Epoch,
    /// What is embedded, and by which walks.
    pub(crate) recipe: Recipe,
    /// What computes embeddings; shared with refreshes.
    pub(crate) encoder: Arc<Encoder>,
    pub(crate) nodes: Vec<NodeIx>,
    row_of: Vec<u32>,
    pub(crate) ids: Vec<StableId>,
    kinds: Vec<KindIx>,
    alive: Vec<bool>,
    /// (rows, D).
    pub(crate) vectors: Tall,
    pub(crate) bias: Vec<f32>,
    /// What each counts in a history, see [`Recipe::influence`].
    influence: Vec<f32>,
}

/// A row and its score.
pub(crate) type Hit = (u32, f32);

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
            vectors: state.vectors.clone(),
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
            self.vectors.row_mut(at).copy_from_slice(state.vectors.row(at));
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
        let mut mean = vec![0.0; self.vectors.width()];
        for &row in rows {
            for (sum, value) in mean.iter_mut().zip(self.vector(row)) {
                *sum += self.influence[row as usize] * value;
            }
        }
        normalize(&mut mean);
        mean
    }

    /// The living rows that score best for `query`, as many as `options` says, without the excluded ones:
    /// `query . vector + bias`, ties by stable id. Exact: every row is scored. Parallel, the same for any number of threads.
    ///
    /// In a task of rayon's it stays on its thread. A thread that waits for its part of a scan takes up other tasks, with the
    /// lock of what is shown in its hands: where one of them asks too while a refresh waits for that lock, it would wait for
    /// itself.
    pub(crate) fn nearest(
        &self,
        query: &[f32],
        options: &Query,
        kind: Option<KindIx>,
        excluded: &HashSet<u32>,
    ) -> Vec<Hit> {
        let rows: Vec<u32> = (0..self.rows() as u32).collect();
        let scan = |rows: &[u32]| {
            let wanted = |row: &u32| {
                self.is_alive(*row)
                    && kind.is_none_or(|kind| self.kind(*row) == kind)
                    && !excluded.contains(row)
            };
            let bias = |row: u32| if options.cosine { 0.0 } else { self.bias[row as usize] };
            let score = |row| (row, dot(query, self.vector(row)) + bias(row));
            let mut hits: Vec<Hit> = rows.iter().copied().filter(wanted).map(score).collect();
            self.keep_best(&mut hits, options.k);
            hits
        };
        let mut best: Vec<Hit> = if rayon::current_thread_index().is_some() {
            rows.chunks(ROWS_PER_TASK).flat_map(scan).collect()
        } else {
            rows.par_chunks(ROWS_PER_TASK).flat_map_iter(scan).collect()
        };
        self.keep_best(&mut best, options.k);
        best
    }

    /// Keeps the best `k` in order.
    pub(crate) fn keep_best(&self, hits: &mut Vec<Hit>, k: usize) {
        let order = |a: &Hit, b: &Hit| self.order(*a, *b);
        if k < hits.len() {
            if k > 0 {
                hits.select_nth_unstable_by(k - 1, order);
            }
            hits.truncate(k);
        }
        hits.sort_unstable_by(order);
    }

    fn order(&self, a: Hit, b: Hit) -> Ordering {
        let id = |hit: Hit| self.ids[hit.0 as usize];
        b.1.total_cmp(&a.1).then_with(|| id(a).cmp(&id(b)))
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
            recipe: Recipe::example(),
            encoder: Arc::new(Encoder::empty(&Recipe::example())),
            nodes: (0..rows).map(NodeIx::new).collect(),
            row_of: (0..rows).collect(),
            ids: (0..rows).map(|row| StableId::new(1_000_000 - u64::from(row))).collect(),
            kinds: vec![KindIx::new(0); rows as usize],
            alive: vec![true; rows as usize],
            vectors: vectors
                .as_slice()
                .and_then(|values| Tall::from_values(rows as usize, vectors.ncols(), values))
                .expect("a row for each bias, in standard layout"),
            bias,
            influence: vec![1.0; rows as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Embeddings;
    use crate::ask::Query;
    use ndarray::array;
    use std::collections::HashSet;

    /// Rows 1 and 2 score the same; row 2 has the smaller stable id.
    #[test]
    fn the_nearest_come_by_score_then_by_stable_id() {
        let vectors = array![[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.6, 0.8]];
        let embeddings = Embeddings::example(&vectors, vec![0.0, 0.5, 0.5, 0.0]);
        let ranked = |options: &Query, excluded: &[u32]| {
            let excluded: HashSet<u32> = excluded.iter().copied().collect();
            let hits = embeddings.nearest(&[1.0, 0.0], options, None, &excluded);
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
}
