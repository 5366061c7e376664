//! Minibatches: the part of the graph that a training step reads, with local row numbers. Each node occurs once, its
//! neighborhood in sparse matrices, its features gathered once. Knows nothing of how examples are drawn.

use ndarray::{Array2, Axis};
use rand::rngs::StdRng;

use crate::linalg::sparse::Sparse;
use crate::network::importances::Importances;
use crate::network::inputs::Inputs;

/// A positive example: a query, and the node that it must find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Example {
    /// Rows of the query, a user's history or a single node. Their vectors are averaged with the weights of
    /// influence.
    pub(crate) query: Vec<u32>,
    pub(crate) positive: u32,
    /// Rows that are related to the query and the positive, so never negatives for it.
    pub(crate) related: Vec<u32>,
    /// Rows that are related to the query, but less than the positive; see `train/hard_negatives.rs`.
    pub(crate) hard_negatives: Vec<u32>,
}

/// Negatives without repetition. `log_rates` are logarithms of the probability of drawing a row, divided by the
/// uniform one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Negatives {
    pub(crate) rows: Vec<u32>,
    pub(crate) log_rates: Vec<f32>,
}

/// A minibatch of examples.
///
/// Level K holds the nodes of the examples. Level k - 1 begins with the rows of level k and adds their neighbors,
/// down to the input level 0. So a node has the same row index on every level. B is the number of examples, F the
/// width of dense features.
pub(crate) struct Minibatch {
    /// Token sums (level 0, T), their transpose without empty rows, and the table rows which that keeps.
    pub(crate) tokens: Sparse,
    pub(crate) tokens_transposed: Sparse,
    pub(crate) table_rows: Vec<u32>,
    /// Dense features. Shape: (level 0, F).
    pub(crate) dense: Array2<f32>,
    pub(crate) log_degrees: Vec<f32>,
    /// The importances of each layer k, and their transposes. Shape: (level k, level k - 1).
    pub(crate) pools: Vec<Sparse>,
    pub(crate) pools_transposed: Vec<Sparse>,
    /// The weights of query rows, and their transpose. Shape: (B, level K).
    pub(crate) queries: Sparse,
    pub(crate) queries_transposed: Sparse,
    /// Local rows of positives and hard negatives, by example.
    pub(crate) positives: Vec<u32>,
    pub(crate) hard_negatives: Vec<Vec<u32>>,
    /// Local rows of the negatives that all examples share.
    pub(crate) negatives: Vec<u32>,
    /// By negative, its [`Negatives::log_rates`].
    pub(crate) log_rates: Vec<f32>,
    /// By example, the indices in `negatives` of rows that are related to it.
    pub(crate) masked: Vec<Vec<u32>>,
}

/// The part of a run that minibatches are cut out of.
pub(crate) struct MinibatchSource<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) importances: Importances<'a>,
    /// The token sums of all rows. Shape: (rows, T).
    pub(crate) token_sums: &'a Sparse,
    /// The number K of layers.
    pub(crate) layers: usize,
}

