//! The Adam optimizer (arXiv 1412.6980). Rows of the token table are updated only if a minibatch reads them.

use crate::linalg::huge_matrix::HugeMatrix;
use crate::network::encoder::{Encoder, Gradient};

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// First and second moments of a tensor.
#[derive(Clone, Debug)]
struct Moments {
    first: HugeMatrix,
    second: HugeMatrix,
}

impl Moments {
    fn new(len: usize) -> Self {
        Self { first: HugeMatrix::zeros(len, 1), second: HugeMatrix::zeros(len, 1) }
    }

    fn update(&mut self, values: &mut [f32], gradient: &[f32], rate: f32) {
        let moments = self.first.values_mut().iter_mut().zip(self.second.values_mut());
        for ((value, g), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
            update_parameter(value, *g, first, second, rate);
        }
    }
}

fn update_parameter(value: &mut f32, gradient: f32, first: &mut f32, second: &mut f32, rate: f32) {
    *first = BETA1 * *first + (1.0 - BETA1) * gradient;
    *second = BETA2 * *second + (1.0 - BETA2) * gradient * gradient;
    *value -= rate * *first / (second.sqrt() + EPSILON);
}

/// The state of the optimizer: two numbers for every trained parameter.
#[derive(Clone, Debug)]
pub(crate) struct Adam {
    steps: i32,
    table: Moments,
    table_bias: Moments,
    weights: Vec<Moments>,
}

impl Adam {
    pub(crate) fn new(encoder: &mut Encoder) -> Self {
        let table = Moments::new(encoder.table.rows.values().len());
        let table_bias = Moments::new(encoder.table.bias.len());
        let tensors = encoder.weights.tensors_mut();
        let weights = tensors.into_iter().map(|(_, values)| Moments::new(values.len())).collect();
        Self { steps: 0, table, table_bias, weights }
    }

    /// A state with the moments that [`Adam::moments`] returned. `None` if their number differs.
    pub(crate) fn restored(
        encoder: &mut Encoder,
        steps: i32,
        mut first: &[f32],
        mut second: &[f32],
    ) -> Option<Self> {
        let mut adam = Self { steps, ..Self::new(encoder) };
        for moments in [&mut adam.table, &mut adam.table_bias].into_iter().chain(&mut adam.weights) {
            let len = moments.first.values().len();
            moments.first.values_mut().copy_from_slice(first.split_off(..len)?);
            moments.second.values_mut().copy_from_slice(second.split_off(..len)?);
        }
        (first.is_empty() && second.is_empty()).then_some(adam)
    }

    /// The number of steps so far.
    pub(crate) fn steps(&self) -> i32 {
        self.steps
    }

    /// First and second moments in the order of
    /// [`ParameterVector`](crate::network::parameter_vector::ParameterVector).
    pub(crate) fn moments(&self) -> impl Iterator<Item = (&[f32], &[f32])> {
        let all = [&self.table, &self.table_bias].into_iter().chain(&self.weights);
        all.map(|moments| (moments.first.values(), moments.second.values()))
    }

    /// Takes one step against the gradient (arXiv 1412.6980, algorithm 1, in the order of operations of its section
    /// 2).
    pub(crate) fn step(&mut self, encoder: &mut Encoder, gradient: &mut Gradient, learning_rate: f32) {
        self.steps += 1;
        let correction = (1.0 - BETA2.powi(self.steps)).sqrt() / (1.0 - BETA1.powi(self.steps));
        let rate = learning_rate * correction;
        self.step_table(encoder, gradient, rate);
        let tensors = encoder.weights.tensors_mut().into_iter().zip(gradient.weights.tensors_mut());
        for (((_, values), (_, gradient)), moments) in tensors.zip(&mut self.weights) {
            moments.update(values, gradient, rate);
        }
    }

    fn step_table(&mut self, encoder: &mut Encoder, gradient: &Gradient, rate: f32) {
        let part = TablePart {
            dim: encoder.table.rows.width(),
            rows: &gradient.table_rows,
            gradient: gradient.table.as_slice().expect("gradients are contiguous"),
            values: encoder.table.rows.values_mut(),
            moments: (self.table.first.values_mut(), self.table.second.values_mut()),
            first: 0,
        };
        part.step(rate);
        let moments = (self.table_bias.first.values_mut(), self.table_bias.second.values_mut());
        for (&row, &g) in gradient.table_rows.iter().zip(&gradient.table_bias) {
            let at = row as usize;
            update_parameter(&mut encoder.table.bias[at], g, &mut moments.0[at], &mut moments.1[at], rate);
        }
    }
}

/// A part of the token table and its moments, from row `first` on, with the gradient of some of its rows, ascending.
struct TablePart<'a> {
    dim: usize,
    rows: &'a [u32],
    gradient: &'a [f32],
    values: &'a mut [f32],
    moments: (&'a mut [f32], &'a mut [f32]),
    first: u32,
}

impl TablePart<'_> {
    /// Updates the rows in parallel. Splitting by rows makes disjoint parts, which need no lock.
    fn step(self, rate: f32) {
        const ROWS_PER_TASK: usize = 1024;
        let Self { dim, rows, gradient, values, moments, first } = self;
        if rows.len() <= ROWS_PER_TASK {
            for (&row, by) in rows.iter().zip(gradient.chunks_exact(dim)) {
                let at = (row - first) as usize * dim..(row - first + 1) as usize * dim;
                let moments = moments.0[at.clone()].iter_mut().zip(&mut moments.1[at.clone()]);
                for ((value, g), (first, second)) in values[at].iter_mut().zip(by).zip(moments) {
                    update_parameter(value, *g, first, second, rate);
                }
            }
            return;
        }
        let middle = rows.len() / 2;
        let at = (rows[middle] - first) as usize * dim;
        let values = values.split_at_mut(at);
        let moments = (moments.0.split_at_mut(at), moments.1.split_at_mut(at));
        let gradient = gradient.split_at(middle * dim);
        let low = TablePart {
            dim,
            rows: &rows[..middle],
            gradient: gradient.0,
            values: values.0,
            moments: (moments.0.0, moments.1.0),
            first,
        };
        let high = TablePart {
            dim,
            rows: &rows[middle..],
            gradient: gradient.1,
            values: values.1,
            moments: (moments.0.1, moments.1.1),
            first: rows[middle],
        };
        rayon::join(|| low.step(rate), || high.step(rate));
    }
}
