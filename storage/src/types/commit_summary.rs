//! The outcome of a commit, in counts.

use std::fmt;

use crate::types::ids::Epoch;

/// Counts of what a commit changed, net of what later operations of its batch undid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Commit {
    /// The epoch that shows the batch; the epoch before it where the batch changed nothing.
    pub epoch: Epoch,
    /// Nodes created or restored.
    pub nodes_added: u64,
    /// Nodes removed.
    pub nodes_removed: u64,
    /// Edges added.
    pub edges_added: u64,
    /// Edges with another weight or time than before.
    pub edges_changed: u64,
    /// Links of an edge that was there, in the store or earlier in the batch or load.
    pub edges_repeated: u64,
    /// Edges removed, by themselves or with a node.
    pub edges_removed: u64,
    /// Removals of edges that did not exist.
    pub edges_absent: u64,
    /// Token sets and dense rows that differ from before; all features that a removed node loses count as one.
    pub features_changed: u64,
    /// Nodes with a property that differs from before, except removed nodes.
    pub properties_changed: u64,
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, nodes_added, nodes_removed, edges_added, edges_changed, edges_removed, .. } = self;
        let Self { edges_repeated, edges_absent, features_changed, properties_changed, .. } = self;
        write!(f, "epoch {epoch}: nodes {nodes_added} added, {nodes_removed} removed; ")?;
        write!(f, "edges {edges_added} added, {edges_changed} changed, {edges_repeated} repeated, ")?;
        write!(f, "{edges_removed} removed, {edges_absent} absent; features {features_changed} changed, ")?;
        write!(f, "properties of {properties_changed} nodes changed")
    }
}
