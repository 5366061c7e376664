//! One row of a file of nodes, of any form: its node, tokens, values and dense rows get into a batch together, or none of them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use hedgerow::{Batch, MAX_DENSE_VALUE, NodeRef, PropertyType};

use crate::core::location::{BadInput, Place};
use crate::input::delimited::Delimited;
use crate::input::jsonl::{FieldTexts, FieldValue, JsonLine};
use crate::transfer::import::property_columns::PropertyColumn;

/// Signs that do not belong to the word before or after them: of sentences, quotes and brackets.
const PUNCTUATION: &str =
    ".,;:!?\"'()[]{}\u{2018}\u{2019}\u{201c}\u{201d}\u{ab}\u{bb}\u{2026}\u{2013}\u{2014}";

/// The fields of a row.
pub(super) trait NodeRow {
    /// Names a field: the number of a column, or the name of a field.
    type At: Copy;

    /// The key of the node.
    fn key(&self, at: Self::At) -> Result<Cow<'_, str>, BadInput>;

    /// A field that must be there and be a text.
    fn text(&self, at: Self::At) -> Result<Cow<'_, str>, BadInput>;

    /// The words of a field: one text, or a list with one word in each item.
    fn words(&self, at: Self::At) -> Result<FieldTexts, BadInput>;

    /// Hands the value of a field to `take`.
    fn value<T>(
        &self,
        at: Self::At,
        of: PropertyType,
        take: impl FnOnce(FieldValue<'_>) -> T,
    ) -> Result<T, BadInput>;

    fn place(&self, at: Self::At) -> Place;
}

/// The fields of the parts of a node.
pub(super) struct NodeColumns<'a, At> {
    pub(super) key: At,
    pub(super) kind: KindSource<'a, At>,
    /// Fields of words, with the names that begin their tokens.
    pub(super) tokens: Vec<(At, &'a str)>,
    /// The separator of words, unless it is a bar or white space.
    pub(super) token_separator: Option<&'a str>,
    pub(super) properties: Vec<(At, PropertyColumn)>,
    /// The property that labels the nodes.
    pub(super) label: Option<&'a str>,
}

/// The source of a node's kind.
pub(super) enum KindSource<'a, At> {
    Fixed(Cow<'a, str>),
    /// A field: a kind, or labels as Neo4j writes them, of which the first counts.
    At(At),
}

impl<At: Copy> NodeColumns<'_, At> {
    /// Adds the operations of a row to a batch. `rows` are dense features by block. The first row of a kind also declares the properties of
    /// the kind, also those without values, and sets its label; `kinds` are those of the rows before.
    pub(super) fn stage<Row: NodeRow<At = At>>(
        &self,
        row: &Row,
        rows: &[(&str, &[f32])],
        batch: &mut Batch,
        kinds: &mut BTreeSet<String>,
    ) -> Result<(), BadInput> {
        let before = batch.savepoint();
        let kind = self.stage_parts(row, rows, batch, kinds).inspect_err(|_| batch.roll_back(&before))?;
        if !kinds.contains(kind.as_ref()) {
            kinds.insert(kind.into_owned());
        }
        Ok(())
    }

    /// The answer is the kind of the node.
    fn stage_parts<'r, Row: NodeRow<At = At>>(
        &'r self,
        row: &'r Row,
        rows: &[(&str, &[f32])],
        batch: &mut Batch,
        kinds: &BTreeSet<String>,
    ) -> Result<Cow<'r, str>, BadInput> {
        // The node.
        let refuse = |error: &dyn std::fmt::Display| row.place(self.key).problem(error);
        let kind = match &self.kind {
            KindSource::Fixed(kind) => Cow::Borrowed(kind.as_ref()),
            KindSource::At(at) => match row.text(*at)? {
                Cow::Borrowed(text) => Cow::Borrowed(first_label(text)),
                Cow::Owned(text) => Cow::Owned(first_label(&text).to_owned()),
            },
        };
        let key = row.key(self.key)?;
        let node = NodeRef::new(&kind, &key).map_err(|error| refuse(&error))?;
        // The properties of its kind.
        if !kinds.contains(kind.as_ref()) {
            for (at, PropertyColumn { name, of }) in &self.properties {
                let declared = batch.declare_property(&kind, name, *of);
                declared.map_err(|error| row.place(*at).problem(error))?;
            }
            if let Some(label) = self.label {
                batch.set_label(&kind, Some(label)).map_err(|error| refuse(&error))?;
            }
        }
        // Its tokens.
        if let Some((first, _)) = self.tokens.first() {
            let mut words = Vec::new();
            for (at, name) in &self.tokens {
                match row.words(*at)? {
                    FieldTexts::Text(text) => push_tokens(&text, name, self.token_separator, &mut words),
                    FieldTexts::List(list) => list.iter().for_each(|word| push_token(word, name, &mut words)),
                }
            }
            batch.set_tokens(node, &words).map_err(|error| row.place(*first).problem(error))?;
        } else if self.properties.is_empty() {
            batch.add_node(node).map_err(|error| refuse(&error))?;
        }
        // Its values.
        for (at, PropertyColumn { name, of }) in &self.properties {
            let staged = row.value(*at, *of, |value| match value {
                FieldValue::Value(value) => batch.set_property(node, name, &value),
                FieldValue::Empty => batch.remove_property(node, name),
                FieldValue::Missing => batch.add_node(node),
            })?;
            staged.map_err(|error| row.place(*at).problem(error))?;
        }
        // Its dense rows.
        for (name, values) in rows {
            let is_bad = |value: &f32| value.is_nan() || value.abs() > MAX_DENSE_VALUE;
            if let Some(at) = values.iter().position(is_bad) {
                let range = format!("a number from -{MAX_DENSE_VALUE} to {MAX_DENSE_VALUE}");
                let (number, found) = (at + 1, values[at]);
                let problem = format!("value {number} of its row in {name} is {found:?}, expected {range}");
                return Err(refuse(&problem));
            }
            batch.set_dense(node, name, values).map_err(|error| refuse(&error))?;
        }
        Ok(kind)
    }
}

