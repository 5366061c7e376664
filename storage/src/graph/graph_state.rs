//! One state of the graph: the segments of a checkpoint, and later changes in pages that states share.
//! Owns the representation in memory and reads it by number; names and public types belong to the snapshot.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use crate::adjacency::list::List;
use crate::adjacency::lists::Lists;
use crate::adjacency::overlay::Overlay;
use crate::adjacency::persistent_map::PersistentMap;
use crate::segments::{PropertyMeta, Segments};
use crate::types::ids::{Epoch, KindIx, NodeIx, RelationIx, StableId};
use crate::types::names::NodeRef;
use crate::types::position::Positions;
use crate::types::weights::relation_options::{StoredOptions, TimeUnit};

/// A state of the graph; a clone costs a pointer for each relation and block.
#[derive(Clone, Debug)]
pub(crate) struct GraphState {
    pub(crate) epoch: Epoch,
    pub(crate) segments: Arc<Segments>,
    pub(crate) bound: u32,
    pub(crate) alive: u64,
    pub(crate) kinds: Arc<Vec<String>>,
    pub(crate) relations: Vec<Arc<Relation>>,
    /// Nodes that came after the checkpoint.
    pub(crate) added_nodes: PersistentMap<AddedNode>,
    /// The added nodes by stable id. All states since the checkpoint share it and only add to it, so a state ignores
    /// numbers that are not below its bound.
    pub(crate) directory: Arc<RwLock<HashMap<u64, u32>>>,
    /// The liveness of nodes, where it differs from the segments.
    pub(crate) liveness: PersistentMap<bool>,
    /// Tokens that replace those of the segments.
    pub(crate) tokens: PersistentMap<Arc<[Box<str>]>>,
    /// The blocks of the segments come first, in their order.
    pub(crate) blocks: Vec<Arc<Block>>,
    /// The properties of the segments come first, in their order.
    pub(crate) properties: Vec<Arc<PropertyMeta>>,
    /// The property that labels the nodes of a kind.
    pub(crate) labels: Arc<BTreeMap<u8, u16>>,
    /// Values that replace those of the segments, as `value_changes` packs them.
    pub(crate) values: PersistentMap<Arc<[u8]>>,
    pub(crate) positions: Positions,
    pub(crate) time_unit: TimeUnit,
}

/// A node that came after the checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct AddedNode {
    pub(crate) kind: KindIx,
    pub(crate) id: StableId,
    pub(crate) key: Arc<str>,
}

/// A relation with its lists that differ from the segments.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    pub(crate) name: String,
    pub(crate) kinds: BTreeSet<(u8, u8)>,
    pub(crate) edges: u64,
    pub(crate) options: StoredOptions,
    pub(crate) lists: Overlay,
}

/// A block of dense features with its rows that differ from the segments; an empty row is a removed one.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) name: String,
    pub(crate) width: u32,
    pub(crate) rows: u64,
    pub(crate) values: PersistentMap<Arc<[f32]>>,
}

/// The result of looking up a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookupResult {
    Nothing,
    /// The node with that name, alive or not.
    Node(NodeIx),
    /// A node with another name and the same stable id.
    Other(NodeIx),
}

impl GraphState {
    /// The state right after a checkpoint.
    pub(crate) fn checkpointed(
        segments: Arc<Segments>,
        epoch: Epoch,
        positions: Positions,
        time_unit: TimeUnit,
    ) -> Self {
        let relations = segments.topology.relations.iter().map(|relation| {
            Arc::new(Relation {
                name: relation.name.clone(),
                kinds: relation.kinds.iter().copied().collect(),
                edges: relation.edges,
                options: relation.options,
                lists: Overlay::default(),
            })
        });
        let blocks = segments.features.blocks.iter().map(|block| {
            Arc::new(Block {
                name: block.name.clone(),
                width: block.width,
                rows: block.rows,
                values: PersistentMap::default(),
            })
        });
        Self {
            epoch,
            bound: segments.nodes.bound(),
            alive: segments.nodes.alive,
            kinds: Arc::new(segments.nodes.kinds.clone()),
            relations: relations.collect(),
            added_nodes: PersistentMap::default(),
            directory: Arc::default(),
            liveness: PersistentMap::default(),
            tokens: PersistentMap::default(),
            blocks: blocks.collect(),
            properties: segments.properties.schema.iter().cloned().map(Arc::new).collect(),
            labels: Arc::new(segments.properties.labels.iter().copied().collect()),
            values: PersistentMap::default(),
            positions,
            time_unit,
            segments,
        }
    }

