//! Estimates of a training: memory from the data that it would hold, time from a few of its steps.

use std::time::Instant;

use hedgerow_storage::CancelToken;

use crate::config::error::Error;
use crate::linalg::rounded_rows::stored_width;
use crate::linalg::sparse::Sparse;
use crate::network::encoder::Encoder;
use crate::network::importances::Importances;
use crate::network::layer::Layer;
use crate::network::minibatch::{Minibatch, MinibatchMemory};
use crate::network::parameter_vector::ParameterVector;
use crate::state::layer_rows::State;
use crate::state::neighborhood_lists::Neighborhood;
use crate::train::adam::Adam;
use crate::train::run::{QUEUED, TrainRun};

/// Measured steps. One more comes first and starts the pipeline.
const STEPS: usize = 4;
const NUMBER: u64 = size_of::<f32>() as u64;

/// The memory and time that a training would take. Edges and the last generation are not included, because they are
/// in memory anyway.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Estimate {
    /// Nodes to embed.
    pub nodes: u64,
    /// Positives that epochs draw from.
    pub positives: u64,
    /// Examples per epoch.
    pub examples: u64,
    /// Epochs at most.
    pub epochs: u32,
    /// Memory and disk.
    pub bytes: EstimatedBytes,
    /// Time.
    pub seconds: EstimatedSeconds,
}

/// Bytes that a training would hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EstimatedBytes {
    /// The token table and the weights.
    pub table: u64,
    /// The two moments of each trained parameter.
    pub moments: u64,
    /// The parameters of the best epoch.
    pub kept: u64,
    /// Tokens, dense features and degrees of all nodes.
    pub inputs: u64,
    /// Neighborhoods of all nodes, and their importances: in the whole graph, and without the lists of one fold. Each fold has a byte for
    /// each neighbor.
    pub neighborhoods: u64,
    /// Waiting and current minibatches with activations and gradients.
    pub minibatches: u64,
    /// Rows of all layers, and embeddings.
    pub layers: u64,
    /// A checkpoint on disk, at most.
    pub checkpoint: u64,
}

impl EstimatedBytes {
    /// The sum of all memory. Not all of it is in use at the same time.
    pub fn memory(&self) -> u64 {
        let Self { table, moments, kept, inputs, neighborhoods, minibatches, layers, checkpoint: _ } = self;
        table + moments + kept + inputs + neighborhoods + minibatches + layers
    }
}

/// Seconds that a training would take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EstimatedSeconds {
    /// All walks: those of the whole graph, measured, and as many for each fold.
    pub walks: f64,
    /// An epoch, extrapolated from a few steps and one validation.
    pub epoch: f64,
    /// Walks and all epochs.
    pub all: f64,
}

impl Estimate {
    /// Trains a few minibatches on `encoder`, and counts the bytes of the data. `walks` are the seconds that the
    /// walks took.
    ///
    /// # Errors
    /// As for a training.
    pub(crate) fn measure(
        run: &TrainRun<'_>,
        state: &State,
        mut encoder: Encoder,
        walks: f64,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        // The first epoch with all hard negatives.
        let epoch = run.options.hard_negatives + 1;
        let mut adam = Adam::new(&mut encoder);
        let first = run.source.portions()[0];
        // Memory of minibatches, from a real one.
        let importances = Importances::of(&run.importances);
        let minibatch = run.minibatch(epoch, &first, 0, importances, &mut MinibatchMemory::default());
        let minibatches = minibatch.map_or(0, |minibatch| {
            let batch = minibatch.batch;
            // Those in the queue, one in production and one in use.
            (QUEUED as u64 + 2) * bytes_of_minibatch(&batch)
                + bytes_of_work(&batch, &encoder, run.options.negatives)
        });
        // Seconds of a step, without the first, and of an epoch with its validation.
        let steps = run.steps().min(STEPS + 1);
        let (start, mut ends) = (Instant::now(), Vec::with_capacity(steps));
        let mut clock = |_| {
            ends.push(start.elapsed().as_secs_f64());
            Ok(())
        };
        run.pass(epoch, steps, &mut encoder, &mut adam, &mut clock, cancel)?;
        let step = match ends[..] {
            [] => 0.0,
            [only] => only,
            [first, .., last] => (last - first) / (ends.len() - 1) as f64,
        };
        let start = Instant::now();
        run.validate(&encoder, &run.importances);
        let epoch = step * run.steps() as f64 + start.elapsed().as_secs_f64();
        // Each fold has walks of its own.
        let walks = walks * (1 + run.source.folds()) as f64;
        // Memory of parameters and rows.
        let trained = ParameterVector::len(&encoder) as u64 * NUMBER;
        let rows = state.rows() as u64;
        let bytes_of_row = |dim: usize| stored_width(dim) as u64 * NUMBER;
        let messages: u64 = encoder.weights.layers.iter().map(|layer| bytes_of_row(layer.width())).sum();
        // Layers, and embeddings.
        let matrices = (state.config.layers.max(1) + 1) as u64;
        let row_bytes = matrices * bytes_of_row(state.config.dim) + messages;
        Ok(Self {
            nodes: rows,
            positives: run.source.len() as u64,
            examples: run.examples as u64,
            epochs: run.options.epochs,
            bytes: EstimatedBytes {
                table: trained,
                moments: 2 * trained,
                kept: trained,
                inputs: bytes_of_inputs(run),
                neighborhoods: bytes_of_neighborhoods(state) + bytes_of_importances(run),
                minibatches,
                layers: rows * row_bytes,
                checkpoint: 4 * trained,
            },
            seconds: EstimatedSeconds { walks, epoch, all: walks + epoch * f64::from(run.options.epochs) },
        })
    }
}

fn bytes_of_inputs(run: &TrainRun<'_>) -> u64 {
    bytes_of_sparse(&run.token_sums) + (run.inputs.dense.len() + run.inputs.log_degrees.len()) as u64 * NUMBER
}

/// Includes the reverse lists, which are made at the end: nine bytes a list, and four an entry.
fn bytes_of_neighborhoods(state: &State) -> u64 {
    let neighbors: usize = state.neighborhoods.iter().map(Neighborhood::len).sum();
    (state.neighborhoods.bytes() + neighbors * 4 + state.rows() * 9) as u64
}

/// Importances, their shares for each fold, and those of one fold, which a validation makes.
fn bytes_of_importances(run: &TrainRun<'_>) -> u64 {
    let shares = run.source.folds() * run.importances.columns().len();
    2 * bytes_of_sparse(&run.importances) + shares as u64
}

fn bytes_of_sparse(sparse: &Sparse) -> u64 {
    let entries: usize = (0..sparse.rows()).map(|row| sparse.row(row).count()).sum();
    (entries * 8 + sparse.rows() * 8) as u64
}

fn bytes_of_minibatch(batch: &Minibatch) -> u64 {
    let sparse = [&batch.tokens, &batch.tokens_transposed]
        .into_iter()
        .chain(&batch.pools)
        .chain(&batch.pools_transposed);
    sparse.map(bytes_of_sparse).sum::<u64>() + batch.dense.len() as u64 * NUMBER
}

/// Activations and scores, and as much again for the backward pass.
fn bytes_of_work(batch: &Minibatch, encoder: &Encoder, negatives: usize) -> u64 {
    let dim = encoder.table.rows.width();
    let levels: usize = batch.pools.iter().map(Sparse::rows).sum::<usize>() + batch.inputs();
    let widest = encoder.weights.layers.iter().map(Layer::width).max().unwrap_or(0);
    let activations = levels * (dim + 2 * widest) + batch.positives.len() * negatives;
    2 * activations as u64 * NUMBER
}
