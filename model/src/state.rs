//! Everything derived from the graph for one generation, row by row: neighbourhoods, the rows of every layer,
//! embeddings. [`State::advance`] brings it from one epoch to a later one; a rebuild is the same steps taken
//! from nothing, with every row dirty, so that the two cannot differ.

use std::time::Instant;

use hedgerow_storage::{CancelToken, Changes, Epoch, NodeIx, Snapshot};
use hedgerow_walker::Walker;
use ndarray::{Array2, ArrayView1};

use crate::degree;
use crate::encoder::Encoder;
use crate::error::Error;
use crate::frontier::Frontier;
use crate::inputs::Inputs;
use crate::recipe::Recipe;
use crate::report::{RefreshReport, milliseconds};
use crate::rows::gather;
use crate::sparse::Sparse;

/// Marks a node that has no row.
pub(crate) const ABSENT: u32 = u32::MAX;

/// A neighbour of a neighbourhood and its visits.
pub(crate) type Counted = (u32, u32);

/// Size: per row about 8 bytes for each kept neighbour, 4 for its entry in a reverse list, and the rows of
/// all layers (h0 to hK, with PinSage layers also their messages) at 4 bytes a number.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) recipe: Recipe,
    pub(crate) encoder: Encoder,
    /// The graph that everything below reflects.
    pub(crate) epoch: Epoch,
    /// Row -> node. A row stays its node's for good, in life and death.
    pub(crate) nodes: Vec<NodeIx>,
    /// Node -> row, or [`ABSENT`].
    pub(crate) row_of: Vec<u32>,
    pub(crate) alive: Vec<bool>,
    /// By visits, then by stable id.
    pub(crate) neighborhoods: Vec<Box<[Counted]>>,
    /// Row -> the rows that have it in their neighbourhood, ascending.
    reverse: Vec<Vec<u32>>,
    /// Degree levels.
    pub(crate) levels: Vec<u8>,
    /// h0 to hK: (rows, D) each.
    pub(crate) hidden: Vec<Array2<f32>>,
    /// The messages of each layer, (rows, M); empty where a layer's messages are its input rows.
    pub(crate) messages: Vec<Array2<f32>>,
    /// (rows, D): unit vectors.
    pub(crate) vectors: Array2<f32>,
    pub(crate) bias: Vec<f32>,
}

/// What a step changed, by row.
pub(crate) struct Advance {
    pub(crate) report: RefreshReport,
    /// Rows whose embedding or life changed; ascending.
    pub(crate) changed: Vec<u32>,
}

/// Where the state may differ from the graph.
struct Dirty {
    /// Rows whose neighbourhood changed.
    pools: Frontier,
    /// Rows whose input may have.
    inputs: Frontier,
    /// Rows whose weight in others' neighbourhoods did.
    weights: Frontier,
    /// Rows that came to life or died: recomputed throughout, since a new row's zeros were never computed.
    lives: Frontier,
}

impl State {
    /// A state of no rows.
    pub(crate) fn new(recipe: Recipe, encoder: Encoder) -> Self {
        let dim = recipe.dim;
        let messages = encoder.weights.layers.iter().map(|layer| Array2::zeros((0, layer.width())));
        Self {
            epoch: Epoch::new(0),
            nodes: Vec::new(),
            row_of: Vec::new(),
            alive: Vec::new(),
            neighborhoods: Vec::new(),
            reverse: Vec::new(),
            levels: Vec::new(),
            hidden: vec![Array2::zeros((0, dim)); recipe.layers + 1],
            messages: messages.collect(),
            vectors: Array2::zeros((0, dim)),
            bias: Vec::new(),
            recipe,
            encoder,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.nodes.len()
    }

    /// The row of a node that is embedded.
    pub(crate) fn row(&self, node: NodeIx) -> Option<u32> {
        let row = *self.row_of.get(node.index())?;
        (row != ABSENT && self.alive[row as usize]).then_some(row)
    }

    /// Rows of living nodes.
    pub(crate) fn living(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.rows() as u32).filter(|&row| self.alive[row as usize])
    }

    /// The state at `snapshot`, from nothing. Cost: all walks, and every row of every layer.
    pub(crate) fn build(
        recipe: Recipe,
        encoder: Encoder,
        snapshot: &Snapshot,
        cancel: &CancelToken,
    ) -> Result<(Self, RefreshReport), Error> {
        let mut state = Self::new(recipe, encoder);
        let mut report = RefreshReport::new(snapshot.epoch(), true);
        let dirty = state.walk_all(snapshot, cancel, &mut report)?;
        state.embed(snapshot, &dirty, cancel, &mut report)?;
        Ok((state, report))
    }

