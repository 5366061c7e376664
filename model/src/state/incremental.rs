//! How a state follows the graph, stage by stage. A rebuild is the same stages taken from nothing, with every row
//! dirty, so that the two cannot differ.

use std::sync::Arc;
use std::time::Instant;

use hedgerow_storage::{CancelToken, Changes, NodeIx, Snapshot};
use hedgerow_walker::Walker;

use crate::config::degree;
use crate::config::error::Error;
use crate::config::model_config::ModelConfig;
use crate::config::report::{RefreshReport, milliseconds};
use crate::network::encoder::Encoder;
use crate::network::inputs::Inputs;
use crate::state::matrix_rows::{MatrixRows, replace_rows};
use crate::state::neighborhoods::walk_rows;
use crate::state::row_set::RowSet;
use crate::state::state::State;

/// What a step changed, by row.
pub(crate) struct StateUpdate {
    pub(crate) report: RefreshReport,
    /// `None` if the state was built anew.
    pub(crate) changed_rows: Option<ChangedRows>,
}

/// What changed on the way.
pub(crate) struct ChangedRows {
    pub(crate) dirty: DirtyRows,
    /// By layer from the inputs on, rows that came out different.
    pub(crate) layers: Vec<RowSet>,
    /// Rows whose embedding or life changed.
    pub(crate) visible: RowSet,
}

/// Where the state may differ from the graph.
pub(crate) struct DirtyRows {
    /// Rows whose neighbourhood changed.
    pub(crate) neighborhoods: RowSet,
    /// Rows whose input may have.
    pub(crate) inputs: RowSet,
    /// Rows whose weight in others' neighbourhoods did.
    pub(crate) weights: RowSet,
    /// Rows that came to life or died: recomputed throughout, since a new row's zeros were never computed.
    pub(crate) added_or_removed: RowSet,
}

impl State {
    /// The state at `snapshot`, from nothing. Cost: all walks, and every row of every layer.
    pub(crate) fn build(
        recipe: ModelConfig,
        encoder: Arc<Encoder>,
        snapshot: &Snapshot,
        cancel: &CancelToken,
    ) -> Result<(Self, RefreshReport), Error> {
        let mut state = Self::new(recipe, encoder);
        let mut report = RefreshReport::new(snapshot.epoch(), true);
        state.walk_all(snapshot, cancel, &mut report)?;
        state.embed_all(snapshot, cancel, &mut report)?;
        Ok((state, report))
    }

    /// The first half of [`State::build`]: rows, neighbourhoods and degrees; no reverse lists, weights and embeddings.
    pub(crate) fn build_neighborhoods(
        recipe: ModelConfig,
        snapshot: &Snapshot,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let encoder = Arc::new(Encoder::empty(&recipe));
        let mut state = Self::new(recipe, encoder);
        state.walk_all(snapshot, cancel, &mut RefreshReport::new(snapshot.epoch(), true))?;
        Ok(state)
    }

    /// The second half of [`State::build`], with the weights to compute with.
    pub(crate) fn embed_with(
        mut self,
        encoder: Arc<Encoder>,
        snapshot: &Snapshot,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        self.encoder = encoder;
        let mut report = RefreshReport::new(snapshot.epoch(), true);
        self.embed_all(snapshot, cancel, &mut report)?;
        Ok(self)
    }

