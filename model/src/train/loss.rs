//! The losses: scores of positives against negatives, and their gradients. Knows nothing of how vectors are computed.

use ndarray::{Array1, Array2, Axis};
use rayon::prelude::*;

use crate::config::options::{Loss, TrainOptions};
use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::exponentials::{exponentials, largest};
use crate::linalg::matrix::{Panels, add_transposed_product};
use crate::linalg::rows::{dot, gather, normalize_rows, normalize_rows_backward};
use crate::network::minibatch::Minibatch;

/// Examples whose scores are computed together: the scores of 4,000 negatives take 512 KiB, which stay in the second-level cache.
const EXAMPLES_PER_BAND: usize = 32;

/// The mean loss of a minibatch, and its gradient.
pub(crate) struct Step {
    pub(crate) loss: f32,
    /// The gradient by the vectors of the minibatch's nodes. Shape: (N, D).
    pub(crate) vectors: Array2<f32>,
    /// The gradient by their biases. Shape: (N).
    pub(crate) bias: Array1<f32>,
}

/// Computes the loss and its gradient.
///
/// The score of a node for a query is `q . e + b`, with unit vectors q and e: a cosine and the node's bias. The
/// margin loss (PinSage, section 3.3) is the mean over negatives of `max(0, s_negative - s_positive + margin)`. The
/// softmax loss is the cross-entropy of the positive among all candidates at a temperature. It lowers the scores of
/// shared negatives by the logarithm of their relative probability of being drawn. Negatives that are related to the
/// example do not count, see [`Minibatch::masked`].
///
/// Shapes: vectors (N, D), bias (N) for N nodes; B examples, S shared negatives, H hard negatives.
///
/// Determinism: each example is computed alone, and sums over examples have a fixed order. Cost: 3 B (S + H) D
/// multiply-adds, parallel over examples.
pub(crate) fn step(
    options: &TrainOptions,
    batch: &Minibatch,
    vectors: &Array2<f32>,
    bias: &Array1<f32>,
    buffers: &mut BufferPool,
) -> Step {
    let (examples, dim) = (batch.positives.len(), vectors.ncols());
    // Gather the unit vectors of queries, negatives and positives.
    let mut queries = batch.queries.multiply(&vectors.view(), buffers);
    let lengths = normalize_rows(&mut queries);
    let negatives = gather(&vectors.view(), &batch.negatives);
    let positives = gather(&vectors.view(), &batch.positives);

    // The addends to scores of shared negatives: biases, and the correction for unequal probabilities. Only the softmax estimates a
    // sum over all nodes, so only its addends correct for the probabilities of drawing.
    let correction = if options.loss == Loss::Softmax { options.temperature } else { 0.0 };
    let offsets = batch.negatives.iter().zip(&batch.log_rates);
    let offsets: Vec<f32> = offsets.map(|(&row, rate)| bias[row as usize] - correction * rate).collect();
    // Band by band, so that scores stay in the cache: the scores of the shared negatives, which each example replaces by the
    // derivatives of the mean loss, and by them the gradient of the queries.
    let scale = 1.0 / examples.max(1) as f32;
    let mut shared = buffers.matrix(examples, negatives.nrows());
    let mut d_queries = buffers.matrix(examples, dim);
    let (by_column, by_row) =
        (Panels::transposed(&negatives.view()), Panels::new(&negatives.view(), examples));
    let outcome = |at: usize, scores: &mut [f32]| {
        let query = queries.row(at).to_slice().expect("queries are contiguous");
        let score = |row: u32| {
            let vector = vectors.row(row as usize).to_slice().expect("vectors are contiguous");
            dot(query, vector) + bias[row as usize]
        };
        for &place in &batch.masked[at] {
            scores[place as usize] = f32::NEG_INFINITY;
        }
        let positive = score(batch.positives[at]);
        let mut hard: Vec<f32> = batch.hard_negatives[at].iter().map(|&row| score(row)).collect();
        let (loss, positive) = match options.loss {
            Loss::Margin => margin(options.margin, scale, positive, scores, &mut hard),
            Loss::Softmax => softmax(options.temperature, scale, positive, scores, &mut hard),
        };
        Outcome { loss, positive, hard_negatives: hard }
    };
    let bands = shared.as_slice_mut().expect("a fresh matrix is contiguous");
    let bands = bands.par_chunks_mut((EXAMPLES_PER_BAND * offsets.len()).max(1)).enumerate();
    let d_bands = d_queries.as_slice_mut().expect("a fresh matrix is contiguous");
    let outcomes: Vec<Vec<Outcome>> = bands
        .zip(d_bands.par_chunks_mut(EXAMPLES_PER_BAND * dim))
        .map(|((band, scores), d_queries)| {
            let first = band * EXAMPLES_PER_BAND;
            let queries = queries.as_slice().expect("queries are contiguous");
            by_column.multiply(&queries[first * dim..][..d_queries.len()], Some(&offsets), scores);
            let rows = scores.chunks_exact_mut(offsets.len()).enumerate();
            let outcomes = rows.map(|(at, scores)| outcome(first + at, scores)).collect();
            by_row.multiply(scores, None, d_queries);
            outcomes
        })
        .collect();

    // The gradients of the shared negatives and of their biases.
    let mut d_vectors = buffers.matrix(vectors.nrows(), dim);
    d_vectors.fill(0.0);
    let mut d_bias = Array1::zeros(bias.len());
    let mut d_negatives = Array2::zeros(negatives.dim());
    add_transposed_product(&mut d_negatives.view_mut(), &shared.view(), &queries.view());
    let shared_bias = shared.sum_axis(Axis(0));
    for (at, &row) in batch.negatives.iter().enumerate() {
        d_vectors.row_mut(row as usize).scaled_add(1.0, &d_negatives.row(at));
        d_bias[row as usize] += shared_bias[at];
    }
    // The loss, and the gradient through the scores of positives and hard negatives, in the order of examples.
    let mut loss = 0.0;
    for (at, outcome) in outcomes.iter().flatten().enumerate() {
        loss += outcome.loss * scale;
        let positive = batch.positives[at] as usize;
        d_queries.row_mut(at).scaled_add(outcome.positive, &positives.row(at));
        d_vectors.row_mut(positive).scaled_add(outcome.positive, &queries.row(at));
        d_bias[positive] += outcome.positive;
        for (&row, &by) in batch.hard_negatives[at].iter().zip(&outcome.hard_negatives) {
            d_queries.row_mut(at).scaled_add(by, &vectors.row(row as usize));
            d_vectors.row_mut(row as usize).scaled_add(by, &queries.row(at));
            d_bias[row as usize] += by;
        }
    }
    // The gradient of the queries flows through their normalization to the vectors of their rows.
    normalize_rows_backward(&queries.view(), &lengths, &mut d_queries);
    let by_queries = batch.queries_transposed.multiply(&d_queries.view(), buffers);
    d_vectors += &by_queries;
    for matrix in [queries, shared, d_queries, by_queries] {
        buffers.recycle(matrix);
    }
    Step { loss, vectors: d_vectors, bias: d_bias }
}