    /// The first half of [`State::build`]: rows, neighbourhoods and degrees; no weights and no embeddings.
    pub(crate) fn build_neighborhoods(
        recipe: Recipe,
        snapshot: &Snapshot,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let encoder = Encoder::empty(&recipe);
        let mut state = Self::new(recipe, encoder);
        state.walk_all(snapshot, cancel, &mut RefreshReport::new(snapshot.epoch(), true))?;
        Ok(state)
    }

    /// The second half of [`State::build`], with the weights to compute with.
    pub(crate) fn embedded_by(mut self, encoder: Encoder, snapshot: &Snapshot) -> Result<Self, Error> {
        self.encoder = encoder;
        let all = Frontier::all(self.rows());
        let dirty = Dirty { pools: all.clone(), inputs: all.clone(), weights: all.clone(), lives: all };
        let mut report = RefreshReport::new(snapshot.epoch(), true);
        self.embed(snapshot, &dirty, &CancelToken::new(), &mut report)?;
        Ok(self)
    }

    /// Brings the state to `snapshot`, which `changes` leads to from the state's epoch.
    ///
    /// Changed draw -> changed walk -> changed neighbourhood -> changed row of a layer -> changed embedding,
    /// and after each stage what came out equal to the bit goes no further.
    ///
    /// # Errors
    /// After an error, also a cancellation, the state is half-way and only good for being rebuilt.
    pub(crate) fn advance(
        &mut self,
        snapshot: &Snapshot,
        changes: &Changes,
        cancel: &CancelToken,
    ) -> Result<Advance, Error> {
        let mut report = RefreshReport::new(snapshot.epoch(), false);
        let dirty = self.walk_changed(snapshot, changes, cancel, &mut report)?;
        let changed = self.embed(snapshot, &dirty, cancel, &mut report)?;
        Ok(Advance { report, changed })
    }

