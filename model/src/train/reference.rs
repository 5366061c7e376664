//! A reference implementation of one training step, straight from the definitions. It works node by node and example
//! by example in double precision, without minibatches, sparse matrices or our own gradients. Tests compare the
//! trainer with it.

use ndarray::Array2;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::config::options::{Conv, Loss, TrainOptions};
use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::sparse::Sparse;
use crate::network::encoder::Encoder;
use crate::network::hash_embedding::HashEmbedding;
use crate::network::importances::Importances;
use crate::network::inputs::Inputs;
use crate::network::layer::Layer;
use crate::network::minibatch::{Example, Minibatch, MinibatchMemory, MinibatchSource, Negatives};
use crate::network::parameter_vector::ParameterVector;
use crate::network::weights::Weights;
use crate::train::adam::Adam;
use crate::train::loss;

const NODES: usize = 9;
const DIM: usize = 4;
const DENSE: usize = 2;
const RATE: f32 = 1e-3;

type Vector = Vec<f64>;

/// The input of a training step.
struct Setup {
    inputs: Inputs,
    /// Neighbors and importances of each node.
    neighborhoods: Vec<Vec<(u32, f32)>>,
    examples: Vec<Example>,
    negatives: Negatives,
}

/// A pseudo-random number in [-1, 1) for each `at`.
fn number(at: u64) -> f32 {
    let mixed = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Nine nodes with one to three tokens each; node 4 has no neighbor.
fn setup() -> Setup {
    let tokens = |at: u64| (0..=at % 3).map(|token| (at * 3 + token) << 33 | (at * 5 + token)).collect();
    let neighbors = |at: usize| -> Vec<(u32, f32)> {
        let at = at as u32;
        let all = [((at + 1) % 9, 0.5), ((at * 2 + 3) % 9, 0.3), ((at + 5) % 9, 0.2)];
        if at == 4 { Vec::new() } else { all.to_vec() }
    };
    Setup {
        inputs: Inputs {
            tokens: (0..NODES as u64).map(tokens).collect(),
            dense: Array2::from_shape_fn((NODES, DENSE), |(r, c)| number((r * DENSE + c) as u64)),
            log_degrees: (0..NODES).map(|at| at as f32 * 0.2).collect(),
            influence: (0..NODES).map(|at| 1.0 / (at + 1) as f32).collect(),
        },
        neighborhoods: (0..NODES).map(neighbors).collect(),
        examples: vec![
            Example { query: vec![0, 3], positive: 1, related: vec![5, 1, 0, 3], hard_negatives: vec![4] },
            Example { query: vec![2], positive: 6, related: vec![], hard_negatives: vec![0, 1] },
            Example { query: vec![4, 7, 6], positive: 8, related: vec![2], hard_negatives: vec![] },
        ],
        negatives: Negatives { rows: vec![1, 3, 5, 2, 8], log_rates: vec![0.5, -0.5, 0.0, 0.3, -0.1] },
    }
}

fn encoder(conv: Conv, setup: &Setup) -> Encoder {
    let mut tokens: Vec<u64> = setup.inputs.tokens.iter().flatten().copied().collect();
    tokens.sort_unstable();
    let mut table = HashEmbedding::new(&tokens, DIM, 3, 0.5);
    for (bias, &row) in table.bias.iter_mut().zip(table.trained.rows()) {
        *bias = 0.1 * number(u64::from(row));
    }
    let mut weights = Weights::zeros(conv, 2, DIM, DENSE);
    let mut at = 1000;
    weights.initialize(|| {
        at += 1;
        number(at)
    });
    weights.popularity[0] = 0.1;
    Encoder { table, weights }
}

fn wide(row: impl IntoIterator<Item = f32>) -> Vector {
    row.into_iter().map(f64::from).collect()
}

/// `x W + b`.
fn affine(x: &[f64], layer: &crate::network::layer::Affine) -> Vector {
    let column = |at: usize| {
        let products = x.iter().zip(layer.w.column(at)).map(|(x, w)| x * f64::from(*w));
        f64::from(layer.b[at]) + products.sum::<f64>()
    };
    (0..layer.w.ncols()).map(column).collect()
}

fn relu(x: Vector) -> Vector {
    x.into_iter().map(|value| value.max(0.0)).collect()
}

fn unit(x: Vector) -> Vector {
    let length = dot(&x, &x).sqrt();
    if length == 0.0 { x } else { x.into_iter().map(|value| value / length).collect() }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(into: &mut [f64], scale: f64, what: &[f64]) {
    into.iter_mut().zip(what).for_each(|(to, from)| *to += scale * from);
}

impl Setup {
    /// Unit vectors and biases of all nodes.
    fn embed(&self, encoder: &Encoder) -> (Vec<Vector>, Vector) {
        let mut sums = encoder.table.trained.empty_sums();
        self.inputs.tokens.iter().for_each(|tokens| encoder.table.trained.push_tokens(tokens, &mut sums));
        let (mut h, mut biases) = (Vec::new(), Vec::new());
        // Inputs: tokens and dense features.
        for node in 0..NODES {
            let mut row = vec![0.0; DIM];
            let mut bias = f64::from(encoder.weights.popularity[0] * self.inputs.log_degrees[node]);
            for (at, weight) in sums.row(node) {
                let weight = f64::from(weight);
                add(&mut row, weight, &wide(encoder.table.rows.row(at as usize).iter().copied()));
                bias += weight * f64::from(encoder.table.bias[at as usize]);
            }
            for block in 0..DENSE {
                let value = f64::from(self.inputs.dense[[node, block]]);
                add(&mut row, value, &wide(encoder.weights.dense.row(block).iter().copied()));
            }
            h.push(row);
            biases.push(bias);
        }
        // Layers: messages, pooling and updates.
        for layer in &encoder.weights.layers {
            let messages: Vec<Vector> = match layer {
                Layer::Light => h.clone(),
                Layer::PinSage { message, .. } => h.iter().map(|h| relu(affine(h, message))).collect(),
            };
            let next = |node: usize| {
                let mut pooled = vec![0.0; messages[0].len()];
                for &(neighbor, share) in &self.neighborhoods[node] {
                    add(&mut pooled, f64::from(share), &messages[neighbor as usize]);
                }
                match layer {
                    Layer::Light => h[node].iter().zip(&pooled).map(|(h, n)| h + n).collect(),
                    Layer::PinSage { update, .. } => {
                        unit(relu(affine(&[h[node].clone(), pooled].concat(), update)))
                    }
                }
            };
            h = (0..NODES).map(next).collect();
        }
        // Head and normalization.
        let head = |h: Vector| match &encoder.weights.head {
            Some(head) => affine(&relu(affine(&h, &head.hidden)), &head.output),
            None => h,
        };
        (h.into_iter().map(|h| unit(head(h))).collect(), biases)
    }

    /// The mean loss of the examples.
    fn loss(&self, encoder: &Encoder, options: &TrainOptions) -> f64 {
        let (vectors, biases) = self.embed(encoder);
        let of_example = |example: &Example| {
            let mut query = vec![0.0; DIM];
            for &row in &example.query {
                add(&mut query, f64::from(self.inputs.influence[row as usize]), &vectors[row as usize]);
            }
            let query = unit(query);
            let score = |row: u32| dot(&query, &vectors[row as usize]) + biases[row as usize];
            let is_unrelated = |row: &u32| {
                *row != example.positive && !example.query.contains(row) && !example.related.contains(row)
            };
            let shared = self
                .negatives
                .rows
                .iter()
                .zip(&self.negatives.log_rates)
                .filter(|(row, _)| is_unrelated(row));
            // A hard negative counts once for each draw. A shared one counts as often as uniform draws would give it.
            let negatives: Vec<(f64, f64)> = shared
                .map(|(&row, &rate)| (score(row), f64::from(-rate).exp()))
                .chain(example.hard_negatives.iter().map(|&row| (score(row), 1.0)))
                .collect();
            let positive = score(example.positive);
            match options.loss {
                Loss::Margin => {
                    let gaps =
                        negatives.iter().map(|(s, _)| (s - positive + f64::from(options.margin)).max(0.0));
                    gaps.sum::<f64>() / negatives.len() as f64
                }
                Loss::Softmax => {
                    let weight = |score: f64| (score / f64::from(options.temperature)).exp();
                    let others: f64 = negatives.iter().map(|(s, times)| times * weight(*s)).sum();
                    -(weight(positive) / (weight(positive) + others)).ln()
                }
            }
        };
        self.examples.iter().map(of_example).sum::<f64>() / self.examples.len() as f64
    }
}

/// The loss is that of the reference. The first step of the optimizer changes every parameter by the learning rate,
/// against the slope measured on the reference's loss.
#[test]
fn a_step_is_what_the_definitions_say() {
    let setup = setup();
    let mut pool = Sparse::new(NODES);
    setup.neighborhoods.iter().for_each(|neighbors| pool.push_row(neighbors.iter().copied()));
    for (conv, loss) in [
        (Conv::Light, Loss::Margin),
        (Conv::Light, Loss::Softmax),
        (Conv::PinSage, Loss::Margin),
        (Conv::PinSage, Loss::Softmax),
    ] {
        // The trainer's loss and the reference's.
        let options = TrainOptions { conv, loss, temperature: 0.4, margin: 0.3, ..TrainOptions::default() };
        let start = encoder(conv, &setup);
        let trained = start.table.trained.clone();
        let importances = Importances::of(&pool);
        let (inputs, token_sums) = (&setup.inputs, &trained.sums_of(&setup.inputs.tokens));
        let source = MinibatchSource { inputs, token_sums, importances, layers: 2 };
        let (memory, rng) = (&mut MinibatchMemory::default(), &mut StdRng::seed_from_u64(1));
        let batch = Minibatch::build(&source, &setup.examples, &setup.negatives, memory, rng);
        let buffers = &mut BufferPool::default();
        let trace = start.forward(&batch, buffers);
        let found = loss::step(&options, &batch, &trace.vectors, &trace.bias, buffers);
        let expected = setup.loss(&start, &options);
        assert!(
            (f64::from(found.loss) - expected).abs() < 1e-5,
            "{conv:?} {loss:?}: {} {expected}",
            found.loss
        );

        // One step of the optimizer, and the slope of the reference's loss by every parameter.
        let mut stepped = start.clone();
        let mut gradient = start.backward(&batch, trace, found.vectors, &found.bias, buffers);
        Adam::new(&mut stepped).step(&mut stepped, &mut gradient, RATE);
        let (before, after) = (ParameterVector::of(&start).0, ParameterVector::of(&stepped).0);
        let slope = |at: usize| {
            let moved = |by: f32| {
                let (mut values, mut moved) = (before.clone(), start.clone());
                values[at] += by;
                assert!(ParameterVector::unpack(&values, &mut moved), "it was packed from this encoder");
                setup.loss(&moved, &options)
            };
            (moved(1e-3) - moved(-1e-3)) / 2e-3
        };
        let slopes: Vec<f64> = (0..before.len()).map(slope).collect();
        let steepest = slopes.iter().fold(0.0, |most: f64, slope| most.max(slope.abs()));
        // The bias of the head's last product is no parameter. It stands before the weight of the log-degree.
        let last = before.len() - 1;
        let frozen = if conv == Conv::PinSage { last - DIM..last } else { last..last };
        // Each parameter with a slope moved against it, by the learning rate.
        let (mut right, mut wrong) = (0, 0);
        for (at, ((before, after), slope)) in before.iter().zip(&after).zip(&slopes).enumerate() {
            // The sign of a flat slope is measurement noise.
            if slope.abs() > 0.01 * steepest && !frozen.contains(&at) {
                let expected = f64::from(-RATE) * slope.signum();
                let is_right = (f64::from(after - before) - expected).abs() < 0.02 * f64::from(RATE);
                if is_right { right += 1 } else { wrong += 1 }
            }
        }
        assert!(right > 60, "{conv:?} {loss:?}: only {right} parameters have a slope");
        assert_eq!(wrong, 0, "{conv:?} {loss:?}: and {right} moved against the slope");
    }
}
