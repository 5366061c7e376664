//! The incidence of lists and items: which node lists which items, in numbers from 0 on. An item's neighbors are its lists, whatever
//! their kind and the relation. Weights and times of edges are ignored.

use hedgerow_storage::{KindIx, NodeIx, Snapshot, StableId};
use hedgerow_walker::{CountedRelations, RelationWeights};
use rayon::prelude::*;

use crate::query::recommend::history_query::history_of;

/// The number of a node that is no item.
const NO_ITEM: u32 = u32::MAX;

/// Lists and items. Both are numbered by stable id, so equal graphs have equal numbers.
#[derive(Clone)]
pub(super) struct Incidence {
    /// The node of each item.
    pub(super) items: Vec<NodeIx>,
    /// The items of each list, ascending.
    pub(super) of_lists: Rows,
    /// The lists of each item, ascending.
    pub(super) of_items: Rows,
    pub(super) list_ids: Vec<StableId>,
    pub(super) item_ids: Vec<StableId>,
    /// The number of the item by node.
    numbers: Vec<u32>,
}

impl Incidence {
    /// All living nodes of a kind, and the nodes linked to them.
    pub(super) fn new(snapshot: &Snapshot, kind: KindIx) -> Self {
        let mut items: Vec<NodeIx> = snapshot.nodes_of(kind).collect();
        items.sort_unstable_by_key(|&item| snapshot.stable_id(item));
        let relations = CountedRelations::new(snapshot, &RelationWeights::default());
        let linked = |&item: &NodeIx| {
            history_of(item, snapshot, &relations).into_iter().map(|listed| listed.node).collect()
        };
        let linked: Vec<Vec<NodeIx>> = items.par_iter().map(linked).collect();
        let mut lists: Vec<NodeIx> = linked.iter().flatten().copied().collect();
        lists.par_sort_unstable_by_key(|&list| snapshot.stable_id(list));
        lists.dedup();

        let list_numbers = numbers(&lists, snapshot);
        let mut of_items = Rows::default();
        for lists in linked {
            of_items.push(lists.into_iter().map(|list| list_numbers[list.index()]));
        }
        Self {
            of_lists: of_items.transposed(lists.len()),
            of_items,
            list_ids: lists.iter().map(|&list| snapshot.stable_id(list)).collect(),
            item_ids: items.iter().map(|&item| snapshot.stable_id(item)).collect(),
            numbers: numbers(&items, snapshot),
            items,
        }
    }

    /// The same lists and items with only the edges that are kept. `is_kept` is told list and item.
    pub(super) fn filtered(&self, is_kept: impl Fn(u32, u32) -> bool) -> Self {
        let mut of_lists = Rows::default();
        for (list, items) in self.of_lists.iter().enumerate() {
            of_lists.push(items.iter().copied().filter(|&item| is_kept(list as u32, item)));
        }
        Self {
            items: self.items.clone(),
            of_items: of_lists.transposed(self.items.len()),
            of_lists,
            list_ids: self.list_ids.clone(),
            item_ids: self.item_ids.clone(),
            numbers: self.numbers.clone(),
        }
    }

