//! Neighborhoods of rows, walked with the policy of each kind. Knows nothing of what they are used for.

use hedgerow_storage::{CancelToken, NodeIx, Snapshot};
use hedgerow_walker::{Neighborhoods, Visit, WalkOptions, Walker};

use crate::config::error::Error;
use crate::config::model_config::ModelConfig;

/// The rows of one kind, and the neighborhood of each.
pub(crate) struct KindNeighborhoods {
    rows: Vec<u32>,
    neighborhoods: Neighborhoods,
}

impl KindNeighborhoods {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[Visit])> {
        self.rows.iter().copied().zip(self.neighborhoods.iter())
    }
}

/// Walks from the listed rows, kind by kind; `nodes` are the nodes of all rows. Walks end before they step on an
/// excluded node. A removed node has no edges, so its neighborhood is empty.
///
/// # Errors
/// Invalid walk options, or a cancellation.
pub(crate) fn walk_rows(
    config: &ModelConfig,
    walks: WalkOptions,
    snapshot: &Snapshot,
    nodes: &[NodeIx],
    rows: &[u32],
    excluded: Option<&[bool]>,
    cancel: &CancelToken,
) -> Result<Vec<KindNeighborhoods>, Error> {
    let mut all = Vec::with_capacity(config.policies.len());
    for policy in &config.policies {
        let Some(kind) = snapshot.kind_ix(&policy.kind) else { continue };
        let walker = Walker::new(snapshot, walks, policy)?;
        let walker = match excluded {
            Some(excluded) => walker.excluding(excluded),
            None => walker,
        };
        let of_kind = |row: &u32| snapshot.kind(nodes[*row as usize]) == kind;
        let rows: Vec<u32> = rows.iter().copied().filter(of_kind).collect();
        let sources: Vec<NodeIx> = rows.iter().map(|&row| nodes[row as usize]).collect();
        all.push(KindNeighborhoods { neighborhoods: walker.neighborhoods(&sources, cancel)?, rows });
    }
    Ok(all)
}

/// Walks from all rows, and calls `each` with their neighborhoods. Of each kind the rows come one after another.
///
/// # Errors
/// As for [`walk_rows`].
pub(crate) fn walk_all_rows(
    config: &ModelConfig,
    snapshot: &Snapshot,
    nodes: &[NodeIx],
    cancel: &CancelToken,
    mut each: impl FnMut(&[Visit]),
) -> Result<(), Error> {
    for policy in &config.policies {
        let Some(kind) = snapshot.kind_ix(&policy.kind) else { continue };
        let walker = Walker::new(snapshot, config.walks, policy)?;
        let sources: Vec<NodeIx> =
            nodes.iter().copied().filter(|&node| snapshot.kind(node) == kind).collect();
        walker.for_each_neighborhood(&sources, cancel, &mut each)?;
    }
    Ok(())
}
