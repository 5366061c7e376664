//! The state of a generation: for each row its neighborhood, its row in every layer and its embedding. `incremental`
//! refreshes it.

use std::sync::Arc;

use hedgerow_storage::{CancelToken, Epoch, Error as StoreError, NodeIx, Snapshot};
use hedgerow_walker::Visit;

use crate::config::error::Error;
use crate::config::model_config::ModelConfig;
use crate::config::options::Pooling;
use crate::factors::model_factors::ModelFactors;
use crate::linalg::rounded_rows::RoundedRows;
use crate::linalg::shared_rows::SharedRows;
use crate::linalg::sparse::Sparse;
use crate::network::encoder::Encoder;
use crate::network::importances::WHOLE_SHARE;
use crate::state::neighborhood_lists::{NeighborhoodLists, Visited};
use crate::state::neighborhoods::{KindNeighborhoods, walk_rows};
use crate::state::reverse_lists::ReverseLists;

/// The row of a node that has none.
pub(crate) const ABSENT: u32 = u32::MAX;

/// The rows of a generation, derived from a graph.
///
/// A row of a layer *is* its eight-bit integers and its unit ([`RoundedRows`]): sums are made in `f32` and then rounded. So is an
/// embedding, with the unit that makes its length 1. A refresh and a rebuild round alike.
///
/// Size: per row about 5 bytes for each neighbor, 4 for its entry in a reverse list, and 1 for each number of the embedding and
/// of the layers below (h0 to h(K-1), with PinSage layers also messages).
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) config: ModelConfig,
    pub(crate) encoder: Arc<Encoder>,
    /// The factors of the kinds that have them. Refreshes leave them as they are.
    pub(crate) factors: ModelFactors,
    /// The epoch of the graph that the state reflects.
    pub(crate) epoch: Epoch,
    /// The node of each row. A row belongs to its node forever, also after a removal.
    pub(crate) nodes: Vec<NodeIx>,
    /// The row of each node, or [`ABSENT`].
    pub(crate) row_of: Vec<u32>,
    pub(crate) alive: Vec<bool>,
    /// Neighborhoods by descending visits, then by stable id.
    pub(crate) neighborhoods: NeighborhoodLists,
    /// For each row, the rows that have it in their neighborhood.
    pub(crate) reverse: ReverseLists,
    /// Degree levels.
    pub(crate) levels: Vec<u8>,
    /// The rows of each layer below the last, h0 to h(K-1); h0 also without layers. Shape: (rows, D) each.
    pub(crate) hidden: Vec<RoundedRows>,
    /// The messages of each layer; empty if vectors are pooled unchanged. Shape: (rows, M) each.
    pub(crate) messages: Vec<RoundedRows>,
    /// Unit vectors, from the last layer, which readers share. Shape: (rows, D).
    pub(crate) vectors: SharedRows,
    pub(crate) bias: Vec<f32>,
}

impl State {
    /// A state without rows.
    pub(crate) fn new(config: ModelConfig, encoder: Arc<Encoder>, factors: ModelFactors) -> Self {
        let dim = config.dim;
        let messages = encoder.weights.layers.iter().map(|layer| RoundedRows::zeros(0, layer.width()));
        Self {
            epoch: Epoch::new(0),
            nodes: Vec::new(),
            row_of: Vec::new(),
            alive: Vec::new(),
            neighborhoods: NeighborhoodLists::default(),
            reverse: ReverseLists::default(),
            levels: Vec::new(),
            hidden: vec![RoundedRows::zeros(0, dim); config.layers.max(1)],
            messages: messages.collect(),
            vectors: RoundedRows::zeros(0, dim).into(),
            bias: Vec::new(),
            config,
            encoder,
            factors,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.nodes.len()
    }

    /// Verifies the rows of all layers, and the embeddings, where they are those of a mapped file. Cost: reads what was not verified
    /// before.
    ///
    /// # Errors
    /// Damage of the file.
    pub(crate) fn verify(&self) -> Result<(), StoreError> {
        self.hidden.iter().chain(&self.messages).try_for_each(|matrix| matrix.stored().verify())?;
        self.vectors.verify()
    }

    /// Bytes of the rows, without the encoder.
    pub(crate) fn bytes(&self) -> usize {
        let matrices = self.hidden.iter().chain(&self.messages);
        let rows = size_of_val(&*self.nodes) + size_of_val(&*self.alive) + size_of_val(&*self.levels);
        self.neighborhoods.bytes()
            + self.reverse.bytes()
            + matrices.map(RoundedRows::bytes).sum::<usize>()
            + self.vectors.bytes()
            + rows
            + size_of_val(&*self.row_of)
            + size_of_val(&*self.bias)
    }

    /// Makes reverse lists, for a process that refreshes often.
    pub(crate) fn make_reverse_lists(&mut self) {
        self.reverse = ReverseLists::of(&self.neighborhoods);
    }

    /// The row of an embedded node. `None` for a removed node and for other kinds.
    pub(crate) fn row(&self, node: NodeIx) -> Option<u32> {
        let row = *self.row_of.get(node.index())?;
        (row != ABSENT && self.alive[row as usize]).then_some(row)
    }

    /// The rows of nodes that exist.
    pub(crate) fn alive_rows(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.rows() as u32).filter(|&row| self.alive[row as usize])
    }

