//! The whole network: input, K convolutions, head; its parameters, and its gradient on a minibatch.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use crate::layer::{HeadPass, UpdateTrace, add_to_first_rows};
use crate::matrix::{Panels, add_transposed_product, product};
use crate::minibatch::Minibatch;
use crate::recipe::Recipe;
use crate::rows::{normalize, normalize_rows, normalize_rows_backward};
use crate::sparse::Sparse;
use crate::table::TokenTable;
use crate::tall::Tall;
use crate::weights::Weights;

/// All parameters.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    pub(crate) table: TokenTable,
    pub(crate) weights: Weights,
}

/// The gradient of the loss by every parameter; the table's only for the rows that a minibatch touched.
pub(crate) struct Gradient {
    /// Places in the table, ascending.
    pub(crate) table_rows: Vec<u32>,
    pub(crate) table: Array2<f32>,
    pub(crate) table_bias: Array1<f32>,
    pub(crate) weights: Weights,
}

/// What the forward pass leaves for the backward pass.
pub(crate) struct Trace {
    /// Per layer its input rows, its messages and what its update left.
    layers: Vec<(Array2<f32>, Option<Array2<f32>>, UpdateTrace)>,
    last: Array2<f32>,
    hidden: Option<Array2<f32>>,
    lengths: Array1<f32>,
    /// (N, D): unit vectors of the minibatch's nodes.
    pub(crate) vectors: Array2<f32>,
    /// (N): what is added to the score of each.
    pub(crate) bias: Array1<f32>,
}

impl Encoder {
    /// An encoder that knows nothing yet.
    pub(crate) fn empty(recipe: &Recipe) -> Self {
        let table = TokenTable::new(&[], recipe.dim, 0, 0.0);
        let weights = Weights::zeros(recipe.conv, recipe.layers, recipe.dim, recipe.dense_width());
        Self { table, weights }
    }

    /// `h0`: the sum of a node's token vectors and its projected dense features.
    /// Shapes: tokens (R, T), dense (R, F) -> (R, D).
    pub(crate) fn input(&self, tokens: &Sparse, dense: &ArrayView2<'_, f32>) -> Array2<f32> {
        let mut h = tokens.multiply(&self.table.rows.view());
        if self.weights.dense.nrows() > 0 {
            h += &product(dense, &self.weights.dense.view(), None);
        }
        h
    }

    /// What is added to the score of each node: the table's biases, and the weight of its log-degree.
    pub(crate) fn bias(&self, tokens: &Sparse, log_degrees: &[f32]) -> Array1<f32> {
        let column = self.table.bias.view().insert_axis(Axis(1));
        let mut bias = tokens.multiply(&column).remove_axis(Axis(1));
        for (b, log_degree) in bias.iter_mut().zip(log_degrees) {
            *b += self.weights.popularity[0] * log_degree;
        }
        bias
    }

    /// The unit vectors from the rows of the last layer; also the head's hidden activations and the lengths
    /// that the vectors had.
    pub(crate) fn output(&self, h: &ArrayView2<'_, f32>) -> (Array2<f32>, Option<Array2<f32>>, Array1<f32>) {
        let (mut vectors, hidden) = match &self.weights.head {
            Some(head) => {
                let (vectors, hidden) = head.forward(h);
                (vectors, Some(hidden))
            }
            None => (h.to_owned(), None),
        };
        let lengths = normalize_rows(&mut vectors);
        (vectors, hidden, lengths)
    }

