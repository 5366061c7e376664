//! The network: input, K convolutions and head (PinSage, Algorithm 2), forward and backward. Knows neither the
//! loss nor the optimizer.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use crate::config::model_config::ModelConfig;
use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::huge_matrix::HugeMatrix;
use crate::linalg::matrix::{Panels, add_transposed_product, product};
use crate::linalg::rounded_rows::{RoundedRows, round_all_to_unit_length};
use crate::linalg::rows::{normalize, normalize_rows, normalize_rows_backward};
use crate::linalg::sparse::Sparse;
use crate::network::hash_embedding::HashEmbedding;
use crate::network::layer::{HeadPass, UpdateTrace, add_to_first_rows};
use crate::network::minibatch::Minibatch;
use crate::network::weights::Weights;

/// All parameters of the network.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    pub(crate) table: HashEmbedding,
    pub(crate) weights: Weights,
}

/// The gradient of the loss by every parameter. That of the token table has only the rows that a minibatch reads.
pub(crate) struct Gradient {
    /// Rows of the gradient: indices among the trained rows of the table, ascending.
    pub(crate) table_rows: Vec<u32>,
    pub(crate) table: Array2<f32>,
    pub(crate) table_bias: Array1<f32>,
    pub(crate) weights: Weights,
}

/// The results of the forward pass that the backward pass needs.
pub(crate) struct Trace {
    /// For each layer: its input rows, its messages, and the trace of its update.
    layers: Vec<(Array2<f32>, Option<Array2<f32>>, UpdateTrace)>,
    last: Array2<f32>,
    hidden: Option<Array2<f32>>,
    lengths: Array1<f32>,
    /// Unit vectors of the minibatch's nodes. Shape: (N, D).
    pub(crate) vectors: Array2<f32>,
    /// The bias of each node, which is added to its score. Shape: (N).
    pub(crate) bias: Array1<f32>,
}

impl Encoder {
    /// An encoder without tokens and with zero weights.
    pub(crate) fn empty(config: &ModelConfig) -> Self {
        let table = HashEmbedding::new(&[], config.dim, 0, 0.0);
        let weights = Weights::zeros(config.conv, config.layers, config.dim, config.dense_width());
        Self { table, weights }
    }

    /// The input rows h0: the sum of a node's token vectors and its projected dense features. Shapes: tokens (R, T),
    /// dense (R, F) -> (R, D).
    pub(crate) fn input(
        &self,
        tokens: &Sparse,
        dense: &ArrayView2<'_, f32>,
        buffers: &mut BufferPool,
    ) -> Array2<f32> {
        let mut h = tokens.multiply(&self.table.rows.view(), buffers);
        if self.weights.dense.nrows() > 0 {
            let projected = product(dense, &self.weights.dense.view(), None, buffers);
            h += &projected;
            buffers.recycle(projected);
        }
        h
    }

    /// The bias of each node: the sum of its tokens' biases, and its log-degree times the popularity weight. Shapes:
    /// tokens (R, T), log-degrees (R) -> (R).
    pub(crate) fn bias(&self, tokens: &Sparse, log_degrees: &[f32]) -> Array1<f32> {
        let column = self.table.bias.view().insert_axis(Axis(1));
        let mut bias = tokens.multiply(&column, &mut BufferPool::default()).remove_axis(Axis(1));
        for (b, log_degree) in bias.iter_mut().zip(log_degrees) {
            *b += self.weights.popularity[0] * log_degree;
        }
        bias
    }

    /// Unit vectors from the rows of the last layer. Returns also the hidden activations of the head, and the lengths
    /// before normalization. Shapes: (R, D) -> (R, D), (R, D), (R).
    pub(crate) fn output(
        &self,
        h: &ArrayView2<'_, f32>,
        buffers: &mut BufferPool,
    ) -> (Array2<f32>, Option<Array2<f32>>, Array1<f32>) {
        let (mut vectors, hidden) = if let Some(head) = &self.weights.head {
            let (vectors, hidden) = head.forward(h, buffers);
            (vectors, Some(hidden))
        } else {
            let mut vectors = buffers.matrix(h.nrows(), h.ncols());
            vectors.assign(h);
            (vectors, None)
        };
        let lengths = normalize_rows(&mut vectors);
        (vectors, hidden, lengths)
    }

