//! A frozen state of the graph: the public interface of every reader.
//! Owns the public reading methods; the representation belongs to the state.

use std::sync::Arc;

use crate::adjacency::list::List;
use crate::adjacency::lists::Lists;
use crate::graph::graph_state::{GraphState, LookupResult};
use crate::graph::property_values::PropertyReader;
use crate::segments::PropertyMeta;
use crate::types::error::Error;
use crate::types::ids::{Epoch, KindIx, NodeIx, PropertyIx, RelationIx, StableId};
use crate::types::names::{NodeName, NodeRef};
use crate::types::position::Position;
use crate::types::property::{PropertyType, PropertyValue};
use crate::types::weights::relation_options::{RelationOptions, TimeUnit};

/// A property of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property<'a> {
    /// The kind of the nodes that have it.
    pub kind: KindIx,
    /// Its name, such as `price`.
    pub name: &'a str,
    /// The type of its values.
    pub of: PropertyType,
    /// The number of nodes with a value.
    pub count: u64,
}

/// A frozen view of the graph; clones share it.
///
/// # Visibility
/// Shows whole batches only, and never changes, whatever is committed or checkpointed later.
///
/// # Panics
/// Methods that take a [`NodeIx`], [`KindIx`], [`RelationIx`] or [`PropertyIx`] panic for a number that this store never assigned, or
/// assigned after the snapshot was taken. Removed nodes are allowed: they have a name, and no edges or features.
///
/// # Cost
/// Taking one copies a pointer. Until a later checkpoint it shares its memory with the store.
#[derive(Clone, Debug)]
pub struct Snapshot(pub(crate) Arc<GraphState>);

impl Snapshot {
    /// The epoch of the last batch that it shows.
    pub fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    /// The position of the input `source`; `None` where no batch recorded one.
    pub fn position(&self, source: &str) -> Option<Position> {
        self.0.positions.get(source).copied()
    }

    /// All positions, by name of their input.
    pub fn positions(&self) -> impl Iterator<Item = (&str, Position)> {
        self.0.positions.iter().map(|(source, position)| (source.as_str(), *position))
    }

    /// Every node's number is below it.
    pub fn bound(&self) -> u32 {
        self.0.bound
    }

    /// The number of living nodes.
    pub fn node_count(&self) -> u64 {
        self.0.alive
    }

