//! Everything derived from the graph for one generation, row by row: neighbourhoods, the rows of every layer,
//! embeddings. How it follows the graph is `advance`'s.

use std::sync::Arc;

use hedgerow_storage::{CancelToken, Epoch, NodeIx, Snapshot};
use hedgerow_walker::Visit;

use crate::config::error::Error;
use crate::config::model_config::ModelConfig;
use crate::config::options::Pooling;
use crate::linalg::huge_matrix::HugeMatrix;
use crate::linalg::sparse::Sparse;
use crate::network::encoder::Encoder;
use crate::state::neighborhoods::{KindNeighborhoods, walk_rows};

/// Marks a node that has no row.
pub(crate) const ABSENT: u32 = u32::MAX;

/// A neighbour of a neighbourhood and its visits.
pub(crate) type Visited = (u32, u32);

/// Size: per row about 8 bytes for each kept neighbour, 4 for its entry in a reverse list, and the rows of
/// all layers (h0 to hK, with PinSage layers also their messages) at 4 bytes a number.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) recipe: ModelConfig,
    pub(crate) encoder: Arc<Encoder>,
    /// The graph that everything below reflects.
    pub(crate) epoch: Epoch,
    /// Row -> node. A row stays its node's for good, in life and death.
    pub(crate) nodes: Vec<NodeIx>,
    /// Node -> row, or [`ABSENT`].
    pub(crate) row_of: Vec<u32>,
    pub(crate) alive: Vec<bool>,
    /// By visits, then by stable id.
    pub(crate) neighborhoods: Vec<Box<[Visited]>>,
    /// Row -> the rows that have it in their neighbourhood, ascending.
    pub(crate) reverse: Vec<Vec<u32>>,
    /// Degree levels.
    pub(crate) levels: Vec<u8>,
    /// h0 to hK: (rows, D) each.
    pub(crate) hidden: Vec<HugeMatrix>,
    /// The messages of each layer, (rows, M); empty where a layer's messages are its input rows.
    pub(crate) messages: Vec<HugeMatrix>,
    /// (rows, D): unit vectors.
    pub(crate) vectors: HugeMatrix,
    pub(crate) bias: Vec<f32>,
}

impl State {
    /// A state of no rows.
    pub(crate) fn new(recipe: ModelConfig, encoder: Arc<Encoder>) -> Self {
        let dim = recipe.dim;
        let messages = encoder.weights.layers.iter().map(|layer| HugeMatrix::zeros(0, layer.width()));
        Self {
            epoch: Epoch::new(0),
            nodes: Vec::new(),
            row_of: Vec::new(),
            alive: Vec::new(),
            neighborhoods: Vec::new(),
            reverse: Vec::new(),
            levels: Vec::new(),
            hidden: vec![HugeMatrix::zeros(0, dim); recipe.layers + 1],
            messages: messages.collect(),
            vectors: HugeMatrix::zeros(0, dim),
            bias: Vec::new(),
            recipe,
            encoder,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.nodes.len()
    }

    /// Bytes of everything that follows the graph; the encoder is not among it.
    pub(crate) fn bytes(&self) -> usize {
        let neighborhoods: usize =
            self.neighborhoods.iter().map(|all| size_of_val(all) + size_of_val(&**all)).sum();
        let reverse: usize =
            self.reverse.iter().map(|all| size_of_val(all) + all.capacity() * size_of::<u32>()).sum();
        let matrices = self.hidden.iter().chain(&self.messages).chain([&self.vectors]);
        let rows = size_of_val(&*self.nodes) + size_of_val(&*self.alive) + size_of_val(&*self.levels);
        neighborhoods
            + reverse
            + matrices.map(HugeMatrix::bytes).sum::<usize>()
            + rows
            + size_of_val(&*self.row_of)
            + size_of_val(&*self.bias)
    }

    /// The row of a node that is embedded.
    pub(crate) fn row(&self, node: NodeIx) -> Option<u32> {
        let row = *self.row_of.get(node.index())?;
        (row != ABSENT && self.alive[row as usize]).then_some(row)
    }

    /// Rows of living nodes.
    pub(crate) fn alive_rows(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.rows() as u32).filter(|&row| self.alive[row as usize])
    }

    /// The row of a node of an embedded kind, made if there is none; `None` for other kinds.
    pub(crate) fn row_or_new(&mut self, snapshot: &Snapshot, node: NodeIx) -> Option<u32> {
        if let Some(&row) = self.row_of.get(node.index())
            && row != ABSENT
        {
            return Some(row);
        }
        let kind = snapshot.kind_name(snapshot.kind(node));
        let embedded = self.recipe.targets().any(|target| target == kind);
        embedded.then(|| {
            let row = self.add_row(node);
            self.alive[row as usize] = false;
            row
        })
    }