    fn walk_all(
        &mut self,
        snapshot: &Snapshot,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<Dirty, Error> {
        for policy in self.recipe.policies.clone() {
            if let Some(kind) = snapshot.kind_ix(&policy.kind) {
                for node in snapshot.nodes_of(kind) {
                    self.add_row(node);
                }
            }
        }
        for row in 0..self.rows() {
            self.levels[row] = degree::level(snapshot.degree(self.nodes[row]));
        }
        let everything = Frontier::all(self.rows());
        report.dirty_nodes = self.rows() as u64;
        report.sources = self.rows() as u64;
        let pools = self.renew_neighborhoods(snapshot, everything.rows(), cancel, report)?;
        Ok(Dirty { pools, inputs: everything.clone(), weights: everything.clone(), lives: everything })
    }

    fn walk_changed(
        &mut self,
        snapshot: &Snapshot,
        changes: &Changes,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<Dirty, Error> {
        let (mut lives, mut inputs, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for &node in &changes.nodes {
            let Some(row) = self.row_for(snapshot, node) else { continue };
            inputs.push(row);
            if self.alive[row as usize] != snapshot.is_alive(node) {
                self.alive[row as usize] = snapshot.is_alive(node);
                lives.push(row);
            }
        }
        for &(_, node) in changes.lists.keys() {
            let Some(row) = self.row_for(snapshot, node) else { continue };
            let level = degree::level(snapshot.degree(node));
            if self.levels[row as usize] != level {
                self.levels[row as usize] = level;
                weights.push(row);
                inputs.push(row);
            }
        }

        let since = Instant::now();
        let mut sources = lives.clone();
        for policy in &self.recipe.policies {
            if snapshot.kind_ix(&policy.kind).is_some() {
                let walker = Walker::new(snapshot, self.recipe.walks, policy)?;
                sources.extend(walker.reached(changes).into_iter().filter_map(|node| self.row(node)));
            }
        }
        let sources: Frontier = sources.into_iter().collect();
        report.ms.reach = milliseconds(since);
        report.dirty_nodes = touched_nodes(changes);
        report.sources = sources.len() as u64;
        let pools = self.renew_neighborhoods(snapshot, sources.rows(), cancel, report)?;
        let set = |rows: Vec<u32>| rows.into_iter().collect::<Frontier>();
        Ok(Dirty { pools, inputs: set(inputs), weights: set(weights), lives: set(lives) })
    }

    /// The row of a node of an embedded kind, made if there is none; `None` for other kinds.
    fn row_for(&mut self, snapshot: &Snapshot, node: NodeIx) -> Option<u32> {
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

    fn add_row(&mut self, node: NodeIx) -> u32 {
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

    /// Walks again from the listed rows; returns those whose neighbourhood came out different.
    fn renew_neighborhoods(
        &mut self,
        snapshot: &Snapshot,
        sources: &[u32],
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<Frontier, Error> {
        /// Sources between two looks at the cancel token.
        const PART: usize = 8192;
        let since = Instant::now();
        let mut changed = Vec::new();
        for policy in self.recipe.policies.clone() {
            let Some(kind) = snapshot.kind_ix(&policy.kind) else { continue };
            let walker = Walker::new(snapshot, self.recipe.walks, &policy)?;
            let of_kind = |row: &u32| snapshot.kind(self.nodes[*row as usize]) == kind;
            let rows: Vec<u32> = sources.iter().copied().filter(of_kind).collect();
            for part in rows.chunks(PART) {
                cancel.check()?;
                // A dead node has no lists, so its neighbourhood comes out empty.
                let nodes: Vec<NodeIx> = part.iter().map(|&row| self.nodes[row as usize]).collect();
                for (&row, visits) in part.iter().zip(walker.neighborhoods(&nodes)) {
                    let counted = visits.iter().map(|visit| (self.row_of[visit.node.index()], visit.count));
                    if self.set_neighborhood(row, counted.collect()) {
                        changed.push(row);
                    }
                }
            }
        }
        let changed: Frontier = changed.into_iter().collect();
        report.ms.walks = milliseconds(since);
        report.neighborhoods = changed.len() as u64;
        Ok(changed)
    }

    fn set_neighborhood(&mut self, row: u32, new: Box<[Counted]>) -> bool {
        let at = row as usize;
        if self.neighborhoods[at] == new {
            return false;
        }
        let old = std::mem::replace(&mut self.neighborhoods[at], new);
        for (neighbor, _) in old {
            let reverse = &mut self.reverse[neighbor as usize];
            if let Ok(found) = reverse.binary_search(&row) {
                reverse.remove(found);
            }
        }
        for &(neighbor, _) in &self.neighborhoods[at] {
            let reverse = &mut self.reverse[neighbor as usize];
            if let Err(place) = reverse.binary_search(&row) {
                reverse.insert(place, row);
            }
        }
        true
    }

    /// Fills the reverse lists from the neighbourhoods.
    pub(crate) fn index_reverse(&mut self) {
        self.reverse = vec![Vec::new(); self.rows()];
        for (row, neighborhood) in self.neighborhoods.iter().enumerate() {
            for &(neighbor, _) in neighborhood {
                self.reverse[neighbor as usize].push(row as u32);
            }
        }
    }

    /// Importances of the listed rows' neighbourhoods: counts, with damping divided by the square root of the
    /// neighbour's degree, over their sum. Shapes: (listed, rows).
    pub(crate) fn pool(&self, rows: &[u32]) -> Sparse {
        let entries = rows.iter().map(|&row| self.neighborhoods[row as usize].len()).sum();
        let mut pool = Sparse::with_capacity(self.rows(), rows.len(), entries);
        let mut weights = Vec::new();
        for &row in rows {
            let neighborhood = &self.neighborhoods[row as usize];
            weights.clear();
            weights.extend(neighborhood.iter().map(|&(neighbor, count)| {
                let level = self.levels[neighbor as usize];
                count as f32 * if self.recipe.damping { degree::damping(level) } else { 1.0 }
            }));
            let sum: f32 = weights.iter().sum();
            pool.push_row(neighborhood.iter().zip(&weights).map(|(&(neighbor, _), w)| (neighbor, w / sum)));
        }
        pool
    }

    /// Recomputes layer by layer what the dirty rows reach; returns the rows whose embedding changed.
    fn embed(
        &mut self,
        snapshot: &Snapshot,
        dirty: &Dirty,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<Vec<u32>, Error> {
        let since = Instant::now();
        self.grow_layers();
        let (mut changed, biased) = self.embed_inputs(snapshot, dirty, report);
        for layer in 0..self.recipe.layers {
            cancel.check()?;
            changed = self.embed_layer(layer, &changed, dirty, report);
        }
        let last = gather(&self.hidden[self.recipe.layers].view(), changed.rows());
        let (vectors, _, _) = self.encoder.output(&last.view());
        let renewed = replace_rows(&mut self.vectors, &changed, &vectors);
        let shown = renewed.union(biased.iter()).union(dirty.lives.iter());
        report.rows.push(shown.len() as u64);
        report.ms.layers = milliseconds(since);
        self.epoch = snapshot.epoch();
        Ok(shown.rows().to_vec())
    }

    /// Input rows and biases of rows whose features may have changed. Returns the rows whose input changed,
    /// and those whose bias did.
    fn embed_inputs(
        &mut self,
        snapshot: &Snapshot,
        dirty: &Dirty,
        report: &mut RefreshReport,
    ) -> (Frontier, Frontier) {
        let listed = dirty.inputs.union(dirty.lives.iter());
        let nodes: Vec<NodeIx> = listed.iter().map(|row| self.nodes[row as usize]).collect();
        let levels: Vec<u8> = listed.iter().map(|row| self.levels[row as usize]).collect();
        let inputs = Inputs::gather(snapshot, &self.recipe, &nodes, &levels);
        let known = &self.encoder.table.known;
        let mut tokens = known.sums();
        for of_node in &inputs.tokens {
            known.push_tokens(of_node, &mut tokens);
        }
        let h = self.encoder.input(&tokens, &inputs.dense.view());
        let bias = self.encoder.bias(&tokens, &inputs.log_degrees);
        let mut biased = Vec::new();
        for (row, &new) in listed.iter().zip(&bias) {
            let old = &mut self.bias[row as usize];
            if old.to_bits() != new.to_bits() {
                *old = new;
                biased.push(row);
            }
        }
        report.rows.push(listed.len() as u64);
        let changed = replace_rows(&mut self.hidden[0], &listed, &h);
        (changed.union(dirty.lives.iter()), biased.into_iter().collect())
    }

    /// Rows of layer `layer + 1`: those whose own row changed, whose neighbourhood did, or one of whose
    /// neighbours tells something else or weighs something else. Returns those that came out different.
    fn embed_layer(
        &mut self,
        layer: usize,
        changed: &Frontier,
        dirty: &Dirty,
        report: &mut RefreshReport,
    ) -> Frontier {
        let weights = &self.encoder.weights.layers[layer];
        let own = gather(&self.hidden[layer].view(), changed.rows());
        let mut told = match weights.message(&own.view()) {
            Some(messages) => replace_rows(&mut self.messages[layer], changed, &messages),
            None => changed.clone(),
        };
        if self.recipe.damping {
            told = told.union(dirty.weights.iter());
        }
        let listening = told.iter().flat_map(|row| self.reverse[row as usize].iter().copied());
        let listed = changed.union(dirty.pools.iter()).union(listening);
        let messages = if weights.width() == 0 { &self.hidden[layer] } else { &self.messages[layer] };
        let pooled = self.pool(listed.rows()).multiply(&messages.view());
        let own = gather(&self.hidden[layer].view(), listed.rows());
        let (next, _) = weights.update(&own.view(), &pooled);
        report.rows.push(listed.len() as u64);
        replace_rows(&mut self.hidden[layer + 1], &listed, &next).union(dirty.lives.iter())
    }

    /// Gives new rows their place in every layer, as zeros.
    fn grow_layers(&mut self) {
        let rows = self.rows();
        let matrices = self.hidden.iter_mut().chain(&mut self.messages).chain([&mut self.vectors]);
        for matrix in matrices {
            let missing = rows - matrix.nrows();
            if missing > 0 {
                let zeros = Array2::zeros((missing, matrix.ncols()));
                matrix.append(ndarray::Axis(0), zeros.view()).expect("the widths are equal");
            }
        }
        self.bias.resize(rows, 0.0);
    }
}

/// Nodes that are an end of a changed edge, or changed themselves.
pub(crate) fn touched_nodes(changes: &Changes) -> u64 {
    let mut touched = changes.nodes.clone();
    touched.extend(changes.lists.keys().map(|&(_, node)| node));
    touched.len() as u64
}

/// Replaces the listed rows; returns those whose bits changed.
fn replace_rows(matrix: &mut Array2<f32>, listed: &Frontier, new: &Array2<f32>) -> Frontier {
    let differs = |(row, new): &(u32, ArrayView1<'_, f32>)| {
        let old = matrix.row(*row as usize);
        old.iter().zip(new).any(|(a, b)| a.to_bits() != b.to_bits())
    };
    let changed: Vec<_> = listed.iter().zip(new.outer_iter()).filter(differs).collect();
    for (row, new) in &changed {
        matrix.row_mut(*row as usize).assign(new);
    }
    changed.into_iter().map(|(row, _)| row).collect()
}
