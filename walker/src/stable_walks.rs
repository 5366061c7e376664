//! Stable walks: one walk hop by hop, and the walks of one or a few sources interleaved.
//! Knows paths and draws; how visits are counted belongs to the callers.

use std::cmp::Reverse;
use std::ops::Range;

use hedgerow_storage::NodeIx;

use crate::interleaved::{ENDED, Interleaver, StableDraw};
use crate::policies::policy::Path;
use crate::stable_draw::drawn_neighbor;
use crate::visits::VisitColumns;
use crate::walk_context::WalkContext;

/// The nodes that walk number `walk` from `source` stands on, one for each hop.
pub(crate) fn hops(context: &WalkContext<'_>, source: NodeIx, walk: u32) -> impl Iterator<Item = NodeIx> {
    let keys = context.keys.of_walk(walk);
    let path = context.paths.get(context.keys.path_of(walk as usize));
    (0u32..).zip(keys).scan(source, move |at, (hop, &key)| {
        *at = next_node(context, path?, *at, hop, key)?;
        Some(*at)
    })
}

/// The nodes that walk number `walk` from `source` visits: those at the ends of its path's cycles.
pub(crate) fn visits(context: &WalkContext<'_>, source: NodeIx, walk: u32) -> impl Iterator<Item = NodeIx> {
    let cycle = context.paths.get(context.keys.path_of(walk as usize)).map_or(1, |path| path.relations.len());
    hops(context, source, walk).skip(cycle - 1).step_by(cycle)
}

/// The node that the draw with `key` at hop `hop` leads to from `node`.
fn next_node(context: &WalkContext<'_>, path: &Path, node: NodeIx, hop: u32, key: u64) -> Option<NodeIx> {
    let next = drawn_neighbor(&context.snapshot.list(path.relation(hop)?, node), key)?;
    (!context.is_excluded(next)).then_some(next)
}

/// Appends the visits of the walks with these numbers from one source.
pub(crate) fn append_visits(
    context: &WalkContext<'_>,
    source: NodeIx,
    walks: Range<u32>,
    visited: &mut Vec<NodeIx>,
) {
    let mut interleaver = Interleaver::new();
    let path_of = |walk: &u32| context.keys.path_of(*walk as usize);
    let mut by_path: Vec<u32> = walks.collect();
    by_path.sort_by_key(path_of);
    for of_path in by_path.chunk_by(|a, b| path_of(a) == path_of(b)) {
        let Some(path) = context.paths.get(path_of(&of_path[0])) else { break };
        let mut keys: Vec<&[u64]> = of_path.iter().map(|&walk| context.keys.of_walk(walk)).collect();
        // Longest walk first, so that the walks that make a hop are a prefix.
        keys.sort_by_key(|keys| Reverse(keys.len()));
        let mut at = vec![source.get(); keys.len()];
        for hop in 0..keys.first().map_or(0, |keys| keys.len()) {
            let Some(relation) = path.relation(hop as u32) else { break };
            at.truncate(keys.partition_point(|keys| keys.len() > hop));
            let next = path.relation(hop as u32 + 1).map(|relation| context.lists(relation));
            interleaver.hop(context.lists(relation), &mut at, |i| keys[i][hop], StableDraw, next);
            context.end_at_excluded(&mut at);
            if (hop + 1).is_multiple_of(path.relations.len()) {
                visited.extend(at.iter().filter(|&&node| node != ENDED).map(|&node| NodeIx::new(node)));
            }
        }
    }
}

/// The visits of all walks of a few sources; the number of sources is a power of two.
pub(crate) fn interleaved_walks(context: &WalkContext<'_>, sources: &[NodeIx]) -> VisitColumns {
    let shift = sources.len().trailing_zeros();
    let mut columns = Vec::with_capacity(context.visits_per_source() << shift);
    let mut interleaver = Interleaver::new();
    for (path, path_keys) in context.paths.iter().zip(context.keys.by_path()) {
        let walks = path_keys.by_hop.first().map_or(0, Vec::len);
        // The walks of one number from all sources are adjacent: walk i has the key of number i >> shift.
        let mut at: Vec<u32> = (0..walks).flat_map(|_| sources.iter().map(|source| source.get())).collect();
        for (hop, keys) in (0..).zip(&path_keys.by_hop) {
            let Some(relation) = path.relation(hop) else { break };
            at.truncate(keys.len() << shift);
            let next = path.relation(hop + 1).map(|relation| context.lists(relation));
            interleaver.hop(context.lists(relation), &mut at, |i| keys[i >> shift], StableDraw, next);
            context.end_at_excluded(&mut at);
            if (hop as usize + 1).is_multiple_of(path.relations.len()) {
                columns.extend_from_slice(&at);
            }
        }
    }
    VisitColumns { width: sources.len(), columns }
}
