//! Suggestions for a name or a value that is not in the store: those that are similar.

use hedgerow::{KindIx, NodeRef, Snapshot};

use crate::core::escape::escaped;
use crate::core::failure::Failure;
use crate::session::context::SharedStore;
use crate::session::schema::{kinds, relations};

/// The most names in a suggestion.
const SUGGESTED: usize = 3;
/// The most keys that are compared for one prefix of the missing key.
const COMPARED: usize = 200;
/// The most characters that may be added, removed, changed or swapped.
const ERRORS: usize = 3;

/// Adds similar names to a failure about a missing node, relation or model.
pub(crate) fn advised(failure: Failure, shared: &SharedStore) -> Failure {
    let Failure::Library(error) = &failure else { return failure };
    let Some(store) = shared.store() else { return failure };
    let snapshot = store.snapshot();
    let node = error.missing_node().and_then(|node| node.split_once(':'));
    let similar = match (node, error.missing_relation()) {
        (Some((kind, key)), _) => similar_nodes(&snapshot, kind, key),
        (None, Some(missing)) => {
            let named = relations(&snapshot).map(|relation| snapshot.relation_name(relation));
            similar_words(missing, named)
        }
        (None, None) => match error.missing_model() {
            Some(missing) => similar_words(missing, store.derived_sets().iter().map(String::as_str)),
            None => return failure,
        },
    };
    match did_you_mean(&similar) {
        None => failure,
        Some(advice) => Failure::Advised { failure: Box::new(failure), advice },
    }
}

/// A question that offers these words, if there are any.
pub(crate) fn did_you_mean(words: &[String]) -> Option<String> {
    match words.split_last()? {
        (last, []) => Some(format!("did you mean {last}?")),
        (last, others) => Some(format!("did you mean {} or {last}?", others.join(", "))),
    }
}

/// The words that are similar to a missing one, the most similar first.
pub(crate) fn similar_words<'a>(missing: &str, words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut similar: Vec<(usize, String)> =
        words.filter_map(|word| Some((distance(missing, word)?, escaped(word)))).collect();
    similar.sort();
    similar.into_iter().map(|(_, word)| word).take(SUGGESTED).collect()
}

/// Nodes with the same key in another kind, and nodes with a similar key in the same or a similar kind.
fn similar_nodes(snapshot: &Snapshot, kind: &str, key: &str) -> Vec<String> {
    let (mut same_key, mut similar_key) = (Vec::new(), Vec::new());
    for other in kinds(snapshot) {
        let name = snapshot.kind_name(other);
        let node = NodeRef { kind: name, key };
        if snapshot.lookup(node).is_some() {
            same_key.push((distance(kind, name).unwrap_or(usize::MAX), node.to_string()));
        } else if name == kind || distance(kind, name).is_some() {
            let keys = similar_keys(snapshot, other, key).into_iter();
            similar_key.extend(keys.map(|(distance, key)| (distance, format!("{name}:{key}"))));
        }
    }
    same_key.sort();
    similar_key.sort();
    // A kind with a similar name excludes kinds with other names.
    if same_key.first().is_some_and(|(distance, _)| *distance < usize::MAX) {
        same_key.retain(|(distance, _)| *distance < usize::MAX);
    }
    let all = same_key.into_iter().chain(similar_key).map(|(_, node)| node);
    all.take(SUGGESTED).collect()
}

/// Keys of a kind that are similar to the missing one. A number has none, since all numbers are similar.
fn similar_keys(snapshot: &Snapshot, kind: KindIx, missing: &str) -> Vec<(usize, String)> {
    if missing.chars().all(|c| c.is_ascii_digit()) {
        return Vec::new();
    }
    let ends: Vec<usize> = missing.char_indices().map(|(at, _)| at).collect();
    // Long prefixes first: few keys have them, and most of those are similar.
    let lengths = [ends.len() - 1, ends.len().saturating_sub(2), ends.len() / 2, 1.min(ends.len() - 1), 0];
    for length in lengths {
        let keys = snapshot.keys_with_prefix(kind, &missing[..ends[length]], COMPARED);
        let similar: Vec<(usize, String)> =
            keys.iter().filter_map(|key| Some((distance(missing, key)?, escaped(key)))).collect();
        if !similar.is_empty() {
            return similar;
        }
    }
    Vec::new()
}

/// The number of typing errors between two words; none if it exceeds a third of the word.
fn distance(misspelled: &str, word: &str) -> Option<usize> {
    let most = (misspelled.chars().count() / 3).clamp(1, ERRORS);
    // Lengths are compared first, since keys can have hundreds of characters.
    if misspelled.len().abs_diff(word.len()) > most * 4 {
        return None;
    }
    let distance = strsim::osa_distance(&misspelled.to_lowercase(), &word.to_lowercase());
    (distance <= most && word.chars().count() > distance).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_similar_and_another_word_is_not() {
        assert_eq!(distance("hlep", "help"), Some(1));
        assert_eq!(distance("pins", "pin"), Some(1));
        assert_eq!(distance("nothing", "help"), None);
        assert_eq!(distance("a", "b"), None);
    }
}
