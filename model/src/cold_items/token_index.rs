//! The rows that have each token, and the rows with tokens most similar to those of one row.
//! Must not know the graph.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

/// An index of the tokens of rows.
///
/// Size: 8 bytes for each token of a row, 16 bytes a row, and about 50 bytes a distinct token.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenIndex {
    /// The number of each token, by the hash of its text.
    numbers: HashMap<u64, u32>,
    /// The rows that have each token, ascending.
    rows_of: Vec<Vec<u32>>,
    /// The tokens of each row, in the order in which they were given.
    tokens_of: Vec<Box<[u32]>>,
    /// Rows that have tokens.
    rows: usize,
}

impl TokenIndex {
    /// Replaces the tokens of a row. No token may occur twice.
    ///
    /// Cost: for each token that comes or goes, a move of the rows that have it.
    pub(crate) fn set(&mut self, row: u32, tokens: &[&str]) {
        let at = row as usize;
        if self.tokens_of.len() <= at {
            self.tokens_of.resize(at + 1, Box::default());
        }
        let new: Box<[u32]> = tokens.iter().map(|token| self.number(token)).collect();
        if self.tokens_of[at] == new {
            return;
        }
        let old = std::mem::replace(&mut self.tokens_of[at], new.clone());
        for token in old.iter().filter(|token| !new.contains(token)) {
            let rows = &mut self.rows_of[*token as usize];
            if let Ok(place) = rows.binary_search(&row) {
                rows.remove(place);
            }
        }
        for token in new.iter().filter(|token| !old.contains(token)) {
            let rows = &mut self.rows_of[*token as usize];
            if let Err(place) = rows.binary_search(&row) {
                rows.insert(place, row);
            }
        }
        self.rows = self.rows + usize::from(!new.is_empty()) - usize::from(!old.is_empty());
    }

    fn number(&mut self, token: &str) -> u32 {
        let next = self.rows_of.len() as u32;
        let number = *self.numbers.entry(xxh3_64(token.as_bytes())).or_insert(next);
        if number == next {
            self.rows_of.push(Vec::new());
        }
        number
    }

    /// Bytes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        let of_rows: usize = self.tokens_of.iter().map(|tokens| size_of_val(&**tokens)).sum();
        let of_tokens = self.rows_of.len() * (size_of::<Vec<u32>>() + 2 * size_of::<(u64, u32)>());
        2 * of_rows + size_of_val(&*self.tokens_of) + of_tokens
    }

    /// The other rows with the largest cosines, largest first, ties by `id`. Only rows that `admits` takes.
    ///
    /// A row is a vector with the number `ln(n / df)^exponent` for each of its tokens: n rows have tokens, and df of them have this
    /// one.
    ///
    /// Determinism: a function of the rows and the order of their tokens.
    /// Cost: the rows that have a token in common, each with its tokens.
    pub(crate) fn nearest(
        &self,
        row: u32,
        exponent: f32,
        most: usize,
        admits: impl Fn(u32) -> bool,
        id: impl Fn(u32) -> u64,
    ) -> Vec<(u32, f32)> {
        let Some(tokens) = self.tokens_of.get(row as usize) else { return Vec::new() };
        // Squares of numbers, each computed when it is first needed.
        let mut squares: Vec<Option<f32>> = vec![None; self.rows_of.len()];
        let mut square = |token: u32| {
            *squares[token as usize].get_or_insert_with(|| {
                let rarity = self.rows as f64 / self.rows_of[token as usize].len() as f64;
                rarity.ln().powf(2.0 * f64::from(exponent)) as f32
            })
        };

        let mut products = vec![0.0; self.tokens_of.len()];
        let mut reached = Vec::new();
        for &token in tokens {
            let square = square(token);
            for &other in self.rows_of[token as usize].iter().filter(|_| square > 0.0) {
                let product = &mut products[other as usize];
                if *product == 0.0 {
                    reached.push(other);
                }
                *product += square;
            }
        }
        let mut length = |row: u32| {
            let squares = self.tokens_of[row as usize].iter().map(|&token| square(token));
            squares.sum::<f32>().sqrt()
        };
        let own = length(row);
        let mut nearest: Vec<(u32, f32)> = reached
            .into_iter()
            .filter(|&other| other != row && admits(other))
            .map(|other| (other, products[other as usize] / (own * length(other))))
            .collect();
        let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then_with(|| id(a.0).cmp(&id(b.0)));
        if nearest.len() > most {
            nearest.select_nth_unstable_by(most, order);
            nearest.truncate(most);
        }
        nearest.sort_unstable_by(order);
        nearest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest(index: &TokenIndex, row: u32) -> Vec<(u32, f32)> {
        index.nearest(row, 1.0, 10, |_| true, u64::from)
    }

    fn index(rows: &[&[&str]]) -> TokenIndex {
        let mut index = TokenIndex::default();
        for (row, tokens) in rows.iter().enumerate() {
            index.set(row as u32, tokens);
        }
        index
    }

    /// Of four rows all have a, which therefore counts nothing; two have b, ln 2; one each has c and d, ln 4 = 2 ln 2.
    #[test]
    fn cosines_are_the_hand_worked_numbers() {
        let index = index(&[&["a", "b"], &["a", "b", "c"], &["a"], &["a", "d"]]);
        let found = nearest(&index, 0);
        assert_eq!(found.len(), 1, "only b tells rows apart: {found:?}");
        assert_eq!(found[0].0, 1);
        assert!((found[0].1 - 1.0 / 5f32.sqrt()).abs() < 1e-6, "{found:?}");
        assert_eq!(nearest(&index, 2), [], "its only token says nothing");
        assert_eq!(nearest(&index, 9), [], "no such row");
    }

    /// A reference: an index made anew from the same rows.
    #[test]
    fn an_index_of_changed_rows_answers_as_one_made_anew() {
        let all: Vec<String> = (0..12).map(|token| format!("t{token}")).collect();
        let mut state = 7u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mut rows: Vec<Vec<&str>> = vec![Vec::new(); 40];
        let mut changed = TokenIndex::default();
        for step in 0..2000 {
            let row = random(rows.len() as u64) as usize;
            let bits = if random(5) == 0 { 0 } else { random(1 << 12) & random(1 << 12) };
            rows[row] =
                (0..12).filter(|token| bits >> token & 1 == 1).map(|token| all[token].as_str()).collect();
            changed.set(row as u32, &rows[row]);
            if step % 50 == 0 {
                let mut anew = TokenIndex::default();
                for (row, tokens) in rows.iter().enumerate().rev() {
                    anew.set(row as u32, tokens);
                }
                for row in 0..rows.len() as u32 {
                    assert_eq!(nearest(&changed, row), nearest(&anew, row), "row {row} at step {step}");
                }
            }
        }
    }

    #[test]
    fn the_largest_cosines_are_kept_with_ties_by_id() {
        let index = index(&[&["a", "b"], &["a", "b"], &["b", "c"], &["a", "b"], &["a", "x"], &["y"]]);
        let order = |row: u32| u64::from(10 - row);
        let rows = |most, admits: &dyn Fn(u32) -> bool| -> Vec<u32> {
            index.nearest(0, 1.0, most, admits, order).into_iter().map(|(row, _)| row).collect()
        };
        assert_eq!(rows(2, &|_| true), [3, 1]);
        assert_eq!(rows(2, &|row| row != 3).first(), Some(&1));
    }
}