    /// True if some relation has an edge.
    pub(crate) fn has_edges(&self) -> bool {
        self.relations.iter().any(|relation| relation.edges > 0)
    }

    fn added_node(&self, node: NodeIx) -> &AddedNode {
        self.added_nodes
            .get(node.get())
            .expect("a node number comes from this store and is below the snapshot's bound")
    }

    fn is_checkpointed(&self, node: NodeIx) -> bool {
        node.get() < self.segments.nodes.bound()
    }

    pub(crate) fn name(&self, node: NodeIx) -> NodeRef<'_> {
        if self.is_checkpointed(node) {
            return self.segments.name(node);
        }
        let added_node = self.added_node(node);
        NodeRef { kind: &self.kinds[added_node.kind.index()], key: &added_node.key }
    }

    #[inline]
    pub(crate) fn kind(&self, node: NodeIx) -> KindIx {
        if self.is_checkpointed(node) { self.segments.nodes.kind(node) } else { self.added_node(node).kind }
    }

    #[inline]
    pub(crate) fn stable_id(&self, node: NodeIx) -> StableId {
        if self.is_checkpointed(node) { self.segments.nodes.id(node) } else { self.added_node(node).id }
    }

    #[inline]
    pub(crate) fn is_alive(&self, node: NodeIx) -> bool {
        match self.liveness.get(node.get()) {
            Some(&alive) => alive,
            None => self.is_checkpointed(node) && self.segments.nodes.is_alive(node),
        }
    }

    /// Looks up a name with its stable id.
    pub(crate) fn find(&self, name: NodeRef<'_>, id: StableId) -> LookupResult {
        let found = self.segments.find(id).or_else(|| {
            if self.added_nodes.is_empty() {
                return None;
            }
            let directory = self.directory.read().unwrap_or_else(PoisonError::into_inner);
            directory.get(&id.get()).copied().filter(|&node| node < self.bound).map(NodeIx::new)
        });
        match found {
            None => LookupResult::Nothing,
            Some(node) if self.name(node) == name => LookupResult::Node(node),
            Some(node) => LookupResult::Other(node),
        }
    }

    /// The lists of a relation.
    #[inline]
    pub(crate) fn lists(&self, relation: RelationIx) -> Lists<'_> {
        let (records, owner_records, words) = self.segments.topology.lists(relation);
        let overlay = &self.relations[relation.index()].lists;
        Lists { overlay, records, owner_records, words, copied_words: &[] }
    }

    #[inline]
    pub(crate) fn list(&self, relation: RelationIx, node: NodeIx) -> List<'_> {
        self.lists(relation).get(node)
    }

    pub(crate) fn tokens(&self, node: NodeIx) -> Vec<&str> {
        match self.tokens.get(node.get()) {
            Some(tokens) => tokens.iter().map(|token| &**token).collect(),
            None => self.segments.features.tokens(node).collect(),
        }
    }

    /// A node's row in the block with that index.
    pub(crate) fn dense(&self, block: usize, node: NodeIx) -> Option<&[f32]> {
        match self.blocks[block].values.get(node.get()) {
            Some(row) => (!row.is_empty()).then_some(&**row),
            None => self.segments.features.dense(block, node),
        }
    }

    pub(crate) fn relation_ix(&self, name: &str) -> Option<RelationIx> {
        let at = self.relations.iter().position(|relation| relation.name == name)?;
        Some(RelationIx::new(at as u16))
    }

    pub(crate) fn kind_ix(&self, name: &str) -> Option<KindIx> {
        self.kinds.iter().position(|kind| kind == name).map(|at| KindIx::new(at as u8))
    }
}
