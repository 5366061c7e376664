//! Plans a batch: resolves it into operations and refuses invalid requests, before anything is written.
//! Reads a state and changes nothing; knows neither the log nor the application of operations.

use std::collections::{BTreeMap, HashMap};

use crate::adjacency::list::MAX_DEGREE;
use crate::graph::graph_state::{GraphState, LookupResult};
use crate::graph::node_plan::{NodePlan, plan_features, plan_values};
use crate::types::batch::{Batch, MAX_BATCH_OPS};
use crate::types::batch::{BatchName, BatchOp};
use crate::types::batch_properties::BatchValue;
use crate::types::commit_summary::Commit;
use crate::types::error::Error;
use crate::types::ids::{KindIx, NodeIx, RelationIx, StableId};
use crate::types::names::NodeRef;
use crate::types::names::default_relation;
use crate::types::ops::{EdgeData, Op};
use crate::types::position::MAX_POSITIONS;
use crate::types::position::Position;
use crate::types::property::{MAX_PROPERTIES, PropertyType, check_type, convert, unknown_property};
use crate::types::weights::relation_options::{HalfLife, StoredOptions, check_fading_time, options_are_set};
use crate::types::weights::repeat::Repeat;

/// The most kinds in one store.
pub(crate) const MAX_KINDS: usize = 255;
/// The most relations in one store.
pub(crate) const MAX_RELATIONS: usize = 65_535;
/// The limit of nodes: the largest number is reserved, so that files can use it for "none".
pub(crate) const MAX_NODES: u64 = u32::MAX as u64;
/// A node with more neighbors in a relation with this half-life gets no other one; no batch can then raise a degree over [`MAX_DEGREE`].
pub(crate) fn max_neighbors(half_life: Option<HalfLife>) -> usize {
    match half_life {
        _ if cfg!(test) => 3000,
        None => MAX_DEGREE as usize - MAX_BATCH_OPS,
        // At most nine words an edge: the block has fewer than 2^32.
        Some(_) => 1 << 28,
    }
}

/// The operations of a batch for the log, and its counts for the caller, without the epoch.
pub(crate) struct Plan {
    pub(crate) ops: Vec<Op>,
    pub(crate) summary: Commit,
}

/// Resolves a batch against a state. Operations take effect in order, and the plan has only their net effect.
///
/// # Errors
/// Every invalid request of the batch; nothing has happened then.
pub(crate) fn plan(state: &GraphState, batch: &Batch) -> Result<Plan, Error> {
    let mut planner = Planner {
        state,
        batch,
        new_kinds: Vec::new(),
        new_relations: Vec::new(),
        new_options: BTreeMap::new(),
        new_nodes: Vec::new(),
        new_ids: HashMap::new(),
        defaults: HashMap::new(),
        named: HashMap::new(),
        nodes: BTreeMap::new(),
        edges: Vec::new(),
        edge_at: HashMap::new(),
        incident: None,
        widths: BTreeMap::new(),
        new_properties: Vec::new(),
        properties: Vec::new(),
        labels: BTreeMap::new(),
        last: None,
        repeated: 0,
        absent: 0,
    };
    batch.ops().iter().try_for_each(|op| planner.resolve(op))?;
    let positions = plan_positions(state, batch)?;
    let mut plan = planner.finish();
    plan.ops.extend(positions);
    Ok(plan)
}

