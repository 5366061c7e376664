//! The outcome of a commit, counted.

use crate::types::ids::Epoch;

/// What a commit did, net of what later operations of its batch undid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The epoch that shows the batch; the one before where it changed nothing.
    pub epoch: Epoch,
    /// Nodes that were created or brought back.
    pub nodes_added: u64,
    /// Nodes that were removed.
    pub nodes_removed: u64,
    /// Edges where there was none.
    pub edges_added: u64,
    /// Edges that got another weight or time.
    pub edges_changed: u64,
    /// Edges that are gone, by themselves or with a node.
    pub edges_removed: u64,
    /// Edges that were to be removed and were not there.
    pub edges_absent: u64,
    /// Sets of tokens and dense rows that differ from before; all those that a removed node loses count as one.
    pub features_changed: u64,
}
