//! What was probably meant: words and nodes that are called nearly so.

use hedgerow::{KindIx, NodeRef, Snapshot};

use crate::core::escape::escaped;
use crate::core::failure::Failure;
use crate::session::context::Opened;

/// Names that are suggested at most.
const SUGGESTED: usize = 3;
/// Keys that are compared for each beginning of the key that is missing.
const COMPARED: usize = 200;
/// The most changes, additions and removals of a character that a typing error has.
const ERRORS: usize = 3;

/// Adds to a failure that is about a missing node which nodes are called nearly so.
pub(crate) fn advised(failure: Failure, opened: &Opened) -> Failure {
    let Failure::Library(error) = &failure else { return failure };
    let Some((kind, key)) = error.missing_node().and_then(|node| node.split_once(':')) else {
        return failure;
    };
    let Some(store) = opened.store() else { return failure };
    let found = nodes(&store.snapshot(), kind, key);
    match found.split_last() {
        None => failure,
        Some((last, [])) => {
            Failure::Advised { failure: Box::new(failure), advice: format!("did you mean {last}?") }
        }
        Some((last, others)) => {
            let advice = format!("did you mean {} or {last}?", others.join(", "));
            Failure::Advised { failure: Box::new(failure), advice }
        }
    }
}

/// The word that is nearest, where one is near.
pub(crate) fn word<'a>(asked: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = words.map(|word| (distance(asked, word), word));
    near.filter(|(distance, _)| distance.is_some())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Nodes with the same key or nearly the same one, of the same kind, of one that is called nearly so, or of any.
fn nodes(snapshot: &Snapshot, kind: &str, key: &str) -> Vec<String> {
    let kinds = (0..snapshot.kind_count()).map(|ix| KindIx::new(ix as u8));
    let (mut same, mut near) = (Vec::new(), Vec::new());
    for other in kinds {
        let name = snapshot.kind_name(other);
        let node = NodeRef { kind: name, key };
        if snapshot.lookup(node).is_some() {
            same.push((distance(kind, name).unwrap_or(usize::MAX), node.to_string()));
        } else if name == kind || distance(kind, name).is_some() {
            near.extend(
                keys(snapshot, other, key).into_iter().map(|(far, key)| (far, format!("{name}:{key}"))),
            );
        }
    }
    same.sort();
    near.sort();
    if same.first().is_some_and(|(far, _)| *far < usize::MAX) {
        same.retain(|(far, _)| *far < usize::MAX);
    }
    let found = same.into_iter().chain(near).map(|(_, node)| node);
    found.take(SUGGESTED).collect()
}

/// Keys of a kind that are nearly the one asked for. One number is as near to another as any, so none is suggested.
fn keys(snapshot: &Snapshot, kind: KindIx, asked: &str) -> Vec<(usize, String)> {
    if asked.chars().all(|c| c.is_ascii_digit()) {
        return Vec::new();
    }
    let ends: Vec<usize> = asked.char_indices().map(|(at, _)| at).collect();
    // The shorter what both begin with, the more keys there are beside the near ones.
    let lengths = [ends.len() - 1, ends.len().saturating_sub(2), ends.len() / 2, 1.min(ends.len() - 1), 0];
    for length in lengths {
        let keys = snapshot.keys_with_prefix(kind, &asked[..ends[length]], COMPARED);
        let near: Vec<(usize, String)> =
            keys.iter().filter_map(|key| Some((distance(asked, key)?, escaped(key)))).collect();
        if !near.is_empty() {
            return near;
        }
    }
    Vec::new()
}

/// How far one word is from another, where it may be a typing error: up to a third of it.
fn distance(asked: &str, word: &str) -> Option<usize> {
    let most = (asked.chars().count() / 3).clamp(1, ERRORS);
    // Lengths first, which cost nothing: keys may have hundreds of characters.
    if asked.len().abs_diff(word.len()) > most * 4 {
        return None;
    }
    let distance = strsim::osa_distance(&asked.to_lowercase(), &word.to_lowercase());
    (distance <= most && word.chars().count() > distance).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_near_and_another_word_is_not() {
        let words = [".help", ".mode", ".timer"];
        assert_eq!(word(".hlep", words.into_iter()), Some(".help"));
        assert_eq!(word(".tmier", words.into_iter()), Some(".timer"));
        assert_eq!(word(".nothing", words.into_iter()), None);
        assert_eq!(word("pins", ["pin"].into_iter()), Some("pin"));
        assert_eq!(word("a", ["b"].into_iter()), None);
    }
}
