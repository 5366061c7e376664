//! What changed between two epochs, with the old weights: what a refresh starts from.
//! Read from the log when asked for, so that nothing has to be kept; knows nothing of walks or embeddings.

use std::collections::{BTreeMap, BTreeSet};

use crate::adjacency::list_builder::ListBuilder;
use crate::graph::snapshot::Snapshot;
use crate::types::ids::{Epoch, NodeIx, RelationIx};
use crate::types::ops::Op;

/// All that changed after one epoch, up to and with another.
///
/// # Cost
/// Memory for both sides of every edge that was touched: some 150 bytes an edge. There is no bound but the log's; a host
/// that lets millions of edges gather is better served by a rebuild.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// The epoch whose state is the old one.
    pub from: Epoch,
    /// The epoch whose state is the new one.
    pub to: Epoch,
    /// For each list that differs, the neighbours that do: their weight in the old state, or none where there was no edge.
    /// Edges whose old and new weight are the same are left out, also where their time differs.
    pub lists: BTreeMap<(RelationIx, NodeIx), BTreeMap<NodeIx, Option<f32>>>,
    /// Nodes that were created, removed or brought back, or whose features changed.
    pub nodes: BTreeSet<NodeIx>,
}

impl Changes {
    pub(crate) fn new(from: Epoch, to: Epoch) -> Self {
        Self { from, to, lists: BTreeMap::new(), nodes: BTreeSet::new() }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.nodes.is_empty()
    }

    /// A list as it was in the old state, without times; `snapshot` is the new state.
    ///
    /// # Determinism
    /// Slots, positions and weights are exactly those that the old state had.
    pub fn old_list(&self, snapshot: &Snapshot, relation: RelationIx, node: NodeIx) -> ListBuilder {
        let none = BTreeMap::new();
        let old = self.lists.get(&(relation, node)).unwrap_or(&none);
        let back: Vec<_> = old
            .iter()
            .map(|(&neighbor, weight)| {
                (neighbor, snapshot.stable_id(neighbor), weight.map(|weight| (weight, None)))
            })
            .collect();
        let today = snapshot.list(relation, node);
        ListBuilder::edit(snapshot.stable_id(node), today, &back, |neighbor| snapshot.stable_id(neighbor))
    }

    /// Takes in the next operation of the log; the oldest value of an edge stays.
    pub(crate) fn add(&mut self, op: &Op) {
        match *op {
            Op::Kind { .. } | Op::Relation { .. } | Op::Position { .. } => {}
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
                    list.entry(neighbor).or_insert(old.map(|value| value.weight));
                }
            }
        }
    }

    /// Leaves out edges that are now as they were.
    pub(crate) fn drop_unchanged(&mut self, to: &Snapshot) {
        self.lists.retain(|&(relation, owner), changed| {
            let list = to.list(relation, owner);
            changed.retain(|&neighbor, old| {
                let now = list.position(neighbor, to.stable_id(neighbor)).map(|at| list.weight(at));
                now != *old
            });
            !changed.is_empty()
        });
    }
}
