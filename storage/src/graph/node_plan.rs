//! The planned changes of one node: its liveness and its features.
//! Compares with a state and changes nothing.

use std::collections::BTreeMap;

use crate::graph::graph_state::GraphState;
use crate::types::ids::NodeIx;
use crate::types::ops::Op;

/// The liveness and features of a node after a batch.
#[derive(Default)]
pub(super) struct NodePlan<'a> {
    pub(super) was: bool,
    pub(super) alive: bool,
    /// All features in the state are removed.
    pub(super) cleared: bool,
    pub(super) tokens: Option<Vec<&'a str>>,
    pub(super) dense: BTreeMap<&'a str, &'a [f32]>,
}

/// The operations for a node's features that change.
pub(super) fn plan_features(state: &GraphState, node: u32, node_plan: &NodePlan<'_>) -> Vec<Op> {
    let mut ops = Vec::new();
    let known = (node < state.bound).then(|| NodeIx::new(node));
    let blocks = || 0..state.blocks.len();
    let had_any = known.is_some_and(|known| {
        !state.tokens(known).is_empty() || blocks().any(|at| state.dense(at, known).is_some())
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
