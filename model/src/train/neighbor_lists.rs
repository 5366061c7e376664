//! Neighbor lists as a source of positives: the members of a list are related. Owns the set of lists, their weights
//! and their folds. Knows nothing of examples.

use hedgerow_storage::{NodeIx, RelationIx, Snapshot, StableId};
use rand::RngExt;
use rand::rngs::StdRng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::state::layer_rows::State;

/// The exponent of a list's length in its weight, if the query is one neighbor: a list counts in proportion to its
/// edges.
const SINGLE_POWER: f64 = 1.0;

/// The same exponent if the query is a history: long histories count more than short ones, but less than in
/// proportion.
const HISTORY_POWER: f64 = 0.5;

/// The number of folds, for examples whose query is one neighbor. They are learned from neighborhoods without the
/// lists of their fold, because `similar` answers about lists that do not exist yet. A history is learned in the
/// whole graph, because `recommend` reads it there.
pub(crate) const FOLDS: usize = 4;

/// The number of lists below which there are no folds: without a fourth of them too little would be left.
const MIN_LISTS: usize = 100;

/// All lists with two or more embedded members, in the order of relation names and stable ids. Size: 52 bytes a list.
pub(crate) struct NeighborLists {
    /// The relation and the node of each list.
    owners: Vec<(RelationIx, NodeIx)>,
    /// The weight of each list's relation.
    weights: Vec<f32>,
    all: Fold,
    folds: Vec<Fold>,
    seed: u64,
}

/// A set of lists with cumulative weights.
#[derive(Default)]
struct Fold {
    lists: Vec<u32>,
    single: Vec<f64>,
    history: Vec<f64>,
}

impl Fold {
    fn add(&mut self, list: u32, degree: f64, weight: f32) {
        self.lists.push(list);
        for (sums, power) in [(&mut self.single, SINGLE_POWER), (&mut self.history, HISTORY_POWER)] {
            let weight = f64::from(weight) * degree.powf(power);
            sums.push(sums.last().copied().unwrap_or(0.0) + weight);
        }
    }

    /// `None` if the set is empty.
    fn draw(&self, single: bool, rng: &mut StdRng) -> Option<usize> {
        let sums = if single { &self.single } else { &self.history };
        let at = rng.random_range(0.0..*sums.last()?);
        let found = sums.partition_point(|&up_to| up_to <= at).min(sums.len() - 1);
        Some(self.lists[found] as usize)
    }
}

impl NeighborLists {
    pub(crate) fn new(seed: u64, snapshot: &Snapshot, state: &State) -> Self {
        let (mut owners, mut weights) = (Vec::new(), Vec::new());
        for (relation, weight) in state.config.counted(snapshot).iter() {
            let mut of_relation: Vec<NodeIx> = (0..snapshot.bound())
                .map(NodeIx::new)
                .filter(|&node| {
                    let neighbors = snapshot.list(relation, node).neighbors();
                    neighbors.filter(|&to| state.row(to).is_some()).nth(1).is_some()
                })
                .collect();
            of_relation.sort_by_key(|&node| snapshot.stable_id(node));
            owners.extend(of_relation.into_iter().map(|node| (relation, node)));
            weights.resize(owners.len(), weight);
        }
        let mut all = Fold::default();
        let mut folds: Vec<Fold> = (0..FOLDS).map(|_| Fold::default()).collect();
        for (list, (&(relation, node), &weight)) in (0..).zip(owners.iter().zip(&weights)) {
            let degree = snapshot.list(relation, node).degree() as f64;
            all.add(list, degree, weight);
            folds[fold_of(snapshot.stable_id(node), seed)].add(list, degree, weight);
        }
        if owners.len() < MIN_LISTS || folds.iter().any(|fold| fold.lists.is_empty()) {
            folds.clear();
        }
        Self { owners, weights, all, folds, seed }
    }

    pub(crate) fn len(&self) -> usize {
        self.owners.len()
    }

    /// The number of folds; 0 if there are few lists.
    pub(crate) fn folds(&self) -> usize {
        self.folds.len()
    }

    /// The relation and the node of a list.
    pub(crate) fn get(&self, list: usize) -> (RelationIx, NodeIx) {
        self.owners[list]
    }

    /// The weight of a list's relation: lists are drawn in proportion to it.
    pub(crate) fn weight(&self, list: usize) -> f32 {
        self.weights[list]
    }

    /// Draws a list of a fold, or of all.
    pub(crate) fn draw(&self, fold: Option<usize>, single: bool, rng: &mut StdRng) -> Option<usize> {
        fold.map_or(&self.all, |fold| &self.folds[fold]).draw(single, rng)
    }

    /// True if the list is in the fold, or if there are no folds.
    pub(crate) fn is_in_fold(&self, fold: usize, list: usize, snapshot: &Snapshot) -> bool {
        self.folds.is_empty() || fold_of(snapshot.stable_id(self.owners[list].1), self.seed) == fold
    }

    /// For each node, true if it has a list in the fold.
    pub(crate) fn excluded_nodes(&self, fold: usize, snapshot: &Snapshot) -> Vec<bool> {
        let mut excluded = vec![false; snapshot.bound() as usize];
        for &list in &self.folds[fold].lists {
            excluded[self.owners[list as usize].1.index()] = true;
        }
        excluded
    }
}

/// The fold of a node's lists, which depends on the node and the seed alone.
fn fold_of(id: StableId, seed: u64) -> usize {
    (xxh3_64_with_seed(&id.get().to_le_bytes(), seed ^ 0x7061_7274) % FOLDS as u64) as usize
}
