//! Why a refresh gave a node another embedding: from the embedding down to the edge, the feature or the node that changed.
//! Knows what an advance changed; changes nothing.

use hedgerow_storage::{Changes, NodeIx, NodeName, Snapshot};
use hedgerow_walker::Walker;

use crate::config::error::Error;
use crate::state::incremental::Trail;
use crate::state::state::State;

/// Why a node was dirty: the first of perhaps many ways from its embedding to what changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefreshExplanation {
    /// Whether the embedding came out different.
    pub changed: bool,
    /// From the embedding down to the cause; empty where the refresh had no reason to look at the node.
    pub reasons: Vec<Reason>,
}

/// One step from a row to why it was recomputed. Layers count from 0, the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Everything was recomputed: too much had changed, or what had is not known any more.
    Rebuild,
    /// The row of a neighbour one layer below changed.
    Neighbor {
        /// Whose row was recomputed.
        node: NodeName,
        /// In this layer.
        layer: usize,
        /// A neighbour in its neighbourhood.
        neighbor: NodeName,
    },
    /// Its own row one layer below changed.
    Own {
        /// Whose row was recomputed.
        node: NodeName,
        /// In this layer.
        layer: usize,
    },
    /// A neighbour has so many more or fewer edges that it weighs differently.
    NeighborDegree {
        /// Whose row was recomputed.
        node: NodeName,
        /// In this layer.
        layer: usize,
        /// A neighbour in its neighbourhood.
        neighbor: NodeName,
    },
    /// Walks lead elsewhere.
    Walks {
        /// Whose walks.
        node: NodeName,
        /// How many of its walks.
        walks: u32,
        /// The first of them, and at which hop, from 0 on.
        walk: u32,
        /// The hop, from 0 on.
        hop: u32,
        /// Where the walk stands before that hop.
        at: NodeName,
        /// The relation of the hop.
        relation: String,
        /// Where it led.
        was: Option<NodeName>,
        /// Where it leads.
        now: Option<NodeName>,
        /// The changed edges of `at`: their other ends.
        edges: Vec<NodeName>,
        /// Whether other neighbours, or other counts, came of it.
        neighborhood_changed: bool,
    },
    /// Its tokens or dense features changed.
    Features {
        /// Whose.
        node: NodeName,
    },
    /// It has so many more or fewer edges that its degree counts as another.
    Degree {
        /// Whose.
        node: NodeName,
    },
    /// It came or went.
    Life {
        /// Who.
        node: NodeName,
    },
}

/// Follows a node's embedding down to what changed.
pub(crate) fn explain(
    state: &State,
    snapshot: &Snapshot,
    changes: &Changes,
    trail: &Trail,
    node: NodeIx,
) -> Result<RefreshExplanation, Error> {
    let known = state.row_of.get(node.index()).copied().filter(|&row| (row as usize) < state.rows());
    let Some(row) = known else { return Ok(RefreshExplanation::default()) };
    let way = Way { state, snapshot, changes, trail };
    Ok(RefreshExplanation { changed: trail.shown.contains(row), reasons: way.down(row)? })
}

struct Way<'a> {
    state: &'a State,
    snapshot: &'a Snapshot,
    changes: &'a Changes,
    trail: &'a Trail,
}

impl Way<'_> {
    fn down(&self, mut row: u32) -> Result<Vec<Reason>, Error> {
        let Trail { dirty, layers, .. } = self.trail;
        let mut reasons = Vec::new();
        let top = layers.len() - 1;
        // A row that came out as it was may still have been walked again, or have another popularity.
        let first = if layers[top].contains(row) { top } else { 0 };
        if first == 0 && !layers[0].contains(row) {
            reasons.extend(self.walks(row)?);
        }
        for layer in (1..=first).rev() {
            let node = self.name(row);
            if dirty.lives.contains(row) {
                reasons.push(Reason::Life { node });
                return Ok(reasons);
            }
            if dirty.pools.contains(row) {
                reasons.extend(self.walks(row)?);
                return Ok(reasons);
            }
            let neighbors = || self.state.neighborhoods[row as usize].iter().map(|&(neighbor, _)| neighbor);
            if layers[layer - 1].contains(row) {
                reasons.push(Reason::Own { node, layer });
            } else if let Some(next) = neighbors().find(|&next| layers[layer - 1].contains(next)) {
                reasons.push(Reason::Neighbor { node, layer, neighbor: self.name(next) });
                row = next;
            } else {
                let neighbor = neighbors().find(|&next| dirty.weights.contains(next));
                let neighbor = neighbor.map(|next| self.name(next));
                reasons.extend(neighbor.map(|neighbor| Reason::NeighborDegree { node, layer, neighbor }));
                return Ok(reasons);
            }
        }
        let node = self.name(row);
        if dirty.lives.contains(row) {
            reasons.push(Reason::Life { node });
        } else if self.changes.nodes.contains(&self.state.nodes[row as usize])
            && (layers[0].contains(row) || !dirty.weights.contains(row))
        {
            reasons.push(Reason::Features { node });
        } else if dirty.weights.contains(row) {
            reasons.push(Reason::Degree { node });
        }
        Ok(reasons)
    }

    /// Why a node was walked again, if it was.
    fn walks(&self, row: u32) -> Result<Option<Reason>, Error> {
        let node = self.state.nodes[row as usize];
        let kind = self.snapshot.kind_name(self.snapshot.kind(node));
        let recipe = &self.state.recipe;
        let Some(policy) = recipe.policies.iter().find(|policy| policy.kind == kind) else { return Ok(None) };
        let walker = Walker::new(self.snapshot, recipe.walks, policy)?;
        let differences = walker.walk_differences(self.changes, node);
        let Some(first) = differences.first() else { return Ok(None) };
        let name = |node: NodeIx| self.snapshot.name(node);
        let edges = self.changes.lists.get(&(first.relation, first.at));
        Ok(Some(Reason::Walks {
            node: name(node),
            walks: differences.len() as u32,
            walk: first.walk,
            hop: first.hop,
            at: name(first.at),
            relation: self.snapshot.relation_name(first.relation).to_owned(),
            was: first.was.map(name),
            now: first.now.map(name),
            edges: edges.into_iter().flat_map(|edges| edges.keys().copied()).map(name).collect(),
            neighborhood_changed: self.trail.dirty.pools.contains(row),
        }))
    }

    fn name(&self, row: u32) -> NodeName {
        self.snapshot.name(self.state.nodes[row as usize])
    }
}
