//! The share of similar pins that have the planted topic, for the embeddings and for plain co-occurrence on boards.

use hedgerow::{CancelToken, Cooccurrence, Engine, NodeIx, NodeName, NodeRef, Query, RelationIx, Snapshot};

use crate::core::failure::Failure;
use crate::synthetic::SyntheticGraph;
use crate::verbs::demo::{PLAN, topic};

/// Pins whose similar pins are compared with the topic, evenly spread.
pub(super) const SAMPLE: u32 = 500;
/// Similar pins of each.
const TOP: usize = 10;

/// Shares of right topics in the top ten: of the embeddings, and of the cosine of board sets.
pub(super) fn measure(
    engine: &Engine,
    graph: &SyntheticGraph,
    cancel: &CancelToken,
) -> Result<(f64, f64), Failure> {
    let snapshot = engine.store().snapshot();
    let mut cooccurrence = Cooccurrence::new(&snapshot);
    let (mut learned, mut counted) = (0, 0);
    for nth in 0..SAMPLE {
        cancel.check()?;
        let key = (u64::from(nth) * u64::from(PLAN.items) / u64::from(SAMPLE)).to_string();
        let pin = NodeRef::new("pin", &key)?;
        let query = Query { k: TOP, cosine: true, ..Query::default() };
        let ranked = engine.similar(pin, &query, &CancelToken::new())?;
        let right = |found: &NodeName| topic(graph, found) == topic(graph, &pin.to_name());
        learned += ranked.items.iter().filter(|item| right(&item.node)).count();
        let counted_alike = cooccurrence.nearest(snapshot.require(pin)?, TOP, cancel)?;
        counted += counted_alike.iter().filter(|(found, _)| right(&snapshot.name(*found))).count();
    }
    let asked = f64::from(SAMPLE) * TOP as f64;
    Ok((learned as f64 / asked, counted as f64 / asked))
}

pub(super) fn boards_of(snapshot: &Snapshot, pin: NodeRef<'_>) -> Vec<NodeIx> {
    let Some(pin) = snapshot.lookup(pin) else { return Vec::new() };
    let relations = (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16));
    relations.flat_map(|relation| snapshot.list(relation, pin).neighbors()).collect()
}
