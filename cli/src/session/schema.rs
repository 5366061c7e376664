//! The kinds and relations of a store.

use hedgerow::{KindIx, RelationIx, Snapshot};

/// All kinds, by number.
pub(crate) fn kinds(snapshot: &Snapshot) -> impl Iterator<Item = KindIx> + use<> {
    (0..snapshot.kind_count()).map(|ix| KindIx::new(ix as u8))
}

/// All kinds, by name.
pub(crate) fn kinds_by_name(snapshot: &Snapshot) -> Vec<KindIx> {
    let mut kinds: Vec<KindIx> = kinds(snapshot).collect();
    kinds.sort_by_key(|kind| snapshot.kind_name(*kind));
    kinds
}

/// All relations, by number.
pub(crate) fn relations(snapshot: &Snapshot) -> impl Iterator<Item = RelationIx> + use<> {
    (0..snapshot.relation_count()).map(|ix| RelationIx::new(ix as u16))
}

/// The number of edges of each relation, by name.
pub(crate) fn edge_counts(snapshot: &Snapshot) -> Vec<(String, u64)> {
    let named = |relation| (snapshot.relation_name(relation).to_owned(), snapshot.edge_count(relation));
    let mut counts: Vec<(String, u64)> = relations(snapshot).map(named).collect();
    counts.sort();
    counts
}
