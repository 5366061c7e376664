//! Sums by node that are reset to zero after each use, and the two hops that add to them.
//! Must not know what the sums mean.

use hedgerow_storage::{NodeIx, Snapshot};

use crate::two_hops::degree_powers::DegreePowers;
use crate::two_hops::list_relations::{Counted, ListRelations};

/// Lists between the one that is read and the one whose items are fetched from memory.
const LISTS_AHEAD: usize = 8;

/// A sum for each node, and the nodes whose sum is not zero.
#[derive(Debug)]
pub(super) struct Sums {
    /// By node. All zeros between two uses.
    pub(super) by_node: Vec<f32>,
    /// The first `count` are the nodes whose sum is not zero, in the order in which they were first reached. One more than there are nodes.
    reached: Vec<u32>,
    count: usize,
}

impl Sums {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let bound = snapshot.bound() as usize;
        Self { by_node: vec![0.0; bound], reached: vec![0; bound + 1], count: 0 }
    }

    #[inline]
    pub(super) fn add(&mut self, node: u32, amount: f32) {
        self.add_each(&[node], amount);
    }

    /// Adds an amount to each of some nodes.
    #[inline]
    fn add_each(&mut self, nodes: &[u32], amount: f32) {
        // A sum that stays zero would be noted more than once. Powers of degrees can be that small only in a model from outside.
        if amount <= 0.0 {
            return;
        }
        let Self { by_node, reached, count } = self;
        // Every node is written behind the noted ones, and stays there if it is new: a branch would be mispredicted for most new ones.
        for &node in nodes {
            let sum = &mut by_node[node as usize];
            reached[*count] = node;
            *count += usize::from(*sum == 0.0);
            *sum += amount;
        }
    }

    /// Adds `amount * d_v^-b`, times the strength of the edge, to each list v of an item. Returns the part of it that the same edges
    /// lead back to the item.
    pub(super) fn add_lists(
        &mut self,
        item: NodeIx,
        amount: f32,
        snapshot: &Snapshot,
        relations: &ListRelations,
        list_powers: &DegreePowers,
    ) -> f32 {
        let mut returned = 0.0;
        relations.for_each_list(snapshot, item, |Counted { node: list, strength, scale }| {
            let amount = scale * strength * amount * list_powers.of(relations.degree(snapshot, list));
            returned += strength * amount;
            self.add(list.get(), amount);
        });
        returned
    }

    /// Adds to each item of some lists what its lists have. The lists are those of a number of items.
    pub(super) fn add_items(
        &mut self,
        lists: &[(NodeIx, f32)],
        items: usize,
        snapshot: &Snapshot,
        relations: &ListRelations,
    ) {
        let most_items = ListRelations::most_items(lists.len(), items);
        for (at, &(list, amount)) in lists.iter().enumerate() {
            if let Some(&(later, _)) = lists.get(at + LISTS_AHEAD) {
                relations.prefetch_items(snapshot, later);
            }
            relations.for_each_items(snapshot, list, most_items, |others, items| {
                self.add_each(others, amount * items);
            });
        }
    }

    /// The sums in the order in which they were reached, which are zero again.
    pub(super) fn take(&mut self) -> Vec<(NodeIx, f32)> {
        let mut sums = Vec::with_capacity(self.count);
        self.drain(|node, sum| sums.push((node, sum)));
        sums
    }

    /// Passes on the sums in the order in which they were reached. They are zero again.
    pub(super) fn drain(&mut self, mut each: impl FnMut(NodeIx, f32)) {
        let Self { by_node, reached, count } = self;
        for &node in &reached[..*count] {
            each(NodeIx::new(node), std::mem::take(&mut by_node[node as usize]));
        }
        *count = 0;
    }
}
