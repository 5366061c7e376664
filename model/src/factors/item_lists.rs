//! The items of a kind and their lists, as a matrix in canonical order: rows and columns by stable id.
//! Owns the choice of hidden edges. Must not know what is computed from them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use hedgerow_storage::{NodeIx, Snapshot};
use hedgerow_walker::{CountedRelations, ListRelations, RelationWeights};
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::linalg::sparse::Sparse;

const ABSENT: u32 = u32::MAX;

/// Edges between lists and items, each once with the strength of the strongest. Size: 16 bytes an edge.
pub(crate) struct ItemLists {
    /// The items that have an edge in the graph, by stable id.
    pub(crate) items: Vec<NodeIx>,
    /// The stable ids of the items.
    pub(crate) item_ids: Vec<u64>,
    list_ids: Vec<u64>,
    /// The items of each list, ascending. Shape: (lists, items).
    pub(crate) of_list: Sparse,
    /// The lists of each item, ascending. Shape: (items, lists).
    pub(crate) of_item: Sparse,
    /// True if some strength is not 1.
    has_strengths: bool,
}

/// An edge that is taken out of the lists.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HiddenEdge {
    pub(crate) list: u32,
    pub(crate) item: u32,
    pub(crate) strength: f32,
}

impl ItemLists {
    /// Cost: two sorts of the nodes by stable id, and reads of all edges.
    pub(crate) fn new(snapshot: &Snapshot, relations: &ListRelations) -> Self {
        let by_id =
            |nodes: &mut Vec<NodeIx>| nodes.par_sort_unstable_by_key(|&node| snapshot.stable_id(node));
        let ids = |nodes: &[NodeIx]| nodes.iter().map(|&node| snapshot.stable_id(node).get()).collect();
        // An edge that is disliked as well is no sign of a liking.
        let counted = CountedRelations::new(snapshot, &RelationWeights::default());
        let is_liked = |item, list| !counted.has_dislikes() || !counted.is_disliked(snapshot, item, list);
        let lists_of =
            |item: NodeIx| relations.lists_of(snapshot, item).filter(move |&(list, _)| is_liked(item, list));
        let mut items: Vec<NodeIx> = snapshot.nodes_of(relations.kind()).collect();
        items.retain(|&item| lists_of(item).next().is_some());
        by_id(&mut items);

        // The lists are numbered by stable id as well.
        let mut row_of = vec![ABSENT; snapshot.bound() as usize];
        let mut lists = Vec::new();
        for &item in &items {
            for (list, _) in lists_of(item) {
                if row_of[list.index()] == ABSENT {
                    row_of[list.index()] = 0;
                    lists.push(list);
                }
            }
        }
        by_id(&mut lists);
        for (row, list) in lists.iter().enumerate() {
            row_of[list.index()] = row as u32;
        }
        let row = |&item: &NodeIx| {
            let edges = lists_of(item);
            let mut row: Vec<(u32, f32)> =
                edges.map(|(list, strength)| (row_of[list.index()], strength)).collect();
            row.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
            row.dedup_by_key(|(list, _)| *list);
            row
        };
        let rows: Vec<Vec<(u32, f32)>> = items.par_iter().map(row).collect();
        let has_strengths = rows.iter().flatten().any(|&(_, strength)| strength != 1.0);
        let mut of_item = Sparse::with_capacity(lists.len(), items.len(), rows.iter().map(Vec::len).sum());
        for row in rows {
            of_item.push_row(row);
        }
        let (item_ids, list_ids) = (ids(&items), ids(&lists));
        Self { items, item_ids, list_ids, of_list: of_item.transpose(), of_item, has_strengths }
    }