    pub(crate) fn add_row(&mut self, node: NodeIx) -> u32 {
        let row = self.nodes.len() as u32;
        if self.row_of.len() <= node.index() {
            self.row_of.resize(node.index() + 1, ABSENT);
        }
        self.row_of[node.index()] = row;
        self.nodes.push(node);
        self.alive.push(true);
        self.neighborhoods.push(Box::default());
        self.reverse.push(Vec::new());
        self.levels.push(0);
        row
    }

    /// Replaces a row's neighbourhood and mends the reverse lists; says whether it differs.
    pub(crate) fn set_neighborhood(&mut self, row: u32, new: Box<[Visited]>) -> bool {
        let at = row as usize;
        if self.neighborhoods[at] == new {
            return false;
        }
        let sorted = |neighborhood: &[Visited]| {
            let mut rows: Vec<u32> = neighborhood.iter().map(|&(neighbor, _)| neighbor).collect();
            rows.sort_unstable();
            rows
        };
        // Most neighbours stay, and a reverse list is a read from a random place.
        let (gone, come) = (sorted(&self.neighborhoods[at]), sorted(&new));
        for neighbor in gone.iter().filter(|neighbor| come.binary_search(neighbor).is_err()) {
            let reverse = &mut self.reverse[*neighbor as usize];
            if let Ok(found) = reverse.binary_search(&row) {
                reverse.remove(found);
            }
        }
        for neighbor in come.iter().filter(|neighbor| gone.binary_search(neighbor).is_err()) {
            let reverse = &mut self.reverse[*neighbor as usize];
            if let Err(place) = reverse.binary_search(&row) {
                reverse.insert(place, row);
            }
        }
        self.neighborhoods[at] = new;
        true
    }

    /// Fills the reverse lists from the neighbourhoods.
    pub(crate) fn index_reverse(&mut self) {
        let mut sizes = vec![0u32; self.rows()];
        for &(neighbor, _) in self.neighborhoods.iter().flatten() {
            sizes[neighbor as usize] += 1;
        }
        self.reverse = sizes.into_iter().map(|size| Vec::with_capacity(size as usize)).collect();
        for (row, neighborhood) in self.neighborhoods.iter().enumerate() {
            for &(neighbor, _) in neighborhood {
                self.reverse[neighbor as usize].push(row as u32);
            }
        }
    }

    /// See [`ModelConfig::influence`].
    pub(crate) fn influence(&self, row: u32) -> f32 {
        self.recipe.influence(self.levels[row as usize])
    }

    /// Importances of the listed rows' neighbourhoods. Shapes: (listed, rows).
    pub(crate) fn importances(&self, rows: &[u32]) -> Sparse {
        let entries = rows.iter().map(|&row| self.neighborhoods[row as usize].len()).sum();
        let mut pool = self.empty_pool(rows.len(), entries);
        for &row in rows {
            self.push_importances(self.neighborhoods[row as usize].iter().copied(), &mut pool);
        }
        pool
    }

    /// Importances of all rows in a graph where walks end before they step on a closed node. Shapes: (rows, rows).
    pub(crate) fn importances_excluding(
        &self,
        snapshot: &Snapshot,
        excluded: &[bool],
        cancel: &CancelToken,
    ) -> Result<Sparse, Error> {
        let living: Vec<u32> = self.alive_rows().collect();
        let walked = walk_rows(
            &self.recipe,
            self.recipe.walks,
            snapshot,
            &self.nodes,
            &living,
            Some(excluded),
            cancel,
        )?;
        let mut found: Vec<&[Visit]> = vec![&[]; self.rows()];
        for (row, visits) in walked.iter().flat_map(KindNeighborhoods::iter) {
            found[row as usize] = visits;
        }
        let mut pool = self.empty_pool(self.rows(), found.iter().map(|visits| visits.len()).sum());
        for visits in found {
            let counted = visits.iter().map(|visit| (self.row_of[visit.node.index()], visit.count));
            self.push_importances(counted, &mut pool);
        }
        Ok(pool)
    }

    fn empty_pool(&self, rows: usize, entries: usize) -> Sparse {
        Sparse::with_capacity(self.rows(), rows, entries).with_max(self.recipe.pooling == Pooling::Max)
    }

    /// Appends the importances of a neighbourhood: counts times influence over their sum, or all alike.
    pub(crate) fn push_importances(&self, neighborhood: impl Iterator<Item = Visited>, pool: &mut Sparse) {
        push_importances(self.recipe.pooling, neighborhood, |row| self.influence(row), pool);
    }
}

/// As [`State::push_importances`], of whatever rows `influence` knows.
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
