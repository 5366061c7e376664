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

/// The optimiser's state: two numbers for every parameter that can be trained.
#[derive(Clone, Debug)]
pub(crate) struct Adam {
    steps: i32,
    /// By row of the table, where its moments lie: only the rows that some token reads have any.
    places: Vec<u32>,
    table: Moments,
    table_bias: Moments,
    weights: Vec<Moments>,
}

impl Adam {
    pub(crate) fn new(encoder: &mut Encoder) -> Self {
        let mut places = vec![u32::MAX; encoder.table.rows.nrows()];
        let mut trained = 0;
        for row in encoder.table.known.rows() {
            places[row as usize] = trained;
            trained += 1;
        }
        let trained = trained as usize;
        let table = Moments::new(trained * encoder.table.rows.ncols());
        let tensors = encoder.weights.tensors_mut();
        let weights = tensors.into_iter().map(|(_, values)| Moments::new(values.len())).collect();
        Self { steps: 0, places, table, table_bias: Moments::new(trained), weights }
    }

    /// Takes up a state that [`Adam::moments`] gave; `None` where it is of another size.
    pub(crate) fn restored(
        encoder: &mut Encoder,
        steps: i32,
        mut first: &[f32],
        mut second: &[f32],
    ) -> Option<Self> {
        let mut adam = Self { steps, ..Self::new(encoder) };
        for moments in [&mut adam.table, &mut adam.table_bias].into_iter().chain(&mut adam.weights) {
            let len = moments.first.len();
            moments.first.copy_from_slice(first.split_off(..len)?);
            moments.second.copy_from_slice(second.split_off(..len)?);
        }
        (first.is_empty() && second.is_empty()).then_some(adam)
    }

    /// Steps taken so far.
    pub(crate) fn steps(&self) -> i32 {
        self.steps
    }

    /// First and second moments in the order of [`Packed`](crate::packed::Packed): trained rows of the table, their
    /// biases, weights.
    pub(crate) fn moments(&self) -> (Vec<&[f32]>, Vec<&[f32]>) {
        let all = [&self.table, &self.table_bias].into_iter().chain(&self.weights);
        all.map(|moments| (moments.first.as_slice(), moments.second.as_slice())).unzip()
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
        let places: Vec<u32> = gradient.table_rows.iter().map(|&row| self.places[row as usize]).collect();
        let part = Part {
            dim: encoder.table.rows.ncols(),
            rows: &gradient.table_rows,
            places: &places,
            gradient: gradient.table.as_slice().expect("gradients are contiguous"),
            values: encoder.table.rows.as_slice_mut().expect("the table is contiguous"),
            first_row: 0,
            moments: (&mut self.table.first, &mut self.table.second),
            first_place: 0,
        };
        part.step(rate);
        for ((&row, &place), &g) in gradient.table_rows.iter().zip(&places).zip(&gradient.table_bias) {
            let bias = &mut encoder.table.bias[row as usize];
            let place = place as usize;
            let (first, second) = (&mut self.table_bias.first[place], &mut self.table_bias.second[place]);
            advance(bias, g, first, second, rate);
        }
    }
}

/// A part of the table from `first_row` on, its moments from `first_place` on, and the gradient of some of its rows,
/// ascending.
struct Part<'a> {
    dim: usize,
    rows: &'a [u32],
    places: &'a [u32],
    gradient: &'a [f32],
    values: &'a mut [f32],
    first_row: u32,
    moments: (&'a mut [f32], &'a mut [f32]),
    first_place: u32,
}

impl Part<'_> {
    /// Splits the work in halves: disjoint parts of the table need no lock.
    fn step(self, rate: f32) {
        const ROWS_PER_TASK: usize = 1024;
        let Self { dim, rows, places, gradient, values, first_row, moments, first_place } = self;
        if rows.len() <= ROWS_PER_TASK {
            for ((&row, &place), by) in rows.iter().zip(places).zip(gradient.chunks_exact(dim)) {
                let range = |at: u32| at as usize * dim..(at as usize + 1) * dim;
                let (values, at) = (&mut values[range(row - first_row)], range(place - first_place));
                let moments = moments.0[at.clone()].iter_mut().zip(&mut moments.1[at]);
                for ((value, g), (first, second)) in values.iter_mut().zip(by).zip(moments) {
                    advance(value, *g, first, second, rate);
                }
            }
            return;
        }
        let middle = rows.len() / 2;
        let (row, place) = (rows[middle], places[middle]);
        let values = values.split_at_mut((row - first_row) as usize * dim);
        let at = (place - first_place) as usize * dim;
        let (first, second) = (moments.0.split_at_mut(at), moments.1.split_at_mut(at));
        let gradient = gradient.split_at(middle * dim);
        let low = Part {
            dim,
            rows: &rows[..middle],
            places: &places[..middle],
            gradient: gradient.0,
            values: values.0,
            first_row,
            moments: (first.0, second.0),
            first_place,
        };
        let high = Part {
            dim,
            rows: &rows[middle..],
            places: &places[middle..],
            gradient: gradient.1,
            values: values.1,
            first_row: row,
            moments: (first.1, second.1),
            first_place: place,
        };
        rayon::join(|| low.step(rate), || high.step(rate));
    }
}
