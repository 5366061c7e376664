//! The shared hashed table from which all sparse input (tokens, node identities) takes its vectors.
//! One table, several probes per token: no vocabulary to maintain ("Unified Embedding", arXiv 2305.12102).

use std::sync::Arc;

use hedgerow_storage::StableId;
use ndarray::{Array1, Array2};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::sparse::Sparse;

/// Rows that each token reads; two tokens share all of theirs once in (table rows)^2 / 2 pairs.
pub(crate) const PROBES: usize = 2;

/// Table rows per distinct token of the training data (before rounding up to a power of two).
const ROWS_PER_TOKEN: usize = 3;

/// The smallest and largest table, as powers of two. The largest is 4 GiB at 64 dimensions.
pub(crate) const BITS: std::ops::RangeInclusive<u32> = 8..=24;

/// The 64-bit hash of a token.
pub(crate) fn token_hash(token: &str) -> u64 {
    xxh3_64(token.as_bytes())
}

/// The hash that stands for the identity of a node; no token of a user has it but by a 64-bit collision.
pub(crate) fn identity_hash(id: StableId) -> u64 {
    xxh3_64_with_seed(&id.get().to_le_bytes(), 0x6964)
}

/// Which rows of a table were trained: a Bloom filter of the training tokens.
///
/// A row that no training token reads is zero and stays so. A token one of whose rows is such a row was
/// certainly never trained and contributes nothing: a cold node is described by the tokens that are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    bits: u32,
    trained: Vec<bool>,
}

impl Known {
    pub(crate) fn new(bits: u32, rows: impl IntoIterator<Item = u32>) -> Self {
        let mut trained = vec![false; 1 << bits];
        for row in rows {
            trained[row as usize] = true;
        }
        Self { bits, trained }
    }

    /// The trained rows, ascending.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.trained.len() as u32).filter(|&row| self.trained[row as usize])
    }

    /// A matrix with a column for each row of the table and no rows yet.
    pub(crate) fn sums(&self) -> Sparse {
        Sparse::new(self.trained.len())
    }

    /// The sums of some nodes, in their order.
    pub(crate) fn sums_of(&self, nodes: &[Vec<u64>]) -> Sparse {
        let mut sums = self.sums();
        for tokens in nodes {
            self.push_tokens(tokens, &mut sums);
        }
        sums
    }

    /// Appends to `sums` the row that adds up a node's known tokens: every probe weighs one over the square
    /// root of the number of tokens, so that the sum's length does not grow with it.
    pub(crate) fn push_tokens(&self, tokens: &[u64], sums: &mut Sparse) {
        let rows = tokens.iter().map(|&token| probes(token, self.bits));
        let known: Vec<_> = rows.filter(|rows| rows.iter().all(|&row| self.trained[row as usize])).collect();
        let weight = 1.0 / (known.len().max(1) as f32).sqrt();
        sums.push_row(known.into_iter().flatten().map(|row| (row, weight)));
    }
}

/// Shapes: `rows` is (2^bits, D), `bias` (2^bits).
#[derive(Clone, Debug)]
pub(crate) struct TokenTable {
    pub(crate) known: Arc<Known>,
    pub(crate) rows: Array2<f32>,
    pub(crate) bias: Array1<f32>,
}

impl TokenTable {
    /// A table for the distinct tokens of a training set. Starting values are uniform in `[-scale, scale]`, a
    /// function of seed, row and column alone.
    pub(crate) fn new(tokens: &[u64], dim: usize, seed: u64, scale: f32) -> Self {
        Self::with_bits(bits_for(tokens), tokens, dim, seed, scale)
    }

    /// A table of at least as many rows as `old`, for the distinct tokens of another training set. A row that stands where
    /// `old` had a trained one, by its number modulo the rows there, begins as a copy of it, so every token that `old` knew
    /// and that is among these begins with the vector it had. The other rows begin as in [`TokenTable::new`].
    pub(crate) fn grown(old: &Self, tokens: &[u64], seed: u64, scale: f32) -> Self {
        let bits = bits_for(tokens).max(old.bits());
        let mut new = Self::with_bits(bits, tokens, old.rows.ncols(), seed, scale);
        let mask = (1 << old.bits()) - 1;
        for row in Arc::clone(&new.known).rows() {
            let (to, from) = (row as usize, (row & mask) as usize);
            if old.known.trained[from] {
                new.rows.row_mut(to).assign(&old.rows.row(from));
                new.bias[to] = old.bias[from];
            }
        }
        new
    }

    fn with_bits(bits: u32, tokens: &[u64], dim: usize, seed: u64, scale: f32) -> Self {
        let known = Known::new(bits, tokens.iter().flat_map(|&token| probes(token, bits)));
        let mut rows = Array2::zeros((1 << bits, dim));
        for row in known.rows() {
            for (column, value) in rows.row_mut(row as usize).iter_mut().enumerate() {
                let at = u64::from(row) << 32 | column as u64;
                let bits = xxh3_64_with_seed(&at.to_le_bytes(), seed) >> 40;
                *value = (bits as f32 / (1u32 << 23) as f32 - 1.0) * scale;
            }
        }
        Self { known: Arc::new(known), rows, bias: Array1::zeros(1 << bits) }
    }

    pub(crate) fn bits(&self) -> u32 {
        self.known.bits
    }
}

/// The size of a table for so many tokens.
fn bits_for(tokens: &[u64]) -> u32 {
    let bits = (tokens.len().max(1) * ROWS_PER_TOKEN).next_power_of_two().trailing_zeros();
    bits.clamp(*BITS.start(), *BITS.end())
}

/// The rows that a token reads. With `bits` at most 24 each takes its own bits of one hash.
fn probes(token: u64, bits: u32) -> [u32; PROBES] {
    let mask = (1u64 << bits) - 1;
    std::array::from_fn(|probe| ((token >> (32 * probe)) & mask) as u32)
}

#[cfg(test)]
mod tests {
    use super::{TokenTable, token_hash};

    #[test]
    fn an_unknown_token_contributes_nothing() {
        let (known, unknown) = (token_hash("genre=jazz"), token_hash("genre=polka"));
        let table = TokenTable::new(&[known], 4, 7, 0.1);
        let row = |tokens: &[u64]| {
            let mut sums = table.known.sums();
            table.known.push_tokens(tokens, &mut sums);
            sums.multiply(&table.rows.view())
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
        let mut old = TokenTable::new(&few, 3, 1, 0.1);
        old.bias.iter_mut().zip(1..).for_each(|(bias, at)| *bias = at as f32);
        let new = TokenTable::grown(&old, &many, 2, 0.1);
        assert!(new.bits() > old.bits());
        let sums = |table: &TokenTable, token| {
            let mut sums = table.known.sums();
            table.known.push_tokens(&[token], &mut sums);
            let bias = table.bias.view().insert_axis(ndarray::Axis(1));
            (sums.multiply(&table.rows.view()), sums.multiply(&bias))
        };
        for &token in &few {
            assert_eq!(sums(&new, token), sums(&old, token));
        }
        let smaller = TokenTable::grown(&new, &few, 3, 0.1);
        assert_eq!(smaller.bits(), new.bits());
        assert_eq!(sums(&smaller, few[7]), sums(&old, few[7]));
    }

    #[test]
    fn starting_values_do_not_depend_on_the_order_of_tokens() {
        let tokens = [token_hash("a"), token_hash("b"), token_hash("c")];
        let reversed = [tokens[2], tokens[1], tokens[0]];
        assert_eq!(TokenTable::new(&tokens, 3, 1, 0.1).rows, TokenTable::new(&reversed, 3, 1, 0.1).rows);
    }
}