    /// Unit vectors from tokens and dense features, with the importances of each layer in turn: as many rows as the last of
    /// them has. A row's own vector has the same index on every layer.
    pub(crate) fn embed<'p>(
        &self,
        tokens: &Sparse,
        dense: &ArrayView2<'_, f32>,
        pools: impl Iterator<Item = &'p Sparse>,
    ) -> Array2<f32> {
        let mut h = self.input(tokens, dense);
        for (layer, pool) in self.weights.layers.iter().zip(pools) {
            let z = layer.message(&h.view());
            let n = pool.multiply(&z.as_ref().unwrap_or(&h).view());
            h = layer.update(&h.slice(s![..pool.rows(), ..]), n).0;
        }
        self.output(&h.view()).0
    }

    /// As [`Encoder::embed`] with the same importances on every layer, band by band: two matrices of all rows are held at a time,
    /// with PinSage layers their messages too. Shapes: tokens (R, T), dense (R, F), pool (R, R) -> (R, D).
    pub(crate) fn embed_all(&self, tokens: &Sparse, dense: &Array2<f32>, pool: &Sparse) -> Tall {
        let (rows, dim) = (tokens.rows(), self.table.rows.width());
        let (features, given) = (dense.ncols(), dense.as_slice().expect("inputs are in standard layout"));
        let mut h = Tall::zeros(rows, dim);
        let input = self.input_pass(rows);
        h.fill_bands(|first, h| {
            input.rows(tokens, first, &given[first * features..][..h.len() / dim * features], h);
        });
        for layer in &self.weights.layers {
            let pass = layer.pass(rows);
            let mut z = Tall::zeros(rows, layer.width());
            z.fill_bands(|first, z| {
                pass.message(&h.values()[first * dim..][..z.len() / layer.width() * dim], z);
            });
            let messages = if layer.width() == 0 { &h } else { &z };
            let mut next = Tall::zeros(rows, dim);
            next.fill_bands(|first, next| {
                let rows = next.len() / dim;
                let mut pooled = vec![0.0; rows * messages.width()];
                pool.multiply_into(first, messages.values(), messages.width(), &mut pooled);
                pass.update(&h.values()[first * dim..][..next.len()], &pooled, next, &mut vec![0.0; rows]);
            });
            h = next;
        }
        let output = self.output_pass(rows);
        h.fill_bands(|_, vectors| {
            let h = vectors.to_vec();
            output.vectors(&h, vectors);
        });
        h
    }

    /// What makes so many input rows, band by band.
    pub(crate) fn input_pass(&self, rows: usize) -> InputPass<'_> {
        let dense = (self.weights.dense.nrows() > 0).then(|| Panels::new(&self.weights.dense.view(), rows));
        InputPass { table: &self.table.rows, dense }
    }

    /// What makes unit vectors from so many rows of the last layer, band by band.
    pub(crate) fn output_pass(&self, rows: usize) -> OutputPass<'_> {
        OutputPass {
            head: self.weights.head.as_ref().map(|head| head.pass(rows)),
            dim: self.table.rows.width(),
        }
    }

    pub(crate) fn forward(&self, batch: &Minibatch) -> Trace {
        let mut h = self.input(&batch.tokens, &batch.dense.view());
        let bias = self.bias(&batch.tokens, &batch.log_degrees).slice(s![..batch.nodes()]).to_owned();
        let mut layers = Vec::with_capacity(self.weights.layers.len());
        for (layer, pool) in self.weights.layers.iter().zip(&batch.pools) {
            let z = layer.message(&h.view());
            let n = pool.multiply(&z.as_ref().unwrap_or(&h).view());
            let (next, trace) = layer.update(&h.slice(s![..pool.rows(), ..]), n);
            layers.push((h, z, trace));
            h = next;
        }
        let (vectors, hidden, lengths) = self.output(&h.view());
        Trace { layers, last: h, hidden, lengths, vectors, bias }
    }

    /// The gradient by every parameter from the gradients by a trace's vectors and biases.
    pub(crate) fn backward(
        &self,
        batch: &Minibatch,
        trace: &Trace,
        mut vectors: Array2<f32>,
        bias: &Array1<f32>,
    ) -> Gradient {
        let mut gradient = self.weights.zeros_like();
        normalize_rows_backward(&trace.vectors.view(), &trace.lengths, &mut vectors);
        let mut dh = match (&self.weights.head, &trace.hidden, &mut gradient.head) {
            (Some(head), Some(hidden), Some(into)) => {
                head.backward(&trace.last.view(), hidden, &vectors, into)
            }
            _ => vectors,
        };
        for (at, (h, z, update)) in trace.layers.iter().enumerate().rev() {
            let output = trace.layers.get(at + 1).map_or(&trace.last, |(h, ..)| h).view();
            let own = h.slice(s![..output.nrows(), ..]);
            let into = &mut gradient.layers[at];
            let (own, pooled) = self.weights.layers[at].update_backward(&own, update, &output, dh, into);
            let messages = z.as_ref().unwrap_or(h);
            let dz = batch.pools[at].backward(&batch.pools_back[at], &messages.view(), &pooled);
            dh =
                self.weights.layers[at].message_backward(&h.view(), z.as_ref(), dz, &mut gradient.layers[at]);
            add_to_first_rows(&mut dh, &own);
        }
        if self.weights.dense.nrows() > 0 {
            add_transposed_product(&mut gradient.dense.view_mut(), &batch.dense.view(), &dh.view());
        }
        gradient.popularity[0] =
            bias.iter().zip(&batch.log_degrees).map(|(b, log_degree)| b * log_degree).sum();
        let mut all_bias = Array2::zeros((batch.inputs(), 1));
        all_bias.slice_mut(s![..batch.nodes(), 0]).assign(bias);
        Gradient {
            table_rows: batch.table_rows.clone(),
            table: batch.tokens_back.multiply(&dh.view()),
            table_bias: batch.tokens_back.multiply(&all_bias.view()).remove_axis(Axis(1)),
            weights: gradient,
        }
    }
}

