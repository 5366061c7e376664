//! The hashed embedding table of all sparse inputs: tokens and node identities. A token reads several rows of one
//! shared table, so there is no vocabulary to maintain ("Unified Embedding", arXiv 2305.12102). Knows nothing of
//! layers.

use std::sync::Arc;

use hedgerow_storage::{Error as StoreError, StableId};
use ndarray::Array1;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::linalg::huge_matrix::HugeMatrix;
use crate::linalg::sparse::Sparse;

/// Rows that a token reads. Two tokens share all rows once in (table rows)^2 / 2 pairs.
pub(crate) const PROBES: usize = 2;

/// Table rows per distinct token of the training data, before rounding up to a power of two.
const ROWS_PER_TOKEN: usize = 3;

/// The sizes of tables, as powers of two. The largest is 4 GiB at 64 dimensions.
pub(crate) const BITS: std::ops::RangeInclusive<u32> = 8..=24;

/// The 64-bit hash of a token.
pub(crate) fn token_hash(token: &str) -> u64 {
    xxh3_64(token.as_bytes())
}

/// The hash of a node's identity. A token has the same hash only by a 64-bit collision.
pub(crate) fn identity_hash(id: StableId) -> u64 {
    xxh3_64_with_seed(&id.get().to_le_bytes(), 0x6964)
}

/// The place of a row that no training token reads.
const UNTRAINED: u32 = u32::MAX;

/// The trained rows of a table, and their places in the arrays of numbers. The set is a Bloom filter of the training
/// tokens. At least a third of the rows are never read, and have no numbers.
///
/// A token with an untrained row was not in the training data and contributes nothing. So a new node is described by
/// its known tokens alone. Size: four bytes for each row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrainedRows {
    bits: u32,
    places: Vec<u32>,
    /// Row numbers by place, ascending.
    rows: Vec<u32>,
}

impl TrainedRows {
    pub(crate) fn new(bits: u32, rows: impl IntoIterator<Item = u32>) -> Self {
        let mut places = vec![UNTRAINED; 1 << bits];
        for row in rows {
            places[row as usize] = 0;
        }
        let trained = (0..1 << bits).filter(|&row| places[row as usize] != UNTRAINED);
        let rows: Vec<u32> = trained.collect();
        for (place, &row) in (0..).zip(&rows) {
            places[row as usize] = place;
        }
        Self { bits, places, rows }
    }

    /// True if `rows` can be the trained rows of a table of 2^bits rows: ascending and in range.
    pub(crate) fn is_valid(bits: u32, rows: &[u32]) -> bool {
        rows.is_sorted_by(|one, other| one < other) && rows.last().is_none_or(|row| row >> bits == 0)
    }

    /// The trained rows, ascending.
    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The place of a row's numbers. `None` if the row is untrained.
    fn place(&self, row: u32) -> Option<u32> {
        Some(self.places[row as usize]).filter(|&place| place != UNTRAINED)
    }

    /// A matrix for token sums: a column for each trained row, and no rows yet.
    pub(crate) fn empty_sums(&self) -> Sparse {
        Sparse::new(self.rows.len())
    }

    /// The token sums of some nodes, in their order. Shape: (nodes, T).
    pub(crate) fn sums_of(&self, nodes: &[Vec<u64>]) -> Sparse {
        let mut sums = self.empty_sums();
        for tokens in nodes {
            self.push_tokens(tokens, &mut sums);
        }
        sums
    }

    /// Appends the token sum of a node: each row of a known token has the weight one over the square root of the
    /// number of known tokens. So the length of the sum does not grow with their number.
    pub(crate) fn push_tokens(&self, tokens: &[u64], sums: &mut Sparse) {
        let places = |&token: &u64| -> Option<[u32; PROBES]> {
            let places = probes(token, self.bits).map(|row| self.places[row as usize]);
            (!places.contains(&UNTRAINED)).then_some(places)
        };
        let known: Vec<_> = tokens.iter().filter_map(places).collect();
        let weight = 1.0 / (known.len().max(1) as f32).sqrt();
        sums.push_row(known.into_iter().flatten().map(|place| (place, weight)));
    }
}

/// The trained rows of a table. T is their number. Shapes: `rows` (T, D), `bias` (T). Rows of a mapped file are verified before they
/// are read.
#[derive(Clone, Debug)]
pub(crate) struct HashEmbedding {
    pub(crate) trained: Arc<TrainedRows>,
    pub(crate) rows: HugeMatrix,
    pub(crate) bias: Array1<f32>,
}

impl HashEmbedding {
    /// A table for the distinct tokens of a training set.
    ///
    /// Determinism: starting values are uniform in `[-scale, scale]`, a function of seed, row and column alone.
    pub(crate) fn new(tokens: &[u64], dim: usize, seed: u64, scale: f32) -> Self {
        Self::with_bits(bits_for(tokens), tokens, dim, seed, scale)
    }

