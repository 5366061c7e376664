//! How a state follows the graph, stage by stage. A rebuild is the same stages taken from nothing, with every row
//! dirty, so that the two cannot differ.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use hedgerow_storage::{CancelToken, Changes, Error as StoreError, NodeIx, Snapshot, Stage};
use hedgerow_walker::Walker;
use rayon::prelude::*;

use crate::config::degree;
use crate::config::error::Error;
use crate::config::model_config::ModelConfig;
use crate::config::report::{RefreshReport, milliseconds};
use crate::linalg::huge_matrix::HugeMatrix;
use crate::linalg::matrix::BAND;
use crate::network::encoder::Encoder;
use crate::network::inputs::Inputs;
use crate::state::neighborhoods::walked;
use crate::state::row_set::RowSet;
use crate::state::state::State;

/// What a step changed, by row.
pub(crate) struct Advance {
    pub(crate) report: RefreshReport,
    /// `None` if the state was built anew.
    pub(crate) trail: Option<Trail>,
}

/// What changed on the way.
pub(crate) struct Trail {
    pub(crate) dirty: Dirty,
    /// By layer from the inputs on, rows that came out different.
    pub(crate) layers: Vec<RowSet>,
    /// Rows whose embedding or life changed.
    pub(crate) shown: RowSet,
}

/// Where the state may differ from the graph.
pub(crate) struct Dirty {
    /// Rows whose neighbourhood changed.
    pub(crate) pools: RowSet,
    /// Rows whose input may have.
    pub(crate) inputs: RowSet,
    /// Rows whose weight in others' neighbourhoods did.
    pub(crate) weights: RowSet,
    /// Rows that came to life or died: recomputed throughout, since a new row's zeros were never computed.
    pub(crate) lives: RowSet,
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
        state.embed_everything(snapshot, cancel, &mut report)?;
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
    pub(crate) fn embedded_by(
        mut self,
        encoder: Arc<Encoder>,
        snapshot: &Snapshot,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        self.encoder = encoder;
        let mut report = RefreshReport::new(snapshot.epoch(), true);
        self.embed_everything(snapshot, cancel, &mut report)?;
        Ok(self)
    }

