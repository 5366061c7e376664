//! Tests of a training step: it runs for every dimension, every combination of inputs and every instruction set.

use ndarray::Array2;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::config::options::{Conv, TrainOptions};
use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::simd::{Width, limit};
use crate::linalg::sparse::Sparse;
use crate::network::encoder::Encoder;
use crate::network::hash_embedding::HashEmbedding;
use crate::network::importances::Importances;
use crate::network::inputs::Inputs;
use crate::network::minibatch::{Example, Minibatch, MinibatchMemory, MinibatchSource, Negatives};
use crate::network::parameter_vector::ParameterVector;
use crate::network::weights::Weights;
use crate::train::adam::Adam;
use crate::train::loss;

const NODES: usize = 5;

/// A number in [-1, 1) for each `at`.
fn number(at: usize) -> f32 {
    (at as u32).wrapping_mul(2_654_435_761) as f32 / (1u32 << 31) as f32 - 1.0
}

/// Five nodes in a ring; each pools two others. `dense` is the width of the dense features.
fn example(conv: Conv, dim: usize, has_tokens: bool, dense: usize, has_max: bool) -> (Encoder, Minibatch) {
    let token = |at: usize| if has_tokens { vec![at as u64 * 7 + 1] } else { Vec::new() };
    let tokens: Vec<Vec<u64>> = (0..NODES).map(token).collect();
    let table = HashEmbedding::new(&tokens.concat(), dim, 3, 0.5);
    let mut weights = Weights::zeros(conv, 1, dim, dense);
    let mut at = 0;
    weights.initialize(|| {
        at += 1;
        number(at)
    });
    let inputs = Inputs {
        tokens,
        dense: Array2::from_shape_fn((NODES, dense), |(r, c)| number(r * 31 + c + 1)),
        log_degrees: vec![1.0; NODES],
        influence: vec![1.0; NODES],
    };
    let (mut pool, count) = (Sparse::new(NODES).with_max(has_max), NODES as u32);
    // The last node has no neighbor.
    for at in 0..count {
        let neighbors = [((at + 1) % count, 0.5), ((at + 2) % count, 0.5)];
        pool.push_row(neighbors.into_iter().filter(|_| at + 1 < count));
    }
    let examples = [Example { query: vec![0, 3], positive: 1, related: vec![], hard_negatives: vec![4] }];
    let negatives = Negatives { rows: vec![2, 4], log_rates: vec![0.0; 2] };
    let source = MinibatchSource {
        inputs: &inputs,
        token_sums: &table.trained.sums_of(&inputs.tokens),
        importances: Importances::of(&pool),
        layers: 1,
    };
    let (memory, rng) = (&mut MinibatchMemory::default(), &mut StdRng::seed_from_u64(1));
    let batch = Minibatch::build(&source, &examples, &negatives, memory, rng);
    (Encoder { table, weights }, batch)
}

/// The parameters after one step. Without any input a light model has only zeros, and its loss is finite too.
fn step(conv: Conv, dim: usize, has_tokens: bool, dense: usize, has_max: bool) -> ParameterVector {
    let (mut encoder, batch) = example(conv, dim, has_tokens, dense, has_max);
    let (mut adam, buffers) = (Adam::new(&mut encoder), &mut BufferPool::default());
    let trace = encoder.forward(&batch, buffers);
    let step = loss::step(&TrainOptions::default(), &batch, &trace.vectors, &trace.bias, buffers);
    assert!(step.loss.is_finite(), "{conv:?} {dim} {has_tokens} {dense}");
    let mut gradient = encoder.backward(&batch, trace, step.vectors, &step.bias, buffers);
    adam.step(&mut encoder, &mut gradient, 0.01);
    let parameters = ParameterVector::of(&encoder);
    assert!(parameters.0.iter().all(|value| value.is_finite()), "{conv:?} {dim} {has_tokens} {dense}");
    parameters
}

/// One step for these dimensions and all inputs: with every instruction set the bits are the same.
fn steps(conv: Conv, dims: impl Iterator<Item = usize>, has_max: bool) {
    let bits = |parameters: ParameterVector| parameters.0.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let dims: Vec<usize> = dims.collect();
    for &dim in &dims {
        let inputs = [(false, 0), (true, 3), (true, 0), (false, 3)];
        // Beyond the blocks of sums, one or the other input adds nothing to none and both.
        for &(has_tokens, dense) in &inputs[..if dim <= 260 { 4 } else { 2 }] {
            let mut found = Vec::new();
            for width in [Width::Portable, Width::Eight, Width::Sixteen] {
                limit::within(width, || found.push(bits(step(conv, dim, has_tokens, dense, has_max))));
            }
            let alike = found.iter().all(|one| one == &found[0]);
            assert!(alike, "{conv:?} {dim}, tokens {has_tokens}, dense {dense}");
        }
    }
}

/// A training without tokens panicked for most dimensions, since the table had no rows; with AVX2 also for 128.
#[test]
fn a_light_step_runs_for_every_dimension_with_any_inputs() {
    steps(Conv::Light, 1..=1024, false);
}

/// The products of PinSage layers go by panels of 64, 32 and 16 columns; the dimensions are those around the edges.
#[test]
fn a_pinsage_step_runs_around_every_edge_of_a_panel_with_any_inputs() {
    steps(Conv::PinSage, 1..=50, false);
    steps(
        Conv::PinSage,
        [63, 64, 65, 79, 80, 81, 96, 97, 100, 127, 128, 129, 192, 200, 257].into_iter(),
        false,
    );
    steps(Conv::PinSage, [17, 48, 100].into_iter(), true);
}