    /// The number of a node; `None` if it is not alive.
    pub fn lookup<'a>(&self, node: impl Into<NodeRef<'a>>) -> Option<NodeIx> {
        let node = node.into();
        match self.0.find(node, node.stable_id()) {
            LookupResult::Node(found) if self.0.is_alive(found) => Some(found),
            LookupResult::Node(_) | LookupResult::Other(_) | LookupResult::Nothing => None,
        }
    }

    /// The number of a node.
    ///
    /// # Errors
    /// [`Error::UnknownNode`] when it is not alive.
    pub fn require<'a>(&self, node: impl Into<NodeRef<'a>>) -> Result<NodeIx, Error> {
        let node = node.into();
        self.lookup(node).ok_or_else(|| Error::UnknownNode { node: node.to_string() })
    }

    /// The name of a node, alive or not.
    pub fn name(&self, node: NodeIx) -> NodeName {
        self.0.name(node).to_name()
    }

    /// The kind of a node.
    #[inline]
    pub fn kind(&self, node: NodeIx) -> KindIx {
        self.0.kind(node)
    }

    /// The stable id of a node.
    #[inline]
    pub fn stable_id(&self, node: NodeIx) -> StableId {
        self.0.stable_id(node)
    }

    /// True for a node that was not removed; false for any number from the bound on.
    #[inline]
    pub fn is_alive(&self, node: NodeIx) -> bool {
        self.0.is_alive(node)
    }

    /// The number of kinds that ever existed.
    pub fn kind_count(&self) -> usize {
        self.0.kinds.len()
    }

    /// The name of a kind.
    pub fn kind_name(&self, kind: KindIx) -> &str {
        &self.0.kinds[kind.index()]
    }

    /// The kind with that name.
    pub fn kind_ix(&self, name: &str) -> Option<KindIx> {
        self.0.kind_ix(name)
    }

    /// The number of relations that ever existed.
    pub fn relation_count(&self) -> usize {
        self.0.relations.len()
    }

    /// The name of a relation.
    pub fn relation_name(&self, relation: RelationIx) -> &str {
        &self.0.relations[relation.index()].name
    }

    /// The options of a relation.
    pub fn relation_options(&self, relation: RelationIx) -> RelationOptions {
        self.0.relations[relation.index()].options.into()
    }

    /// The unit of the times of all edges.
    pub fn time_unit(&self) -> TimeUnit {
        self.0.time_unit
    }

    /// The relation with that name.
    pub fn relation_ix(&self, name: &str) -> Option<RelationIx> {
        self.0.relation_ix(name)
    }

    /// The pairs of kinds that have, or ever had, an edge in a relation; sorted by kind name, within each pair too.
    pub fn relation_kinds(&self, relation: RelationIx) -> Vec<(KindIx, KindIx)> {
        let name = |kind: KindIx| self.kind_name(kind);
        let pairs = self.0.relations[relation.index()].kinds.iter();
        let mut pairs: Vec<_> = pairs
            .map(|&(a, b)| (KindIx::new(a), KindIx::new(b)))
            .map(|(a, b)| if name(a) <= name(b) { (a, b) } else { (b, a) })
            .collect();
        pairs.sort_by_key(|&(a, b)| (name(a), name(b)));
        pairs
    }

    /// The living nodes of a kind, numbers ascending.
    ///
    /// # Cost
    /// Visits all nodes, of any kind.
    pub fn nodes_of(&self, kind: KindIx) -> impl Iterator<Item = NodeIx> + '_ {
        let nodes = (0..self.0.bound).map(NodeIx::new);
        nodes.filter(move |&node| self.0.kind(node) == kind && self.0.is_alive(node))
    }

    /// The neighbors of a node in a relation; an empty list where it has none.
    #[inline]
    pub fn list(&self, relation: RelationIx, node: NodeIx) -> List<'_> {
        self.0.list(relation, node)
    }

    /// The lists of a relation, for reading many of them.
    #[inline]
    pub fn lists(&self, relation: RelationIx) -> Lists<'_> {
        self.0.lists(relation)
    }

    /// The number of edges of a node over all relations; an edge to itself counts once.
    pub fn degree(&self, node: NodeIx) -> u64 {
        (0..self.relation_count()).map(|at| self.list(RelationIx::new(at as u16), node).degree() as u64).sum()
    }

    /// The number of edges of a relation.
    pub fn edge_count(&self, relation: RelationIx) -> u64 {
        self.0.relations[relation.index()].edges
    }

    /// The tokens of a node, sorted and without repetition.
    pub fn tokens(&self, node: NodeIx) -> Vec<&str> {
        self.0.tokens(node)
    }

    /// Calls `visit` with every token that some node has; with some of them several times, and perhaps with tokens of removed nodes.
    ///
    /// # Cost
    /// A pass over the different tokens in the checkpoint, and over the tokens that changed since.
    pub fn for_each_token(&self, visit: &mut dyn FnMut(&str)) {
        self.0.segments.features.all_tokens().for_each(&mut *visit);
        self.0.tokens.for_each(&mut |_, tokens| tokens.iter().for_each(|token| visit(token)));
    }

    /// A node's row in the dense block with that name.
    pub fn dense(&self, node: NodeIx, block: &str) -> Option<&[f32]> {
        let at = self.0.blocks.iter().position(|other| other.name == block)?;
        self.0.dense(at, node)
    }

    /// Name and width of the dense blocks in which some node has a row, by name.
    pub fn dense_blocks(&self) -> Vec<(String, usize)> {
        let used = self.0.blocks.iter().filter(|block| block.rows > 0);
        let mut blocks: Vec<_> = used.map(|block| (block.name.clone(), block.width as usize)).collect();
        blocks.sort();
        blocks
    }

    /// The properties of a kind, in the order in which they came.
    pub fn properties_of(&self, kind: KindIx) -> impl Iterator<Item = PropertyIx> {
        let properties = (0..).zip(&self.0.properties);
        properties.filter(move |(_, property)| property.kind == kind.get()).map(|(at, _)| PropertyIx::new(at))
    }

    /// A kind's property with that name.
    pub fn property_ix(&self, kind: KindIx, name: &str) -> Option<PropertyIx> {
        self.0.property_ix(kind, name).map(PropertyIx::new)
    }

    /// Name, type and number of values of a property.
    pub fn property(&self, property: PropertyIx) -> Property<'_> {
        let PropertyMeta { kind, name, of, count } = &*self.0.properties[property.index()];
        Property { kind: KindIx::new(*kind), name, of: *of, count: *count }
    }

    /// A node's value of a property; `None` where it has none, as every node of another kind.
    ///
    /// # Cost
    /// Some nanoseconds, where nodes are visited in their order and their values are in a checkpoint.
    #[inline]
    pub fn value(&self, node: NodeIx, property: PropertyIx) -> Option<PropertyValue<'_>> {
        self.0.value(property.get(), node)
    }

    /// The values of a property, for reading many of them.
    pub fn property_reader(&self, property: PropertyIx) -> PropertyReader<'_> {
        PropertyReader::new(&self.0, property.get())
    }

    /// The property that stands for the nodes of a kind when they are shown; `None` where the key does.
    pub fn label(&self, kind: KindIx) -> Option<PropertyIx> {
        self.0.labels.get(&kind.get()).copied().map(PropertyIx::new)
    }

    /// The first `limit` keys, in order, of living nodes of a kind that begin with `prefix`.
    ///
    /// # Cost
    /// A binary search among the checkpointed nodes, and a scan of the nodes added since.
    pub fn keys_with_prefix(&self, kind: KindIx, prefix: &str, limit: usize) -> Vec<String> {
        let state = &*self.0;
        let checkpointed =
            state.segments.keys.with_prefix(kind, prefix, |node| state.segments.nodes.kind(node));
        let alive = checkpointed.filter(|&node| state.is_alive(node)).take(limit);
        let mut keys: Vec<&str> = alive.map(|node| state.segments.keys.key(node)).collect();
        state.added_nodes.for_each(&mut |node, added_node| {
            let matches = added_node.kind == kind && added_node.key.starts_with(prefix);
            if matches && node < state.bound && state.is_alive(NodeIx::new(node)) {
                keys.push(&added_node.key);
            }
        });
        keys.sort_unstable();
        keys.truncate(limit);
        keys.into_iter().map(str::to_owned).collect()
    }
}