    /// The confidences of a row of [`ItemLists::of_list`] or [`ItemLists::of_item`], which are its strengths; empty if all are 1.
    pub(crate) fn confidences<'m>(&self, matrix: &'m Sparse, row: usize) -> &'m [f32] {
        if self.has_strengths { matrix.values_of(row) } else { &[] }
    }

    pub(crate) fn list_count(&self) -> usize {
        self.list_ids.len()
    }

    pub(crate) fn item_count(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn edge_count(&self) -> usize {
        self.of_list.columns().len()
    }

    /// The dense part of the graph: an equal share of the items and of the lists, those with the most edges, with at most this many edges
    /// between them. All of it if there are no more.
    ///
    /// A sample by hash would not do: its lists are shorter and its items rarer than in the whole graph, and other constants are best for
    /// it. Memory: 4 bytes an edge.
    pub(crate) fn core(&self, most_edges: usize) -> Self {
        let (items, lists) = (shares_by_length(&self.of_item), shares_by_length(&self.of_list));
        let mut edges = Vec::with_capacity(self.edge_count());
        for (list, share) in lists.iter().enumerate() {
            edges.extend(self.of_list.columns_of(list).iter().map(|&item| share.max(items[item as usize])));
        }
        let limit = if edges.len() <= most_edges {
            f32::INFINITY
        } else {
            *edges.select_nth_unstable_by(most_edges, f32::total_cmp).1
        };
        let below_limit = |shares: &[f32]| -> Vec<u32> {
            (0..shares.len() as u32).filter(|&row| shares[row as usize] < limit).collect()
        };
        self.part(&below_limit(&items), &below_limit(&lists), |_, _| true)
    }

    /// Rows of the items of a part, as rows of all items. Items that are not in the part get zeros.
    pub(crate) fn rows_from<const N: usize>(&self, part: &Self, rows: &[[f32; N]]) -> Vec<[f32; N]> {
        let mut known = part.item_ids.iter().zip(rows).peekable();
        let row = |id: &u64| known.next_if(|(known, _)| *known == id).map_or([0.0; N], |(_, row)| *row);
        self.item_ids.iter().map(row).collect()
    }

    /// Two parts: most lists, and one of `share` by hash, which has no list in common with that of another `fold` below `share`. All
    /// items stay in both.
    pub(crate) fn split(&self, share: usize, fold: usize, seed: u64) -> (Self, Self) {
        let is_hidden = |list: &u32| {
            let id = self.list_ids[*list as usize].to_le_bytes();
            xxh3_64_with_seed(&id, seed) % share as u64 == fold as u64
        };
        let (hidden, kept): (Vec<u32>, Vec<u32>) = (0..self.list_count() as u32).partition(is_hidden);
        (self.with_lists(&kept, |_, _| true), self.with_lists(&hidden, |_, _| true))
    }

    /// Some edges of every list, for a measurement: a fifth of the edges of lists with five or more, by hash. Edges that are asked for
    /// come after all that are known, so none of their time may be left in other lists.
    pub(crate) fn hidden_edges(&self, seed: u64) -> Vec<HiddenEdge> {
        let hidden_of = |list: u32| {
            // The smallest hashes: at least one edge, and never all.
            let mut items: Vec<(u32, f32)> = self.of_list.row(list as usize).collect();
            let count = (items.len() / HIDDEN_SHARE).min(MOST_HIDDEN);
            items.sort_by_cached_key(|&(item, _)| self.hash(list, self.item_ids[item as usize], seed));
            items.truncate(count);
            let hidden = items.into_iter().map(move |(item, strength)| HiddenEdge { list, item, strength });
            hidden.collect::<Vec<_>>()
        };
        (0..self.list_count() as u32).into_par_iter().flat_map_iter(hidden_of).collect()
    }

    /// Of edges in the order of their lists, those of some lists, drawn by hash.
    pub(crate) fn edges_of_some_lists(
        &self,
        edges: &[HiddenEdge],
        lists: usize,
        seed: u64,
    ) -> Vec<HiddenEdge> {
        let mut drawn: Vec<&[HiddenEdge]> = edges.chunk_by(|a, b| a.list == b.list).collect();
        drawn.sort_by_cached_key(|edges| self.hash(edges[0].list, 0, seed));
        drawn.truncate(lists);
        drawn.sort_unstable_by_key(|edges| edges[0].list);
        drawn.concat()
    }

    /// Those of some edges between nodes that are here, each once, in the order of their lists.
    pub(crate) fn edges_between(&self, snapshot: &Snapshot, edges: &[(NodeIx, NodeIx)]) -> Vec<HiddenEdge> {
        let place = |ids: &[u64], node: NodeIx| ids.binary_search(&snapshot.stable_id(node).get()).ok();
        let edge = |&(list, item): &(NodeIx, NodeIx)| {
            let (list, item) = (place(&self.list_ids, list)?, place(&self.item_ids, item)? as u32);
            let place = self.of_list.columns_of(list).binary_search(&item).ok()?;
            Some(((list as u32, item), self.of_list.values_of(list)[place]))
        };
        let found: BTreeMap<(u32, u32), f32> = edges.iter().filter_map(edge).collect();
        found.into_iter().map(|((list, item), strength)| HiddenEdge { list, item, strength }).collect()
    }

    fn hash(&self, list: u32, item: u64, seed: u64) -> u64 {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.list_ids[list as usize].to_le_bytes());
        key[8..].copy_from_slice(&item.to_le_bytes());
        xxh3_64_with_seed(&key, seed)
    }

    /// The same rows without the hidden edges.
    pub(crate) fn without(&self, hidden: &[HiddenEdge]) -> Self {
        let mut keys: Vec<(u32, u32)> = hidden.iter().map(|edge| (edge.list, edge.item)).collect();
        keys.sort_unstable();
        let all: Vec<u32> = (0..self.list_count() as u32).collect();
        self.with_lists(&all, |list, item| keys.binary_search(&(list, item)).is_err())
    }

    /// The listed lists with the edges that pass a test. All items stay.
    fn with_lists(&self, lists: &[u32], keeps: impl Fn(u32, u32) -> bool) -> Self {
        let items: Vec<u32> = (0..self.item_count() as u32).collect();
        self.part(&items, lists, keeps)
    }

    /// The listed items and lists, both ascending, with the edges between them that pass a test.
    fn part(&self, items: &[u32], lists: &[u32], keeps: impl Fn(u32, u32) -> bool) -> Self {
        let mut row_of = vec![ABSENT; self.item_count()];
        for (row, &item) in items.iter().enumerate() {
            row_of[item as usize] = row as u32;
        }
        let mut of_list = Sparse::with_capacity(items.len(), lists.len(), 0);
        for &list in lists {
            let kept = self.of_list.row(list as usize).filter(|&(item, _)| keeps(list, item));
            let rows = kept.map(|(item, strength)| (row_of[item as usize], strength));
            of_list.push_row(rows.filter(|&(row, _)| row != ABSENT));
        }
        Self {
            items: items.iter().map(|&item| self.items[item as usize]).collect(),
            item_ids: items.iter().map(|&item| self.item_ids[item as usize]).collect(),
            list_ids: lists.iter().map(|&list| self.list_ids[list as usize]).collect(),
            of_item: of_list.transpose(),
            of_list,
            has_strengths: self.has_strengths,
        }
    }
}

/// For each row, the share of the rows that are longer, or as long and not behind it.
fn shares_by_length(matrix: &Sparse) -> Vec<f32> {
    let mut order: Vec<u32> = (0..matrix.rows() as u32).collect();
    order.sort_by_key(|&row| Reverse(matrix.columns_of(row as usize).len()));
    let mut shares = vec![0.0; order.len()];
    for (place, &row) in order.iter().enumerate() {
        shares[row as usize] = ((place + 1) as f64 / order.len() as f64) as f32;
    }
    shares
}

/// Hidden edges of a list, at most.
const MOST_HIDDEN: usize = 500;
/// One of this many edges of a list is hidden, so none of a shorter list.
const HIDDEN_SHARE: usize = 5;
