//! Explanations of refreshes: the reasons from a changed embedding down to an edge, a feature or a node that changed.
//! Reads the changed rows of a refresh, and changes nothing.

use std::fmt;

use hedgerow_storage::{Changes, NodeIx, NodeName, Snapshot};
use hedgerow_walker::Walker;

use crate::config::error::Error;
use crate::state::incremental::ChangedRows;
use crate::state::layer_rows::State;

/// The explanation of a node's refresh. It follows the first of possibly many chains of reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RefreshExplanation {
    /// True if the embedding is different now.
    pub changed: bool,
    /// The reasons from the embedding down to the cause. Empty if the refresh did not recompute the node.
    pub reasons: Vec<RefreshReason>,
}

impl fmt::Display for RefreshExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.changed { "the embedding changed" } else { "the embedding did not change" })?;
        self.reasons.iter().try_for_each(|reason| write!(f, "\n{reason}"))
    }
}

/// The reason for recomputing a row. Layer 0 is the input.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RefreshReason {
    /// All rows were recomputed, because too much changed or the changes are no longer known.
    Rebuild,
    /// The row of a neighbor changed in the layer below.
    NeighborRow {
        /// The node of the recomputed row.
        node: NodeName,
        /// The layer of the recomputed row.
        layer: usize,
        /// The neighbor whose row changed.
        neighbor: NodeName,
    },
    /// The node's own row changed in the layer below.
    OwnRow {
        /// The node of the recomputed row.
        node: NodeName,
        /// The layer of the recomputed row.
        layer: usize,
    },
    /// The degree level of a neighbor changed, and with it the neighbor's weight.
    NeighborDegree {
        /// The node of the recomputed row.
        node: NodeName,
        /// The layer of the recomputed row.
        layer: usize,
        /// The neighbor whose degree changed.
        neighbor: NodeName,
    },
    /// Walks from the node take other steps.
    Walks {
        /// The node that walks start from.
        node: NodeName,
        /// The number of walks that changed.
        walks: u32,
        /// The number of the first changed walk, from 0.
        walk: u32,
        /// The first changed hop of this walk, from 0.
        hop: u32,
        /// The node before this hop.
        at: NodeName,
        /// The relation of this hop.
        relation: String,
        /// The node after this hop before the change; `None` if the walk ended.
        was: Option<NodeName>,
        /// The node after this hop now; `None` if the walk ends.
        now: Option<NodeName>,
        /// The other ends of the changed edges of `at`.
        edges: Vec<NodeName>,
        /// True if the neighborhood changed, in its nodes or their counts.
        neighborhood_changed: bool,
    },
    /// Tokens or dense features of the node changed.
    Features {
        /// The node.
        node: NodeName,
    },
    /// The degree level of the node changed.
    Degree {
        /// The node.
        node: NodeName,
    },
    /// The node was added or removed.
    AddedOrRemoved {
        /// The node.
        node: NodeName,
    },
}

impl fmt::Display for RefreshReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rebuild => f.write_str("all rows were recomputed"),
            Self::NeighborRow { node, layer, neighbor } => {
                write!(f, "layer {layer} of {node}: the row of {neighbor} changed")
            }
            Self::OwnRow { node, layer } => write!(f, "layer {layer} of {node}: its row below changed"),
            Self::NeighborDegree { node, layer, neighbor } => {
                write!(f, "layer {layer} of {node}: the degree of {neighbor} changed")
            }
            Self::Walks { node, walks, walk, hop, at, relation, .. } => write!(
                f,
                "{walks} walks of {node} changed: walk {walk} at hop {hop}, from {at} by {relation}"
            ),
            Self::Features { node } => write!(f, "the features of {node} changed"),
            Self::Degree { node } => write!(f, "the degree of {node} changed"),
            Self::AddedOrRemoved { node } => write!(f, "{node} was added or removed"),
        }
    }
}

