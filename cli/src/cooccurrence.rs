//! What is linked to what a node is linked to: the plainest way to say which nodes belong together, to judge others by.

use std::collections::HashMap;

use hedgerow::{CancelToken, NodeIx, RelationIx, Snapshot};

use crate::failure::Failure;

/// Nodes of the same kind with the largest cosine of neighbour sets, |A and B| / sqrt(|A| |B|), ties by stable id.
/// Weights do not count. Cost: the neighbours of all neighbours.
pub(crate) fn cooccurring(
    snapshot: &Snapshot,
    asked: NodeIx,
    most: usize,
    cancel: &CancelToken,
) -> Result<Vec<(NodeIx, f64)>, Failure> {
    let mut shared: HashMap<NodeIx, u64> = HashMap::new();
    for list in linked(snapshot, asked) {
        cancel.check()?;
        for other in linked(snapshot, list) {
            if other != asked && snapshot.kind(other) == snapshot.kind(asked) {
                *shared.entry(other).or_default() += 1;
            }
        }
    }
    let degree = |node: NodeIx| snapshot.degree(node) as f64;
    let cosine =
        |(node, shared): (NodeIx, u64)| (node, shared as f64 / (degree(asked) * degree(node)).sqrt());
    let mut ranked: Vec<(NodeIx, f64)> = shared.into_iter().map(cosine).collect();
    ranked.sort_unstable_by(|a, b| {
        b.1.total_cmp(&a.1).then_with(|| snapshot.stable_id(a.0).cmp(&snapshot.stable_id(b.0)))
    });
    ranked.truncate(most);
    Ok(ranked)
}

/// The neighbours of a node through all relations.
pub(crate) fn linked(snapshot: &Snapshot, node: NodeIx) -> impl Iterator<Item = NodeIx> + '_ {
    let relations = (0..snapshot.relation_count()).map(|ix| RelationIx::new(ix as u16));
    relations.flat_map(move |relation| snapshot.list(relation, node).neighbors())
}
