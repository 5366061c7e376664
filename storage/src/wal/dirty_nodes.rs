//! The nodes that the log has touched since the last refresh of each derived set.
//! Reads no records; its owner reports them.

use std::collections::{BTreeMap, HashMap};

use crate::types::ids::{Epoch, NodeIx};

/// The dirty nodes of all derived sets.
#[derive(Debug, Default)]
pub(crate) struct DirtyNodes(BTreeMap<String, DirtyNodesOfSet>);

/// The dirty nodes of a set.
#[derive(Debug)]
pub(crate) struct DirtyNodesOfSet {
    /// The epoch up to which the set is current.
    refreshed: Epoch,
    /// The last epoch after `refreshed` that touched a node. No result depends on its order.
    touched: HashMap<u32, u64>,
}

impl DirtyNodesOfSet {
    fn new(refreshed: Epoch) -> Self {
        Self { refreshed, touched: HashMap::new() }
    }

    pub(crate) fn refreshed(&self) -> Epoch {
        self.refreshed
    }

    pub(crate) fn count(&self) -> u64 {
        self.touched.len() as u64
    }

    pub(crate) fn contains(&self, node: NodeIx) -> bool {
        self.touched.contains_key(&node.get())
    }
}

impl DirtyNodes {
    /// Sets without dirty nodes, each with the epoch up to which it is current.
    pub(crate) fn new(sets: impl IntoIterator<Item = (String, Epoch)>) -> Self {
        Self(sets.into_iter().map(|(set, refreshed)| (set, DirtyNodesOfSet::new(refreshed))).collect())
    }

    pub(crate) fn get(&self, set: &str) -> Option<&DirtyNodesOfSet> {
        self.0.get(set)
    }

    /// True if a batch of this epoch makes nodes of a set dirty.
    pub(crate) fn takes(&self, epoch: Epoch) -> bool {
        self.0.values().any(|set| epoch > set.refreshed)
    }

    /// Marks the nodes that a batch touched, in each set that does not reflect it.
    pub(crate) fn touch(&mut self, epoch: Epoch, nodes: &[u32]) {
        for set in self.0.values_mut().filter(|set| epoch > set.refreshed) {
            set.touched.extend(nodes.iter().map(|&node| (node, epoch.get())));
        }
    }

    /// Advances the epoch of a set; nodes touched up to it become clean.
    pub(crate) fn refresh(&mut self, set: &str, epoch: Epoch) {
        if let Some(set) = self.0.get_mut(set).filter(|set| set.refreshed < epoch) {
            set.refreshed = epoch;
            set.touched.retain(|_, last| *last > epoch.get());
        }
    }

    /// Puts the sets of another in the place of those of their names.
    pub(crate) fn put(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Forgets a set.
    pub(crate) fn remove(&mut self, set: &str) {
        self.0.remove(set);
    }
}
