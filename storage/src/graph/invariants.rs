//! The invariants of a graph that checksums do not cover. Knows no files.

use std::ops::Range;

use rayon::prelude::*;

use crate::adjacency::list_builder::{ListBuilder, ListEntry};
use crate::graph::graph_state::{GraphState, LookupResult};
use crate::types::cancel::CancelToken;
use crate::types::error::Error;
use crate::types::ids::{NodeIx, RelationIx};
use crate::types::progress::Stage;

/// Nodes of one task.
const NODES_PER_TASK: usize = 4096;

/// A place, and what is wrong there.
pub(crate) type BrokenInvariant = (String, &'static str);

/// The invariants that do not hold, in the order of nodes and relations: the first of each node and of each list.
///
/// # Errors
/// A cancellation.
/// # Cost
/// Two reads for each end of each edge, parallel over nodes.
pub(crate) fn broken_invariants(
    state: &GraphState,
    cancel: &CancelToken,
) -> Result<Vec<BrokenInvariant>, Error> {
    let stage = cancel.stage("nodes", u64::from(state.bound));
    let mut broken: Vec<BrokenInvariant> =
        in_tasks(state.bound as usize, |nodes| broken_nodes(state, nodes, &stage))?
            .into_iter()
            .flatten()
            .collect();
    stage.end();
    if (0..state.bound).filter(|&node| state.is_alive(NodeIx::new(node))).count() as u64 != state.alive {
        broken.push(("nodes".to_owned(), "the number of living nodes differs from the count"));
    }
    for (at, property) in (0..).zip(&state.properties) {
        let has_value = |&node: &u32| state.value_bytes(at, NodeIx::new(node)).is_some();
        if (0..state.bound).into_par_iter().filter(has_value).count() as u64 != property.count {
            let place =
                format!("property {} of kind {}", property.name, state.kinds[usize::from(property.kind)]);
            broken.push((place, "its number of values differs from the count"));
        }
    }
    let stage = cancel.stage("lists", u64::from(state.bound) * state.relations.len() as u64);
    for relation in (0..state.relations.len()).map(|at| RelationIx::new(at as u16)) {
        let owners = state.lists(relation).owners(state.bound);
        stage.advance(u64::from(state.bound) - owners.count() as u64)?;
        let of_tasks = in_tasks(owners.count(), |records| {
            let nodes = records.map(|record| owners.node(record));
            broken_lists(state, relation, nodes, &stage)
        })?;
        let mut ends = 0;
        for (of_task, ends_of_task) in of_tasks {
            broken.extend(of_task);
            ends += ends_of_task;
        }
        let counted = &state.relations[relation.index()];
        if ends != 2 * counted.edges {
            let place = format!("relation {}", counted.name);
            broken.push((place, "its number of edges differs from the count"));
        }
    }
    stage.end();
    Ok(broken)
}

/// The results of `check` for all numbers below `count`, task by task in their order.
fn in_tasks<T: Send>(
    count: usize,
    check: impl Fn(Range<usize>) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let task = |at: usize| check(at * NODES_PER_TASK..count.min((at + 1) * NODES_PER_TASK));
    (0..count.div_ceil(NODES_PER_TASK)).into_par_iter().map(task).collect()
}

/// Names, ids, features and values.
fn broken_nodes(
    state: &GraphState,
    nodes: Range<usize>,
    stage: &Stage<'_>,
) -> Result<Vec<BrokenInvariant>, Error> {
    let mut broken = Vec::new();
    for node in nodes.map(|node| NodeIx::new(node as u32)) {
        stage.advance(1)?;
        let name = state.name(node);
        let mut first = None;
        let mut add = |what| _ = first.get_or_insert(what);
        if name.stable_id() != state.stable_id(node) {
            add("its stable id is not the hash of its name");
        }
        if state.find(name, state.stable_id(node)) != LookupResult::Node(node) {
            add("a lookup of its name does not find it");
        }
        if !state.tokens(node).is_sorted_by(|one, other| one < other) {
            add("its tokens are not sorted, or are repeated");
        }
        let rows = (0..state.blocks.len()).filter_map(|at| state.dense(at, node));
        if rows.flatten().any(|value| !value.is_finite()) {
            add("one of its rows has a number that is not finite");
        }
        let may_have = |kind| state.is_alive(node) && state.kind(node).get() == kind;
        let mut properties = (0..).zip(&state.properties);
        if properties.any(|(at, of)| state.value_bytes(at, node).is_some() && !may_have(of.kind)) {
            add("it was removed or is of another kind, and has a value of a property");
        }
        broken.extend(first.map(|what| (format!("node {name}"), what)));
    }
    Ok(broken)
}

/// Both ends of every edge, its values, and the order of neighbors. Returns also the number of ends of edges.
fn broken_lists(
    state: &GraphState,
    relation: RelationIx,
    nodes: impl Iterator<Item = NodeIx>,
    stage: &Stage<'_>,
) -> Result<(Vec<BrokenInvariant>, u64), Error> {
    let counted = &state.relations[relation.index()];
    let (mut broken, mut ends) = (Vec::new(), 0);
    for node in nodes {
        stage.advance(1)?;
        let list = state.list(relation, node);
        if list.is_empty() {
            continue;
        }
        let mut first = None;
        let mut add = |what| _ = first.get_or_insert(what);
        if !state.is_alive(node) {
            add("a removed node has neighbors");
        }
        let mut entries = Vec::with_capacity(list.degree());
        for (other, weight, time) in list.iter() {
            ends += 1 + u64::from(other == node);
            entries.push(ListEntry { node: other, id: state.stable_id(other), weight, time });
            let reverse = state.list(relation, other);
            let at = reverse.position(node, state.stable_id(node));
            let is_same = at.is_some_and(|at| {
                reverse.weight(at).to_bits() == weight.to_bits() && reverse.time(at) == time
            });
            if !is_same {
                add("a neighbor does not have the same edge back");
            }
            let kinds = (state.kind(node).get(), state.kind(other).get());
            if !counted.kinds.contains(&(kinds.0.min(kinds.1), kinds.0.max(kinds.1))) {
                add("it links kinds that are not listed for the relation");
            }
            if !weight.is_finite() || weight <= 0.0 {
                add("an edge has a weight that is not above 0");
            }
        }
        let half_life = counted.options.half_life();
        let anew = ListBuilder::build_fading(state.stable_id(node), entries, half_life);
        if !list.is_same(&anew.as_list()) {
            add("its neighbors are not in the order of their ids");
        }
        broken.extend(first.map(|what| (format!("list of {} in {}", state.name(node), counted.name), what)));
    }
    Ok((broken, ends))
}
