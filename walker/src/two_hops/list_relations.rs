//! The relations that join the nodes of a kind to lists, and the lists through them. A list is a node of another kind, for example
//! a user or a board. Owns the limits on long lists; it sums nothing.

use hedgerow_storage::{KindIx, List, NodeIx, RelationIx, Snapshot};

use crate::policies::policy::{Policy, walked_relation};
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
    /// The relation's weight beside the others.
    weight: f32,
    /// The moment as of which edges count, if their weights fade.
    moment: Option<i64>,
}

/// The bounds of a strength: the product of two stays a normal number.
const STRENGTHS: (f32, f32) = (1.0 / (1 << 30) as f32, (1 << 30) as f32);

impl ListRelation {
    /// The strength of the edge at a position of a list: how much it counts in a sum. Its own weight counts only where weights fade, as of
    /// the policy's moment.
    #[inline]
    fn strength(self, list: &List<'_>, position: usize) -> f32 {
        match self.moment {
            Some(moment) => (self.weight * list.weight_at(position, moment)).clamp(STRENGTHS.0, STRENGTHS.1),
            None => self.weight,
        }
    }

    /// The strength of all edges of a list, if they have the same.
    #[inline]
    fn common_strength(self) -> Option<f32> {
        self.moment.is_none().then_some(self.weight)
    }
}

/// A neighbor that counts in a sum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) node: NodeIx,
    /// The strength of its edge.
    pub(super) strength: f32,
    /// The neighbors that it stands for.
    pub(super) scale: f32,
}

/// Neighbors that count in a sum.
#[derive(Clone, Debug)]
struct Sample<'a> {
    list: List<'a>,
    /// The positions: `count` from `start` on, and around the end. Where weights fade, positions are in the order of weight classes: then
    /// `count` at equal distances.
    start: usize,
    count: usize,
    /// The neighbors that each of them stands for.
    scale: f32,
}

impl ListRelations {
    /// The relations that a policy takes there and back. `None` if there is none.
    pub fn new(snapshot: &Snapshot, policy: &Policy) -> Option<Self> {
        let kind = snapshot.kind_ix(&policy.kind)?;
        let relation = |(at, path): (usize, &Vec<String>)| match path.as_slice() {
            [there, back] if there == back => {
                let relation = walked_relation(snapshot, there)?;
                let pairs = snapshot.relation_kinds(relation);
                let is_pure = pairs.iter().all(|&(a, b)| (a == kind) != (b == kind));
                Some(ListRelation {
                    relation,
                    is_pure,
                    weight: policy.weights.get(at).copied().unwrap_or(1.0),
                    moment: snapshot.relation_options(relation).half_life.map(|_| policy.moment),
                })
            }
            _ => None,
        };
        let relations: Vec<ListRelation> = policy.paths.iter().enumerate().filter_map(relation).collect();
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

    /// All lists of an item with the strengths of its edges to them, relation by relation, each time in the order of the neighbor list.
    pub fn lists_of<'s>(
        &'s self,
        snapshot: &'s Snapshot,
        item: NodeIx,
    ) -> impl Iterator<Item = (NodeIx, f32)> + 's {
        self.relations.iter().flat_map(move |relation| {
            let lists = snapshot.list(relation.relation, item);
            let edges = lists.neighbors().enumerate();
            let edges = edges.map(move |(position, list)| (list, relation.strength(&lists, position)));
            edges.filter(move |&(list, _)| relation.is_pure || snapshot.kind(list) != self.kind)
        })
    }

    /// The strength of the strongest edge between two nodes; 0 without one.
    pub fn strength(&self, snapshot: &Snapshot, node: NodeIx, other: NodeIx) -> f32 {
        let strength = |relation: &ListRelation| {
            let list = snapshot.list(relation.relation, node);
            let position = list.position(other, snapshot.stable_id(other))?;
            Some(relation.strength(&list, position))
        };
        self.relations.iter().filter_map(strength).fold(0.0, f32::max)
    }

    /// The items of a list that count where some items have this many lists together.
    pub(super) fn most_items(lists: usize, items: usize) -> usize {
        (MAX_READS * items / lists.max(1)).max(FEWEST_ITEMS)
    }

    /// Calls `each` with the lists of an item that count.
    #[inline]
    pub(super) fn for_each_list(&self, snapshot: &Snapshot, item: NodeIx, mut each: impl FnMut(Counted)) {
        for relation in &self.relations {
            let sample = Sample::new(snapshot.list(relation.relation, item), snapshot, item, MAX_LISTS);
            sample.for_each(*relation, |list| {
                if relation.is_pure || snapshot.kind(list.node) != self.kind {
                    each(list);
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

    /// Calls `each` with at most `most` items of a list, some at a time, and with the strength of their edges times the number that each
    /// stands for.
    #[inline]
    pub(super) fn for_each_items(
        &self,
        snapshot: &Snapshot,
        list: NodeIx,
        most: usize,
        mut each: impl FnMut(&[u32], f32),
    ) {
        for relation in &self.relations {
            let sample = Sample::new(snapshot.list(relation.relation, list), snapshot, list, most);
            if relation.is_pure
                && sample.is_all()
                && let Some(strength) = relation.common_strength()
            {
                sample.list.runs().for_each(|run| each(run, sample.scale * strength));
                continue;
            }
            sample.for_each(*relation, |item| {
                if relation.is_pure || snapshot.kind(item.node) == self.kind {
                    each(&[item.node.get()], item.scale * item.strength);
                }
            });
        }
    }
}

impl<'a> Sample<'a> {
    /// The neighbors of `owner` that count: all, or a run of positions that starts where the owner's stable id says. Positions are
    /// ordered by hash, so a run is a random sample, and lists of different owners start at different places. Where weights fade, a run would
    /// be of one age, so each class gives its part of the neighbors.
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
    fn for_each(self, relation: ListRelation, mut each: impl FnMut(Counted)) {
        let Self { list, start, count, scale } = self;
        let degree = list.degree();
        let counted = |position, node| Counted { node, strength: relation.strength(&list, position), scale };
        if count == degree {
            let nodes = list.runs().flatten().map(|&node| NodeIx::new(node));
            nodes.enumerate().for_each(|(position, node)| each(counted(position, node)));
            return;
        }
        for at in 0..count {
            let position = match start + at {
                _ if list.is_fading() => (at * degree + start) / count,
                position if position < degree => position,
                position => position - degree,
            };
            each(counted(position, list.neighbor(position)));
        }
    }
}