impl Minibatch {
    /// Cuts the minibatch out of the graph. Of each neighborhood it reads a sample, on each layer another one. A sample is as large as its
    /// row counts: [`SAMPLED_NEIGHBORS`] for a positive and a negative, as many for all rows of a query together, and for a neighbor
    /// its part of the sample that it is in; but at least one.
    ///
    /// Cost: a positive, a negative or a query reads 2^K - 1 times [`SAMPLED_NEIGHBORS`] neighbors in K layers, and a query 2^K - 1 for
    /// each of its rows, if these are more.
    pub(crate) fn build(
        source: &MinibatchSource<'_>,
        examples: &[Example],
        negatives: &Negatives,
        memory: &mut MinibatchMemory,
        rng: &mut StdRng,
    ) -> Self {
        let MinibatchSource { inputs, token_sums, importances, layers } = *source;
        // Mask, for each example, the negatives that are related to it.
        let indices = memory.rows.at_least(importances.rows());
        for (index, &row) in (0..).zip(&negatives.rows) {
            indices[row as usize] = index;
        }
        let masked = examples.iter().map(|example| {
            let related = example.query.iter().chain(&example.related).chain([&example.positive]);
            let indices = related.map(|&row| indices[row as usize]);
            indices.filter(|&index| index != ABSENT).collect()
        });
        let masked = masked.collect();
        memory.rows.forget(&negatives.rows);

        // Number the nodes of the examples: the rows of level K.
        let numbers = memory.rows.at_least(importances.rows());
        let mut level = Level { rows: Vec::new(), samples: Vec::new(), numbers };
        let most = SAMPLED_NEIGHBORS as f32;
        let query = |example: &Example, level: &mut Level<'_>| -> Vec<u32> {
            let share = most / example.query.len() as f32;
            example.query.iter().map(|&row| level.add(row, share)).collect()
        };
        let query_rows: Vec<_> = examples.iter().map(|example| query(example, &mut level)).collect();
        let mut local = |rows: &[u32]| rows.iter().map(|&row| level.add(row, most)).collect::<Vec<_>>();
        let positives: Vec<_> = examples.iter().map(|example| local(&[example.positive])[0]).collect();
        let hard_negatives: Vec<_> = examples.iter().map(|example| local(&example.hard_negatives)).collect();
        let log_rates = negatives.log_rates.clone();
        let negatives = local(&negatives.rows);

        // The weights of query rows: influences that sum to 1.
        let mut queries = Sparse::new(level.rows.len());
        for (rows, example) in query_rows.iter().zip(examples) {
            let influence = example.query.iter().map(|&row| inputs.influence[row as usize]);
            let sum: f32 = influence.clone().sum();
            queries.push_row(rows.iter().zip(influence).map(|(&row, share)| (row, share / sum)));
        }
        // From level K down, add the neighbors of each level.
        let mut pools = Vec::with_capacity(layers);
        for _ in 0..layers {
            pools.push(level.grow(importances, rng));
        }
        pools.reverse();

        // Gather the inputs of level 0, and transpose all matrices for the backward pass.
        let mut tokens = token_sums.empty_like(token_sums.width());
        for at in 0..level.rows.len() {
            token_sums.prefetch_row(ahead(&level.rows, at, 1), ahead(&level.rows, at, 2));
            tokens.push_row(token_sums.row(level.rows[at] as usize));
        }
        let (table_rows, tokens_transposed) = tokens.transpose_nonempty();
        let dense = inputs.dense.select(Axis(0), &to_indices(&level.rows));
        let log_degrees = level.rows.iter().map(|&row| inputs.log_degrees[row as usize]).collect();
        let rows = level.rows;
        memory.rows.forget(&rows);
        Self {
            tokens_transposed,
            table_rows,
            tokens,
            dense,
            log_degrees,
            pools_transposed: pools.iter().map(Sparse::transpose).collect(),
            pools,
            queries_transposed: queries.transpose(),
            queries,
            positives,
            hard_negatives,
            negatives,
            log_rates,
            masked,
        }
    }

    /// The number of rows of level K, which the loss reads.
    pub(crate) fn nodes(&self) -> usize {
        self.queries_transposed.rows()
    }

    /// The number of rows of level 0.
    pub(crate) fn inputs(&self) -> usize {
        self.tokens.rows()
    }
}

fn to_indices(rows: &[u32]) -> Vec<usize> {
    rows.iter().map(|&row| row as usize).collect()
}

/// The neighbors that a minibatch reads of a node, at most.
const SAMPLED_NEIGHBORS: usize = 10;

/// Rows that are read while the memory of a later one arrives.
const ROWS_AHEAD: usize = 8;

/// The row that is read after the one at `at` and `distances` times [`ROWS_AHEAD`] others.
fn ahead(rows: &[u32], at: usize, distances: usize) -> usize {
    rows[(at + distances * ROWS_AHEAD).min(rows.len() - 1)] as usize
}

/// The number of a row that is not in the minibatch.
const ABSENT: u32 = u32::MAX;

/// Memory that minibatches use one after another. Four bytes for each row of the graph.
#[derive(Default)]
pub(crate) struct MinibatchMemory {
    rows: Numbers,
}

