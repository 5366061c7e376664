//! Walk policies: the relations that the walks from nodes of a kind follow.
//! Owns the lookup of the names in a snapshot; it draws nothing.

use hedgerow_storage::{KindIx, RelationIx, Snapshot};

use crate::error::Error;
use crate::policies::relation_weights::RelationWeights;

/// The most relations of a path.
pub(crate) const MAX_PATH: usize = 64;
/// The most paths: a store has as many relations.
const MAX_PATHS: usize = 65_535;
/// Walk numbers after which the order of weighted paths begins again: weights count to a part in so many.
const ORDER: usize = 4096;

/// The walk policy of a kind: a list of paths, each a cycle of relations that a walk repeats.
///
/// At the end of every cycle the walk visits the node it stands on. Walk number w follows path `w mod paths`. With weights, as many
/// of the first walks follow a path as its share of the weights says, for any number of walks. For pins on boards the only path is
/// `board-pin, board-pin`: a walk goes to a board and back to a pin.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The name of the kind that walks start from and whose visits count.
    pub kind: String,
    /// The names of the relations, by path.
    pub paths: Vec<Vec<String>>,
    /// The weight of each path, above 0. Empty if all paths have the same.
    pub weights: Vec<f32>,
    /// The moment as of which weights that fade count in sums, in microseconds since 1970. Walks need none, since they read proportions.
    pub moment: i64,
}

impl Policy {
    /// A path for every relation of `kind`, in the order of the relations' names.
    ///
    /// A path goes through its relation and back. In a relation between nodes of one kind it takes single hops.
    /// Relations without edges and relations of dislikes have no path.
    pub fn default_for(snapshot: &Snapshot, kind: KindIx) -> Self {
        let mut paths = Vec::new();
        for relation in (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16)) {
            // A relation that lost its edges has no path, so that equal graphs have equal policies.
            if snapshot.edge_count(relation) == 0 || snapshot.relation_options(relation).is_dislike {
                continue;
            }
            let pairs = snapshot.relation_kinds(relation);
            let touching: Vec<_> = pairs.iter().filter(|(a, b)| *a == kind || *b == kind).collect();
            let name = snapshot.relation_name(relation).to_owned();
            if touching.iter().any(|(a, b)| a != b) {
                paths.push(vec![name.clone(), name]);
            } else if !touching.is_empty() {
                paths.push(vec![name]);
            }
        }
        paths.sort();
        Self { kind: snapshot.kind_name(kind).to_owned(), paths, weights: Vec::new(), moment: 0 }
    }

    /// The same policy, with sums as of a moment.
    #[must_use]
    pub fn as_of(self, moment: i64) -> Self {
        Self { moment, ..self }
    }

    /// The paths through relations that count, each with the weight of its first relation.
    #[must_use]
    pub fn with_relations(mut self, relations: &RelationWeights) -> Self {
        self.paths.retain(|path| path.iter().all(|relation| relations.of(relation).is_some()));
        let weight = |path: &Vec<String>| path.first().and_then(|relation| relations.of(relation));
        self.weights =
            if relations.is_empty() { Vec::new() } else { self.paths.iter().filter_map(weight).collect() };
        self
    }

    /// The policy with names replaced by the snapshot's numbers. A relation that the store does not have ends the walk, and so does one
    /// of dislikes.
    pub(crate) fn resolve(&self, snapshot: &Snapshot) -> Result<ResolvedPolicy, Error> {
        let kind =
            snapshot.kind_ix(&self.kind).ok_or_else(|| Error::UnknownKind { kind: self.kind.clone() })?;
        let refused = |found: String, expected| Err(Error::Option { option: "policy", found, expected });
        if self.paths.iter().any(Vec::is_empty) {
            return refused("a path without a relation".to_owned(), "one relation or more in every path");
        }
        // A model from outside brings its policy, and each relation of a path is a draw of every visit.
        if let Some(path) = self.paths.iter().find(|path| path.len() > MAX_PATH) {
            return refused(format!("a path of {} relations", path.len()), "at most 64 relations in a path");
        }
        if self.paths.len() > MAX_PATHS {
            return refused(format!("{} paths", self.paths.len()), "at most 65,535 paths");
        }
        if !self.weights.is_empty() && self.weights.len() != self.paths.len() {
            let found = format!("{} weights for {} paths", self.weights.len(), self.paths.len());
            return refused(found, "a weight for each path, or none");
        }
        if let Some(weight) = self.weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0)) {
            return refused(format!("the weight {weight}"), "finite weights above 0");
        }
        let number =
            |path: &Vec<String>| path.iter().map(|name| walked_relation(snapshot, name)).collect::<Vec<_>>();
        let paths: Vec<Path> = self
            .paths
            .iter()
            .map(number)
            .map(|relations| Path { kinds: reachable_kinds(&relations, kind, snapshot), relations })
            .collect();
        Ok(ResolvedPolicy { kind, order: path_order(&self.weights, paths.len()), paths })
    }
}