    /// Unit vectors from tokens, dense features and the importances of each layer. The result has as many rows as the
    /// last importances. A node has the same row index on every layer. Every layer is rounded as the rows of a refresh are.
    ///
    /// Shapes: tokens (R, T), dense (R, F), pool of layer k (`R_k`, `R_(k-1)`) -> (`R_K`, D).
    pub(crate) fn embed<'p>(
        &self,
        tokens: &Sparse,
        dense: &ArrayView2<'_, f32>,
        pools: impl Iterator<Item = &'p Sparse>,
    ) -> Array2<f32> {
        let buffers = &mut BufferPool::default();
        let dim = self.table.rows.width();
        let rounded = |h: &Array2<f32>| RoundedRows::of(h.as_slice().expect("contiguous"), h.ncols());
        let numbers = |rows: &RoundedRows, count: usize| {
            Array2::from_shape_vec((count, rows.dim()), rows.numbers_of(0..count)).expect("whole rows")
        };
        let mut h = self.input(tokens, dense, buffers);
        for (layer, pool) in self.weights.layers.iter().zip(pools) {
            let own_rows = rounded(&h);
            let z = layer.message(&numbers(&own_rows, own_rows.rows()).view(), buffers);
            let messages = z.as_ref().map(rounded);
            let messages = messages.as_ref().unwrap_or(&own_rows);
            let mut pooled = Array2::zeros((pool.rows(), messages.dim()));
            pool.multiply_rounded_into(0, messages, pooled.as_slice_mut().expect("contiguous"));
            h = layer.update(&numbers(&own_rows, pool.rows()).view(), pooled, buffers).0;
        }
        if self.weights.layers.is_empty() {
            h = numbers(&rounded(&h), h.nrows());
        }
        let mut vectors = self.output(&h.view(), buffers).0;
        round_all_to_unit_length(vectors.as_slice_mut().expect("contiguous"), dim);
        vectors
    }

    /// As [`Encoder::embed`] with the same importances on every layer, band by band.
    ///
    /// Shapes: tokens (R, T), dense (R, F), pool (R, R) -> (R, D). Memory: two layers of rounded rows at a time, with PinSage
    /// layers their messages, and the result.
    pub(crate) fn embed_all(&self, tokens: &Sparse, dense: &Array2<f32>, pool: &Sparse) -> HugeMatrix {
        let (rows, dim) = (tokens.rows(), self.table.rows.width());
        let (features, dense_values) =
            (dense.ncols(), dense.as_slice().expect("inputs are in standard layout"));
        let input = self.input_pass(rows);
        let mut h = RoundedRows::filled_by_bands(rows, dim, |first, h| {
            input.rows(tokens, first, &dense_values[first * features..][..h.len() / dim * features], h);
        });
        let (output, mut vectors) = (self.output_pass(rows), HugeMatrix::zeros(rows, dim));
        let unit_vectors = |h: &[f32], vectors: &mut [f32]| {
            output.vectors(h, vectors);
            round_all_to_unit_length(vectors, dim);
        };
        for (at, layer) in self.weights.layers.iter().enumerate() {
            let pass = layer.pass(rows);
            let z = RoundedRows::filled_by_bands(rows, layer.width(), |first, z| {
                pass.message(&h.numbers_of(first..first + z.len() / layer.width()), z);
            });
            let messages = if layer.width() == 0 { &h } else { &z };
            let update = |first: usize, next: &mut [f32]| {
                let rows = next.len() / dim;
                let mut pooled = vec![0.0; rows * messages.dim()];
                pool.multiply_rounded_into(first, messages, &mut pooled);
                pass.update(&h.numbers_of(first..first + rows), &pooled, next, &mut vec![0.0; rows]);
            };
            if at + 1 < self.weights.layers.len() {
                h = RoundedRows::filled_by_bands(rows, dim, update);
            } else {
                vectors.fill_bands(|first, vectors| {
                    let mut last = vec![0.0; vectors.len()];
                    update(first, &mut last);
                    unit_vectors(&last, vectors);
                });
            }
        }
        if self.weights.layers.is_empty() {
            vectors.fill_bands(|first, vectors| {
                unit_vectors(&h.numbers_of(first..first + vectors.len() / dim), vectors);
            });
        }
        vectors
    }

    /// The input layer, prepared for `rows` rows that are computed band by band.
    pub(crate) fn input_pass(&self, rows: usize) -> InputPass<'_> {
        let dense = (self.weights.dense.nrows() > 0).then(|| Panels::new(&self.weights.dense.view(), rows));
        InputPass { table: &self.table.rows, dense }
    }

    /// The output layer, prepared for `rows` rows that are computed band by band.
    pub(crate) fn output_pass(&self, rows: usize) -> OutputPass<'_> {
        OutputPass {
            head: self.weights.head.as_ref().map(|head| head.pass(rows)),
            dim: self.table.rows.width(),
        }
    }

    pub(crate) fn forward(&self, batch: &Minibatch, buffers: &mut BufferPool) -> Trace {
        let mut h = self.input(&batch.tokens, &batch.dense.view(), buffers);
        let bias = self.bias(&batch.tokens, &batch.log_degrees).slice(s![..batch.nodes()]).to_owned();
        let mut layers = Vec::with_capacity(self.weights.layers.len());
        for (layer, pool) in self.weights.layers.iter().zip(&batch.pools) {
            let z = layer.message(&h.view(), buffers);
            let n = pool.multiply(&z.as_ref().unwrap_or(&h).view(), buffers);
            let (next, trace) = layer.update(&h.slice(s![..pool.rows(), ..]), n, buffers);
            layers.push((h, z, trace));
            h = next;
        }
        let (vectors, hidden, lengths) = self.output(&h.view(), buffers);
        Trace { layers, last: h, hidden, lengths, vectors, bias }
    }

    /// The backward pass: the gradient by every parameter from the gradients by the vectors (N, D) and biases (N) of
    /// a trace. The buffers of the trace return to the pool as early as possible.
    pub(crate) fn backward(
        &self,
        batch: &Minibatch,
        trace: Trace,
        mut vectors: Array2<f32>,
        bias: &Array1<f32>,
        buffers: &mut BufferPool,
    ) -> Gradient {
        // Normalization and head.
        let mut gradient = self.weights.zeros_like();
        normalize_rows_backward(&trace.vectors.view(), &trace.lengths, &mut vectors);
        buffers.recycle(trace.vectors);
        let mut dh = match (&self.weights.head, &trace.hidden, &mut gradient.head) {
            (Some(head), Some(hidden), Some(into)) => {
                head.backward(&trace.last.view(), hidden, vectors, into, buffers)
            }
            _ => vectors,
        };
        if let Some(hidden) = trace.hidden {
            buffers.recycle(hidden);
        }
        // Layers, from the last to the first.
        let mut output = trace.last;
        for (at, (h, z, update)) in trace.layers.into_iter().enumerate().rev() {
            let (layer, into) = (&self.weights.layers[at], &mut gradient.layers[at]);
            let own = h.slice(s![..output.nrows(), ..]);
            let (own, pooled) = layer.update_backward(&own, update, &output.view(), dh, into, buffers);
            buffers.recycle(output);
            // The pooling: gradients of pooled messages become gradients of messages.
            let messages = z.as_ref().unwrap_or(&h);
            let dz =
                batch.pools[at].backward(&batch.pools_transposed[at], &messages.view(), &pooled, buffers);
            buffers.recycle(pooled);
            dh = layer.message_backward(&h.view(), z.as_ref(), dz, into, buffers);
            if let Some(z) = z {
                buffers.recycle(z);
            }
            // A node's own vector is its row of the layer below.
            add_to_first_rows(&mut dh, &own);
            buffers.recycle(own);
            output = h;
        }
        buffers.recycle(output);
        // The input: dense projection, popularity weight and token table.
        if self.weights.dense.nrows() > 0 {
            add_transposed_product(&mut gradient.dense.view_mut(), &batch.dense.view(), &dh.view());
        }
        gradient.popularity[0] =
            bias.iter().zip(&batch.log_degrees).map(|(b, log_degree)| b * log_degree).sum();
        let mut all_bias = Array2::zeros((batch.inputs(), 1));
        all_bias.slice_mut(s![..batch.nodes(), 0]).assign(bias);
        let table = batch.tokens_transposed.multiply(&dh.view(), buffers);
        buffers.recycle(dh);
        Gradient {
            table_rows: batch.table_rows.clone(),
            table,
            table_bias: batch
                .tokens_transposed
                .multiply(&all_bias.view(), &mut BufferPool::default())
                .remove_axis(Axis(1)),
            weights: gradient,
        }
    }
}

