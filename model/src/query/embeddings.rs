//! The embeddings that readers see: rows, their nodes, and the lookup of nodes by name.
//! A refresh hands over the rows that it changed at its end, in one short step.

use std::sync::Arc;

use hedgerow_storage::{Epoch, Generation, KindIx, NodeIx, NodeName, NodeRef, Snapshot, StableId};

use crate::config::error::Error;
use crate::config::model_config::{ModelConfig, unknown_kind};
use crate::linalg::rows::normalize;
use crate::network::encoder::Encoder;
use crate::query::graph_rows::GraphRows;
use crate::query::scan::{Queries, Scan};
use crate::state::layer_rows::{ABSENT, State};

/// The embeddings of one epoch.
///
/// Size: 27 bytes a row. Refreshes share the embeddings themselves, up to those that one of them changes.
#[derive(Clone)]
pub(crate) struct Embeddings {
    pub(crate) generation: Generation,
    pub(crate) epoch: Epoch,
    /// The embedded kinds, and the walks of their neighborhoods.
    pub(crate) config: ModelConfig,
    /// Computes embeddings; refreshes share it.
    pub(crate) encoder: Arc<Encoder>,
    pub(crate) nodes: Vec<NodeIx>,
    row_of: Vec<u32>,
    pub(crate) ids: Vec<StableId>,
    pub(super) kinds: Vec<KindIx>,
    pub(super) alive: Vec<bool>,
    /// Shape: (rows, D).
    pub(crate) vectors: Scan,
    pub(crate) bias: Vec<f32>,
    /// Degree levels.
    pub(super) levels: Vec<u8>,
    /// The kinds that have factors.
    graph: Vec<GraphRows>,
}

impl Embeddings {
    /// The embeddings of `state`, with the ids and kinds that `snapshot` gives their nodes.
    pub(crate) fn new(state: &State, snapshot: &Snapshot, generation: Generation) -> Self {
        Self {
            generation,
            epoch: state.epoch,
            config: state.config.clone(),
            encoder: Arc::clone(&state.encoder),
            nodes: state.nodes.clone(),
            row_of: state.row_of.clone(),
            ids: state.nodes.iter().map(|&node| snapshot.stable_id(node)).collect(),
            kinds: state.nodes.iter().map(|&node| snapshot.kind(node)).collect(),
            alive: state.alive.clone(),
            vectors: Scan::new(state.vectors.clone()),
            bias: state.bias.clone(),
            levels: state.levels.clone(),
            graph: GraphRows::of(&state.config, &state.factors, snapshot),
        }
    }

    /// The same with the rows of factors and the tokens' indexes, which the first answer that reads them makes otherwise.
    ///
    /// # Errors
    /// Damage of the factors.
    pub(crate) fn prepared(mut self) -> Result<Self, Error> {
        let mut graph = std::mem::take(&mut self.graph);
        graph.iter_mut().try_for_each(|graph| graph.prepare(&self))?;
        Ok(Self { graph, ..self })
    }

    /// Gives up the embeddings, so that the refresh can change them in place. [`Self::copy_changed`] comes next.
    pub(crate) fn release_vectors(&mut self) {
        self.vectors.release();
    }

    /// Takes over the rows that a refresh changed. Cost: those rows.
    pub(crate) fn copy_changed(&mut self, state: &State, snapshot: &Snapshot, changed: &[u32]) {
        // New nodes are at the end: a row stays with its node.
        let new = &state.nodes[self.nodes.len()..];
        for (row, node) in (self.nodes.len() as u32..).zip(new) {
            if self.row_of.len() <= node.index() {
                self.row_of.resize(node.index() + 1, ABSENT);
            }
            self.row_of[node.index()] = row;
        }
        self.nodes.extend_from_slice(new);
        self.ids.extend(new.iter().map(|&node| snapshot.stable_id(node)));
        self.kinds.extend(new.iter().map(|&node| snapshot.kind(node)));
        self.alive.resize(self.nodes.len(), false);
        self.bias.resize(self.nodes.len(), 0.0);
        self.levels.resize(self.nodes.len(), 0);
        self.vectors.follow(&state.vectors, changed);

        for &row in changed {
            let at = row as usize;
            self.bias[at] = state.bias[at];
            self.alive[at] = state.alive[at];
            self.levels[at] = state.levels[at];
        }
        let mut graph = std::mem::take(&mut self.graph);
        for rows in &mut graph {
            rows.copy_changed(self, snapshot, changed);
        }
        self.graph = graph;
        self.epoch = state.epoch;
    }

    /// Bytes in memory, without the embeddings, which refreshes share.
    pub(crate) fn bytes(&self) -> usize {
        let names = size_of_val(&*self.nodes) + size_of_val(&*self.row_of) + size_of_val(&*self.ids);
        let flags = size_of_val(&*self.kinds) + size_of_val(&*self.alive) + size_of_val(&*self.levels);
        let graph: usize = self.graph.iter().map(GraphRows::bytes).sum();
        size_of_val(&*self.bias) + names + flags + graph
    }

    pub(crate) fn rows(&self) -> usize {
        self.nodes.len()
    }