    /// The numbers of those nodes that are items, ascending.
    pub(super) fn numbers_of(&self, nodes: &[NodeIx]) -> Vec<u32> {
        let number = |node: &NodeIx| self.numbers.get(node.index()).copied();
        let mut numbers: Vec<u32> =
            nodes.iter().filter_map(number).filter(|&number| number != NO_ITEM).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// The place in `nodes` of each node.
fn numbers(nodes: &[NodeIx], snapshot: &Snapshot) -> Vec<u32> {
    let mut numbers = vec![NO_ITEM; snapshot.bound() as usize];
    for (number, node) in nodes.iter().enumerate() {
        numbers[node.index()] = number as u32;
    }
    numbers
}

/// Rows of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    offsets: Vec<usize>,
    entries: Vec<u32>,
}

impl Default for Rows {
    fn default() -> Self {
        Self { offsets: vec![0], entries: Vec::new() }
    }
}

impl Rows {
    pub(super) fn push(&mut self, row: impl IntoIterator<Item = u32>) {
        self.entries.extend(row);
        self.offsets.push(self.entries.len());
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The number of entries of all rows.
    pub(super) fn entry_count(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn row(&self, row: usize) -> &[u32] {
        &self.entries[self.offsets[row]..self.offsets[row + 1]]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u32]> {
        (0..self.len()).map(|row| self.row(row))
    }

    /// The rows in which each number below `rows` is an entry, ascending.
    fn transposed(&self, rows: usize) -> Self {
        let mut offsets = vec![0; rows + 1];
        for &entry in &self.entries {
            offsets[entry as usize + 1] += 1;
        }
        for row in 0..rows {
            offsets[row + 1] += offsets[row];
        }
        let mut next = offsets.clone();
        let mut entries = vec![0; self.entries.len()];
        for (row, columns) in self.iter().enumerate() {
            for &column in columns {
                entries[next[column as usize]] = row as u32;
                next[column as usize] += 1;
            }
        }
        Self { offsets, entries }
    }
}

/// Seven lists of six items, and an item without lists.
///
/// ```text
///   0: 0 1 2    1: 0 1    2: 2 3    3: 3 4    4: 0 2 3 5    5: 5    6: 1 4 5
/// ```
#[cfg(test)]
pub(super) fn small_incidence() -> Incidence {
    of_lists(7, [&[0, 1, 2][..], &[0, 1], &[2, 3], &[3, 4], &[0, 2, 3, 5], &[5], &[1, 4, 5]])
}

/// 300 lists of 1 to 9 of 100 items.
#[cfg(test)]
pub(super) fn large_incidence() -> Incidence {
    let number = |list: u64, at: u64| ((list * 16 + at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32;
    let lists = (0..300).map(|list| {
        let mut items: Vec<u32> = (0..=list % 9).map(|at| number(list, at) % 100).collect();
        items.sort_unstable();
        items.dedup();
        items
    });
    of_lists(100, lists)
}

#[cfg(test)]
fn of_lists<L: AsRef<[u32]>>(items: u32, lists: impl IntoIterator<Item = L>) -> Incidence {
    let mut of_lists = Rows::default();
    lists.into_iter().for_each(|list| of_lists.push(list.as_ref().iter().copied()));
    let ids = |count: usize| (0..count as u64).map(StableId::new).collect();
    Incidence {
        items: (0..items).map(NodeIx::new).collect(),
        list_ids: ids(of_lists.len()),
        item_ids: ids(items as usize),
        of_items: of_lists.transposed(items as usize),
        of_lists,
        numbers: (0..items).collect(),
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_storage::{Batch, Edge, NodeRef, Store};

    use super::*;

    /// Boards list pins in two relations, and pins list pins.
    #[test]
    fn every_neighbor_of_an_item_is_a_list_that_has_it_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::options().create(true).open(folder.path().join("store")).expect("it opens");
        let node = |kind, key| NodeRef { kind, key };
        let mut batch = Batch::new();
        for (relation, from, to) in [
            ("saved", node("board", "x"), node("pin", "a")),
            ("liked", node("board", "x"), node("pin", "a")),
            ("saved", node("board", "x"), node("pin", "b")),
            ("alike", node("pin", "b"), node("pin", "c")),
        ] {
            batch.link(from, to, Edge { relation: Some(relation), ..Edge::default() }).expect("an edge");
        }
        batch.add_node(node("pin", "lone")).expect("a node");
        store.commit(&batch).expect("a commit");
        let snapshot = store.snapshot();
        let pin = |key| snapshot.require(node("pin", key)).expect("it is there");
        let incidence = Incidence::new(&snapshot, snapshot.kind(pin("a")));
        assert_eq!((incidence.items.len(), incidence.of_lists.len()), (4, 3), "lists are x, b and c");
        let number = |key| incidence.numbers_of(&[pin(key)])[0] as usize;
        let degrees = ["a", "b", "c", "lone"].map(|key| incidence.of_items.row(number(key)).len());
        assert_eq!(degrees, [1, 2, 1, 0]);
        for (item, lists) in incidence.of_items.iter().enumerate() {
            for &list in lists {
                assert!(incidence.of_lists.row(list as usize).contains(&(item as u32)));
            }
        }
        let without = incidence.filtered(|_, item| item != number("a") as u32);
        assert_eq!((without.of_lists.entry_count(), without.of_items.row(number("a"))), (3, &[][..]));
    }
}
