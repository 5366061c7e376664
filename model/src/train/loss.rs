//! The losses: scores of positives against negatives, and their gradients. Knows nothing of how vectors are computed.

use ndarray::{Array1, Array2, Axis};
use rayon::prelude::*;

use crate::config::options::{Loss, TrainOptions};
use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::matrix::{add_transposed_product, product, product_by_transposed};
use crate::linalg::rows::{dot, gather, normalize_rows, normalize_rows_backward};
use crate::network::minibatch::Minibatch;

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
    let examples = batch.positives.len();
    // Gather the unit vectors of queries, negatives and positives.
    let mut queries = batch.queries.multiply(&vectors.view(), buffers);
    let lengths = normalize_rows(&mut queries);
    let negatives = gather(&vectors.view(), &batch.negatives);
    let positives = gather(&vectors.view(), &batch.positives);

    // The addends to scores of shared negatives: biases, and the correction for unequal probabilities.
    let correction = if options.loss == Loss::Softmax { options.temperature } else { 0.0 };
    let offsets = batch.negatives.iter().zip(&batch.log_rates);
    let offsets: Vec<f32> = offsets.map(|(&row, rate)| bias[row as usize] - correction * rate).collect();
    // Scores of the shared negatives. Each example replaces its row by the gradient of its loss.
    let mut shared = product_by_transposed(&queries.view(), &negatives.view(), buffers);
    let outcomes: Vec<Outcome> = shared
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .enumerate()
        .map(|(at, mut scores)| {
            let query = queries.row(at).to_slice().expect("queries are contiguous");
            let score = |row: u32| {
                let vector = vectors.row(row as usize).to_slice().expect("vectors are contiguous");
                dot(query, vector) + bias[row as usize]
            };
            let positive = batch.positives[at];
            let scores = scores.as_slice_mut().expect("rows of scores are contiguous");
            // Only the softmax estimates a sum over all nodes, so only its offsets correct for the probabilities of
            // drawing.
            for (s, bias) in scores.iter_mut().zip(&offsets) {
                *s += bias;
            }
            for &place in &batch.masked[at] {
                scores[place as usize] = f32::NEG_INFINITY;
            }
            let mut hard: Vec<f32> = batch.hard_negatives[at].iter().map(|&row| score(row)).collect();
            let (loss, positive) = match options.loss {
                Loss::Margin => margin(options.margin, score(positive), scores, &mut hard),
                Loss::Softmax => softmax(options.temperature, score(positive), scores, &mut hard),
            };
            Outcome { loss, positive, hard_negatives: hard }
        })
        .collect();

    // The gradient through the scores of shared negatives: three matrix products and the biases.
    let scale = 1.0 / examples.max(1) as f32;
    shared *= scale;
    let mut d_vectors = buffers.matrix(vectors.nrows(), vectors.ncols());
    d_vectors.fill(0.0);
    let mut d_bias = Array1::zeros(bias.len());
    let mut d_queries = product(&shared.view(), &negatives.view(), None, buffers);
    let mut d_negatives = Array2::zeros(negatives.dim());
    add_transposed_product(&mut d_negatives.view_mut(), &shared.view(), &queries.view());
    let shared_bias = shared.sum_axis(Axis(0));
    for (at, &row) in batch.negatives.iter().enumerate() {
        d_vectors.row_mut(row as usize).scaled_add(1.0, &d_negatives.row(at));
        d_bias[row as usize] += shared_bias[at];
    }
    // The loss, and the gradient through the scores of positives and hard negatives, in the order of examples.
    let mut loss = 0.0;
    for (at, outcome) in outcomes.iter().enumerate() {
        loss += outcome.loss * scale;
        let positive = batch.positives[at] as usize;
        d_queries.row_mut(at).scaled_add(outcome.positive * scale, &positives.row(at));
        d_vectors.row_mut(positive).scaled_add(outcome.positive * scale, &queries.row(at));
        d_bias[positive] += outcome.positive * scale;
        for (&row, &by) in batch.hard_negatives[at].iter().zip(&outcome.hard_negatives) {
            d_queries.row_mut(at).scaled_add(by * scale, &vectors.row(row as usize));
            d_vectors.row_mut(row as usize).scaled_add(by * scale, &queries.row(at));
            d_bias[row as usize] += by * scale;
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

/// An example's loss, and its derivatives by the scores of the positive and of the hard negatives.
struct Outcome {
    loss: f32,
    positive: f32,
    hard_negatives: Vec<f32>,
}

/// Replaces the scores by derivatives. Returns the loss, and its derivative by the positive's score.
fn margin(margin: f32, positive: f32, shared: &mut [f32], hard: &mut [f32]) -> (f32, f32) {
    let counted = shared.iter().chain(hard.iter()).filter(|score| score.is_finite()).count();
    let share = 1.0 / counted.max(1) as f32;
    let (mut loss, mut by_positive) = (0.0, 0.0);
    for score in shared.iter_mut().chain(hard) {
        let gap = *score - positive + margin;
        *score = if gap > 0.0 {
            loss += gap * share;
            by_positive -= share;
            share
        } else {
            0.0
        };
    }
    (loss, by_positive)
}

/// Replaces the scores by derivatives. Returns the loss, and its derivative by the positive's score.
fn softmax(temperature: f32, positive: f32, shared: &mut [f32], hard: &mut [f32]) -> (f32, f32) {
    let highest = shared.iter().chain(hard.iter()).copied().fold(positive, f32::max);
    let weight = |score: f32| ((score - highest) / temperature).exp();
    let mut total = weight(positive);
    for score in shared.iter_mut().chain(hard.iter_mut()) {
        *score = weight(*score);
        total += *score;
    }
    let loss = total.ln() - (positive - highest) / temperature;
    let by_positive = (weight(positive) / total - 1.0) / temperature;
    let scale = 1.0 / (total * temperature);
    for score in shared.iter_mut().chain(hard) {
        *score *= scale;
    }
    (loss, by_positive)
}
