//! How well a list of similar pins keeps to the planted topic: for the embeddings, and for plain co-occurrence on boards.

use std::collections::BTreeMap;

use hedgerow::{CancelToken, Engine, NodeIx, NodeName, NodeRef, Query, RelationIx, Snapshot};

use super::{PLAN, topic};
use crate::failure::Failure;
use crate::synthetic::World;

/// Pins that are asked about, evenly spread.
pub(super) const SAMPLE: u32 = 500;
/// Similar pins that are judged.
const TOP: usize = 10;

/// Shares of right topics in the top ten: of the embeddings, and of the cosine of board sets.
pub(super) fn measure(engine: &Engine, world: &World, cancel: &CancelToken) -> Result<(f64, f64), Failure> {
    let snapshot = engine.store().snapshot();
    let (mut learned, mut counted) = (0, 0);
    for nth in 0..SAMPLE {
        cancel.check()?;
        let key = (u64::from(nth) * u64::from(PLAN.items) / u64::from(SAMPLE)).to_string();
        let pin = NodeRef::new("pin", &key)?;
        let ranked = engine.similar(pin, &Query { k: TOP, cosine: true, ..Query::default() })?;
        let right = |found: &NodeName| topic(world, found) == topic(world, &pin.to_name());
        learned += ranked.items.iter().filter(|item| right(&item.node)).count();
        counted += cooccurring(&snapshot, pin)?.iter().filter(|found| right(found)).count();
    }
    let asked = f64::from(SAMPLE) * TOP as f64;
    Ok((learned as f64 / asked, counted as f64 / asked))
}

/// The pins whose boards overlap most with a pin's: |A and B| / sqrt(|A| |B|).
fn cooccurring(snapshot: &Snapshot, pin: NodeRef<'_>) -> Result<Vec<NodeName>, Failure> {
    let asked = snapshot.require(pin)?;
    let mut shared: BTreeMap<NodeIx, u64> = BTreeMap::new();
    for board in boards_of(snapshot, pin) {
        for other in linked(snapshot, board) {
            if other != asked {
                *shared.entry(other).or_default() += 1;
            }
        }
    }
    let cosine = |node: NodeIx, shared: u64| shared as f64 / (snapshot.degree(node) as f64).sqrt();
    let mut ranked: Vec<(f64, NodeIx)> =
        shared.into_iter().map(|(node, shared)| (cosine(node, shared), node)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    Ok(ranked.into_iter().take(TOP).map(|(_, node)| snapshot.name(node)).collect())
}

pub(super) fn boards_of(snapshot: &Snapshot, pin: NodeRef<'_>) -> Vec<NodeIx> {
    snapshot.lookup(pin).map(|node| linked(snapshot, node)).unwrap_or_default()
}

fn linked(snapshot: &Snapshot, node: NodeIx) -> Vec<NodeIx> {
    let relations = (0..snapshot.relation_count()).map(|ix| RelationIx::new(ix as u16));
    relations.flat_map(|relation| snapshot.list(relation, node).iter().map(|(node, _, _)| node)).collect()
}
