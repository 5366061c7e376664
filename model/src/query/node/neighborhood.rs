//! The walk neighborhood of one node, with the share of each neighbor.
//! Must not know embeddings.

use std::fmt;

use hedgerow_storage::{NodeIx, NodeName, Snapshot};
use hedgerow_walker::{Policy, WalkOptions, Walker};

use crate::config::error::Error;

/// A node of a neighborhood, with its share of the visits.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Importance {
    /// The node.
    pub node: NodeName,
    /// Visits by the walks.
    pub visits: u32,
    /// Its share of all visits of the neighborhood.
    pub importance: f32,
}

impl fmt::Display for Importance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} visits, {:.4}", self.node, self.visits, self.importance)
    }
}

/// The first `k` nodes of the neighborhood of a node, most visits first.
pub(crate) fn neighborhood(
    snapshot: &Snapshot,
    node: NodeIx,
    walks: WalkOptions,
    policy: &Policy,
    k: usize,
) -> Result<Vec<Importance>, Error> {
    let visits = Walker::new(snapshot, walks, policy)?.neighborhood(node);
    let sum: u32 = visits.iter().map(|visit| visit.count).sum();
    let listed = visits.iter().take(k).map(|visit| Importance {
        node: snapshot.name(visit.node),
        visits: visit.count,
        importance: visit.count as f32 / sum as f32,
    });
    Ok(listed.collect())
}