    /// A table for the distinct tokens of another training set, with at least as many rows as `old`. A row begins as
    /// a copy of the row of `old` with its number modulo the size of `old`, if that is trained. So a token that `old`
    /// knows keeps its vector. Other rows begin as in [`HashEmbedding::new`].
    pub(crate) fn grown(old: &Self, tokens: &[u64], seed: u64, scale: f32) -> Self {
        let bits = bits_for(tokens).max(old.bits());
        let mut new = Self::with_bits(bits, tokens, old.rows.width(), seed, scale);
        let mask = (1 << old.bits()) - 1;
        for (to, row) in new.trained.rows().iter().enumerate() {
            if let Some(from) = old.trained.place(row & mask) {
                new.rows.row_mut(to).copy_from_slice(old.rows.row(from as usize));
                new.bias[to] = old.bias[from as usize];
            }
        }
        new
    }

    /// The token sums of some nodes, as [`TrainedRows::sums_of`]. Verifies the rows that they read.
    ///
    /// # Errors
    /// Damage of the file of the table.
    pub(crate) fn verified_sums_of(&self, nodes: &[Vec<u64>]) -> Result<Sparse, StoreError> {
        let sums = self.trained.sums_of(nodes);
        self.rows.verify_rows(sums.columns())?;
        Ok(sums)
    }

    /// A table of zeros with these trained rows.
    pub(crate) fn zeros(trained: TrainedRows, dim: usize) -> Self {
        let count = trained.rows.len();
        Self { trained: Arc::new(trained), rows: HugeMatrix::zeros(count, dim), bias: Array1::zeros(count) }
    }

    fn with_bits(bits: u32, tokens: &[u64], dim: usize, seed: u64, scale: f32) -> Self {
        let trained = TrainedRows::new(bits, tokens.iter().flat_map(|&token| probes(token, bits)));
        let mut table = Self::zeros(trained, dim);
        for (place, &row) in table.trained.rows.iter().enumerate() {
            for (column, value) in table.rows.row_mut(place).iter_mut().enumerate() {
                let at = u64::from(row) << 32 | column as u64;
                let bits = xxh3_64_with_seed(&at.to_le_bytes(), seed) >> 40;
                *value = (bits as f32 / (1u32 << 23) as f32 - 1.0) * scale;
            }
        }
        table
    }

    pub(crate) fn bits(&self) -> u32 {
        self.trained.bits
    }
}

/// The size of a table for the tokens, as a power of two.
fn bits_for(tokens: &[u64]) -> u32 {
    let bits = (tokens.len().max(1) * ROWS_PER_TOKEN).next_power_of_two().trailing_zeros();
    bits.clamp(*BITS.start(), *BITS.end())
}

/// The rows that a token reads: separate bits of its hash, since `bits` is at most 24.
fn probes(token: u64, bits: u32) -> [u32; PROBES] {
    let mask = (1u64 << bits) - 1;
    std::array::from_fn(|probe| ((token >> (32 * probe)) & mask) as u32)
}

#[cfg(test)]
mod tests {
    use super::{HashEmbedding, token_hash};
    use crate::linalg::buffer_pool::BufferPool;

    #[test]
    fn an_unknown_token_contributes_nothing() {
        let (known, unknown) = (token_hash("genre=jazz"), token_hash("genre=polka"));
        let table = HashEmbedding::new(&[known], 4, 7, 0.1);
        let row = |tokens: &[u64]| {
            let mut sums = table.trained.empty_sums();
            table.trained.push_tokens(tokens, &mut sums);
            sums.multiply(&table.rows.view(), &mut BufferPool::with_nan())
        };
        assert!(row(&[known]).iter().any(|value| *value != 0.0));
        assert_eq!(row(&[known, unknown]), row(&[known]));
        assert!(row(&[unknown]).iter().all(|value| *value == 0.0));
    }

    #[test]
    fn in_a_table_that_grew_every_token_begins_with_the_vector_it_had() {
        let token = |at: usize| token_hash(&at.to_string());
        let (few, many): (Vec<u64>, Vec<u64>) =
            ((0..200).map(token).collect(), (0..2000).map(token).collect());
        let mut old = HashEmbedding::new(&few, 3, 1, 0.1);
        old.bias.iter_mut().zip(1..).for_each(|(bias, at)| *bias = at as f32);
        let new = HashEmbedding::grown(&old, &many, 2, 0.1);
        assert!(new.bits() > old.bits());
        let sums = |table: &HashEmbedding, token| {
            let mut sums = table.trained.empty_sums();
            table.trained.push_tokens(&[token], &mut sums);
            let bias = table.bias.view().insert_axis(ndarray::Axis(1));
            (
                sums.multiply(&table.rows.view(), &mut BufferPool::with_nan()),
                sums.multiply(&bias, &mut BufferPool::with_nan()),
            )
        };
        for &token in &few {
            assert_eq!(sums(&new, token), sums(&old, token));
        }
        let smaller = HashEmbedding::grown(&new, &few, 3, 0.1);
        assert_eq!(smaller.bits(), new.bits());
        assert_eq!(sums(&smaller, few[7]), sums(&old, few[7]));
    }

    #[test]
    fn starting_values_do_not_depend_on_the_order_of_tokens() {
        let tokens = [token_hash("a"), token_hash("b"), token_hash("c")];
        let reversed = [tokens[2], tokens[1], tokens[0]];
        let values = |tokens: &[u64]| HashEmbedding::new(tokens, 3, 1, 0.1).rows.values().to_vec();
        assert_eq!(values(&tokens), values(&reversed));
    }
}
