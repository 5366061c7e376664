//! The relations that count, and their weights. Walks, sums and positives follow them in proportion.
//! Owns the rules of weights; it draws and sums nothing.

use std::collections::BTreeMap;

use hedgerow_storage::{NodeIx, RelationIx, Snapshot};

use crate::error::Error;

/// The chosen relations by name, each with its weight. Without any, all relations count alike.
///
/// Only proportions count: the largest weight is stored as 1. A relation of dislikes never counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RelationWeights(BTreeMap<String, f32>);

impl RelationWeights {
    /// The weights of chosen relations.
    ///
    /// # Errors
    /// [`Error::Option`] for a relation that is named twice, and for a weight that is not finite or not above 0.
    pub fn new(weights: impl IntoIterator<Item = (String, f32)>) -> Result<Self, Error> {
        let refuse = |found, expected| Err(Error::Option { option: "relations", found, expected });
        let mut by_name = BTreeMap::new();
        for (name, weight) in weights {
            if !(weight.is_finite() && weight > 0.0) {
                return refuse(format!("{name}={weight}"), "a finite weight above 0");
            }
            if by_name.contains_key(&name) {
                return refuse(format!("{name} twice"), "each relation once");
            }
            by_name.insert(name, weight);
        }
        let largest = by_name.values().copied().fold(0.0, f32::max);
        // A weight that is too small beside the largest must not become 0.
        for weight in by_name.values_mut() {
            *weight = (*weight / largest).max(f32::MIN_POSITIVE);
        }
        Ok(Self(by_name))
    }

    /// True if all relations count alike.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The chosen relations, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f32)> {
        self.0.iter().map(|(name, &weight)| (name.as_str(), weight))
    }

    /// The weight of a relation. `None` if it does not count.
    pub fn of(&self, relation: &str) -> Option<f32> {
        if self.is_empty() { Some(1.0) } else { self.0.get(relation).copied() }
    }
}

/// The relations of a snapshot that count, with their weights, and those of dislikes, which never count.
#[derive(Clone, Debug)]
pub struct CountedRelations {
    /// In the order of their names.
    relations: Vec<(RelationIx, f32)>,
    /// True if every relation of the snapshot counts.
    is_all: bool,
    dislikes: Vec<RelationIx>,
}

impl CountedRelations {
    /// The relations of a snapshot that count by some weights.
    pub fn new(snapshot: &Snapshot, weights: &RelationWeights) -> Self {
        let all = (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16));
        let (dislikes, likes): (Vec<RelationIx>, Vec<RelationIx>) =
            all.partition(|&relation| snapshot.relation_options(relation).is_dislike);
        let counted = |relation: RelationIx| Some((relation, weights.of(snapshot.relation_name(relation))?));
        let mut relations: Vec<(RelationIx, f32)> = likes.into_iter().filter_map(counted).collect();
        relations.sort_by_key(|&(relation, _)| snapshot.relation_name(relation));
        let is_all = relations.len() == snapshot.relation_count();
        Self { relations, is_all, dislikes }
    }

    /// The relations and their weights, in the order of the relations' names.
    pub fn iter(&self) -> impl Iterator<Item = (RelationIx, f32)> + Clone + '_ {
        self.relations.iter().copied()
    }

    /// True if a relation counts.
    pub fn counts(&self, relation: RelationIx) -> bool {
        self.relations.iter().any(|&(counted, _)| counted == relation)
    }

    /// True if the snapshot has a relation of dislikes.
    pub fn has_dislikes(&self) -> bool {
        !self.dislikes.is_empty()
    }

    /// The nodes that a node dislikes, or that dislike it: relation by relation, in the order of the neighbor lists.
    ///
    /// # Panics
    /// As [`Snapshot`] does, for a node that the store never numbered.
    pub fn disliked<'s>(&'s self, snapshot: &'s Snapshot, node: NodeIx) -> impl Iterator<Item = NodeIx> + 's {
        self.dislikes.iter().flat_map(move |&relation| snapshot.list(relation, node).neighbors())
    }

    /// True if an edge between two nodes says that one dislikes the other.
    ///
    /// # Panics
    /// As [`Snapshot`] does, for a node that the store never numbered.
    #[inline]
    pub fn is_disliked(&self, snapshot: &Snapshot, node: NodeIx, other: NodeIx) -> bool {
        let has = |relation: &RelationIx| {
            let list = snapshot.list(*relation, node);
            list.position(other, snapshot.stable_id(other)).is_some()
        };
        self.dislikes.iter().any(has)
    }

    /// The number of edges of a node that count.
    ///
    /// # Panics
    /// As [`Snapshot`] does, for a node that the store never numbered.
    #[inline]
    pub fn degree(&self, snapshot: &Snapshot, node: NodeIx) -> u64 {
        if self.is_all {
            return snapshot.degree(node);
        }
        self.relations.iter().map(|&(relation, _)| snapshot.list(relation, node).degree() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::RelationWeights;

    fn weights(pairs: &[(&str, f32)]) -> Result<RelationWeights, String> {
        let pairs = pairs.iter().map(|&(name, weight)| (name.to_owned(), weight));
        RelationWeights::new(pairs).map_err(|error| error.to_string())
    }

    #[test]
    fn only_proportions_count_and_no_weight_vanishes() {
        assert_eq!(weights(&[("a", 5.0), ("b", 1.0)]), weights(&[("b", 0.2), ("a", 1.0)]));
        let extreme = weights(&[("a", f32::MAX), ("b", f32::MIN_POSITIVE)]).expect("both are above 0");
        assert!(extreme.of("b").is_some_and(|weight| weight > 0.0));
        assert_eq!(extreme.of("c"), None);
        assert_eq!(RelationWeights::default().of("c"), Some(1.0));
    }

    #[test]
    fn a_weight_that_is_none_and_a_repeated_relation_are_refused() {
        for wrong in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(weights(&[("a", wrong)]).expect_err("refused").contains("a finite weight above 0"));
        }
        assert!(weights(&[("a", 1.0), ("a", 1.0)]).expect_err("refused").contains("a twice"));
    }
}
