//! Tests of the backward pass: its gradient agrees with slopes measured on the loss. Also: embedding in bands gives
//! the bits of embedding at once.

use ndarray::Array2;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::config::options::{Conv, Loss, TrainOptions};
use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::matrix::BAND;
use crate::linalg::sparse::Sparse;
use crate::network::encoder::{Encoder, Gradient};
use crate::network::hash_embedding::HashEmbedding;
use crate::network::importances::Importances;
use crate::network::inputs::Inputs;
use crate::network::minibatch::{Example, Minibatch, MinibatchMemory, MinibatchSource, Negatives};
use crate::network::weights::Weights;
use crate::train::loss;

const NODES: usize = 7;
const DIM: usize = 5;
const DENSE: usize = 3;

/// A pseudo-random number in [-1, 1) for each `at`.
fn number(at: u64) -> f32 {
    let mixed = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Seven nodes in a ring; each pools three others. Each node has a token of its own and one that all share.
fn example(conv: Conv, largest: bool) -> (Encoder, Minibatch) {
    let tokens: Vec<Vec<u64>> = (0..NODES as u64).map(|at| vec![(at << 33) | (at * 7), 5 << 34]).collect();
    let mut all: Vec<u64> = tokens.iter().flatten().copied().collect();
    all.sort_unstable();
    let inputs = Inputs {
        tokens,
        dense: Array2::from_shape_fn((NODES, DENSE), |(r, c)| number((r * DENSE + c) as u64)),
        log_degrees: (0..NODES).map(|at| at as f32 * 0.3).collect(),
        influence: (0..NODES).map(|at| 1.0 / (at + 1) as f32).collect(),
    };
    let mut pool = Sparse::new(NODES).with_max(largest);
    for at in 0..NODES as u32 {
        let n = NODES as u32;
        pool.push_row([((at + 1) % n, 0.5), ((at + 2) % n, 0.3), ((at + 4) % n, 0.2)]);
    }
    let table = HashEmbedding::new(&all, DIM, 3, 0.5);
    let mut weights = Weights::zeros(conv, 2, DIM, DENSE);
    let mut at = 1000;
    weights.initialize(|| {
        at += 1;
        number(at)
    });
    weights.popularity[0] = 0.1;
    let examples = [
        Example { query: vec![0, 3], positive: 1, related: vec![5], hard_negatives: vec![4] },
        Example { query: vec![2], positive: 6, related: vec![], hard_negatives: vec![0, 1] },
        Example { query: vec![4, 5, 6], positive: 2, related: vec![], hard_negatives: vec![] },
    ];
    let negatives = Negatives { rows: vec![1, 3, 5, 0], log_rates: vec![0.5, -0.5, 0.0, 0.3] };
    let source = MinibatchSource {
        inputs: &inputs,
        token_sums: &table.trained.sums_of(&inputs.tokens),
        importances: Importances::of(&pool),
        layers: 2,
    };
    let (memory, rng) = (&mut MinibatchMemory::default(), &mut StdRng::seed_from_u64(1));
    let batch = Minibatch::build(&source, &examples, &negatives, memory, rng);
    (Encoder { table, weights }, batch)
}

fn loss(encoder: &Encoder, options: &TrainOptions, batch: &Minibatch) -> f32 {
    let buffers = &mut BufferPool::default();
    let trace = encoder.forward(batch, buffers);
    loss::step(options, batch, &trace.vectors, &trace.bias, buffers).loss
}

/// The gradient of the second of two steps, whose buffers were used before.
fn gradient(encoder: &Encoder, options: &TrainOptions, batch: &Minibatch) -> Gradient {
    let buffers = &mut BufferPool::default();
    let step = |buffers: &mut BufferPool| {
        let trace = encoder.forward(batch, buffers);
        let step = loss::step(options, batch, &trace.vectors, &trace.bias, buffers);
        encoder.backward(batch, trace, step.vectors, &step.bias, buffers)
    };
    let first = step(buffers);
    buffers.recycle(first.table.clone());
    let before = buffers.available();
    let second = step(buffers);
    assert_eq!((&first.table, &first.table_bias), (&second.table, &second.table_bias));
    assert_eq!(buffers.available() + 1, before, "what a step takes, it gives back, but for the gradient");
    second
}

/// The slope of the loss by one parameter, measured with two evaluations.
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
        let (mut tokens, mut pool) = (encoder.table.trained.empty_sums(), Sparse::new(rows));
        for row in 0..rows as u64 {
            encoder.table.trained.push_tokens(&[(row % 7) << 33 | (row % 7 * 7), 5 << 34], &mut tokens);
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

/// Compares every parameter of every tensor, for both layers and both losses. A kink of the loss within a measuring
/// step may spoil single numbers, so a few may differ.
#[test]
fn the_gradient_agrees_with_finite_differences() {
    for (conv, largest) in [(Conv::Light, false), (Conv::PinSage, false), (Conv::PinSage, true)] {
        for loss in [Loss::Margin, Loss::Softmax] {
            let options =
                TrainOptions { conv, loss, temperature: 0.5, margin: 0.3, ..TrainOptions::default() };
            let (mut encoder, batch) = example(conv, largest);
            let mut found = gradient(&encoder, &options, &batch);
            let mut compared: Vec<(f32, f32)> = Vec::new();
            // The token table.
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
            // The weights.
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
            // Compare all pairs.
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