/// [`Encoder::input`] for some rows, on the calling thread.
pub(crate) struct InputPass<'a> {
    table: &'a HugeMatrix,
    dense: Option<Panels<'a>>,
}

impl InputPass<'_> {
    /// Computes the rows of `h`. They begin at row `first` of `tokens`; `dense` holds their dense features,
    /// row-major.
    pub(crate) fn rows(&self, tokens: &Sparse, first: usize, dense: &[f32], h: &mut [f32]) {
        tokens.multiply_into(first, self.table.unverified_values(), self.table.width(), h);
        if let Some(weights) = &self.dense {
            let mut projected = vec![0.0; h.len()];
            weights.multiply(dense, None, &mut projected);
            for (h, projected) in h.iter_mut().zip(&projected) {
                *h += projected;
            }
        }
    }
}

/// [`Encoder::output`] for some rows, on the calling thread.
pub(crate) struct OutputPass<'a> {
    head: Option<HeadPass<'a>>,
    dim: usize,
}

impl OutputPass<'_> {
    /// Unit vectors from rows of the last layer; both are row-major.
    pub(crate) fn vectors(&self, h: &[f32], vectors: &mut [f32]) {
        match &self.head {
            Some(head) => head.forward(h, vectors),
            None => vectors.copy_from_slice(h),
        }
        for vector in vectors.chunks_exact_mut(self.dim) {
            normalize(vector);
        }
    }
}
