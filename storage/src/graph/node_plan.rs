//! The planned changes of one node: its liveness, its features and its values.
//! Compares with a state and changes nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::graph::graph_state::GraphState;
use crate::types::ids::NodeIx;
use crate::types::ops::Op;
use crate::types::property::MAX_VALUE_BYTES;
use crate::types::value_changes;

/// The liveness and features of a node after a batch.
#[derive(Default)]
pub(super) struct NodePlan<'a> {
    pub(super) was: bool,
    pub(super) alive: bool,
    /// All features in the state are removed.
    pub(super) cleared: bool,
    pub(super) tokens: Option<Vec<&'a str>>,
    pub(super) dense: BTreeMap<&'a str, &'a [f32]>,
    /// Changed values, each property once.
    pub(super) values: Vec<(u16, Option<Cow<'a, [u8]>>)>,
}

/// The operations for a node's features that change.
pub(super) fn plan_features(state: &GraphState, node: u32, node_plan: &NodePlan<'_>) -> Vec<Op> {
    let mut ops = Vec::new();
    let known = (node < state.bound).then(|| NodeIx::new(node));
    let blocks = || 0..state.blocks.len();
    let had_any = known.is_some_and(|known| {
        !state.tokens(known).is_empty()
            || blocks().any(|at| state.dense(at, known).is_some())
            || state.properties_of(known).next().is_some()
    });
    if node_plan.cleared && had_any {
        ops.push(Op::Clear { node });
    }
    let remaining = known.filter(|_| !node_plan.cleared);
    if let Some(tokens) = &node_plan.tokens
        && *tokens != remaining.map_or(Vec::new(), |remaining| state.tokens(remaining))
    {
        let tokens = tokens.iter().map(|token| (*token).to_owned()).collect();
        ops.push(Op::Tokens { node, tokens });
    }
    for (&block, &values) in &node_plan.dense {
        let at = blocks().find(|&at| state.blocks[at].name == block);
        let old = remaining.zip(at).and_then(|(remaining, at)| state.dense(at, remaining));
        // Bits are compared, because a zero that changes its sign changes digests of the row.
        let same = |old: &[f32]| old.iter().map(|x| x.to_bits()).eq(values.iter().map(|x| x.to_bits()));
        if !old.is_some_and(same) {
            ops.push(Op::Dense { node, block: block.to_owned(), values: values.to_vec() });
        }
    }
    ops
}

/// The operations for a node's values that change. Each fits a record of the log.
pub(super) fn plan_values(state: &GraphState, node: u32, node_plan: &NodePlan<'_>) -> Vec<Op> {
    let remaining = (node < state.bound && !node_plan.cleared).then(|| NodeIx::new(node));
    let mut ops = Vec::new();
    let mut values = Vec::new();
    for (property, value) in &node_plan.values {
        let old = remaining.and_then(|node| state.value_bytes(*property, node));
        let value = value.as_deref();
        if old == value {
            continue;
        }
        if !values.is_empty() && values.len() + value.map_or(0, <[u8]>::len) > MAX_VALUE_BYTES {
            ops.push(Op::Values { node, values: std::mem::take(&mut values) });
        }
        value_changes::push(&mut values, (*property, value));
    }
    if !values.is_empty() {
        ops.push(Op::Values { node, values });
    }
    ops
}
