//! The changes between two epochs, with the old weights: the input of a refresh.
//! Read from the log on request, so nothing is stored for it; knows nothing of walks or embeddings.

use std::collections::{BTreeMap, BTreeSet};

use crate::adjacency::list_builder::{ListBuilder, WeightTime};
use crate::graph::snapshot::Snapshot;
use crate::types::ids::{Epoch, NodeIx, RelationIx};
use crate::types::ops::Op;

/// All changes after one epoch, up to and including another.
///
/// # Cost
/// Memory for both sides of every changed edge: some 150 bytes an edge. Only the length of the log bounds it; a host
/// with millions of changed edges is better served by a rebuild.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// The epoch of the old state.
    pub from: Epoch,
    /// The epoch of the new state.
    pub to: Epoch,
    /// For each changed list, the neighbors that differ: weight and time in the old state, or `None` where there was no
    /// edge. Edges with the same weight in both states are left out, even where their time differs, unless weights fade.
    pub lists: BTreeMap<(RelationIx, NodeIx), BTreeMap<NodeIx, Option<WeightTime>>>,
    /// Nodes that were created, removed or restored, or whose features changed.
    pub nodes: BTreeSet<NodeIx>,
}

impl Changes {
    pub(crate) fn new(from: Epoch, to: Epoch) -> Self {
        Self { from, to, lists: BTreeMap::new(), nodes: BTreeSet::new() }
    }

    /// True if both states are equal.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.nodes.is_empty()
    }

    /// A list of the old state, without the times of a list whose weights do not fade; `snapshot` is the new state.
    ///
    /// # Determinism
    /// Slots, positions and weights are exactly those of the old state.
    pub fn old_list(&self, snapshot: &Snapshot, relation: RelationIx, node: NodeIx) -> ListBuilder {
        let half_life = snapshot.0.relations[relation.index()].options.half_life();
        let none = BTreeMap::new();
        let old = self.lists.get(&(relation, node)).unwrap_or(&none);
        let old_values: Vec<_> = old
            .iter()
            .map(|(&neighbor, &old)| {
                let old = old.map(|(weight, time)| (weight, time.filter(|_| half_life.is_some())));
                (neighbor, snapshot.stable_id(neighbor), old)
            })
            .collect();
        let current = snapshot.list(relation, node);
        ListBuilder::edit(snapshot.stable_id(node), current, &old_values, half_life, |neighbor| {
            snapshot.stable_id(neighbor)
        })
    }

    /// Adds the next operation of the log; the first old value of an edge is kept.
    pub(crate) fn add(&mut self, op: &Op) {
        match *op {
            Op::Kind { .. }
            | Op::Relation { .. }
            | Op::Position { .. }
            | Op::Property { .. }
            | Op::Label { .. }
            | Op::Values { .. }
            | Op::RelationOptions { .. } => {}
            Op::Node { node, .. }
            | Op::Live { node, .. }
            | Op::Clear { node }
            | Op::Tokens { node, .. }
            | Op::Dense { node, .. } => {
                self.nodes.insert(NodeIx::new(node));
            }
            Op::Edge { relation, a, b, old, .. } => {
                let (relation, a, b) = (RelationIx::new(relation), NodeIx::new(a), NodeIx::new(b));
                for (owner, neighbor) in [(a, b), (b, a)] {
                    let list = self.lists.entry((relation, owner)).or_default();
                    list.entry(neighbor).or_insert(old.map(|value| (value.weight, value.time)));
                }
            }
        }
    }

    /// Removes edges whose old weight equals the new one, and whose time does where weights fade.
    pub(crate) fn drop_unchanged(&mut self, to: &Snapshot) {
        self.lists.retain(|&(relation, owner), changed| {
            let list = to.list(relation, owner);
            let fades = to.0.relations[relation.index()].options.half_life().is_some();
            changed.retain(|&neighbor, old| {
                let now = list.position(neighbor, to.stable_id(neighbor));
                let now = now.map(|at| (list.weight(at), list.time(at).filter(|_| fades)));
                now != old.map(|(weight, time)| (weight, time.filter(|_| fades)))
            });
            !changed.is_empty()
        });
    }
}