    /// The row of a node of an embedded kind, new if there is none. `None` for other kinds.
    pub(crate) fn row_or_new(&mut self, snapshot: &Snapshot, node: NodeIx) -> Option<u32> {
        if let Some(&row) = self.row_of.get(node.index())
            && row != ABSENT
        {
            return Some(row);
        }
        let kind = snapshot.kind_name(snapshot.kind(node));
        let embedded = self.config.targets().any(|target| target == kind);
        embedded.then(|| {
            let row = self.add_row(node);
            self.alive[row as usize] = false;
            row
        })
    }

    /// Appends a row with an empty neighborhood.
    pub(crate) fn add_row(&mut self, node: NodeIx) -> u32 {
        self.neighborhoods.push_empty();
        let row = self.number_row(node);
        self.reverse.add_row(row);
        row
    }

    /// Gives a node the next row. The caller adds its neighborhood.
    pub(crate) fn number_row(&mut self, node: NodeIx) -> u32 {
        let row = self.nodes.len() as u32;
        if self.row_of.len() <= node.index() {
            self.row_of.resize(node.index() + 1, ABSENT);
        }
        self.row_of[node.index()] = row;
        self.nodes.push(node);
        self.alive.push(true);
        self.levels.push(0);
        row
    }

    /// Replaces a neighborhood and updates the reverse lists. Returns true if it is different.
    pub(crate) fn set_neighborhood(&mut self, row: u32, new: &[Visited]) -> bool {
        let old = self.neighborhoods.get(row);
        if old.iter().eq(new.iter().copied()) {
            return false;
        }
        let new_rows: Vec<u32> = new.iter().map(|&(row, _)| row).collect();
        self.reverse.replace(row, old.rows, &new_rows);
        self.neighborhoods.set(row, new);
        true
    }

    /// The row's [`ModelConfig::influence`].
    pub(crate) fn influence(&self, row: u32) -> f32 {
        self.config.influence(self.levels[row as usize])
    }

    /// Importances of the neighborhoods of the listed rows. Shape: (listed, rows).
    pub(crate) fn importances(&self, rows: &[u32]) -> Sparse {
        let entries = rows.iter().map(|&row| self.neighborhoods.get(row).len()).sum();
        let mut pool = self.empty_pool(rows.len(), entries);
        for &row in rows {
            self.push_importances(self.neighborhoods.get(row).iter(), &mut pool);
        }
        pool
    }

    /// For each neighbor of each row, the share of its visits that is left if walks end before they step on an excluded node, in units
    /// of 1 / 255. A share above 0 is at least one unit. Other poolings than by importance have all or nothing.
    ///
    /// Cost: all walks. Size: a byte for each neighbor.
    pub(crate) fn shares_excluding(
        &self,
        snapshot: &Snapshot,
        excluded: &[bool],
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, Error> {
        let alive: Vec<u32> = self.alive_rows().collect();
        let walked = walk_rows(
            &self.config,
            self.config.walks,
            snapshot,
            &self.nodes,
            &alive,
            Some(excluded),
            cancel,
        )?;
        let mut visits_of: Vec<&[Visit]> = vec![&[]; self.rows()];
        for (row, visits) in walked.iter().flat_map(KindNeighborhoods::iter) {
            visits_of[row as usize] = visits;
        }
        let whole = u32::from(WHOLE_SHARE);
        let share = |left: u32, all: u32| match self.config.pooling {
            _ if left == 0 => 0,
            Pooling::Importance => ((2 * left * whole + all) / (2 * all)).clamp(1, whole) as u8,
            Pooling::Mean | Pooling::Max => WHOLE_SHARE,
        };
        let (mut shares, mut left) = (Vec::new(), vec![0; self.rows()]);
        for (row, visits) in (0..).zip(visits_of) {
            let row_of = |visit: &Visit| self.row_of[visit.node.index()] as usize;
            for visit in visits {
                left[row_of(visit)] = visit.count;
            }
            let neighbors = self.neighborhoods.get(row).iter();
            shares.extend(neighbors.map(|(neighbor, all)| share(left[neighbor as usize], all)));
            for visit in visits {
                left[row_of(visit)] = 0;
            }
        }
        Ok(shares)
    }

    fn empty_pool(&self, rows: usize, entries: usize) -> Sparse {
        Sparse::with_capacity(self.rows(), rows, entries).with_max(self.config.pooling == Pooling::Max)
    }

    /// Appends the importances of a neighborhood: visits times influence, divided by their sum; with other poolings
    /// all equal.
    pub(crate) fn push_importances(&self, neighborhood: impl Iterator<Item = Visited>, pool: &mut Sparse) {
        push_importances(self.config.pooling, neighborhood, |row| self.influence(row), pool);
    }
}

/// As [`State::push_importances`], with another function for the influence of a row.
pub(crate) fn push_importances(
    pooling: Pooling,
    neighborhood: impl Iterator<Item = Visited>,
    influence: impl Fn(u32) -> f32,
    pool: &mut Sparse,
) {
    let weight = |row, count| match pooling {
        Pooling::Importance => count as f32 * influence(row),
        Pooling::Mean | Pooling::Max => 1.0,
    };
    pool.push_normalized(neighborhood.map(|(row, count)| (row, weight(row, count))));
}
