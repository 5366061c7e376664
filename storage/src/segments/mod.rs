//! The segments of a checkpoint: five immutable, mapped files.
//! Owns the set of files and their consistency with each other; knows nothing of the log or of the overlay.

mod features;
mod keys;
mod nodes;
mod properties;
mod property_column;
mod topology;
mod topology_writer;

pub(crate) use crate::segments::features::{BlockMeta, Features};
pub(crate) use crate::segments::keys::{FREE, Keys, home, insert_nodes, slot_count};
pub(crate) use crate::segments::nodes::Nodes;
pub(crate) use crate::segments::properties::{Properties, PropertyMeta, Rows};
pub(crate) use crate::segments::property_column::Column;
pub(crate) use crate::segments::topology::{RelationMeta, Topology};
pub(crate) use crate::segments::topology_writer::{ListWriter, TopologyWriter};

use std::sync::Arc;

use crate::fs::section::SectionFile;
use crate::types::error::Error;
use crate::types::ids::{NodeIx, StableId};
use crate::types::names::NodeRef;

/// The names of the files, in the order in which manifests list them.
pub(crate) const FILES: [&str; 5] = ["topology", "nodes", "keys", "features", "properties"];
/// The number of files in a store that was written before there were properties.
pub(crate) const FILES_BEFORE_PROPERTIES: usize = 4;

/// The files of one checkpoint, open. The next checkpoint shares those that did not change.
#[derive(Debug)]
pub(crate) struct Segments {
    pub(crate) topology: Arc<Topology>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) features: Arc<Features>,
    pub(crate) properties: Arc<Properties>,
    /// In the order of [`FILES`]; the last one is missing until the first checkpoint of a store of before properties.
    pub(crate) files: Vec<SectionFile>,
}

impl Segments {
    /// Checks the files, which are in the order of [`FILES`], against each other. Takes what `before` has of the same files.
    ///
    /// # Cost
    /// Builds nothing per node.
    pub(crate) fn new(files: Vec<SectionFile>, before: Option<&Self>) -> Result<Self, Error> {
        // The segments before, if they have this file.
        let known = |at: usize| {
            before.filter(|before| before.files.get(at).is_some_and(|file| file.is_same(&files[at])))
        };
        let nodes = match known(1) {
            Some(before) => Arc::clone(&before.nodes),
            None => Arc::new(Nodes::open(&files[1])?),
        };
        let bound = nodes.bound();
        let topology = match known(0) {
            Some(before) => Arc::clone(&before.topology),
            None => Arc::new(Topology::open(&files[0], bound, nodes.kinds.len())?),
        };
        let keys = match known(2) {
            Some(before) => Arc::clone(&before.keys),
            None => Arc::new(Keys::open(&files[2], bound)?),
        };
        let features = match known(3) {
            Some(before) => Arc::clone(&before.features),
            None => Arc::new(Features::open(&files[3], bound)?),
        };
        let properties = match files.get(FILES_BEFORE_PROPERTIES) {
            None => Arc::default(),
            Some(file) => match known(FILES_BEFORE_PROPERTIES) {
                Some(before) => Arc::clone(&before.properties),
                None => Arc::new(Properties::open(file, bound, nodes.kinds.len())?),
            },
        };
        Ok(Self { topology, nodes, keys, features, properties, files })
    }

    /// The node with that stable id, with any name.
    pub(crate) fn find(&self, id: StableId) -> Option<NodeIx> {
        self.keys.candidates(id).find(|&ix| self.nodes.id(ix) == id)
    }

    /// The name of a node.
    pub(crate) fn name(&self, node: NodeIx) -> NodeRef<'_> {
        NodeRef { kind: &self.nodes.kinds[self.nodes.kind(node).index()], key: self.keys.key(node) }
    }
}

/// The tag of the n-th of several sections: four letters and four hexadecimal digits.
fn numbered(what: [u8; 4], number: usize) -> [u8; 8] {
    let mut tag = [0; 8];
    tag[..4].copy_from_slice(&what);
    for (at, shift) in [12, 8, 4, 0].into_iter().enumerate() {
        tag[4 + at] = b"0123456789abcdef"[number >> shift & 15];
    }
    tag
}

/// Checks that offsets start at 0, never decrease and end at `end`.
fn check_offsets(offsets: &[u64], end: usize) -> Result<(), &'static str> {
    if offsets.first() != Some(&0) || offsets.last() != Some(&(end as u64)) || !offsets.is_sorted() {
        return Err("offsets that do not increase from 0 to the end");
    }
    Ok(())
}