/// As [`Encoder::input`], of some rows by the thread that asks.
pub(crate) struct InputPass<'a> {
    table: &'a Tall,
    dense: Option<Panels<'a>>,
}

impl InputPass<'_> {
    /// As many rows as `h` has, from row `first` of `tokens` on; `dense` are theirs.
    pub(crate) fn rows(&self, tokens: &Sparse, first: usize, dense: &[f32], h: &mut [f32]) {
        tokens.multiply_into(first, self.table.values(), self.table.width(), h);
        if let Some(weights) = &self.dense {
            let mut projected = vec![0.0; h.len()];
            weights.multiply(dense, None, &mut projected);
            for (h, projected) in h.iter_mut().zip(&projected) {
                *h += projected;
            }
        }
    }
}

/// As [`Encoder::output`], of some rows by the thread that asks.
pub(crate) struct OutputPass<'a> {
    head: Option<HeadPass<'a>>,
    dim: usize,
}

impl OutputPass<'_> {
    /// Rows lie one after the other in both.
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

#[cfg(test)]
mod tests {
    use super::{Encoder, Gradient};
    use crate::inputs::Inputs;
    use crate::loss;
    use crate::matrix::BAND;
    use crate::minibatch::{Example, Minibatch};
    use crate::negatives::Negatives;
    use crate::options::{Conv, Loss, TrainOptions};
    use crate::sparse::Sparse;
    use crate::table::TokenTable;
    use crate::weights::Weights;
    use ndarray::Array2;

    const NODES: usize = 7;
    const DIM: usize = 5;
    const DENSE: usize = 3;

