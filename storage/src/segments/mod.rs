//! The segments of a checkpoint: four immutable, mapped files.
//! Owns the set of files and their consistency with each other; knows nothing of the log or of the overlay.

mod features;
mod keys;
mod nodes;
mod topology;

pub(crate) use crate::segments::features::{BlockMeta, Features};
pub(crate) use crate::segments::keys::{FREE, Keys, home, insert_nodes, slot_count};
pub(crate) use crate::segments::nodes::Nodes;
pub(crate) use crate::segments::topology::{ListWriter, RelationMeta, Topology};

use crate::fs::section::SectionFile;
use crate::types::error::Error;
use crate::types::ids::{NodeIx, StableId};
use crate::types::names::NodeRef;

/// The names of the files, in the order in which manifests list them.
pub(crate) const FILES: [&str; 4] = ["topology", "nodes", "keys", "features"];

/// The files of one checkpoint, open.
#[derive(Debug)]
pub(crate) struct Segments {
    pub(crate) topology: Topology,
    pub(crate) nodes: Nodes,
    pub(crate) keys: Keys,
    pub(crate) features: Features,
    /// Bytes of each, in the order of [`FILES`].
    pub(crate) sizes: [u64; 4],
}

impl Segments {
    /// Checks the files, which are in the order of [`FILES`], against each other.
    ///
    /// # Cost
    /// Builds nothing per node.
    pub(crate) fn new(files: &[SectionFile; 4]) -> Result<Self, Error> {
        let nodes = Nodes::open(&files[1])?;
        let bound = nodes.bound();
        Ok(Self {
            topology: Topology::open(&files[0], bound, nodes.kinds.len())?,
            keys: Keys::open(&files[2], bound)?,
            features: Features::open(&files[3], bound)?,
            nodes,
            sizes: files.each_ref().map(SectionFile::bytes),
        })
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
