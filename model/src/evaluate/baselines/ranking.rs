//! Ranking by scores: the best items, and the rank of an item. Must not know where scores come from.

use std::collections::HashSet;

use hedgerow_storage::NodeIx;

use crate::evaluate::candidates::Candidates;
use crate::query::scan::RankCount;

/// Answers beyond two for each place before they are pruned.
const ROOM: usize = 64;

/// The best `k` candidates, ties by stable id. The most popular ones follow if there are fewer.
pub(super) fn best(
    candidates: &Candidates<'_>,
    scored: &[(NodeIx, f64)],
    history: &[NodeIx],
    k: usize,
) -> Vec<NodeIx> {
    let id = |node: NodeIx| candidates.snapshot.stable_id(node);
    let order =
        |a: &(NodeIx, f64), b: &(NodeIx, f64)| b.1.total_cmp(&a.1).then_with(|| id(a.0).cmp(&id(b.0)));
    let mut best: Vec<(NodeIx, f64)> = Vec::new();
    let mut least = f64::NEG_INFINITY;
    for &(node, score) in scored {
        if score >= least && candidates.contains(node) {
            best.push((node, score));
            if k > 0 && best.len() >= k.saturating_mul(2).saturating_add(ROOM) {
                best.select_nth_unstable_by(k - 1, order);
                best.truncate(k);
                least = best[k - 1].1;
            }
        }
    }
    best.sort_unstable_by(order);
    best.truncate(k);
    let mut best: Vec<NodeIx> = best.into_iter().map(|(node, _)| node).collect();
    if best.len() < k {
        let taken: HashSet<NodeIx> = best.iter().chain(history).copied().collect();
        let popular = candidates.items.iter().copied().filter(|item| !taken.contains(item));
        best.extend(popular.take(k - best.len()));
    }
    best
}

/// The rank of an item by its score. Nodes that are not listed have score 0.
pub(super) fn rank_count(
    candidates: &Candidates<'_>,
    scored: &[(NodeIx, f64)],
    query: NodeIx,
    item: NodeIx,
) -> RankCount {
    let level = scored.iter().find(|(node, _)| *node == item).map_or(0.0, |(_, score)| *score);
    let is_other = |node: NodeIx| node != query && node != item && candidates.contains(node);
    let (mut higher, mut equal, mut listed) = (0, 0, 0);
    for &(_, score) in scored.iter().filter(|(node, _)| is_other(*node)) {
        listed += 1;
        higher += u64::from(score > level);
        equal += u64::from(score == level);
    }
    let own = u64::from(candidates.contains(query)) + u64::from(item != query && candidates.contains(item));
    let unlisted = candidates.items.len() as u64 - own - listed;
    higher += if level < 0.0 { unlisted } else { 0 };
    equal += if level == 0.0 { unlisted } else { 0 };
    RankCount { higher, equal }
}
