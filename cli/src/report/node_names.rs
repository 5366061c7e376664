//! The nodes that the page names, each once, with key and tokens cut to a limit.
//! Names are text of users. `page` and the script make sure that no name is taken for markup.

use std::collections::{BTreeSet, HashMap};

use hedgerow::{NodeName, Snapshot};
use serde::Serialize;

use crate::core::escape::escaped;
use crate::session::properties::label;

/// The most characters of a key.
const KEY_LIMIT: usize = 64;
/// The most characters of a token.
const TOKEN_LIMIT: usize = 32;
/// The most tokens of a node.
const TOKENS: usize = 12;

/// The index of a node in the list.
pub(super) type Place = u32;

/// The list of nodes. A node that the page no longer names leaves an empty place.
#[derive(Debug, Default, Serialize)]
pub(super) struct NodeNames {
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

/// The number of its kind, its key, its degree, the numbers of its tokens, the number of tokens that are left out, and its label.
type Node = (u32, String, u64, Vec<u32>, u32, Option<String>);

impl NodeNames {
    /// The place of a node, which is added to the list if it is new.
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
        let label = node.and_then(|node| label(snapshot, node)).map(|label| cut(&label, KEY_LIMIT));
        self.nodes.push(Some((kind, cut(&name.key, KEY_LIMIT), degree, shown, more, label)));
        self.places.insert(name.clone(), place);
        place
    }

    /// Removes all other nodes. Places do not change.
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

/// The first characters of a text, with control characters escaped.
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
