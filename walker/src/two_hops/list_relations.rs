//! The relations that join the nodes of a kind to lists, and the lists through them. A list is a node of another kind, for example
//! a user or a board. Owns the limits on long lists; it sums nothing.

use hedgerow_storage::{KindIx, List, NodeIx, RelationIx, Snapshot};

use crate::policy::Policy;
use crate::stable_draw::mix;

/// Most lists of an item that count, in each relation. Of more a sample counts, and each of it stands for as many as were left out.
pub const MAX_LISTS: usize = 300;
/// Items that are read for one item, about: of each list as many as the number of lists leaves, but not less than
/// [`FEWEST_ITEMS`]. On gowalla's related items this reads a tenth less than all, and the hit rate differs by chance only; with 100
/// items of each list it is 2 to 4 % lower.
pub const MAX_READS: usize = 30_000;
/// Items of a list that always count.
pub const FEWEST_ITEMS: usize = 100;

/// The relations between the nodes of a kind and their lists.
#[derive(Clone, Debug)]
pub struct ListRelations {
    kind: KindIx,
    relations: Vec<ListRelation>,
}

#[derive(Clone, Copy, Debug)]
struct ListRelation {
    relation: RelationIx,
    /// True if every edge of the relation joins a node of the kind to a node of another kind.
    is_pure: bool,
}

/// Neighbors that count in a sum.
#[derive(Clone, Debug)]
struct Sample<'a> {
    list: List<'a>,
    /// The positions: `count` from `start` on, and around the end.
    start: usize,
    count: usize,
    /// The neighbors that each of them stands for.
    scale: f32,
}

impl ListRelations {
    /// The relations that a policy takes there and back. `None` if there is none.
    pub fn new(snapshot: &Snapshot, policy: &Policy) -> Option<Self> {
        let kind = snapshot.kind_ix(&policy.kind)?;
        let relation = |path: &Vec<String>| match path.as_slice() {
            [there, back] if there == back => {
                let relation = snapshot.relation_ix(there)?;
                let pairs = snapshot.relation_kinds(relation);
                let is_pure = pairs.iter().all(|&(a, b)| (a == kind) != (b == kind));
                Some(ListRelation { relation, is_pure })
            }
            _ => None,
        };
        let relations: Vec<ListRelation> = policy.paths.iter().filter_map(relation).collect();
        (!relations.is_empty()).then_some(Self { kind, relations })
    }

    /// The kind of the items.
    pub fn kind(&self) -> KindIx {
        self.kind
    }

    /// The number of edges of a node in these relations.
    #[inline]
    pub fn degree(&self, snapshot: &Snapshot, node: NodeIx) -> usize {
        self.relations.iter().map(|relation| snapshot.list(relation.relation, node).degree()).sum()
    }

    /// All lists of an item, relation by relation, each time in the order of the neighbor list.
    pub fn lists_of<'s>(&'s self, snapshot: &'s Snapshot, item: NodeIx) -> impl Iterator<Item = NodeIx> + 's {
        self.relations.iter().flat_map(move |relation| {
            let lists = snapshot.list(relation.relation, item).neighbors();
            lists.filter(move |&list| relation.is_pure || snapshot.kind(list) != self.kind)
        })
    }

    /// The items of a list that count where some items have this many lists together.
    pub(super) fn most_items(lists: usize, items: usize) -> usize {
        (MAX_READS * items / lists.max(1)).max(FEWEST_ITEMS)
    }

    /// Calls `each` with the lists of an item that count, and with the number that each stands for.
    #[inline]
    pub(super) fn for_each_list(&self, snapshot: &Snapshot, item: NodeIx, mut each: impl FnMut(NodeIx, f32)) {
        for &ListRelation { relation, is_pure } in &self.relations {
            let sample = Sample::new(snapshot.list(relation, item), snapshot, item, MAX_LISTS);
            let scale = sample.scale;
            sample.for_each(|list| {
                let list = NodeIx::new(list);
                if is_pure || snapshot.kind(list) != self.kind {
                    each(list, scale);
                }
            });
        }
    }

    /// Starts to fetch the first items of a list from memory.
    #[inline]
    pub(super) fn prefetch_items(&self, snapshot: &Snapshot, list: NodeIx) {
        for relation in &self.relations {
            let list = snapshot.list(relation.relation, list);
            if !list.is_empty() {
                list.place(0);
            }
        }
    }

    /// Calls `each` with at most `most` items of a list, some at a time, and with the number that each stands for.
    #[inline]
    pub(super) fn for_each_items(
        &self,
        snapshot: &Snapshot,
        list: NodeIx,
        most: usize,
        mut each: impl FnMut(&[u32], f32),
    ) {
        for &ListRelation { relation, is_pure } in &self.relations {
            let sample = Sample::new(snapshot.list(relation, list), snapshot, list, most);
            let scale = sample.scale;
            if is_pure && sample.is_all() {
                sample.list.runs().for_each(|run| each(run, scale));
                continue;
            }
            sample.for_each(|item| {
                if is_pure || snapshot.kind(NodeIx::new(item)) == self.kind {
                    each(&[item], scale);
                }
            });
        }
    }
}

impl<'a> Sample<'a> {
    /// The neighbors of `owner` that count: all, or a run of positions that starts where the owner's stable id says. Positions are
    /// ordered by hash, so a run is a random sample, and lists of different owners start at different places.
    #[inline]
    fn new(list: List<'a>, snapshot: &Snapshot, owner: NodeIx, most: usize) -> Self {
        let degree = list.degree();
        if degree <= most {
            return Self { list, start: 0, count: degree, scale: 1.0 };
        }
        let hash = mix(snapshot.stable_id(owner).get());
        let start = ((u128::from(hash) * degree as u128) >> 64) as usize;
        Self { list, start, count: most, scale: degree as f32 / most as f32 }
    }

    fn is_all(&self) -> bool {
        self.count == self.list.degree()
    }

    #[inline]
    fn for_each(self, mut each: impl FnMut(u32)) {
        let degree = self.list.degree();
        if self.is_all() {
            self.list.runs().for_each(|run| run.iter().for_each(|&node| each(node)));
            return;
        }
        for at in self.start..self.start + self.count {
            let position = if at < degree { at } else { at - degree };
            each(self.list.neighbor(position).get());
        }
    }
}
