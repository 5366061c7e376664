//! Minibatches: the part of the graph that a training step reads, with local row numbers. Each node occurs once, its
//! neighborhood in sparse matrices, its features gathered once. Knows nothing of how examples are drawn.

use ndarray::{Array2, Axis};
use rand::rngs::StdRng;

use crate::linalg::sparse::Sparse;
use crate::network::hash_embedding::TrainedRows;
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

impl Minibatch {
    /// Cuts the minibatch out of the graph. `pool` holds the importances of all rows. Of a neighborhood a sample counts, on each layer
    /// another one.
    ///
    /// Cost: [`SAMPLED_NEIGHBORS`] for each of the nodes within K - 1 steps of the examples, and four bytes for each row of the graph.
    pub(crate) fn build(
        inputs: &Inputs,
        pool: &Sparse,
        trained: &TrainedRows,
        layers: usize,
        examples: &[Example],
        negatives: &Negatives,
        rng: &mut StdRng,
    ) -> Self {
        // Mask, for each example, the negatives that are related to it.
        let mut indices = vec![ABSENT; pool.rows()];
        for (index, &row) in (0..).zip(&negatives.rows) {
            indices[row as usize] = index;
        }
        let masked = examples.iter().map(|example| {
            let related = example.query.iter().chain(&example.related).chain([&example.positive]);
            let mut masked: Vec<u32> = related.map(|&row| indices[row as usize]).collect();
            masked.retain(|&index| index != ABSENT);
            masked
        });
        let masked = masked.collect();

        // Number the nodes of the examples: the rows of level K.
        let mut level = Level { rows: Vec::new(), at: vec![ABSENT; pool.rows()] };
        let mut local = |rows: &[u32]| rows.iter().map(|&row| level.add(row)).collect::<Vec<_>>();
        let query_rows: Vec<_> = examples.iter().map(|example| local(&example.query)).collect();
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
            pools.push(level.grow(pool, rng));
        }
        pools.reverse();

        // Gather the inputs of level 0, and transpose all matrices for the backward pass.
        let mut tokens = trained.empty_sums();
        for &row in &level.rows {
            trained.push_tokens(&inputs.tokens[row as usize], &mut tokens);
        }
        let (table_rows, tokens_transposed) = tokens.transpose_nonempty();
        Self {
            tokens_transposed,
            table_rows,
            tokens,
            // On this thread: it is the producer's, which is outside of the caller's thread pool.
            dense: inputs.dense.select(Axis(0), &to_indices(&level.rows)),
            log_degrees: level.rows.iter().map(|&row| inputs.log_degrees[row as usize]).collect(),
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

/// Neighbors of a node that a minibatch reads, at most.
const SAMPLED_NEIGHBORS: usize = 10;

/// The local row of a node that is not in the level.
const ABSENT: u32 = u32::MAX;

/// The rows of a level in order of first use, and the local row of each. Four bytes for each row of the graph.
struct Level {
    rows: Vec<u32>,
    at: Vec<u32>,
}

impl Level {
    fn add(&mut self, row: u32) -> u32 {
        let at = &mut self.at[row as usize];
        if *at == ABSENT {
            *at = self.rows.len() as u32;
            self.rows.push(row);
        }
        *at
    }

    /// Adds some neighbors of all rows. Returns their importances. Shape: (rows before, rows after).
    fn grow(&mut self, pool: &Sparse, rng: &mut StdRng) -> Sparse {
        let mut neighbors = Vec::new();
        let mut ends = Vec::with_capacity(self.rows.len());
        for &row in &self.rows {
            pool.sample_row(row as usize, SAMPLED_NEIGHBORS, rng, &mut neighbors);
            ends.push(neighbors.len());
        }
        for (row, _) in &mut neighbors {
            *row = self.add(*row);
        }
        let mut grown = pool.empty_like(self.rows.len());
        let mut start = 0;
        for end in ends {
            grown.push_row(neighbors[start..end].iter().copied());
            start = end;
        }
        grown
    }
}
