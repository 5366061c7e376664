//! A node as a row describes it: its name, its tokens, and how it gets into a batch whole or not at all.
//! Knows nothing of the form that the row had.

use std::borrow::Cow;

use hedgerow::{Batch, NodeRef};

use crate::core::location::{BadInput, Place};

/// What a row says, before it is known to be good in whole.
pub(super) struct NodeFeatures<'a> {
    pub(super) kind: Cow<'a, str>,
    pub(super) key: Cow<'a, str>,
    /// None where tokens are not asked for, which leaves those that are there.
    pub(super) tokens: Option<Vec<String>>,
    pub(super) place: Place,
    /// Where the tokens stand.
    pub(super) at_tokens: Place,
}

impl NodeFeatures<'_> {
    /// The operations of a row; the batch is only touched once everything in the row is known to be good.
    pub(super) fn stage(self, rows: &[(&str, &[f32])], batch: &mut Batch) -> Result<(), BadInput> {
        let refuse = |error: &dyn std::fmt::Display| self.place.clone().problem(error);
        let node = NodeRef::new(&self.kind, &self.key).map_err(|error| refuse(&error))?;
        for (name, values) in rows {
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                let problem = format!(
                    "value {} of its row in {name} is {}, expected a finite number",
                    at + 1,
                    values[at]
                );
                return Err(refuse(&problem));
            }
        }
        match &self.tokens {
            None => batch.add_node(node).map_err(|error| refuse(&error))?,
            Some(words) => {
                let set = batch.set_tokens(node, words);
                set.map_err(|error| self.at_tokens.clone().problem(error))?;
            }
        }
        for (name, values) in rows {
            batch.set_dense(node, name, values).map_err(|error| refuse(&error))?;
        }
        Ok(())
    }
}

/// Adds a token: `col=word`, lower-cased; the store drops repetitions.
pub(super) fn push(word: &str, column: &str, tokens: &mut Vec<String>) {
    let word = word.trim();
    if !word.is_empty() {
        tokens.push(format!("{column}={}", word.to_lowercase()));
    }
}

/// Adds the tokens of a cell.
pub(super) fn split(cell: &str, column: &str, tokens: &mut Vec<String>) {
    if cell.contains('|') {
        cell.split('|').for_each(|word| push(word, column, tokens));
    } else {
        cell.split_whitespace().for_each(|word| push(word, column, tokens));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_split_on_bars_or_white_space() {
        let mut tokens = Vec::new();
        split("Sci-Fi|Film Noir||", "genre", &mut tokens);
        split(" Toy  Story ", "title", &mut tokens);
        assert_eq!(tokens, ["genre=sci-fi", "genre=film noir", "title=toy", "title=story"]);
    }
}