/// Explains the refresh of a node, from its embedding down to the cause.
///
/// # Errors
/// Invalid walk options.
pub(crate) fn explain_refresh(
    state: &State,
    snapshot: &Snapshot,
    changes: &Changes,
    changed_rows: &ChangedRows,
    node: NodeIx,
) -> Result<RefreshExplanation, Error> {
    let known = state.row_of.get(node.index()).copied().filter(|&row| (row as usize) < state.rows());
    let Some(row) = known else { return Ok(RefreshExplanation::default()) };
    let tracer = Tracer { state, snapshot, changes, changed_rows };
    Ok(RefreshExplanation { changed: changed_rows.visible.contains(row), reasons: tracer.trace(row)? })
}

struct Tracer<'a> {
    state: &'a State,
    snapshot: &'a Snapshot,
    changes: &'a Changes,
    changed_rows: &'a ChangedRows,
}

impl Tracer<'_> {
    fn trace(&self, mut row: u32) -> Result<Vec<RefreshReason>, Error> {
        let ChangedRows { dirty, layers, .. } = self.changed_rows;
        let mut reasons = Vec::new();
        let top = layers.len() - 1;
        // Begin at the last layer whose row changed. A row that stayed equal may still have been walked from, or have
        // another popularity.
        let first = if layers[top].contains(row) { top } else { 0 };
        if first == 0 && !layers[0].contains(row) {
            reasons.extend(self.changed_walks(row)?);
        }
        // From layer to layer: a cause at this layer ends the chain, a changed row of the layer below continues it.
        for layer in (1..=first).rev() {
            let node = self.name(row);
            if dirty.added_or_removed.contains(row) {
                reasons.push(RefreshReason::AddedOrRemoved { node });
                return Ok(reasons);
            }
            if dirty.neighborhoods.contains(row) {
                reasons.extend(self.changed_walks(row)?);
                return Ok(reasons);
            }
            let neighbors = || self.state.neighborhoods.get(row).rows.iter().copied();
            if layers[layer - 1].contains(row) {
                reasons.push(RefreshReason::OwnRow { node, layer });
            } else if let Some(next) = neighbors().find(|&next| layers[layer - 1].contains(next)) {
                reasons.push(RefreshReason::NeighborRow { node, layer, neighbor: self.name(next) });
                row = next;
            } else {
                let neighbor = neighbors().find(|&next| dirty.weights.contains(next));
                let neighbor = neighbor.map(|next| self.name(next));
                reasons.extend(neighbor.map(|neighbor| RefreshReason::NeighborDegree {
                    node,
                    layer,
                    neighbor,
                }));
                return Ok(reasons);
            }
        }
        // At the input, only the node itself can have changed.
        let node = self.name(row);
        if dirty.added_or_removed.contains(row) {
            reasons.push(RefreshReason::AddedOrRemoved { node });
        } else if self.changes.nodes.contains(&self.state.nodes[row as usize])
            && (layers[0].contains(row) || !dirty.weights.contains(row))
        {
            reasons.push(RefreshReason::Features { node });
        } else if dirty.weights.contains(row) {
            reasons.push(RefreshReason::Degree { node });
        }
        Ok(reasons)
    }

    /// The reason that walks from a node changed, if they did.
    fn changed_walks(&self, row: u32) -> Result<Option<RefreshReason>, Error> {
        let node = self.state.nodes[row as usize];
        let kind = self.snapshot.kind_name(self.snapshot.kind(node));
        let config = &self.state.config;
        let Some(policy) = config.policies.iter().find(|policy| policy.kind == kind) else { return Ok(None) };
        let walker = Walker::new(self.snapshot, config.walks, policy)?;
        let differences = walker.walk_differences(self.changes, node);
        let Some(first) = differences.first() else { return Ok(None) };
        let name = |node: NodeIx| self.snapshot.name(node);
        let edges = self.changes.lists.get(&(first.relation, first.at));
        Ok(Some(RefreshReason::Walks {
            node: name(node),
            walks: differences.len() as u32,
            walk: first.walk,
            hop: first.hop,
            at: name(first.at),
            relation: self.snapshot.relation_name(first.relation).to_owned(),
            was: first.was.map(name),
            now: first.now.map(name),
            edges: edges.into_iter().flat_map(|edges| edges.keys().copied()).map(name).collect(),
            neighborhood_changed: self.changed_rows.dirty.neighborhoods.contains(row),
        }))
    }

    fn name(&self, row: u32) -> NodeName {
        self.snapshot.name(self.state.nodes[row as usize])
    }
}