/// An example's loss, and the derivatives of the mean loss by the scores of the positive and of the hard negatives.
struct Outcome {
    loss: f32,
    positive: f32,
    hard_negatives: Vec<f32>,
}

/// Replaces the scores by derivatives of the mean loss, in which this loss has the weight `scale`. Returns the loss, and the derivative
/// by the positive's score.
fn margin(margin: f32, scale: f32, positive: f32, shared: &mut [f32], hard: &mut [f32]) -> (f32, f32) {
    let counted = shared.iter().chain(hard.iter()).filter(|score| score.is_finite()).count();
    let share = 1.0 / counted.max(1) as f32;
    let (mut loss, mut by_positive) = (0.0, 0.0);
    for score in shared.iter_mut().chain(hard) {
        let gap = *score - positive + margin;
        *score = if gap > 0.0 {
            loss += gap * share;
            by_positive -= share * scale;
            share * scale
        } else {
            0.0
        };
    }
    (loss, by_positive)
}

/// As [`margin`], for the softmax.
fn softmax(temperature: f32, scale: f32, positive: f32, shared: &mut [f32], hard: &mut [f32]) -> (f32, f32) {
    let highest = largest(shared).max(largest(hard)).max(positive);
    let per_unit = 1.0 / temperature;
    let mut of_positive = [positive];
    let parts = [&mut of_positive, &mut *shared, &mut *hard];
    let total: f32 = parts.into_iter().map(|scores| exponentials(scores, highest, per_unit)).sum();
    let loss = total.ln() - (positive - highest) * per_unit;
    let by_positive = (of_positive[0] / total - 1.0) * per_unit * scale;
    let share = per_unit * scale / total;
    for score in shared.iter_mut().chain(hard) {
        *score *= share;
    }
    (loss, by_positive)
}
