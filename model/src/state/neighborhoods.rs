//! The neighbourhoods of rows, each walked by the policy of its kind. Knows nothing of what is made of them.

use hedgerow_storage::{CancelToken, NodeIx, Snapshot};
use hedgerow_walker::{Neighborhoods, Visit, WalkOptions, Walker};

use crate::config::error::Error;
use crate::config::model_config::ModelConfig;

/// Rows of one kind, and the neighbourhood of each.
pub(crate) struct Walked {
    rows: Vec<u32>,
    neighborhoods: Neighborhoods,
}

impl Walked {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[Visit])> {
        self.rows.iter().copied().zip(self.neighborhoods.iter())
    }
}

/// The neighbourhoods of the listed rows, of which `nodes` says whose they are, kind by kind, by walks that end before they step on a closed node. A dead
/// node has no lists, so its neighbourhood is empty.
pub(crate) fn walked(
    recipe: &ModelConfig,
    walks: WalkOptions,
    snapshot: &Snapshot,
    nodes: &[NodeIx],
    rows: &[u32],
    closed: Option<&[bool]>,
    cancel: &CancelToken,
) -> Result<Vec<Walked>, Error> {
    let mut all = Vec::with_capacity(recipe.policies.len());
    for policy in &recipe.policies {
        let Some(kind) = snapshot.kind_ix(&policy.kind) else { continue };
        let walker = Walker::new(snapshot, walks, policy)?;
        let walker = match closed {
            Some(closed) => walker.excluding(closed),
            None => walker,
        };
        let of_kind = |row: &u32| snapshot.kind(nodes[*row as usize]) == kind;
        let rows: Vec<u32> = rows.iter().copied().filter(of_kind).collect();
        let sources: Vec<NodeIx> = rows.iter().map(|&row| nodes[row as usize]).collect();
        all.push(Walked { neighborhoods: walker.neighborhoods(&sources, cancel)?, rows });
    }
    Ok(all)
}