/// The number of each row within a minibatch; [`ABSENT`] between two minibatches.
#[derive(Default)]
struct Numbers(Vec<u32>);

impl Numbers {
    fn at_least(&mut self, rows: usize) -> &mut [u32] {
        if self.0.len() < rows {
            self.0.resize(rows, ABSENT);
        }
        &mut self.0
    }

    fn forget(&mut self, rows: &[u32]) {
        for &row in rows {
            self.0[row as usize] = ABSENT;
        }
    }
}

/// The rows of a level in order of first use.
struct Level<'a> {
    rows: Vec<u32>,
    /// The neighbors to sample of each row, before rounding.
    samples: Vec<f32>,
    /// The number of each row within the level.
    numbers: &'a mut [u32],
}

impl Level<'_> {
    /// Adds a row, or more samples to a row that is there. Returns its number.
    fn add(&mut self, row: u32, samples: f32) -> u32 {
        let number = &mut self.numbers[row as usize];
        if *number == ABSENT {
            *number = self.rows.len() as u32;
            self.rows.push(row);
            self.samples.push(0.0);
        }
        self.samples[*number as usize] += samples;
        *number
    }

    /// Adds sampled neighbors of all rows. Returns their importances. Shape: (rows before, rows after).
    fn grow(&mut self, importances: Importances<'_>, rng: &mut StdRng) -> Sparse {
        let mut neighbors = Vec::new();
        let mut ends = Vec::with_capacity(self.rows.len());
        for (at, (&row, samples)) in self.rows.iter().zip(&mut self.samples).enumerate() {
            importances.prefetch(ahead(&self.rows, at, 1), ahead(&self.rows, at, 2));
            *samples = samples.round().clamp(1.0, SAMPLED_NEIGHBORS as f32);
            importances.sample_row(row as usize, *samples as usize, rng, &mut neighbors);
            ends.push(neighbors.len());
        }
        // A neighbor gets its share of the samples of the row that reads it.
        let mut start = 0;
        for (at, &end) in ends.iter().enumerate() {
            let samples = self.samples[at];
            for (neighbor, value) in &mut neighbors[start..end] {
                *neighbor = self.add(*neighbor, *value * samples);
            }
            start = end;
        }
        let mut grown = importances.empty_like(self.rows.len());
        let mut start = 0;
        for end in ends {
            grown.push_row(neighbors[start..end].iter().copied());
            start = end;
        }
        grown
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::{
        Example, Importances, Inputs, Minibatch, MinibatchMemory, MinibatchSource, Negatives, Sparse,
    };
    use crate::linalg::buffer_pool::BufferPool;

    const NODES: u32 = 60;

    /// The importances of nodes in a ring: each has the thirty after it as neighbors, the near ones with a larger value.
    fn importances() -> Sparse {
        let mut importances = Sparse::new(NODES as usize);
        for at in 0..NODES {
            importances.push_normalized((1..=30).map(|by| ((at + by) % NODES, 31.0 - by as f32)));
        }
        importances
    }

    fn inputs() -> Inputs {
        Inputs {
            tokens: Vec::new(),
            dense: Array2::zeros((NODES as usize, 0)),
            log_degrees: vec![0.0; NODES as usize],
            influence: vec![1.0; NODES as usize],
        }
    }

    /// A query of one row and one of twenty, which share no row with the positives and the negative.
    fn examples() -> (Vec<Example>, Negatives) {
        let example =
            |query, positive| Example { query, positive, related: vec![3], hard_negatives: Vec::new() };
        let examples = vec![example(vec![0], 1), example((10..30).collect(), 2)];
        (examples, Negatives { rows: vec![3, 4], log_rates: vec![0.0; 2] })
    }

    fn build(importances: &Sparse, memory: &mut MinibatchMemory, rng: &mut StdRng) -> Minibatch {
        let (inputs, (examples, negatives)) = (inputs(), examples());
        // The token sums are the identity: the input row of each node tells it.
        let mut token_sums = Sparse::new(NODES as usize);
        (0..NODES).for_each(|row| token_sums.push_row([(row, 1.0)]));
        let importances = Importances::of(importances);
        let source = MinibatchSource { inputs: &inputs, token_sums: &token_sums, importances, layers: 2 };
        Minibatch::build(&source, &examples, &negatives, memory, rng)
    }

    #[test]
    fn samples_are_as_large_as_their_rows_count() {
        let (importances, memory) = (importances(), &mut MinibatchMemory::default());
        for seed in 0..20 {
            let batch = build(&importances, memory, &mut StdRng::seed_from_u64(seed));
            let sampled = |layer: usize, row: u32| batch.pools[layer].row(row as usize).count();
            let alone = batch.queries.columns_of(0).iter().chain(&batch.positives).chain(&batch.negatives);
            for &row in alone {
                // A neighbor of a large value may be drawn twice.
                assert!((8..=10).contains(&sampled(1, row)), "{row}: {}", sampled(1, row));
                assert!((8..=10).contains(&sampled(0, row)), "{row}: {}", sampled(0, row));
            }
            for &row in batch.queries.columns_of(1) {
                assert_eq!(sampled(1, row), 1);
            }
            // The lower layer reads what the rows above read again, and about one more for each of their neighbors.
            let of_layer = |layer: usize| batch.pools[layer].columns().len();
            assert!(of_layer(1) <= 5 * 10 + 20, "{}", of_layer(1));
            assert!(of_layer(0) <= 5 * 20 + 2 * 20 + 5 * 10, "{}", of_layer(0));
            assert_eq!(batch.masked, [vec![0], vec![0]]);
        }
    }

    /// The memory that minibatches share makes no difference.
    #[test]
    fn a_minibatch_does_not_depend_on_those_before() {
        let (importances, memory) = (importances(), &mut MinibatchMemory::default());
        build(&importances, memory, &mut StdRng::seed_from_u64(1));
        let again = build(&importances, memory, &mut StdRng::seed_from_u64(2));
        let new = build(&importances, &mut MinibatchMemory::default(), &mut StdRng::seed_from_u64(2));
        assert_eq!(again.pools, new.pools);
        assert_eq!((again.queries, again.masked), (new.queries, new.masked));
        assert_eq!(again.tokens, new.tokens);
    }

    #[test]
    fn the_mean_of_many_minibatches_is_two_layers_of_whole_neighborhoods() {
        const BUILT: usize = 3000;
        let (importances, buffers) = (importances(), &mut BufferPool::default());
        let (mut rng, memory) = (StdRng::seed_from_u64(3), &mut MinibatchMemory::default());
        let layer = |pool: &Sparse, h: &Array2<f32>, buffers: &mut BufferPool| {
            let mut next = pool.multiply(&h.view(), buffers);
            next += &h.slice(ndarray::s![..pool.rows(), ..]);
            next
        };
        let identity = Array2::eye(NODES as usize);
        let once = layer(&importances, &identity, buffers);
        let whole = layer(&importances, &once, buffers);
        let mut means = Array2::<f32>::zeros((3, NODES as usize));
        for _ in 0..BUILT {
            let batch = build(&importances, memory, &mut rng);
            let mut h = batch.tokens.multiply(&identity.view(), buffers);
            for pool in &batch.pools {
                h = layer(pool, &h, buffers);
            }
            let queries = batch.queries.multiply(&h.view(), buffers);
            let rows = [queries.row(0), queries.row(1), h.row(batch.negatives[1] as usize)];
            for (mut mean, row) in means.outer_iter_mut().zip(rows) {
                mean.scaled_add(1.0 / BUILT as f32, &row);
            }
        }
        let of_query = (10..30).fold(Array2::zeros((1, NODES as usize)), |sum, row| {
            sum + whole.row(row).insert_axis(ndarray::Axis(0)).mapv(|value| value / 20.0)
        });
        for (mean, expected) in means.outer_iter().zip([whole.row(0), of_query.row(0), whole.row(4)]) {
            for (mean, expected) in mean.iter().zip(expected) {
                assert!((mean - expected).abs() < 0.01, "{mean} {expected}");
            }
        }
    }
}
