//! The lists whose members belong together: positives are drawn from them. Owns which there are, how often each is drawn, and
//! in which part it is; knows nothing of examples.

use hedgerow_storage::{NodeIx, RelationIx, Snapshot, StableId};
use rand::RngExt;
use rand::rngs::StdRng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::state::state::State;

/// What a list counts where one neighbour asks for another: as many walks come through it as it has edges.
const SINGLE_POWER: f64 = 1.0;

/// What a list counts where a history asks: users with long ones count more, but not as much more as they have edges.
const HISTORY_POWER: f64 = 0.5;

/// Parts of the lists where one neighbour asks for another. Such examples are learned from neighbourhoods that know
/// nothing of their part's lists, as `similar` is asked about lists that nobody has made yet. A history asks within the
/// graph that its list is in, as `recommend` does.
pub(crate) const FOLDS: usize = 4;

/// Below so many lists there are no parts: without a fourth of so few not much would be left.
const MIN_LISTS: usize = 100;

/// Every list through which two embedded nodes hang together, in the order of the relations' names and the nodes' stable
/// ids; all of them, and by part. Eight bytes a list, and twice twenty for drawing it.
pub(crate) struct NeighborLists {
    /// By list, its relation and the node whose it is.
    owners: Vec<(RelationIx, NodeIx)>,
    all: Fold,
    folds: Vec<Fold>,
    seed: u64,
}

/// Some of the lists, and the sums of their weights up to and with each.
#[derive(Default)]
struct Fold {
    lists: Vec<u32>,
    single: Vec<f64>,
    history: Vec<f64>,
}

impl Fold {
    fn add(&mut self, list: u32, degree: f64) {
        self.lists.push(list);
        for (sums, power) in [(&mut self.single, SINGLE_POWER), (&mut self.history, HISTORY_POWER)] {
            sums.push(sums.last().copied().unwrap_or(0.0) + degree.powf(power));
        }
    }

    /// `None` of an empty part.
    fn draw(&self, single: bool, rng: &mut StdRng) -> Option<usize> {
        let sums = if single { &self.single } else { &self.history };
        let at = rng.random_range(0.0..*sums.last()?);
        let found = sums.partition_point(|&up_to| up_to <= at).min(sums.len() - 1);
        Some(self.lists[found] as usize)
    }
}

impl NeighborLists {
    pub(crate) fn new(seed: u64, snapshot: &Snapshot, state: &State) -> Self {
        let mut relations: Vec<RelationIx> =
            (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16)).collect();
        relations.sort_by_key(|&relation| snapshot.relation_name(relation).to_owned());
        let mut owners = Vec::new();
        for relation in relations {
            let mut of_relation: Vec<NodeIx> = (0..snapshot.bound())
                .map(NodeIx::new)
                .filter(|&node| {
                    let neighbors = snapshot.list(relation, node).neighbors();
                    neighbors.filter(|&to| state.row(to).is_some()).nth(1).is_some()
                })
                .collect();
            of_relation.sort_by_key(|&node| snapshot.stable_id(node));
            owners.extend(of_relation.into_iter().map(|node| (relation, node)));
        }
        let mut all = Fold::default();
        let mut folds: Vec<Fold> = (0..FOLDS).map(|_| Fold::default()).collect();
        for (list, &(relation, node)) in (0..).zip(&owners) {
            let degree = snapshot.list(relation, node).degree() as f64;
            all.add(list, degree);
            folds[fold_of(snapshot.stable_id(node), seed)].add(list, degree);
        }
        if owners.len() < MIN_LISTS || folds.iter().any(|fold| fold.lists.is_empty()) {
            folds.clear();
        }
        Self { owners, all, folds, seed }
    }

    pub(crate) fn len(&self) -> usize {
        self.owners.len()
    }

    /// How many parts there are; none of few lists.
    pub(crate) fn folds(&self) -> usize {
        self.folds.len()
    }

    /// A list's relation and the node whose it is.
    pub(crate) fn get(&self, list: usize) -> (RelationIx, NodeIx) {
        self.owners[list]
    }

    /// A list of a part, or of all.
    pub(crate) fn draw(&self, fold: Option<usize>, single: bool, rng: &mut StdRng) -> Option<usize> {
        fold.map_or(&self.all, |fold| &self.folds[fold]).draw(single, rng)
    }

    /// Whether a list is of that part. Of all where there are no parts.
    pub(crate) fn is_in_fold(&self, fold: usize, list: usize, snapshot: &Snapshot) -> bool {
        self.folds.is_empty() || fold_of(snapshot.stable_id(self.owners[list].1), self.seed) == fold
    }

    /// By node, whether its list is of that part.
    pub(crate) fn excluded_nodes(&self, fold: usize, snapshot: &Snapshot) -> Vec<bool> {
        let mut excluded = vec![false; snapshot.bound() as usize];
        for &list in &self.folds[fold].lists {
            excluded[self.owners[list as usize].1.index()] = true;
        }
        excluded
    }
}

/// The part that a list is of, whatever else there is.
fn fold_of(id: StableId, seed: u64) -> usize {
    (xxh3_64_with_seed(&id.get().to_le_bytes(), seed ^ 0x7061_7274) % FOLDS as u64) as usize
}