impl NodeRow for Delimited {
    type At = usize;

    fn key(&self, at: usize) -> Result<Cow<'_, str>, BadInput> {
        Ok(self.text(at)?.into())
    }

    fn text(&self, at: usize) -> Result<Cow<'_, str>, BadInput> {
        Ok(self.text(at)?.into())
    }

    fn words(&self, at: usize) -> Result<FieldTexts, BadInput> {
        Ok(FieldTexts::Text(self.text(at)?.to_owned()))
    }

    fn value<T>(
        &self,
        at: usize,
        of: PropertyType,
        take: impl FnOnce(FieldValue<'_>) -> T,
    ) -> Result<T, BadInput> {
        let text = self.text(at)?;
        if text.trim().is_empty() {
            return Ok(take(FieldValue::Empty));
        }
        match of.parse(text) {
            Some(value) => Ok(take(FieldValue::Value(value))),
            None => Err(self.place(at).found(text.as_bytes(), of.expected())),
        }
    }

    fn place(&self, at: usize) -> Place {
        self.place(at)
    }
}

impl<'a> NodeRow for JsonLine<'a> {
    type At = &'a str;

    fn key(&self, at: &'a str) -> Result<Cow<'_, str>, BadInput> {
        self.key(at)
    }

    fn text(&self, at: &'a str) -> Result<Cow<'_, str>, BadInput> {
        self.text(at, "a kind")
    }

    fn words(&self, at: &'a str) -> Result<FieldTexts, BadInput> {
        self.texts(at)
    }

    fn value<T>(
        &self,
        at: &'a str,
        of: PropertyType,
        take: impl FnOnce(FieldValue<'_>) -> T,
    ) -> Result<T, BadInput> {
        self.value(at, of, take)
    }

    fn place(&self, at: &'a str) -> Place {
        self.place(at)
    }
}

/// The first of the labels of a node of Neo4j, `A;B` or `:A:B`.
fn first_label(text: &str) -> &str {
    text.trim().trim_start_matches(':').split([';', ':']).next().unwrap_or_default()
}

/// Adds a token, `col=word` in lower case, without punctuation at the ends of the word. Other signs stay, as in `c++`. The store drops
/// repetitions.
fn push_token(word: &str, column: &str, tokens: &mut Vec<String>) {
    let word = word.trim_matches(|c: char| c.is_whitespace() || PUNCTUATION.contains(c));
    if word.contains(|c: char| !c.is_ascii_punctuation()) {
        tokens.push(format!("{column}={}", word.to_lowercase()));
    }
}

/// Adds the words of a field as tokens: split at bars where there is one, else at the separator, else at white space.
fn push_tokens(text: &str, column: &str, separator: Option<&str>, tokens: &mut Vec<String>) {
    if text.contains('|') {
        text.split('|').for_each(|word| push_token(word, column, tokens));
    } else if let Some(separator) = separator {
        text.split(separator).for_each(|word| push_token(word, column, tokens));
    } else {
        text.split_whitespace().for_each(|word| push_token(word, column, tokens));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_at_bars_the_separator_or_white_space() {
        let tokens = |text: &str, separator| {
            let mut tokens = Vec::new();
            push_tokens(text, "c", separator, &mut tokens);
            tokens
        };
        assert_eq!(tokens("Sci-Fi|Film Noir||", None), ["c=sci-fi", "c=film noir"]);
        assert_eq!(tokens(" Toy  Story ", None), ["c=toy", "c=story"]);
        assert_eq!(tokens("red wine; white wine", Some(";")), ["c=red wine", "c=white wine"]);
    }

    #[test]
    fn words_lose_the_punctuation_at_their_ends() {
        let mut tokens = Vec::new();
        push_tokens("Toy Story (1995), don't - rock'n'roll!", "c", None, &mut tokens);
        assert_eq!(tokens, ["c=toy", "c=story", "c=1995", "c=don't", "c=rock'n'roll"]);
        tokens.clear();
        push_tokens("\u{201c}C++\u{201d} c# $5, +", "c", None, &mut tokens);
        assert_eq!(tokens, ["c=c++", "c=c#", "c=$5"]);
    }
}