    /// The factors of a kind.
    pub(crate) fn graph_rows(&self, kind: KindIx) -> Option<&GraphRows> {
        self.graph.iter().find(|graph| graph.kind == kind)
    }

    /// The embedded kinds.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.config.targets().map(str::to_owned).collect()
    }

    /// The row of a node; `None` if it is not embedded.
    pub(crate) fn row(&self, node: NodeIx) -> Option<u32> {
        let row = *self.row_of.get(node.index())?;
        (row != ABSENT && self.is_alive(row)).then_some(row)
    }

    pub(crate) fn is_alive(&self, row: u32) -> bool {
        self.alive[row as usize]
    }

    pub(crate) fn kind(&self, row: u32) -> KindIx {
        self.kinds[row as usize]
    }

    pub(crate) fn vector(&self, row: u32) -> Vec<f32> {
        self.vectors.numbers(row as usize)
    }

    /// The cosine of a query and a row, plus the row's popularity if that is asked for.
    pub(crate) fn score(&self, query: &Queries, row: u32, popularity: bool) -> f32 {
        let cosine = self.vectors.score(query, row as usize);
        if popularity { cosine + self.bias[row as usize] } else { cosine }
    }

    /// The query vector of a history: the unit vector of the sum of its rows, each times its strength and its influence. Zeros without
    /// rows.
    pub(crate) fn mean(&self, rows: impl Iterator<Item = (u32, f32)>) -> Vec<f32> {
        let mut mean = vec![0.0; self.vectors.dim()];
        for (row, strength) in rows {
            let influence = strength * self.config.influence(self.levels[row as usize]);
            for (sum, value) in mean.iter_mut().zip(self.vector(row)) {
                *sum += influence * value;
            }
        }
        normalize(&mut mean);
        mean
    }

    /// The row of a node by its name.
    pub(crate) fn require_row(&self, name: NodeRef<'_>, snapshot: &Snapshot) -> Result<u32, Error> {
        let node = self.require_node(name, snapshot)?;
        let reason = || "it came after the last refresh; refresh first".to_owned();
        self.row(node).ok_or_else(|| Error::NotEmbedded { node: name.to_string(), reason: reason() })
    }

    /// A node of the graph whose kind is embedded.
    pub(crate) fn require_node(&self, name: NodeRef<'_>, snapshot: &Snapshot) -> Result<NodeIx, Error> {
        let node = snapshot.require(name)?;
        if self.is_target(name.kind) {
            return Ok(node);
        }
        Err(Error::NotEmbedded { node: name.to_string(), reason: self.only_targets() })
    }

    /// The number of a kind that is embedded.
    pub(crate) fn require_kind(&self, kind: &str, snapshot: &Snapshot) -> Result<KindIx, Error> {
        let found = snapshot.kind_ix(kind).ok_or_else(|| unknown_kind(kind, snapshot))?;
        if self.is_target(kind) {
            return Ok(found);
        }
        Err(Error::NotEmbedded { node: format!("kind {kind}"), reason: self.only_targets() })
    }

    /// Checks that the kind of a node is embedded. The graph need not have the node.
    pub(crate) fn check_kind_of(&self, name: NodeRef<'_>, snapshot: &Snapshot) -> Result<(), Error> {
        if snapshot.lookup(name).is_some() {
            return self.require_node(name, snapshot).map(drop);
        }
        self.require_kind(name.kind, snapshot).map(drop)
    }

    /// The kind of the first item, or the first embedded kind.
    pub(crate) fn kind_of_items<'a>(
        &self,
        snapshot: &Snapshot,
        mut items: impl Iterator<Item = &'a NodeName>,
    ) -> Result<KindIx, Error> {
        let kind = items.next().map(|item| item.kind.as_str());
        let kind = kind.or(self.config.targets().next()).unwrap_or_default();
        snapshot.kind_ix(kind).ok_or_else(|| unknown_kind(kind, snapshot))
    }

    fn is_target(&self, kind: &str) -> bool {
        self.config.targets().any(|target| target == kind)
    }

    fn only_targets(&self) -> String {
        format!("only nodes of kind {} are embedded", self.config.target_list())
    }
}

#[cfg(test)]
impl Embeddings {
    /// Nodes of one kind, numbered as their rows, with stable ids that fall as the numbers rise.
    pub(crate) fn example(vectors: &ndarray::Array2<f32>, bias: Vec<f32>) -> Self {
        let rows = bias.len() as u32;
        Self {
            generation: Generation::new(1),
            epoch: Epoch::new(1),
            config: ModelConfig::example(),
            encoder: Arc::new(Encoder::empty(&ModelConfig::example())),
            nodes: (0..rows).map(NodeIx::new).collect(),
            row_of: (0..rows).collect(),
            ids: (0..rows).map(|row| StableId::new(1_000_000 - u64::from(row))).collect(),
            kinds: vec![KindIx::new(0); rows as usize],
            alive: vec![true; rows as usize],
            vectors: Scan::new(crate::linalg::rounded_rows::RoundedRows::of(
                vectors.as_slice().expect("standard layout"),
                vectors.ncols(),
            )),
            bias,
            levels: vec![0; rows as usize],
            graph: Vec::new(),
        }
    }
}
