//! A node and its features, as a row of any form gives them: all of it gets into a batch, or nothing.
//! Must not know the form of the row.

use std::borrow::Cow;

use hedgerow::{Batch, MAX_DENSE_VALUE, NodeRef};

use crate::core::location::{BadInput, Place};

/// A node and its tokens, not checked yet.
pub(super) struct NodeFeatures<'a> {
    pub(super) kind: Cow<'a, str>,
    pub(super) key: Cow<'a, str>,
    /// None where the import sets no tokens, which keeps those of the store.
    pub(super) tokens: Option<Vec<String>>,
    /// The place of the name.
    pub(super) place: Place,
    /// The place of the tokens.
    pub(super) at_tokens: Place,
}

impl NodeFeatures<'_> {
    /// Adds the operations of a row to a batch, once everything in the row is checked. `rows` are dense features by block.
    pub(super) fn stage(self, rows: &[(&str, &[f32])], batch: &mut Batch) -> Result<(), BadInput> {
        let refuse = |error: &dyn std::fmt::Display| self.place.clone().problem(error);
        let node = NodeRef::new(&self.kind, &self.key).map_err(|error| refuse(&error))?;
        for (name, values) in rows {
            let is_bad = |value: &f32| value.is_nan() || value.abs() > MAX_DENSE_VALUE;
            if let Some(at) = values.iter().position(is_bad) {
                let range = format!("a number from -{MAX_DENSE_VALUE} to {MAX_DENSE_VALUE}");
                let (number, found) = (at + 1, values[at]);
                let problem = format!("value {number} of its row in {name} is {found:?}, expected {range}");
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

/// Adds a token: `col=word` in lower case. The store drops repetitions.
pub(super) fn push_token(word: &str, column: &str, tokens: &mut Vec<String>) {
    let word = word.trim();
    if !word.is_empty() {
        tokens.push(format!("{column}={}", word.to_lowercase()));
    }
}

/// Adds the words of a field as tokens: split at bars where there is one, else at white space.
pub(super) fn push_tokens(text: &str, column: &str, tokens: &mut Vec<String>) {
    if text.contains('|') {
        text.split('|').for_each(|word| push_token(word, column, tokens));
    } else {
        text.split_whitespace().for_each(|word| push_token(word, column, tokens));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_at_bars_or_white_space() {
        let mut tokens = Vec::new();
        push_tokens("Sci-Fi|Film Noir||", "genre", &mut tokens);
        push_tokens(" Toy  Story ", "title", &mut tokens);
        assert_eq!(tokens, ["genre=sci-fi", "genre=film noir", "title=toy", "title=story"]);
    }
}
