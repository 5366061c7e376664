//! The first words of a console: what the store holds, and what to try next.

use std::path::Path;

use hedgerow::{Engine, KindIx, NodeRef, RelationIx, Snapshot, Status};

use crate::repl::shell_split::typed;

/// Kinds and relations that are named; more are counted.
const NAMED: usize = 6;
/// Keys among which the example is looked for.
const LOOKED_AT: usize = 50;

/// What is said.
pub(super) fn greeting(path: &Path, engine: &Engine, is_read_only: bool) -> String {
    let (status, snapshot) = (engine.status(), engine.store().snapshot());
    let mut lines = vec![format!(
        "Hedgerow {}, store {}{}",
        env!("CARGO_PKG_VERSION"),
        path.display(),
        if is_read_only { ", read-only" } else { "" },
    )];
    if is_read_only {
        lines.push("  as a writer published it last; each command shows the newest such state".to_owned());
    }
    let kinds = kinds(&snapshot);
    if snapshot.node_count() == 0 {
        lines.push("  empty".to_owned());
    } else {
        lines.push(format!("  nodes  {}", listed(&kinds)));
        lines.push(format!("  edges  {}", listed(&relations(&snapshot))));
        lines.push(format!("  model  {}", model(&status)));
    }
    lines.push(next(engine, &status, &snapshot, &kinds, is_read_only));
    lines.push(".help lists all there is; Tab completes, Ctrl-R searches, Ctrl-D leaves.".to_owned());
    lines.join("\n")
}

fn model(status: &Status) -> String {
    let Some(generation) = status.generation else { return "none yet".to_owned() };
    let dirty = match status.dirty_nodes {
        0 => "up to date".to_owned(),
        1 => "1 node changed since".to_owned(),
        count => format!("{} nodes changed since", grouped(count)),
    };
    format!("generation {generation} for {}, {dirty}", status.targets.join(", "))
}

/// What to try next, as it can be typed.
fn next(
    engine: &Engine,
    status: &Status,
    snapshot: &Snapshot,
    kinds: &[(String, u64)],
    is_read_only: bool,
) -> String {
    if snapshot.node_count() == 0 {
        return "Try `import --edges FILE`, or `generate` for a synthetic graph.".to_owned();
    }
    let example = |kind: &str| example(snapshot, kind).map(|node| typed(&node));
    let target = status.targets.first();
    if let Some(node) = target.and_then(|kind| example(kind)) {
        let refresh = status.dirty_nodes > 0 && !is_read_only;
        let first = if refresh { "`refresh`, then " } else { "" };
        return format!("Try {first}`similar {node}`.");
    }
    let kind = trainable(snapshot, kinds)
        .or_else(|| kinds.first().map(|(kind, _)| kind.clone()))
        .unwrap_or_default();
    let walk = example(&kind).map(|node| format!("`walk {node}`"));
    let train = match engine.unfinished_training() {
        Ok(Some(_)) => "`train --resume &`".to_owned(),
        _ => format!("`train --target {} &`", typed(&kind)),
    };
    match (walk, is_read_only) {
        (Some(walk), false) => format!("Try {walk}, or {train} to learn embeddings."),
        (Some(walk), true) => format!("Try {walk}."),
        (None, false) => format!("Try {train} to learn embeddings."),
        (None, true) => "Try `stats`.".to_owned(),
    }
}

/// Kinds with nodes, the largest first.
fn kinds(snapshot: &Snapshot) -> Vec<(String, u64)> {
    let mut counts = vec![0u64; snapshot.kind_count()];
    let nodes = (0..snapshot.bound()).map(hedgerow::NodeIx::new);
    nodes.filter(|&node| snapshot.is_alive(node)).for_each(|node| counts[snapshot.kind(node).index()] += 1);
    let names = (0..counts.len()).map(|ix| snapshot.kind_name(KindIx::new(ix as u8)).to_owned());
    sorted(names.zip(counts).filter(|(_, count)| *count > 0).collect())
}

fn relations(snapshot: &Snapshot) -> Vec<(String, u64)> {
    let relations = (0..snapshot.relation_count()).map(|ix| RelationIx::new(ix as u16));
    let named = |relation| (snapshot.relation_name(relation).to_owned(), snapshot.edge_count(relation));
    sorted(relations.map(named).filter(|(_, count)| *count > 0).collect())
}

fn sorted(mut counts: Vec<(String, u64)>) -> Vec<(String, u64)> {
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
}

fn listed(counts: &[(String, u64)]) -> String {
    let named = counts.iter().take(NAMED).map(|(name, count)| format!("{name} {}", grouped(*count)));
    let mut parts: Vec<String> = named.collect();
    if counts.is_empty() {
        parts.push("none".to_owned());
    }
    if counts.len() > NAMED {
        parts.push(format!("and {} more, see `stats`", counts.len() - NAMED));
    }
    parts.join(", ")
}

/// The kind that a first training would embed: an end of most edges, the one that is described, or the one with more nodes.
fn trainable(snapshot: &Snapshot, kinds: &[(String, u64)]) -> Option<String> {
    let relations = (0..snapshot.relation_count()).map(|ix| RelationIx::new(ix as u16));
    let largest = relations.max_by_key(|&relation| snapshot.edge_count(relation))?;
    let (a, b) = *snapshot.relation_kinds(largest).first()?;
    let ends = [a, b].map(|kind| snapshot.kind_name(kind));
    let is_described = |kind: &&str| {
        let kind = *kind;
        let ix = snapshot.kind_ix(kind);
        let keys = ix.map_or_else(Vec::new, |ix| snapshot.keys_with_prefix(ix, "", 1));
        let node = keys.first().and_then(|key| snapshot.lookup(NodeRef { kind, key }));
        node.is_some_and(|node| !snapshot.tokens(node).is_empty())
    };
    let described = ends.into_iter().find(is_described);
    let larger = || kinds.iter().map(|(kind, _)| kind.as_str()).find(|kind| ends.contains(kind));
    described.or_else(larger).map(str::to_owned)
}

/// A node of a kind with many edges among the first few.
fn example(snapshot: &Snapshot, kind: &str) -> Option<String> {
    let keys = snapshot.keys_with_prefix(snapshot.kind_ix(kind)?, "", LOOKED_AT);
    let degree = |key: &String| {
        let node = snapshot.lookup(NodeRef { kind, key });
        node.map_or(0, |node| snapshot.degree(node))
    };
    // The first of the greatest, so that the same store always shows the same.
    let key = keys.iter().rev().max_by_key(|key| degree(key))?;
    Some(format!("{kind}:{key}"))
}

/// A number with commas between the thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
