//! Applies resolved operations to a state, for a commit and for a replay alike.
//! Validates every operation, since it may come from a file. Knows neither the rules of names nor the log.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use crate::adjacency::list_builder::ListBuilder;
use crate::adjacency::overlay::Overlay;
use crate::adjacency::persistent_map::PersistentMap;
use crate::graph::graph_state::{AddedNode, Block, GraphState, Relation};
use crate::segments::PropertyMeta;
use crate::types::ids::{Epoch, KindIx, NodeIx, RelationIx};
use crate::types::names::NodeRef;
use crate::types::ops::{EdgeData, Op};
use crate::types::position::{MAX_POSITIONS, check_source};
use crate::types::property::{MAX_PROPERTIES, PropertyValue, check_property};
use crate::types::value_changes;
use crate::types::weights::relation_options::{StoredOptions, can_fade};

/// The edge changes that are collected before lists are encoded: enough that a replay encodes each list few times, and
/// 80 MB of memory.
const MAX_PENDING: usize = 2 << 20;

/// A state under change.
pub(crate) struct Applier {
    state: GraphState,
    pending: Vec<ListChange>,
    new_ids: Vec<(u64, u32)>,
}

/// One side of an edge change.
#[derive(Clone, Copy)]
struct ListChange {
    relation: u16,
    owner: u32,
    neighbor: u32,
    new: Option<EdgeData>,
}

impl Applier {
    pub(crate) fn new(state: GraphState) -> Self {
        Self { state, pending: Vec::new(), new_ids: Vec::new() }
    }

    /// The current epoch.
    pub(crate) fn epoch(&self) -> Epoch {
        self.state.epoch
    }