    fn embed_all(
        &mut self,
        snapshot: &Snapshot,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<(), Error> {
        self.index_reverse();
        let all = RowSet::all(self.rows());
        let dirty = DirtyRows {
            neighborhoods: all.clone(),
            inputs: all.clone(),
            weights: all.clone(),
            added_or_removed: all,
        };
        self.embed(snapshot, dirty, cancel, report)?;
        Ok(())
    }

    /// Brings the state to `snapshot`, which `changes` leads to from the state's epoch.
    ///
    /// Changed draw -> changed walk -> changed neighbourhood -> changed row of a layer -> changed embedding,
    /// and after each stage what came out equal to the bit goes no further.
    ///
    /// # Errors
    /// After an error, also a cancellation, the state is half-way and only good for being rebuilt.
    pub(crate) fn update(
        &mut self,
        snapshot: &Snapshot,
        changes: &Changes,
        cancel: &CancelToken,
    ) -> Result<StateUpdate, Error> {
        let mut report = RefreshReport::new(snapshot.epoch(), false);
        let dirty = self.walk_changed(snapshot, changes, cancel, &mut report)?;
        let changed_rows = self.embed(snapshot, dirty, cancel, &mut report)?;
        Ok(StateUpdate { report, changed_rows: Some(changed_rows) })
    }

    fn walk_all(
        &mut self,
        snapshot: &Snapshot,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<(), Error> {
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
        let everything = RowSet::all(self.rows());
        report.dirty_nodes = self.rows() as u64;
        report.sources = self.rows() as u64;
        let since = Instant::now();
        let rows = everything.rows();
        for walked in walk_rows(&self.recipe, self.recipe.walks, snapshot, &self.nodes, rows, None, cancel)? {
            for (row, visits) in walked.iter() {
                let counted = visits.iter().map(|visit| (self.row_of[visit.node.index()], visit.count));
                self.neighborhoods[row as usize] = counted.collect();
            }
        }
        report.ms.walks = milliseconds(since);
        report.neighborhoods = self.neighborhoods.iter().filter(|all| !all.is_empty()).count() as u64;
        Ok(())
    }

    fn walk_changed(
        &mut self,
        snapshot: &Snapshot,
        changes: &Changes,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<DirtyRows, Error> {
        let (mut added_or_removed, mut inputs, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for &node in &changes.nodes {
            let Some(row) = self.row_or_new(snapshot, node) else { continue };
            inputs.push(row);
            if self.alive[row as usize] != snapshot.is_alive(node) {
                self.alive[row as usize] = snapshot.is_alive(node);
                added_or_removed.push(row);
            }
        }
        for &(_, node) in changes.lists.keys() {
            let Some(row) = self.row_or_new(snapshot, node) else { continue };
            let level = degree::level(snapshot.degree(node));
            if self.levels[row as usize] != level {
                self.levels[row as usize] = level;
                weights.push(row);
                inputs.push(row);
            }
        }

        let since = Instant::now();
        let mut sources = added_or_removed.clone();
        for policy in &self.recipe.policies {
            if snapshot.kind_ix(&policy.kind).is_some() {
                let walker = Walker::new(snapshot, self.recipe.walks, policy)?;
                sources
                    .extend(walker.reached(changes, cancel)?.into_iter().filter_map(|node| self.row(node)));
            }
        }
        let sources: RowSet = sources.into_iter().collect();
        report.ms.reach = milliseconds(since);
        report.dirty_nodes = touched_nodes(changes);
        report.sources = sources.len() as u64;
        let neighborhoods = self.walk_again(snapshot, sources.rows(), cancel, report)?;
        let set = |rows: Vec<u32>| rows.into_iter().collect::<RowSet>();
        Ok(DirtyRows {
            neighborhoods,
            inputs: set(inputs),
            weights: set(weights),
            added_or_removed: set(added_or_removed),
        })
    }

    /// Walks again from the listed rows; returns those whose neighbourhood came out different.
    fn walk_again(
        &mut self,
        snapshot: &Snapshot,
        sources: &[u32],
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<RowSet, Error> {
        let since = Instant::now();
        let mut changed = Vec::new();
        for walked in
            walk_rows(&self.recipe, self.recipe.walks, snapshot, &self.nodes, sources, None, cancel)?
        {
            for (row, visits) in walked.iter() {
                let counted = visits.iter().map(|visit| (self.row_of[visit.node.index()], visit.count));
                if self.set_neighborhood(row, counted.collect()) {
                    changed.push(row);
                }
            }
        }
        let changed: RowSet = changed.into_iter().collect();
        report.ms.walks = milliseconds(since);
        report.neighborhoods = changed.len() as u64;
        Ok(changed)
    }

    /// Recomputes layer by layer what the dirty rows reach.
    fn embed(
        &mut self,
        snapshot: &Snapshot,
        dirty: DirtyRows,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<ChangedRows, Error> {
        let since = Instant::now();
        self.grow_layers();
        let (inputs, bias_changed) = self.embed_inputs(snapshot, &dirty, cancel, report)?;
        let mut layers = vec![inputs];
        for layer in 0..self.recipe.layers {
            // Where there is nothing to do, nobody else asks.
            cancel.check()?;
            layers.push(self.embed_layer(layer, &layers[layer], &dirty, cancel, report)?);
        }
        let changed = &layers[self.recipe.layers];
        let output = self.encoder.output_pass(changed.len());
        let last = MatrixRows::of(&self.hidden[self.recipe.layers]);
        let stage = cancel.stage("embeddings", changed.len() as u64);
        let renewed = replace_rows(&mut self.vectors, changed, &stage, |_, rows, vectors| {
            output.vectors(&last.gather(rows), vectors);
        })?;
        stage.end();
        let visible = renewed
            .union(bias_changed.iter())
            .union(dirty.weights.iter())
            .union(dirty.added_or_removed.iter());
        report.rows.push(visible.len() as u64);
        report.ms.layers = milliseconds(since);
        self.epoch = snapshot.epoch();
        Ok(ChangedRows { dirty, layers, visible })
    }

    /// Input rows and biases of rows whose features may have changed. Returns the rows whose input changed,
    /// and those whose bias did.
    fn embed_inputs(
        &mut self,
        snapshot: &Snapshot,
        dirty: &DirtyRows,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<(RowSet, RowSet), Error> {
        let recomputed = dirty.inputs.union(dirty.added_or_removed.iter());
        let nodes: Vec<NodeIx> = recomputed.iter().map(|row| self.nodes[row as usize]).collect();
        let levels: Vec<u8> = recomputed.iter().map(|row| self.levels[row as usize]).collect();
        let inputs = Inputs::gather(snapshot, &self.recipe, &nodes, &levels);
        let tokens = self.encoder.table.trained.sums_of(&inputs.tokens);
        let bias = self.encoder.bias(&tokens, &inputs.log_degrees);
        let mut bias_changed = Vec::new();
        for (row, &new) in recomputed.iter().zip(&bias) {
            let old = &mut self.bias[row as usize];
            if old.to_bits() != new.to_bits() {
                *old = new;
                bias_changed.push(row);
            }
        }
        report.rows.push(recomputed.len() as u64);
        let pass = self.encoder.input_pass(recomputed.len());
        let dense = inputs.dense.as_slice().expect("inputs are gathered in standard layout");
        let width = inputs.dense.ncols();
        let stage = cancel.stage("inputs", recomputed.len() as u64);
        let changed = replace_rows(&mut self.hidden[0], &recomputed, &stage, |first, rows, h| {
            pass.rows(&tokens, first, &dense[first * width..][..rows.len() * width], h);
        })?;
        stage.end();
        Ok((changed.union(dirty.added_or_removed.iter()), bias_changed.into_iter().collect()))
    }

    /// Rows of layer `layer + 1`: those whose own row changed, whose neighbourhood did, or one of whose
    /// neighbours tells something else or weighs something else. Returns those that came out different.
    fn embed_layer(
        &mut self,
        layer: usize,
        changed: &RowSet,
        dirty: &DirtyRows,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<RowSet, Error> {
        let weights = &self.encoder.weights.layers[layer];
        let mut messaged = if weights.width() == 0 {
            changed.clone()
        } else {
            let pass = weights.pass(changed.len());
            let own_rows = MatrixRows::of(&self.hidden[layer]);
            let mut messages = std::mem::take(&mut self.messages[layer]);
            let stage = cancel.stage("messages", changed.len() as u64);
            let message = |_, rows: &[u32], z: &mut [f32]| pass.message(&own_rows.gather(rows), z);
            let messaged = replace_rows(&mut messages, changed, &stage, message);
            self.messages[layer] = messages;
            let messaged = messaged?;
            stage.end();
            messaged
        };
        if self.recipe.damping {
            messaged = messaged.union(dirty.weights.iter());
        }
        let mut recomputed = changed.union(dirty.neighborhoods.iter());
        if recomputed.len() < self.rows() {
            recomputed =
                recomputed.union(messaged.iter().flat_map(|row| self.reverse[row as usize].iter().copied()));
        }
        report.rows.push(recomputed.len() as u64);
        let pass = weights.pass(recomputed.len());
        let mut next = std::mem::take(&mut self.hidden[layer + 1]);
        let own_rows = MatrixRows::of(&self.hidden[layer]);
        let messages =
            MatrixRows::of(if weights.width() == 0 { &self.hidden[layer] } else { &self.messages[layer] });
        let stage = cancel.stage("layer", recomputed.len() as u64);
        let renewed = replace_rows(&mut next, &recomputed, &stage, |_, rows, into| {
            let mut pooled = vec![0.0; rows.len() * messages.width];
            self.importances(rows).multiply_into(0, messages.values, messages.width, &mut pooled);
            pass.update(&own_rows.gather(rows), &pooled, into, &mut vec![0.0; rows.len()]);
        });
        self.hidden[layer + 1] = next;
        let renewed = renewed?;
        stage.end();
        Ok(renewed.union(dirty.added_or_removed.iter()))
    }

    /// Gives new rows their place in every layer, as zeros.
    fn grow_layers(&mut self) {
        let rows = self.rows();
        let matrices = self.hidden.iter_mut().chain(&mut self.messages).chain([&mut self.vectors]);
        matrices.for_each(|matrix| matrix.grow(rows));
        self.bias.resize(rows, 0.0);
    }
}

/// Nodes that are an end of a changed edge, or changed themselves.
pub(crate) fn touched_nodes(changes: &Changes) -> u64 {
    let mut touched = changes.nodes.clone();
    touched.extend(changes.lists.keys().map(|&(_, node)| node));
    touched.len() as u64
}