    fn embed_everything(
        &mut self,
        snapshot: &Snapshot,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<(), Error> {
        self.index_reverse();
        let all = RowSet::all(self.rows());
        let dirty = Dirty { pools: all.clone(), inputs: all.clone(), weights: all.clone(), lives: all };
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
    pub(crate) fn advance(
        &mut self,
        snapshot: &Snapshot,
        changes: &Changes,
        cancel: &CancelToken,
    ) -> Result<Advance, Error> {
        let mut report = RefreshReport::new(snapshot.epoch(), false);
        let dirty = self.walk_changed(snapshot, changes, cancel, &mut report)?;
        let trail = self.embed(snapshot, dirty, cancel, &mut report)?;
        Ok(Advance { report, trail: Some(trail) })
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
        for walked in walked(&self.recipe, self.recipe.walks, snapshot, &self.nodes, rows, None, cancel)? {
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
                sources.extend(
                    walker.affected_sources(changes, cancel)?.into_iter().filter_map(|node| self.row(node)),
                );
            }
        }
        let sources: RowSet = sources.into_iter().collect();
        report.ms.reach = milliseconds(since);
        report.dirty_nodes = touched_nodes(changes);
        report.sources = sources.len() as u64;
        let pools = self.renew_neighborhoods(snapshot, sources.rows(), cancel, report)?;
        let set = |rows: Vec<u32>| rows.into_iter().collect::<RowSet>();
        Ok(Dirty { pools, inputs: set(inputs), weights: set(weights), lives: set(lives) })
    }

    /// Walks again from the listed rows; returns those whose neighbourhood came out different.
    fn renew_neighborhoods(
        &mut self,
        snapshot: &Snapshot,
        sources: &[u32],
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<RowSet, Error> {
        let since = Instant::now();
        let mut changed = Vec::new();
        for walked in walked(&self.recipe, self.recipe.walks, snapshot, &self.nodes, sources, None, cancel)? {
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
        dirty: Dirty,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<Trail, Error> {
        let since = Instant::now();
        self.grow_layers();
        let (inputs, biased) = self.embed_inputs(snapshot, &dirty, cancel, report)?;
        let mut layers = vec![inputs];
        for layer in 0..self.recipe.layers {
            // Where there is nothing to do, nobody else asks.
            cancel.check()?;
            layers.push(self.embed_layer(layer, &layers[layer], &dirty, cancel, report)?);
        }
        let changed = &layers[self.recipe.layers];
        let output = self.encoder.output_pass(changed.len());
        let last = Rows::of(&self.hidden[self.recipe.layers]);
        let stage = cancel.stage("embeddings", changed.len() as u64);
        let renewed = replace_rows(&mut self.vectors, changed, &stage, |_, rows, vectors| {
            output.vectors(&last.taken(rows), vectors);
        })?;
        stage.end();
        let shown = renewed.union(biased.iter()).union(dirty.weights.iter()).union(dirty.lives.iter());
        report.rows.push(shown.len() as u64);
        report.ms.layers = milliseconds(since);
        self.epoch = snapshot.epoch();
        Ok(Trail { dirty, layers, shown })
    }

    /// Input rows and biases of rows whose features may have changed. Returns the rows whose input changed,
    /// and those whose bias did.
    fn embed_inputs(
        &mut self,
        snapshot: &Snapshot,
        dirty: &Dirty,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<(RowSet, RowSet), Error> {
        let listed = dirty.inputs.union(dirty.lives.iter());
        let nodes: Vec<NodeIx> = listed.iter().map(|row| self.nodes[row as usize]).collect();
        let levels: Vec<u8> = listed.iter().map(|row| self.levels[row as usize]).collect();
        let inputs = Inputs::gather(snapshot, &self.recipe, &nodes, &levels);
        let tokens = self.encoder.table.known.sums_of(&inputs.tokens);
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
        let pass = self.encoder.input_pass(listed.len());
        let dense = inputs.dense.as_slice().expect("inputs are gathered in standard layout");
        let width = inputs.dense.ncols();
        let stage = cancel.stage("inputs", listed.len() as u64);
        let changed = replace_rows(&mut self.hidden[0], &listed, &stage, |first, rows, h| {
            pass.rows(&tokens, first, &dense[first * width..][..rows.len() * width], h);
        })?;
        stage.end();
        Ok((changed.union(dirty.lives.iter()), biased.into_iter().collect()))
    }

    /// Rows of layer `layer + 1`: those whose own row changed, whose neighbourhood did, or one of whose
    /// neighbours tells something else or weighs something else. Returns those that came out different.
    fn embed_layer(
        &mut self,
        layer: usize,
        changed: &RowSet,
        dirty: &Dirty,
        cancel: &CancelToken,
        report: &mut RefreshReport,
    ) -> Result<RowSet, Error> {
        let weights = &self.encoder.weights.layers[layer];
        let mut told = if weights.width() == 0 {
            changed.clone()
        } else {
            let pass = weights.pass(changed.len());
            let own = Rows::of(&self.hidden[layer]);
            let mut messages = std::mem::take(&mut self.messages[layer]);
            let stage = cancel.stage("messages", changed.len() as u64);
            let message = |_, rows: &[u32], z: &mut [f32]| pass.message(&own.taken(rows), z);
            let told = replace_rows(&mut messages, changed, &stage, message);
            self.messages[layer] = messages;
            let told = told?;
            stage.end();
            told
        };
        if self.recipe.damping {
            told = told.union(dirty.weights.iter());
        }
        let mut listed = changed.union(dirty.pools.iter());
        if listed.len() < self.rows() {
            listed = listed.union(told.iter().flat_map(|row| self.reverse[row as usize].iter().copied()));
        }
        report.rows.push(listed.len() as u64);
        let pass = weights.pass(listed.len());
        let mut next = std::mem::take(&mut self.hidden[layer + 1]);
        let own = Rows::of(&self.hidden[layer]);
        let messages =
            Rows::of(if weights.width() == 0 { &self.hidden[layer] } else { &self.messages[layer] });
        let stage = cancel.stage("layer", listed.len() as u64);
        let renewed = replace_rows(&mut next, &listed, &stage, |_, rows, into| {
            let mut pooled = vec![0.0; rows.len() * messages.width];
            self.pool(rows).multiply_into(0, messages.values, messages.width, &mut pooled);
            pass.update(&own.taken(rows), &pooled, into, &mut vec![0.0; rows.len()]);
        });
        self.hidden[layer + 1] = next;
        let renewed = renewed?;
        stage.end();
        Ok(renewed.union(dirty.lives.iter()))
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

/// A matrix, row by row.
#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [f32],
    width: usize,
}

impl<'a> Rows<'a> {
    fn of(matrix: &'a HugeMatrix) -> Self {
        Self { values: matrix.values(), width: matrix.width() }
    }

    /// Some rows, ascending, one after the other; copied only if there are others between them.
    fn taken(&self, rows: &[u32]) -> Cow<'a, [f32]> {
        let Self { values, width } = *self;
        match rows {
            [] => Cow::Borrowed(&[]),
            [first, .., last] if (last - first) as usize + 1 == rows.len() => {
                Cow::Borrowed(&values[*first as usize * width..][..rows.len() * width])
            }
            _ => rows.iter().flat_map(|row| &values[*row as usize * width..][..width]).copied().collect(),
        }
    }
}

/// Replaces the listed rows by what `compute` writes, and returns those whose bits changed. It is told some rows at a
/// time and which of the listed the first is, and writes them one after the other: so they are compared and copied
/// while they are in the cache.
///
/// # Errors
/// A cancellation, after which some rows are replaced and others not.
fn replace_rows(
    matrix: &mut HugeMatrix,
    listed: &RowSet,
    stage: &Stage<'_>,
    compute: impl Fn(usize, &[u32], &mut [f32]) + Sync,
) -> Result<RowSet, Error> {
    let width = matrix.width();
    if width == 0 {
        return Ok(RowSet::default());
    }
    let mut left = matrix.values_mut();
    let mut begins = 0;
    let mut bands = Vec::with_capacity(listed.len().div_ceil(BAND));
    for rows in listed.rows().chunks(BAND) {
        let ends = rows[rows.len() - 1] as usize + 1;
        let (band, rest) = left.split_at_mut((ends - begins) * width);
        bands.push((rows, begins, band));
        (left, begins) = (rest, ends);
    }
    let changed: Vec<Vec<u32>> = bands
        .into_par_iter()
        .enumerate()
        .map_init(Vec::new, |new: &mut Vec<f32>, (at, (rows, begins, band))| {
            stage.advance(rows.len() as u64)?;
            new.clear();
            new.resize(rows.len() * width, 0.0);
            compute(at * BAND, rows, new);
            let mut changed = Vec::with_capacity(rows.len());
            for (&row, new) in rows.iter().zip(new.chunks_exact(width)) {
                let old = &mut band[(row as usize - begins) * width..][..width];
                if old.iter().zip(new).fold(0, |differing, (a, b)| differing | (a.to_bits() ^ b.to_bits()))
                    != 0
                {
                    old.copy_from_slice(new);
                    changed.push(row);
                }
            }
            Ok(changed)
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(changed.into_iter().flatten().collect())
}