    /// Applies one operation.
    ///
    /// # Errors
    /// The contradiction with the state; the applier must not be used after it.
    pub(crate) fn apply(&mut self, op: Op) -> Result<(), &'static str> {
        // Every operation but a new node's names existing nodes.
        let bound = self.state.bound;
        let names_known_nodes = match op {
            Op::Node { node, .. } => node == bound,
            _ => op.nodes().into_iter().flatten().all(|node| node < bound),
        };
        if !names_known_nodes {
            return Err("it names a node that does not exist");
        }
        let state = &mut self.state;
        match op {
            Op::Kind { name } => {
                if state.kinds.len() >= crate::graph::plan::MAX_KINDS {
                    return Err("it exceeds the limit of kinds");
                }
                Arc::make_mut(&mut state.kinds).push(name);
            }
            Op::Relation { name } => {
                if state.relations.len() >= crate::graph::plan::MAX_RELATIONS {
                    return Err("it exceeds the limit of relations");
                }
                let (kinds, options, lists) = (BTreeSet::new(), StoredOptions::default(), Overlay::default());
                let relation = Relation { name, kinds, edges: 0, options, lists };
                state.relations.push(Arc::new(relation));
            }
            Op::Node { node, kind, key } => {
                let Some(kind_name) = state.kinds.get(usize::from(kind)) else {
                    return Err("it names a kind that does not exist");
                };
                let id = NodeRef { kind: kind_name, key: &key }.stable_id();
                self.new_ids.push((id.get(), node));
                state.added_nodes.set(node, AddedNode { kind: KindIx::new(kind), id, key: key.into() });
                state.liveness.set(node, true);
                state.bound = node.checked_add(1).ok_or("it exceeds the limit of nodes")?;
                state.alive += 1;
            }
            Op::Live { node, alive } => {
                if state.is_alive(NodeIx::new(node)) == alive {
                    return Err("it does not change the liveness of its node");
                }
                state.liveness.set(node, alive);
                state.alive = if alive { state.alive + 1 } else { state.alive - 1 };
            }
            Op::Clear { node } => self.clear(NodeIx::new(node)),
            Op::Tokens { node, tokens } => {
                state.tokens.set(node, tokens.into_iter().map(String::into_boxed_str).collect());
            }
            Op::Dense { node, block, values } => self.dense(NodeIx::new(node), block, &values)?,
            Op::Edge { relation, a, b, old, new } => self.edge(relation, a, b, old, new)?,
            Op::Property { kind, name, of } => {
                if usize::from(kind) >= state.kinds.len() {
                    return Err("it names a kind that does not exist");
                }
                check_property(&name).map_err(|_| "it creates a property with an invalid name")?;
                if state.property_ix(KindIx::new(kind), &name).is_some() {
                    return Err("it creates a property that exists");
                }
                if state.properties.len() >= MAX_PROPERTIES {
                    return Err("it exceeds the limit of properties");
                }
                state.properties.push(Arc::new(PropertyMeta { kind, name, of, count: 0 }));
            }
            Op::Label { kind, property: Some(property) } => {
                if state.properties.get(usize::from(property)).is_none_or(|of| of.kind != kind) {
                    return Err("it names a property that the kind does not have");
                }
                Arc::make_mut(&mut state.labels).insert(kind, property);
            }
            Op::Label { kind, property: None } => {
                if Arc::make_mut(&mut state.labels).remove(&kind).is_none() {
                    return Err("it removes a label that does not exist");
                }
            }
            Op::Values { node, values } => self.values(NodeIx::new(node), &values)?,
            Op::RelationOptions { relation, options } => {
                let Some(relation) = state.relations.get_mut(usize::from(relation)) else {
                    return Err("it names a relation that does not exist");
                };
                if !options.is_valid() {
                    return Err("it has a half-life out of range");
                }
                if !relation.kinds.is_empty() {
                    return Err("it changes the options of a relation that had an edge");
                }
                Arc::make_mut(relation).options = options;
            }
            Op::Position { source, to: Some(to) } => {
                check_source(&source).map_err(|_| "it names a source with an invalid name")?;
                let positions = Arc::make_mut(&mut state.positions);
                positions.insert(source, to);
                if positions.len() > MAX_POSITIONS {
                    return Err("it exceeds the limit of positions");
                }
            }
            Op::Position { source, to: None } => {
                if Arc::make_mut(&mut state.positions).remove(&source).is_none() {
                    return Err("it removes a position that does not exist");
                }
            }
        }
        Ok(())
    }

    fn clear(&mut self, node: NodeIx) {
        let state = &mut self.state;
        if !state.tokens(node).is_empty() {
            state.tokens.set(node.get(), Arc::from([]));
        }
        for at in 0..state.blocks.len() {
            if state.dense(at, node).is_some() {
                let block = Arc::make_mut(&mut state.blocks[at]);
                block.values.set(node.get(), Arc::from([]));
                block.rows -= 1;
            }
        }
        let mut removed = Vec::new();
        state.properties_of(node).for_each(|at| value_changes::push(&mut removed, (at, None)));
        if !removed.is_empty() {
            self.values(node, &removed).expect("a node can lose the values that it has");
        }
    }

    /// Changes the values of a node.
    fn values(&mut self, node: NodeIx, changes: &[u8]) -> Result<(), &'static str> {
        let state = &mut self.state;
        let kind = state.kind(node).get();
        for change in value_changes::iter(changes) {
            let (at, value) = change?;
            let had_value = state.value_bytes(at, node).is_some();
            let Some(property) = state.properties.get_mut(usize::from(at)) else {
                return Err("it names a property that does not exist");
            };
            if property.kind != kind {
                return Err("it names a property of another kind");
            }
            if value.is_some_and(|value| PropertyValue::decode(property.of, value).is_none()) {
                return Err("it has a value of another type than the property");
            }
            if had_value != value.is_some() {
                let property = Arc::make_mut(property);
                let count =
                    if had_value { property.count.checked_sub(1) } else { property.count.checked_add(1) };
                property.count = count.ok_or("it removes a value that does not exist")?;
            }
        }
        let old = state.values.get(node.get()).map_or(&[][..], |old| old);
        let merged = value_changes::merged(old, changes)?;
        state.values.set(node.get(), merged.into());
        Ok(())
    }

    fn dense(&mut self, node: NodeIx, name: String, values: &[f32]) -> Result<(), &'static str> {
        let state = &mut self.state;
        let at = state.blocks.iter().position(|block| block.name == name).unwrap_or_else(|| {
            state.blocks.push(Arc::new(Block { name, width: 0, rows: 0, values: PersistentMap::default() }));
            state.blocks.len() - 1
        });
        let is_new = state.dense(at, node).is_none();
        let block = Arc::make_mut(&mut state.blocks[at]);
        if values.is_empty() || block.rows > 0 && block.width as usize != values.len() {
            return Err("it has a row whose width differs from its block");
        }
        block.width = values.len() as u32;
        block.rows += u64::from(is_new);
        block.values.set(node.get(), values.into());
        Ok(())
    }

    fn edge(
        &mut self,
        relation: u16,
        a: u32,
        b: u32,
        old: Option<EdgeData>,
        new: Option<EdgeData>,
    ) -> Result<(), &'static str> {
        let kinds = {
            let (a, b) = (self.state.kind(NodeIx::new(a)).get(), self.state.kind(NodeIx::new(b)).get());
            (a.min(b), a.max(b))
        };
        let Some(shared) = self.state.relations.get_mut(usize::from(relation)) else {
            return Err("it names a relation that does not exist");
        };
        if new.is_some_and(|value| !value.weight.is_finite() || value.weight <= 0.0) {
            return Err("it has a weight that is not above 0");
        }
        if shared.options.half_life().is_some() && new.is_some_and(|value| !value.time.is_some_and(can_fade))
        {
            return Err("it has no time, or one that is too far away, in a relation with a half-life");
        }
        let changed = Arc::make_mut(shared);
        match (old, new) {
            (None, Some(_)) => {
                changed.edges += 1;
                if !changed.kinds.contains(&kinds) {
                    changed.kinds.insert(kinds);
                }
            }
            (Some(_), None) => {
                changed.edges =
                    changed.edges.checked_sub(1).ok_or("it removes an edge that does not exist")?;
            }
            (Some(_), Some(_)) => {}
            (None, None) => return Err("it does not change its edge"),
        }
        self.pending.push(ListChange { relation, owner: a, neighbor: b, new });
        if a != b {
            self.pending.push(ListChange { relation, owner: b, neighbor: a, new });
        }
        if self.pending.len() >= MAX_PENDING {
            self.encode();
        }
        Ok(())
    }

    /// Encodes each changed list once.
    fn encode(&mut self) {
        let state = &mut self.state;
        let list_of = |pending: &ListChange| (pending.relation, pending.owner);
        // A stable sort, so that of several changes to one edge the last one is last in its run.
        self.pending.sort_by_key(|pending| (list_of(pending), pending.neighbor));
        for changes in self.pending.chunk_by(|one, other| list_of(one) == list_of(other)) {
            let (relation, owner) = (RelationIx::new(changes[0].relation), NodeIx::new(changes[0].owner));
            let last_of = |change: &[ListChange]| {
                let ListChange { neighbor, new, .. } = change[change.len() - 1];
                let neighbor = NodeIx::new(neighbor);
                (neighbor, state.stable_id(neighbor), new.map(|value| (value.weight, value.time)))
            };
            let net: Vec<_> =
                changes.chunk_by(|one, other| one.neighbor == other.neighbor).map(last_of).collect();
            let old = state.list(relation, owner);
            let half_life = state.relations[relation.index()].options.half_life();
            let owner_id = state.stable_id(owner);
            let block = ListBuilder::edit(owner_id, old, &net, half_life, |node| state.stable_id(node));
            Arc::make_mut(&mut state.relations[relation.index()]).lists.set(owner.get(), block);
        }
        self.pending.clear();
    }

    /// Sets the epoch during a replay.
    pub(crate) fn advance(&mut self, epoch: Epoch) {
        self.state.epoch = epoch;
    }

    /// The state after all operations.
    pub(crate) fn finish(mut self) -> GraphState {
        self.encode();
        if !self.new_ids.is_empty() {
            let mut directory = self.state.directory.write().unwrap_or_else(PoisonError::into_inner);
            directory.extend(self.new_ids);
        }
        self.state
    }
}