    /// A number in [-1, 1) for each `at`, well mixed.
    fn number(at: u64) -> f32 {
        let mixed = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Seven nodes on a ring, each pooling its two successors and itself once removed; three with tokens of
    /// their own, all with one in common.
    fn example(conv: Conv, largest: bool) -> (Encoder, Minibatch) {
        let tokens: Vec<Vec<u64>> =
            (0..NODES as u64).map(|at| vec![(at << 33) | (at * 7), 5 << 34]).collect();
        let mut all: Vec<u64> = tokens.iter().flatten().copied().collect();
        all.sort_unstable();
        let inputs = Inputs {
            tokens,
            dense: Array2::from_shape_fn((NODES, DENSE), |(r, c)| number((r * DENSE + c) as u64)),
            log_degrees: (0..NODES).map(|at| at as f32 * 0.3).collect(),
            influence: (0..NODES).map(|at| 1.0 / (at + 1) as f32).collect(),
        };
        let mut pool = Sparse::new(NODES).largest(largest);
        for at in 0..NODES as u32 {
            let n = NODES as u32;
            pool.push_row([((at + 1) % n, 0.5), ((at + 2) % n, 0.3), ((at + 4) % n, 0.2)]);
        }
        let table = TokenTable::new(&all, DIM, 3, 0.5);
        let mut weights = Weights::zeros(conv, 2, DIM, DENSE);
        let mut at = 1000;
        weights.initialize(|| {
            at += 1;
            number(at)
        });
        weights.popularity[0] = 0.1;
        let examples = [
            Example { query: vec![0, 3], positive: 1, together: vec![5], hard: vec![4] },
            Example { query: vec![2], positive: 6, together: vec![], hard: vec![0, 1] },
            Example { query: vec![4, 5, 6], positive: 2, together: vec![], hard: vec![] },
        ];
        let known = table.known.clone();
        let negatives = Negatives { rows: vec![1, 3, 5, 0], rates: vec![0.5, -0.5, 0.0, 0.3] };
        let batch = Minibatch::build(&inputs, &pool, &known, 2, &examples, &negatives);
        (Encoder { table, weights }, batch)
    }

    fn loss(encoder: &Encoder, options: &TrainOptions, batch: &Minibatch) -> f32 {
        let trace = encoder.forward(batch);
        loss::step(options, batch, &trace.vectors, &trace.bias).loss
    }

    fn gradient(encoder: &Encoder, options: &TrainOptions, batch: &Minibatch) -> Gradient {
        let trace = encoder.forward(batch);
        let step = loss::step(options, batch, &trace.vectors, &trace.bias);
        encoder.backward(batch, &trace, step.vectors, &step.bias)
    }

    /// The slope of the loss by one parameter, measured.
    fn slope(
        encoder: &mut Encoder,
        options: &TrainOptions,
        batch: &Minibatch,
        parameter: impl Fn(&mut Encoder) -> &mut f32,
    ) -> f32 {
        const STEP: f32 = 2e-3;
        let value = *parameter(encoder);
        *parameter(encoder) = value + STEP;
        let above = loss(encoder, options, batch);
        *parameter(encoder) = value - STEP;
        let below = loss(encoder, options, batch);
        *parameter(encoder) = value;
        (above - below) / (2.0 * STEP)
    }

    #[test]
    fn all_rows_band_by_band_have_the_bits_that_they_have_at_once() {
        for conv in [Conv::Light, Conv::PinSage] {
            let (encoder, _) = example(conv, false);
            let rows = 2 * BAND + 5;
            let (mut tokens, mut pool) = (encoder.table.known.sums(), Sparse::new(rows));
            for row in 0..rows as u64 {
                encoder.table.known.push_tokens(&[(row % 7) << 33 | (row % 7 * 7), 5 << 34], &mut tokens);
                let neighbors = (1..4).map(|at| ((row * at + 1) as u32 % rows as u32, 1.0 / at as f32));
                pool.push_row(neighbors);
            }
            let dense = Array2::from_shape_fn((rows, DENSE), |(r, c)| number((r * DENSE + c) as u64));
            let at_once = encoder.embed(&tokens, &dense.view(), [&pool, &pool].into_iter());
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            let by_bands = encoder.embed_all(&tokens, &dense, &pool);
            assert_eq!(bits(by_bands.values()), bits(at_once.as_slice().expect("contiguous")));
        }
    }

    /// Every parameter of every tensor, both layers, both losses: the backward pass against slopes measured on
    /// the forward pass. A kink within a step of measuring may spoil single numbers, not the whole.
    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        for (conv, largest) in [(Conv::Light, false), (Conv::PinSage, false), (Conv::PinSage, true)] {
            for loss in [Loss::Margin, Loss::Softmax] {
                let options =
                    TrainOptions { conv, loss, temperature: 0.5, margin: 0.3, ..TrainOptions::default() };
                let (mut encoder, batch) = example(conv, largest);
                let mut found = gradient(&encoder, &options, &batch);
                let mut compared: Vec<(f32, f32)> = Vec::new();
                for (at, &row) in found.table_rows.iter().enumerate() {
                    for column in 0..DIM {
                        let measured = slope(&mut encoder, &options, &batch, |e| {
                            &mut e.table.rows.row_mut(row as usize)[column]
                        });
                        compared.push((found.table[[at, column]], measured));
                    }
                    let measured = slope(&mut encoder, &options, &batch, |e| &mut e.table.bias[row as usize]);
                    compared.push((found.table_bias[at], measured));
                }
                for (tensor, (_, values)) in found.weights.tensors_mut().into_iter().enumerate() {
                    // The bias after the head's last product is not a parameter.
                    let frozen = conv == Conv::PinSage && tensor == 12;
                    for (at, &value) in values.iter().enumerate().filter(|_| !frozen) {
                        let measured = slope(&mut encoder, &options, &batch, |e| {
                            let tensors = e.weights.tensors_mut();
                            &mut tensors.into_iter().nth(tensor).expect("the same tensors").1[at]
                        });
                        compared.push((value, measured));
                    }
                }
                let steepest = compared.iter().map(|(_, m)| m.abs()).fold(0.0, f32::max);
                assert!(steepest > 1e-2, "the loss must depend on its parameters");
                let off = compared.iter().filter(|(f, m)| (f - m).abs() > 0.01 * m.abs() + 2e-3 * steepest);
                let off: Vec<_> = off.collect();
                assert!(
                    off.len() * 50 <= compared.len(),
                    "{conv:?} {largest} {loss:?}: {} of {} differ: {:?}",
                    off.len(),
                    compared.len(),
                    &off[..off.len().min(8)]
                );
            }
        }
    }
}
