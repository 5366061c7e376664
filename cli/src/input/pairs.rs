//! Files that evaluation and training read into memory: pairs of keys, and users with their items.

use std::path::Path;

use hedgerow::NodeName;

use crate::core::failure::Failure;
use crate::input::lines::Lines;
use crate::input::source::Source;

/// Reads lines `query<TAB>item`, both keys of one kind.
pub(crate) fn read_pairs(path: &Path, kind: &str) -> Result<Vec<(NodeName, NodeName)>, Failure> {
    let mut lines = Lines::new(Source::open(path)?);
    let mut pairs = Vec::new();
    while lines.advance()? {
        let text = lines.text(0, lines.bytes().len())?;
        if text.is_empty() {
            continue;
        }
        let Some((query, item)) = text.split_once('\t').filter(|(_, item)| !item.contains('\t')) else {
            return Err(lines.place(0).found(text.as_bytes(), "two keys with a tab between them").into());
        };
        let name =
            |key: &str, at: usize| NodeName::new(kind, key).map_err(|error| lines.place(at).problem(error));
        pairs.push((name(query, 0)?, name(item, query.len() + 1)?));
    }
    if pairs.is_empty() {
        return Err(lines.place(0).problem("the file holds no pairs, expected query<TAB>item lines").into());
    }
    Ok(pairs)
}

/// Reads lines `user item item ...`, the form of `import --format adjacency`.
pub(crate) fn read_users(
    path: &Path,
    src: &str,
    dst: &str,
) -> Result<Vec<(NodeName, Vec<NodeName>)>, Failure> {
    let mut lines = Lines::new(Source::open(path)?);
    let mut users = Vec::new();
    while lines.advance()? {
        let words = words(&lines)?;
        let name = |kind: &str, (at, key): (usize, &str)| {
            NodeName::new(kind, key).map_err(|error| lines.place(at).problem(error))
        };
        let Some((user, items)) = words.split_first() else { continue };
        let items: Result<Vec<NodeName>, _> = items.iter().map(|item| name(dst, *item)).collect();
        users.push((name(src, *user)?, items?));
    }
    if users.is_empty() {
        return Err(lines
            .place(0)
            .problem("the file holds no users, expected `user item item ...` lines")
            .into());
    }
    Ok(users)
}

/// The words of a line between spaces and tabs, each with the offset of its first byte.
pub(crate) fn words(lines: &Lines) -> Result<Vec<(usize, &str)>, Failure> {
    let text = lines.text(0, lines.bytes().len())?;
    let (mut words, mut at) = (Vec::new(), 0);
    for word in text.split([' ', '\t']) {
        if !word.is_empty() {
            words.push((at, word));
        }
        at += word.len() + 1;
    }
    Ok(words)
}