struct Planner<'a> {
    state: &'a GraphState,
    batch: &'a Batch,
    new_kinds: Vec<&'a str>,
    new_relations: Vec<String>,
    /// Options that differ from those in the state.
    new_options: BTreeMap<u16, StoredOptions>,
    new_nodes: Vec<(KindIx, NodeRef<'a>)>,
    /// From the stable id of a new node to its index in `new_nodes`.
    new_ids: HashMap<u64, usize>,
    /// Relations looked up so far: the default ones by pair of kinds, the others by name.
    defaults: HashMap<(KindIx, KindIx), RelationIx>,
    named: HashMap<String, RelationIx>,
    /// Nodes with changes, by number.
    nodes: BTreeMap<u32, NodePlan<'a>>,
    /// Edges in the order in which they were first touched.
    edges: Vec<EdgePlan>,
    edge_at: HashMap<(u16, u32, u32), usize>,
    /// The indices in `edges` of the edges at each node; kept from the first removal on.
    incident: Option<HashMap<u32, Vec<usize>>>,
    widths: BTreeMap<&'a str, usize>,
    new_properties: Vec<(KindIx, &'a str, PropertyType)>,
    /// Properties looked up so far, by the index of their name, with their kinds.
    properties: Vec<Vec<(KindIx, u16, PropertyType)>>,
    labels: BTreeMap<KindIx, Option<u16>>,
    /// The node of the operation before, if that changed a value.
    last: Option<(StableId, NodeIx)>,
    repeated: u64,
    absent: u64,
}

struct EdgePlan {
    relation: u16,
    a: u32,
    b: u32,
    old: Option<EdgeData>,
    new: Option<EdgeData>,
}

impl<'a> Planner<'a> {
    fn resolve(&mut self, op: &BatchOp) -> Result<(), Error> {
        // Nodes are created where an operation needs them; edges and features are collected by node and edge.
        let last = self.last.take();
        match *op {
            BatchOp::Add { node } => {
                self.get_or_create(node)?;
            }
            BatchOp::Link { a, b, weight, time, relation, repeat } => {
                let (a, b) = (self.get_or_create(a)?, self.get_or_create(b)?);
                let relation = match relation {
                    Some(name) => self.named_relation(self.batch.read(name), true)?,
                    None => self.default_relation(a, b, true)?,
                };
                let relation = relation.expect("a relation that is missing is created");
                if self.options(relation).half_life().is_some() {
                    check_fading_time(time, self.relation_name(relation))?;
                }
                let edge = EdgeData { weight: repeat.weight(weight), time };
                let was = self.set_edge(relation, a, b, Some((edge, repeat)))?;
                self.repeated += u64::from(was);
            }
            BatchOp::Unlink { a, b, relation } => {
                let (Some(a), Some(b)) = (self.find(a)?, self.find(b)?) else {
                    self.absent += 1;
                    return Ok(());
                };
                let relation = match relation {
                    Some(name) => self.named_relation(self.batch.read(name), false)?,
                    None => self.default_relation(a, b, false)?,
                };
                let was = match relation {
                    Some(relation) => self.set_edge(relation, a, b, None)?,
                    None => false,
                };
                self.absent += u64::from(!was);
            }
            BatchOp::Remove { node } => {
                let name = self.batch.node(node);
                let found = self.find(node)?.filter(|&node| self.is_alive(node));
                let found = found.ok_or_else(|| Error::UnknownNode { node: name.to_string() })?;
                self.remove(found)?;
            }
            BatchOp::Tokens { node, start, bytes } => {
                let node = self.get_or_create(node)?;
                let tokens = self.batch.tokens(start, bytes);
                self.node_plan(node).tokens = Some(tokens);
            }
            BatchOp::Dense { node, block, first, width } => {
                let node = self.get_or_create(node)?;
                let (block, values) = (self.batch.read(block), self.batch.numbers(first, width));
                self.check_width(block, values.len())?;
                self.node_plan(node).dense.insert(block, values);
            }
            BatchOp::Property { kind, property, of } => {
                let kind = self.kind(self.batch.read(kind))?;
                let (_, declared) = self.property(kind, property, Some(of))?;
                check_type(of, declared, (self.kind_name(kind), self.batch.property_name(property)))?;
            }
            BatchOp::Relation { name, options } => self.set_options(self.batch.read(name), options)?,
            BatchOp::Label { kind, property } => {
                let kind = self.kind(self.batch.read(kind))?;
                let property = property.map(|name| self.property(kind, name, None));
                let property = property.transpose()?.map(|(at, _)| at);
                self.labels.insert(kind, property);
            }
            BatchOp::Value { node: name, property, value } => {
                let node = match last {
                    Some((id, node)) if id == name.id => node,
                    _ => self.get_or_create(name)?,
                };
                self.last = Some((name.id, node));
                self.set_value(node, property, value)?;
            }
        }
        Ok(())
    }

    /// Plans the options of a relation, which is created if it is new.
    fn set_options(&mut self, name: &str, options: StoredOptions) -> Result<(), Error> {
        let relation = self.named_relation(name, true)?.expect("a relation that is missing is created");
        if self.options(relation) == options {
            return Ok(());
        }
        let had_edge =
            self.state.relations.get(relation.index()).is_some_and(|known| !known.kinds.is_empty());
        if had_edge || self.edges.iter().any(|edge| edge.relation == relation.get()) {
            return Err(options_are_set(name));
        }
        self.new_options.insert(relation.get(), options);
        Ok(())
    }

    /// The options of a relation after the operations so far.
    fn options(&self, relation: RelationIx) -> StoredOptions {
        let known = || self.state.relations.get(relation.index()).map(|known| known.options);
        self.new_options.get(&relation.get()).copied().or_else(known).unwrap_or_default()
    }

    fn relation_name(&self, relation: RelationIx) -> &str {
        let known = self.state.relations.len();
        match relation.index().checked_sub(known) {
            None => &self.state.relations[relation.index()].name,
            Some(at) => &self.new_relations[at],
        }
    }

    /// Plans a value of a node; `None` removes it.
    fn set_value(&mut self, node: NodeIx, name: u16, value: Option<BatchValue>) -> Result<(), Error> {
        let (kind, batch) = (self.kind_of(node), self.batch);
        let value = value.map(|value| batch.value(value));
        let (property, of) = self.property(kind, name, value.map(|(of, _)| of))?;
        let names = (self.kind_name(kind), batch.property_name(name));
        let bytes = value.map(|value| convert(value, of, names)).transpose()?;
        let values = &mut self.node_plan(node).values;
        match values.iter_mut().find(|(other, _)| *other == property) {
            Some((_, value)) => *value = bytes,
            None => values.push((property, bytes)),
        }
        Ok(())
    }

    /// The number and type of a kind's property, which is created with the type `of` if it is new.
    fn property(
        &mut self,
        kind: KindIx,
        name_at: u16,
        of: Option<PropertyType>,
    ) -> Result<(u16, PropertyType), Error> {
        let at = usize::from(name_at);
        let known = self.properties.get(at).and_then(|known| known.iter().find(|(of, ..)| *of == kind));
        if let Some(&(_, property, of)) = known {
            return Ok((property, of));
        }
        let (state, batch) = (self.state, self.batch);
        let name = batch.property_name(name_at);
        let known = match (state.property_ix(kind, name), of) {
            (Some(at), _) => (at, state.properties[usize::from(at)].of),
            (None, Some(of)) => {
                let at = state.properties.len() + self.new_properties.len();
                if at >= MAX_PROPERTIES {
                    let (limit, found) = (MAX_PROPERTIES as u64, at as u64 + 1);
                    return Err(Error::Limit { what: "properties", limit, found });
                }
                self.new_properties.push((kind, name, of));
                (at as u16, of)
            }
            (None, None) => return Err(unknown_property(self.kind_name(kind), name)),
        };
        self.properties.resize_with(self.properties.len().max(at + 1), Vec::new);
        self.properties[at].push((kind, known.0, known.1));
        Ok(known)
    }

    /// The number of a node in the state or in the batch, alive or not.
    fn find(&self, name: BatchName) -> Result<Option<NodeIx>, Error> {
        let node = self.batch.node(name);
        let other = match self.state.find(node, name.id) {
            LookupResult::Node(found) => return Ok(Some(found)),
            LookupResult::Other(other) => self.state.name(other),
            LookupResult::Nothing => match self.new_ids.get(&name.id.get()) {
                None => return Ok(None),
                Some(&at) if self.new_nodes[at].1 == node => {
                    return Ok(Some(NodeIx::new(self.state.bound + at as u32)));
                }
                Some(&at) => self.new_nodes[at].1,
            },
        };
        let rule = format!("a key whose stable id is not that of {other}; choose another key");
        Err(Error::invalid("node", &node.to_string(), rule))
    }

    /// The number of a node, which is created or restored where needed.
    fn get_or_create(&mut self, name: BatchName) -> Result<NodeIx, Error> {
        if let Some(node) = self.find(name)? {
            if !self.is_alive(node) {
                self.node_plan(node).alive = true;
            }
            return Ok(node);
        }
        let node = self.batch.node(name);
        let at = self.new_nodes.len();
        let number = u64::from(self.state.bound) + at as u64;
        if number >= MAX_NODES {
            return Err(Error::Limit { what: "nodes", limit: MAX_NODES, found: number + 1 });
        }
        let kind = self.kind(node.kind)?;
        self.new_nodes.push((kind, node));
        self.new_ids.insert(name.id.get(), at);
        Ok(NodeIx::new(number as u32))
    }

    fn is_alive(&self, node: NodeIx) -> bool {
        match self.nodes.get(&node.get()) {
            Some(node_plan) => node_plan.alive,
            None => node.get() >= self.state.bound || self.state.is_alive(node),
        }
    }

    fn node_plan(&mut self, node: NodeIx) -> &mut NodePlan<'a> {
        let state = self.state;
        self.nodes.entry(node.get()).or_insert_with(|| {
            // A new node is alive from the start, as its operation in the log says.
            let was = node.get() >= state.bound || state.is_alive(node);
            NodePlan { was, alive: was, ..NodePlan::default() }
        })
    }

    fn kind(&mut self, name: &'a str) -> Result<KindIx, Error> {
        if let Some(kind) = self.state.kind_ix(name) {
            return Ok(kind);
        }
        let known = self.state.kinds.len();
        let at = self.new_kinds.iter().position(|kind| *kind == name).unwrap_or(self.new_kinds.len());
        if known + at >= MAX_KINDS {
            return Err(Error::Limit {
                what: "kinds",
                limit: MAX_KINDS as u64,
                found: (known + at + 1) as u64,
            });
        }
        if at == self.new_kinds.len() {
            self.new_kinds.push(name);
        }
        Ok(KindIx::new((known + at) as u8))
    }

    fn kind_of(&self, node: NodeIx) -> KindIx {
        match node.get().checked_sub(self.state.bound) {
            Some(at) => self.new_nodes[at as usize].0,
            None => self.state.kind(node),
        }
    }

    fn kind_name(&self, kind: KindIx) -> &'a str {
        let known = self.state.kinds.len();
        if kind.index() < known {
            &self.state.kinds[kind.index()]
        } else {
            self.new_kinds[kind.index() - known]
        }
    }

    fn default_relation(&mut self, a: NodeIx, b: NodeIx, create: bool) -> Result<Option<RelationIx>, Error> {
        let pair = (self.kind_of(a), self.kind_of(b));
        if let Some(&relation) = self.defaults.get(&pair) {
            return Ok(Some(relation));
        }
        let name = default_relation(self.kind_name(pair.0), self.kind_name(pair.1));
        let relation = self.named_relation(&name, create)?;
        if let Some(relation) = relation {
            self.defaults.insert(pair, relation);
        }
        Ok(relation)
    }

    fn named_relation(&mut self, name: &str, create: bool) -> Result<Option<RelationIx>, Error> {
        if let Some(&relation) = self.named.get(name) {
            return Ok(Some(relation));
        }
        let known = self.state.relations.len();
        let found = self.state.relation_ix(name);
        if found.is_none() && !create {
            return Ok(None);
        }
        let at = known + self.new_relations.len();
        if found.is_none() && at >= MAX_RELATIONS {
            return Err(Error::Limit {
                what: "relations",
                limit: MAX_RELATIONS as u64,
                found: at as u64 + 1,
            });
        }
        let relation = found.unwrap_or_else(|| {
            self.new_relations.push(name.to_owned());
            RelationIx::new(at as u16)
        });
        self.named.insert(name.to_owned(), relation);
        Ok(Some(relation))
    }

    /// Sets or removes an edge; returns whether it existed. A repeat says what a new edge does to an old one.
    fn set_edge(
        &mut self,
        relation: RelationIx,
        a: NodeIx,
        b: NodeIx,
        new: Option<(EdgeData, Repeat)>,
    ) -> Result<bool, Error> {
        let (a, b) = (a.min(b), a.max(b));
        let key = (relation.get(), a.get(), b.get());
        let half_life = self.options(relation).half_life();
        let after = |old: Option<EdgeData>| {
            new.map(|(edge, repeat)| old.map_or(edge, |old| repeat.combine(old, edge, half_life)))
        };
        if let Some(&at) = self.edge_at.get(&key) {
            let was = self.edges[at].new;
            self.edges[at].new = after(was);
            return Ok(was.is_some());
        }
        let (old, longest) = self.edge_in_state(relation, a, b);
        match (&old, &new) {
            (None, None) => return Ok(false),
            (None, Some(_)) if longest > max_neighbors(half_life) => {
                let (limit, found) = (max_neighbors(half_life) as u64, longest as u64);
                return Err(Error::Limit { what: "neighbors of a node", limit, found });
            }
            (None, Some(_)) | (Some(_), _) => {}
        }
        let at = self.edges.len();
        let new = after(old);
        self.edges.push(EdgePlan { relation: relation.get(), a: a.get(), b: b.get(), old, new });
        self.edge_at.insert(key, at);
        if let Some(incident) = &mut self.incident {
            incident.entry(a.get()).or_default().push(at);
            incident.entry(b.get()).or_default().push(at);
        }
        Ok(old.is_some())
    }

    /// The edge in the state, and the degree of the end that has more neighbors there.
    fn edge_in_state(&self, relation: RelationIx, a: NodeIx, b: NodeIx) -> (Option<EdgeData>, usize) {
        if relation.index() >= self.state.relations.len() {
            return (None, 0);
        }
        // A new node has an empty list.
        let (of_a, of_b) = (self.state.list(relation, a), self.state.list(relation, b));
        let longest = of_a.degree().max(of_b.degree());
        // New nodes have the largest numbers, so checking `b` covers both ends.
        if b.get() >= self.state.bound {
            return (None, longest);
        }
        let (list, far) = if of_a.degree() < of_b.degree() { (of_a, b) } else { (of_b, a) };
        let position = list.position(far, self.state.stable_id(far));
        (position.map(|at| EdgeData { weight: list.weight(at), time: list.time(at) }), longest)
    }

    fn remove(&mut self, node: NodeIx) -> Result<(), Error> {
        if node.get() < self.state.bound {
            for relation in (0..self.state.relations.len()).map(|at| RelationIx::new(at as u16)) {
                for neighbor in self.state.list(relation, node).neighbors() {
                    self.set_edge(relation, node, neighbor, None)?;
                }
            }
        }
        let edges = &self.edges;
        let incident = self.incident.get_or_insert_with(|| {
            let mut incident: HashMap<u32, Vec<usize>> = HashMap::new();
            for (at, edge) in edges.iter().enumerate() {
                incident.entry(edge.a).or_default().push(at);
                incident.entry(edge.b).or_default().push(at);
            }
            incident
        });
        for &at in incident.get(&node.get()).into_iter().flatten() {
            self.edges[at].new = None;
        }
        let node_plan = self.node_plan(node);
        (node_plan.alive, node_plan.cleared, node_plan.tokens) = (false, true, None);
        node_plan.dense.clear();
        node_plan.values.clear();
        Ok(())
    }

    fn check_width(&mut self, block: &'a str, width: usize) -> Result<(), Error> {
        let state = self.state;
        let expected = *self.widths.entry(block).or_insert_with(|| {
            let checkpointed = state.blocks.iter().find(|other| other.name == block && other.rows > 0);
            checkpointed.map_or(width, |block| block.width as usize)
        });
        if width == expected {
            return Ok(());
        }
        let rule = format!("{expected} numbers, as in the other rows of block {block}");
        Err(Error::invalid("dense row", &format!("{width} numbers"), rule))
    }

    /// The net effect, in an order in which it can be applied.
    fn finish(self) -> Plan {
        let mut ops = Vec::with_capacity(self.edges.len() + self.nodes.len() + self.new_nodes.len());
        let mut summary =
            Commit { edges_repeated: self.repeated, edges_absent: self.absent, ..Commit::default() };
        // Kinds, relations and nodes come first, then liveness, edges and features.
        ops.extend(self.new_kinds.iter().map(|name| Op::Kind { name: (*name).to_owned() }));
        ops.extend(self.new_relations.into_iter().map(|name| Op::Relation { name }));
        let options = self.new_options.into_iter();
        ops.extend(options.map(|(relation, options)| Op::RelationOptions { relation, options }));
        for &(kind, name, of) in &self.new_properties {
            ops.push(Op::Property { kind: kind.get(), name: name.to_owned(), of });
        }
        for (&kind, &property) in &self.labels {
            if self.state.labels.get(&kind.get()).copied() != property {
                ops.push(Op::Label { kind: kind.get(), property });
            }
        }
        // The numbers come second: after the largest one there is no next.
        for ((kind, node), number) in self.new_nodes.iter().zip(self.state.bound..) {
            summary.nodes_added += 1;
            ops.push(Op::Node { node: number, kind: kind.get(), key: node.key.to_owned() });
        }
        for (&node, node_plan) in &self.nodes {
            if node_plan.was != node_plan.alive {
                ops.push(Op::Live { node, alive: node_plan.alive });
                match (node >= self.state.bound, node_plan.alive) {
                    (true, _) => summary.nodes_added -= 1,
                    (false, true) => summary.nodes_added += 1,
                    (false, false) => summary.nodes_removed += 1,
                }
            }
        }
        for EdgePlan { relation, a, b, old, new } in self.edges {
            match (&old, &new) {
                (None, Some(_)) => summary.edges_added += 1,
                (Some(_), None) => summary.edges_removed += 1,
                (Some(one), Some(other)) if one != other => summary.edges_changed += 1,
                (Some(_), Some(_)) | (None, None) => continue,
            }
            ops.push(Op::Edge { relation, a, b, old, new });
        }
        for (&node, node_plan) in &self.nodes {
            let features = plan_features(self.state, node, node_plan);
            summary.features_changed += features.len() as u64;
            ops.extend(features);
            let values = plan_values(self.state, node, node_plan);
            summary.properties_changed += u64::from(!values.is_empty());
            ops.extend(values);
        }
        Plan { ops, summary }
    }
}

/// The operations for positions that change.
fn plan_positions(state: &GraphState, batch: &Batch) -> Result<Vec<Op>, Error> {
    let last: BTreeMap<&str, Option<Position>> = batch.positions().collect();
    let known = |source: &str| state.positions.get(source).copied();
    let changed: Vec<_> = last.into_iter().filter(|&(source, to)| known(source) != to).collect();
    let new = changed.iter().filter(|(source, to)| to.is_some() && known(source).is_none()).count();
    let removed = changed.iter().filter(|(_, to)| to.is_none()).count();
    let found = state.positions.len() + new - removed;
    if found > MAX_POSITIONS {
        let what = "sources with a position (forget one that is no longer used)";
        return Err(Error::Limit { what, limit: MAX_POSITIONS as u64, found: found as u64 });
    }
    let op = |(source, to): (&str, _)| Op::Position { source: source.to_owned(), to };
    // Removed positions come first, so that their number never exceeds the limit in between.
    let (removed, set): (Vec<_>, Vec<_>) = changed.into_iter().partition(|(_, to)| to.is_none());
    Ok(removed.into_iter().chain(set).map(op).collect())
}
