//! Adam (arXiv 1412.6980) over the encoder's parameters; rows of the table only when a minibatch touched them.

use crate::encoder::{Encoder, Gradient};

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// First and second moments of a tensor, side by side: twice its size.
#[derive(Clone, Debug)]
struct Moments {
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Moments {
    fn new(len: usize) -> Self {
        Self { first: vec![0.0; len], second: vec![0.0; len] }
    }

    fn update(&mut self, values: &mut [f32], gradient: &[f32], rate: f32) {
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, g), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
            advance(value, *g, first, second, rate);
        }
    }
}

fn advance(value: &mut f32, gradient: f32, first: &mut f32, second: &mut f32, rate: f32) {
    *first = BETA1 * *first + (1.0 - BETA1) * gradient;
    *second = BETA2 * *second + (1.0 - BETA2) * gradient * gradient;
    *value -= rate * *first / (second.sqrt() + EPSILON);
}

/// The optimiser's state: two numbers for every parameter.
#[derive(Clone, Debug)]
pub(crate) struct Adam {
    steps: i32,
    table: Moments,
    table_bias: Moments,
    weights: Vec<Moments>,
}

impl Adam {
    pub(crate) fn new(encoder: &mut Encoder) -> Self {
        let (rows, bias) = (encoder.table.rows.len(), encoder.table.bias.len());
        let tensors = encoder.weights.tensors_mut();
        let weights = tensors.into_iter().map(|(_, values)| Moments::new(values.len())).collect();
        Self { steps: 0, table: Moments::new(rows), table_bias: Moments::new(bias), weights }
    }

    /// One step down the gradient.
    pub(crate) fn step(&mut self, encoder: &mut Encoder, mut gradient: Gradient, learning_rate: f32) {
        self.steps += 1;
        let correction = (1.0 - BETA2.powi(self.steps)).sqrt() / (1.0 - BETA1.powi(self.steps));
        let rate = learning_rate * correction;
        self.step_table(encoder, &gradient, rate);
        let tensors = encoder.weights.tensors_mut().into_iter().zip(gradient.weights.tensors_mut());
        for (((_, values), (_, gradient)), moments) in tensors.zip(&mut self.weights) {
            moments.update(values, gradient, rate);
        }
    }

    fn step_table(&mut self, encoder: &mut Encoder, gradient: &Gradient, rate: f32) {
        let dim = encoder.table.rows.ncols();
        let values = encoder.table.rows.as_slice_mut().expect("the table is contiguous");
        let rows = gradient.table_rows.as_slice();
        let by_row = gradient.table.as_slice().expect("gradients are contiguous");
        let (first, second) = (self.table.first.as_mut_slice(), self.table.second.as_mut_slice());
        step_rows(dim, 0, rows, by_row, values, first, second, rate);
        for (&row, &g) in rows.iter().zip(&gradient.table_bias) {
            let at = row as usize;
            let (first, second) = (&mut self.table_bias.first[at], &mut self.table_bias.second[at]);
            advance(&mut encoder.table.bias[at], g, first, second, rate);
        }
    }
}

/// Steps the listed rows, ascending, by splitting the work in halves: disjoint parts of the table need no lock.
#[expect(clippy::too_many_arguments, reason = "the four parallel arrays are split at the same places")]
fn step_rows(
    dim: usize,
    start: usize,
    rows: &[u32],
    gradient: &[f32],
    values: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    rate: f32,
) {
    const ROWS_PER_TASK: usize = 1024;
    if rows.len() <= ROWS_PER_TASK {
        for (&row, by) in rows.iter().zip(gradient.chunks_exact(dim)) {
            let range = (row as usize - start) * dim..(row as usize - start + 1) * dim;
            let moments = first[range.clone()].iter_mut().zip(&mut second[range.clone()]);
            for ((value, g), (first, second)) in values[range].iter_mut().zip(by).zip(moments) {
                advance(value, *g, first, second, rate);
            }
        }
        return;
    }
    let middle = rows.len() / 2;
    let cut = rows[middle] as usize;
    let at = (cut - start) * dim;
    let (low, high) = (values.split_at_mut(at), first.split_at_mut(at));
    let second = second.split_at_mut(at);
    let gradient = gradient.split_at(middle * dim);
    rayon::join(
        || step_rows(dim, start, &rows[..middle], gradient.0, low.0, high.0, second.0, rate),
        || step_rows(dim, cut, &rows[middle..], gradient.1, low.1, high.1, second.1, rate),
    );
}
