//! Sample nodes over the whole range of popularity, each with its neighborhood and with the similar nodes that the model, walks
//! and co-occurrence find.

use hedgerow::{Cooccurrence, ErrorKind, KindIx, NodeIx, PixieOptions, Policy, Query, pixie};
use serde::Serialize;

use crate::core::failure::Failure;
use crate::output::value::round;
use crate::report::ReportSource;
use crate::report::node_names::{NodeNames, Place};

/// The number of items, and the least number per kind.
const ITEMS: usize = 8;
const ITEMS_OF_A_KIND: usize = 3;
/// The most kinds of items.
const KINDS: usize = 4;
/// The length of a list.
const LISTED: usize = 10;
/// The most nodes of a neighborhood that are drawn.
const DRAWN: usize = 50;

/// A sample node.
#[derive(Debug, Serialize)]
pub(super) struct Item {
    node: Place,
    /// The rank by degree within its kind, from 1.
    rank: u64,
    /// The number of nodes that are ranked.
    of: u64,
    /// The size of its neighborhood.
    size: u64,
    /// The first nodes of its neighborhood: visits, and the share of all visits.
    neighborhood: Vec<(Place, u32, f64)>,
    /// Similar nodes by the model, with cosines and popularity.
    model: Option<Vec<(Place, f64)>>,
    /// Similar nodes by walks, with visits.
    walks: Vec<(Place, f64)>,
    /// Similar nodes by co-occurrence, with cosines.
    shared: Vec<(Place, f64)>,
}

impl Item {
    /// The places of all names in this item.
    pub(super) fn names(&self) -> impl Iterator<Item = Place> + '_ {
        let lists = self.model.iter().flatten().chain(&self.walks).chain(&self.shared);
        let lists = lists.map(|(place, _)| *place);
        lists.chain(self.neighborhood.iter().map(|(place, _, _)| *place)).chain([self.node])
    }
}

pub(super) fn items(
    source: &ReportSource<'_>,
    kinds: &[KindIx],
    named: &mut NodeNames,
) -> Result<Vec<Item>, Failure> {
    let kinds = &kinds[..kinds.len().min(KINDS)];
    let count = (ITEMS / kinds.len().max(1)).max(ITEMS_OF_A_KIND);
    let mut items = Vec::new();
    for kind in kinds {
        let snapshot = &source.snapshot;
        let mut nodes: Vec<(u64, NodeIx)> =
            snapshot.nodes_of(*kind).map(|node| (snapshot.degree(node), node)).collect();
        nodes.retain(|(degree, _)| *degree > 0);
        nodes.sort_unstable_by_key(|&(degree, node)| (std::cmp::Reverse(degree), snapshot.stable_id(node)));
        for rank in ranks(nodes.len(), count) {
            source.cancel.check()?;
            (source.observer)("comparing lists", items.len() as u64, ITEMS as u64);
            items.push(item(source, nodes[rank].1, (rank + 1) as u64, nodes.len() as u64, named)?);
        }
    }
    Ok(items)
}

/// Ranks from the first to the last at a constant ratio; fewer if there are fewer nodes.
fn ranks(of: usize, count: usize) -> Vec<usize> {
    let count = if of == 0 { 0 } else { count };
    let mut ranks: Vec<usize> = (0..count)
        .map(|at| (of as f64).powf(at as f64 / (count - 1) as f64).round() as usize - 1)
        .map(|rank| rank.min(of - 1))
        .collect();
    ranks.dedup();
    ranks
}

fn item(
    source: &ReportSource<'_>,
    node: NodeIx,
    rank: u64,
    of: u64,
    named: &mut NodeNames,
) -> Result<Item, Failure> {
    let ReportSource { engine, snapshot, cancel, .. } = source;
    // Its neighborhood.
    let name = snapshot.name(node);
    let visited = engine.neighborhood(name.as_ref(), usize::MAX)?;
    let neighborhood = visited
        .iter()
        .take(DRAWN)
        .map(|at| (named.place(&at.node, snapshot), at.visits, round(f64::from(at.importance), 4)));
    let neighborhood = neighborhood.collect();
    // The similar nodes by the model, if it has an embedding.
    let similar = engine.similar(name.as_ref(), &Query { k: LISTED, ..Query::default() }, cancel);
    let model = match similar.map_err(hedgerow::Error::from) {
        Err(error) if matches!(error.kind(), ErrorKind::NotTrained | ErrorKind::NotEmbedded) => None,
        answer => Some(answer?.items),
    };
    let model = model.map(|items| {
        let scored =
            items.iter().map(|item| (named.place(&item.node, snapshot), round(f64::from(item.score), 3)));
        scored.collect()
    });
    // The similar nodes by walks and by co-occurrence.
    let policy = Policy::default_for(snapshot, snapshot.kind(node));
    let walked = pixie(snapshot, &policy, &[(node, 1.0)], LISTED, &PixieOptions::default())?;
    let walks = walked.items.iter();
    let walks = walks
        .map(|item| (named.place(&snapshot.name(item.node), snapshot), f64::from(item.visits)))
        .collect();
    let shared = Cooccurrence::new(snapshot).nearest(node, LISTED, cancel)?;
    let shared = shared.into_iter();
    let shared = shared
        .map(|(node, cosine)| (named.place(&snapshot.name(node), snapshot), round(cosine, 3)))
        .collect();
    let (size, node) = (visited.len() as u64, named.place(&name, snapshot));
    Ok(Item { node, rank, of, size, neighborhood, model, walks, shared })
}

#[cfg(test)]
mod tests {
    use super::ranks;

    #[test]
    fn ranks_span_the_whole_range_of_popularity() {
        assert_eq!(ranks(10_000_000, 8), [0, 9, 99, 999, 9_999, 99_999, 999_999, 9_999_999]);
        assert_eq!(ranks(3, 8), [0, 1, 2]);
        assert_eq!(ranks(1, 8), [0]);
        assert_eq!(ranks(0, 8), [] as [usize; 0]);
    }
}
