//! A training step's share of the graph, cut out and re-indexed: each node once, its neighbourhoods as
//! sparse matrices over local rows, its features gathered once.

use ndarray::{Array2, Axis};

use crate::linalg::sparse::Sparse;
use crate::network::hash_embedding::TrainedRows;
use crate::network::inputs::Inputs;

/// One positive: what was asked, and what should be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Example {
    /// Rows whose mean vector asks, weighted by influence: a user's history, or a single node.
    pub(crate) query: Vec<u32>,
    pub(crate) positive: u32,
    /// Rows that belong together with the query and the positive: no negatives of theirs.
    pub(crate) related: Vec<u32>,
    /// Rows that are related but not this closely; see [`crate::train::hard_negatives`].
    pub(crate) hard_negatives: Vec<u32>,
}

/// Drawn rows, each once, and the logarithm of how much more often than by equal chances each is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Negatives {
    pub(crate) rows: Vec<u32>,
    pub(crate) log_rates: Vec<f32>,
}

/// Levels: the rows of level K come first in level K-1, which adds their neighbours, and so on down to the
/// input level 0. So "a node's own row" is the same index on every level.
pub(crate) struct Minibatch {
    /// (level 0, 2^bits): token sums; and transposed over `table_rows`.
    pub(crate) tokens: Sparse,
    pub(crate) tokens_transposed: Sparse,
    pub(crate) table_rows: Vec<u32>,
    /// (level 0, F).
    pub(crate) dense: Array2<f32>,
    pub(crate) log_degrees: Vec<f32>,
    /// Per layer k: (level k, level k-1) importances; and transposed.
    pub(crate) pools: Vec<Sparse>,
    pub(crate) pools_transposed: Vec<Sparse>,
    /// (B, level K): query means; and transposed.
    pub(crate) queries: Sparse,
    pub(crate) queries_transposed: Sparse,
    /// Local rows, by example.
    pub(crate) positives: Vec<u32>,
    pub(crate) hard_negatives: Vec<Vec<u32>>,
    /// Local rows, shared by all examples, each once.
    pub(crate) negatives: Vec<u32>,
    /// By negative, the logarithm of how much more often than others it is drawn.
    pub(crate) log_rates: Vec<f32>,
    /// By example, places in `negatives` of nodes that are none for it.
    pub(crate) masked: Vec<Vec<u32>>,
}

impl Minibatch {
    /// Cost: proportional to the neighbourhoods of the nodes within K - 1 steps of the examples'.
    pub(crate) fn build(
        inputs: &Inputs,
        pool: &Sparse,
        trained: &TrainedRows,
        layers: usize,
        examples: &[Example],
        negatives: &Negatives,
    ) -> Self {
        let mut places = vec![ABSENT; pool.rows()];
        for (place, &row) in (0..).zip(&negatives.rows) {
            places[row as usize] = place;
        }
        let masked = examples.iter().map(|example| {
            let apart = example.query.iter().chain(&example.related).chain([&example.positive]);
            let mut found: Vec<u32> = apart.map(|&row| places[row as usize]).collect();
            found.retain(|&place| place != ABSENT);
            found
        });
        let masked = masked.collect();

        let mut level = Level { rows: Vec::new(), at: vec![ABSENT; pool.rows()] };
        let mut local = |rows: &[u32]| rows.iter().map(|&row| level.add(row)).collect::<Vec<_>>();
        let query_rows: Vec<_> = examples.iter().map(|example| local(&example.query)).collect();
        let positives: Vec<_> = examples.iter().map(|example| local(&[example.positive])[0]).collect();
        let hard_negatives: Vec<_> = examples.iter().map(|example| local(&example.hard_negatives)).collect();
        let log_rates = negatives.log_rates.clone();
        let negatives = local(&negatives.rows);

        let mut queries = Sparse::new(level.rows.len());
        for (rows, example) in query_rows.iter().zip(examples) {
            let influence = example.query.iter().map(|&row| inputs.influence[row as usize]);
            let sum: f32 = influence.clone().sum();
            queries.push_row(rows.iter().zip(influence).map(|(&row, share)| (row, share / sum)));
        }
        let mut pools = Vec::with_capacity(layers);
        for _ in 0..layers {
            pools.push(level.grow(pool));
        }
        pools.reverse();

        let mut tokens = trained.empty_sums();
        for &row in &level.rows {
            trained.push_tokens(&inputs.tokens[row as usize], &mut tokens);
        }
        let (table_rows, tokens_transposed) = tokens.transpose_nonempty();
        Self {
            tokens_transposed,
            table_rows,
            tokens,
            // By this thread: it is the producer's, outside of the pool that the caller chose.
            dense: inputs.dense.select(Axis(0), &places_of(&level.rows)),
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

    /// Rows of level K: the nodes that the loss sees.
    pub(crate) fn nodes(&self) -> usize {
        self.queries_transposed.rows()
    }

    /// Rows of level 0.
    pub(crate) fn inputs(&self) -> usize {
        self.tokens.rows()
    }
}

fn places_of(rows: &[u32]) -> Vec<usize> {
    rows.iter().map(|&row| row as usize).collect()
}

/// Marks a row that is not in the level.
const ABSENT: u32 = u32::MAX;

/// The rows of a level in order of first use, and where each is. Four bytes for each row of the graph.
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

    /// Adds the neighbours of all rows so far; returns the importances from those rows to the grown level.
    fn grow(&mut self, pool: &Sparse) -> Sparse {
        let rows = self.rows.len();
        for at in 0..rows {
            for (row, _) in pool.row(self.rows[at] as usize) {
                self.add(row);
            }
        }
        let mut grown = pool.empty_like(self.rows.len());
        for at in 0..rows {
            grown.push_row(
                pool.row(self.rows[at] as usize).map(|(row, share)| (self.at[row as usize], share)),
            );
        }
        grown
    }
}