/// The relation with a name, if walks may follow it.
pub(crate) fn walked_relation(snapshot: &Snapshot, name: &str) -> Option<RelationIx> {
    snapshot.relation_ix(name).filter(|&relation| !snapshot.relation_options(relation).is_dislike)
}

/// A policy in the numbers of a snapshot.
pub(crate) struct ResolvedPolicy {
    pub(crate) kind: KindIx,
    pub(crate) paths: Vec<Path>,
    /// The number of the path that each walk follows, by walk number modulo the length.
    pub(crate) order: Vec<u16>,
}

/// The order in which walks follow paths: the paths in turn, or [`ORDER`] numbers in proportion to the weights, spread evenly.
///
/// Each path gets its share by largest remainders. Entry k of n entries of a path belongs at `(2k + 1) / 2n` of the order. So every
/// beginning of the order has each path's share of it, and equal weights give the paths in turn.
fn path_order(weights: &[f32], paths: usize) -> Vec<u16> {
    if weights.windows(2).all(|pair| pair[0] == pair[1]) {
        return (0..paths as u16).collect();
    }
    let sum: f64 = weights.iter().copied().map(f64::from).sum();
    let exact: Vec<f64> = weights.iter().map(|&weight| f64::from(weight) / sum * ORDER as f64).collect();
    let mut counts: Vec<usize> = exact.iter().map(|share| *share as usize).collect();
    let missing = ORDER.saturating_sub(counts.iter().sum());
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()).then(a.cmp(&b)));
    by_remainder.into_iter().take(missing).for_each(|path| counts[path] += 1);
    let entries = counts.iter().enumerate();
    let mut entries: Vec<(usize, usize, u16)> = entries
        .flat_map(|(path, &count)| (0..count).map(move |at| (2 * at + 1, count, path as u16)))
        .collect();
    entries.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)).then(a.2.cmp(&b.2)));
    entries.into_iter().map(|(.., path)| path).collect()
}

/// A cycle of relations, and the kinds that a walk can stand on before each of them.
pub(crate) struct Path {
    /// By hop of the cycle; `None` for a relation that the store does not have.
    pub(crate) relations: Vec<Option<RelationIx>>,
    /// By hop of the cycle.
    kinds: Vec<KindSet>,
}

impl Path {
    /// The relation that a walk follows at hop `hop`, counted from the start of the walk.
    pub(crate) fn relation(&self, hop: u32) -> Option<RelationIx> {
        self.relations[hop as usize % self.relations.len()]
    }

    /// True if a walk can stand on a node of `kind` before hop `hop`, or before the same hop of another cycle.
    pub(crate) fn can_reach(&self, kind: KindIx, hop: u32) -> bool {
        self.kinds[hop as usize % self.relations.len()][kind.get() as usize]
    }
}

/// By kind.
type KindSet = [bool; 256];

/// The kinds that walks from `kind` can stand on before each hop of a cycle: the fixed point over repeated cycles.
fn reachable_kinds(relations: &[Option<RelationIx>], kind: KindIx, snapshot: &Snapshot) -> Vec<KindSet> {
    let pairs: Vec<_> = relations
        .iter()
        .map(|relation| relation.map_or_else(Vec::new, |relation| snapshot.relation_kinds(relation)))
        .collect();
    let mut kinds = vec![[false; 256]; relations.len()];
    kinds[0][kind.get() as usize] = true;
    loop {
        let mut grown = false;
        for (at, pairs) in pairs.iter().enumerate() {
            let next = (at + 1) % relations.len();
            for &(a, b) in pairs {
                for (from, to) in [(a, b), (b, a)] {
                    let (from, to) = (from.get() as usize, to.get() as usize);
                    if kinds[at][from] && !kinds[next][to] {
                        kinds[next][to] = true;
                        grown = true;
                    }
                }
            }
        }
        if !grown {
            return kinds;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ORDER, path_order};

    #[test]
    fn paths_of_equal_weight_take_turns() {
        assert_eq!(path_order(&[], 3), [0, 1, 2]);
        assert_eq!(path_order(&[0.3, 0.3, 0.3], 3), [0, 1, 2]);
        assert_eq!(path_order(&[], 0), []);
    }

    #[test]
    fn every_number_of_walks_has_the_share_of_each_path() {
        for weights in [vec![1.0, 0.2], vec![0.5, 1.0, 0.01], vec![1e-30, 1.0], vec![0.7, 0.7, 0.6, 0.1]] {
            let order = path_order(&weights, weights.len());
            assert_eq!(order.len(), ORDER);
            let sum: f64 = weights.iter().copied().map(f64::from).sum();
            for (path, &weight) in weights.iter().enumerate() {
                let mut walks = 0.0;
                for (before, &followed) in order.iter().enumerate() {
                    walks += f64::from(u8::from(usize::from(followed) == path));
                    let expected = (before + 1) as f64 * f64::from(weight) / sum;
                    assert!((walks - expected).abs() < 2.0, "{weights:?}: {walks} of {before}, {expected}");
                }
            }
        }
    }
}
