//! How a state follows the graph, stage by stage. A rebuild is the same stages taken from nothing, with every row
//! dirty, so that the two cannot differ.

use std::time::Instant;

use hedgerow_storage::{CancelToken, Changes, NodeIx, Snapshot};
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
use crate::state::State;

/// What a step changed, by row.
pub(crate) struct Advance {
    pub(crate) report: RefreshReport,
    /// Rows whose embedding or life changed, ascending; `None` if the state was built anew.
    pub(crate) changed: Option<Vec<u32>>,
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
        Ok(Advance { report, changed: Some(changed) })
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

    /// Walks again from the listed rows; returns those whose neighbourhood came out different.
    fn renew_neighborhoods(
        &mut self,
        snapshot: &Snapshot,
        sources: &[u32],
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<Frontier, Error> {
        let since = Instant::now();
        let mut changed = Vec::new();
        for policy in self.recipe.policies.clone() {
            let Some(kind) = snapshot.kind_ix(&policy.kind) else { continue };
            let walker = Walker::new(snapshot, self.recipe.walks, &policy)?;
            let of_kind = |row: &u32| snapshot.kind(self.nodes[*row as usize]) == kind;
            let rows: Vec<u32> = sources.iter().copied().filter(of_kind).collect();
            // A dead node has no lists, so its neighbourhood comes out empty.
            let nodes: Vec<NodeIx> = rows.iter().map(|&row| self.nodes[row as usize]).collect();
            let neighborhoods = walker.neighborhoods(&nodes, cancel)?;
            for (&row, visits) in rows.iter().zip(neighborhoods.iter()) {
                let counted = visits.iter().map(|visit| (self.row_of[visit.node.index()], visit.count));
                if self.set_neighborhood(row, counted.collect()) {
                    changed.push(row);
                }
            }
        }
        let changed: Frontier = changed.into_iter().collect();
        report.ms.walks = milliseconds(since);
        report.neighborhoods = changed.len() as u64;
        Ok(changed)
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
