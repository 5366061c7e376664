//! The nodes that the page names, each once: key and tokens as they are shown, cut where they are long.
//! Names are anybody's text; that none of them is taken for markup is `page`'s and the script's.

use std::collections::{BTreeSet, HashMap};

use hedgerow::{NodeName, Snapshot};
use serde::Serialize;

use crate::core::escape::escaped;

const KEY_LIMIT: usize = 64;
const TOKEN_LIMIT: usize = 32;
/// Tokens of a node that are shown.
const TOKENS: usize = 12;

/// Where a name stands in the list of the page.
pub(super) type Place = u32;

/// The nodes, each at its place; none where the page does not name it any more.
#[derive(Debug, Default, Serialize)]
pub(super) struct Named {
    kinds: Vec<String>,
    tokens: Vec<String>,
    nodes: Vec<Option<Node>>,
    #[serde(skip)]
    places: HashMap<NodeName, Place>,
    #[serde(skip)]
    kind_places: HashMap<String, u32>,
    #[serde(skip)]
    token_places: HashMap<String, u32>,
}

/// The number of its kind, its key, its degree, its tokens by number, and how many more it has.
type Node = (u32, String, u64, Vec<u32>, u32);

impl Named {
    pub(super) fn place(&mut self, name: &NodeName, snapshot: &Snapshot) -> Place {
        if let Some(&place) = self.places.get(name) {
            return place;
        }
        let kind = number(&mut self.kinds, &mut self.kind_places, &name.kind);
        let node = snapshot.lookup(name.as_ref());
        let tokens = node.map_or_else(Vec::new, |node| snapshot.tokens(node));
        let shown = tokens.iter().take(TOKENS);
        let shown: Vec<u32> = shown
            .map(|token| number(&mut self.tokens, &mut self.token_places, &cut(token, TOKEN_LIMIT)))
            .collect();
        let degree = node.map_or(0, |node| snapshot.degree(node));
        let more = (tokens.len() - shown.len()) as u32;
        let place = self.nodes.len() as Place;
        self.nodes.push(Some((kind, cut(&name.key, KEY_LIMIT), degree, shown, more)));
        self.places.insert(name.clone(), place);
        place
    }

    /// Forgets all others; places stay.
    pub(super) fn keep(&mut self, places: impl Iterator<Item = Place>) {
        let kept: BTreeSet<Place> = places.collect();
        for (place, node) in self.nodes.iter_mut().enumerate() {
            if !kept.contains(&(place as Place)) {
                *node = None;
            }
        }
    }
}

fn number(list: &mut Vec<String>, places: &mut HashMap<String, u32>, text: &str) -> u32 {
    *places.entry(text.to_owned()).or_insert_with(|| {
        list.push(text.to_owned());
        list.len() as u32 - 1
    })
}

/// The first characters of a text, control characters escaped.
fn cut(text: &str, limit: usize) -> String {
    let text = escaped(text);
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(cut("ab\u{e9}cd", 3), "ab\u{e9}...");
        assert_eq!(cut("a\x1b", 9), "a\\x1b");
    }
}
