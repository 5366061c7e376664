//! The greeting of a console: the contents of the store, and a command to try.

use std::path::Path;

use hedgerow::{Engine, NodeRef, Snapshot, Status};
use indicatif::HumanCount;

use crate::output::value::count;
use crate::repl::shell_split::typed;
use crate::session::models::several_models;
use crate::session::schema::{edge_counts, kinds, relations};

/// The most kinds and relations that are listed.
const LISTED: usize = 6;
/// The keys among which the example is chosen.
const EXAMPLES: usize = 50;

/// The lines of the greeting.
pub(super) fn greeting(path: &Path, engine: &Engine, is_read_only: bool) -> String {
    let (status, snapshot) = (engine.status(), engine.store().snapshot());
    let mut lines = vec![format!(
        "Hedgerow {}, store {}{}",
        env!("CARGO_PKG_VERSION"),
        path.display(),
        if is_read_only { ", read-only" } else { "" },
    )];
    if is_read_only {
        lines.push("  the state that a writer published last; each command reads the newest one".to_owned());
    }
    let kinds = node_counts(&snapshot);
    if snapshot.node_count() == 0 {
        lines.push("  empty".to_owned());
    } else {
        lines.push(format!("  nodes  {}", listed(&kinds)));
        lines.push(format!("  edges  {}", listed(&sorted(edge_counts(&snapshot)))));
        lines.push(format!("  model  {}", model(&status)));
        // A model that cannot be read is told of when it is asked.
        let models = several_models(engine.store()).unwrap_or_default();
        let others = models.iter().map(|other| other.name.as_str()).filter(|name| *name != engine.name());
        let others: Vec<&str> = others.collect();
        if !others.is_empty() {
            lines.push(format!(
                "         {} answers; --model also takes {}",
                engine.name(),
                others.join(", ")
            ));
        }
    }
    lines.push(advice(engine, &status, &snapshot, &kinds, is_read_only));
    lines.push(".help lists all commands; Tab completes, Ctrl-R searches, Ctrl-D leaves.".to_owned());
    lines.join("\n")
}

fn model(status: &Status) -> String {
    let Some(generation) = status.generation else { return "none yet".to_owned() };
    let dirty = match status.dirty_nodes {
        0 => "up to date".to_owned(),
        dirty => format!("{} changed since", count(dirty, "node", "nodes")),
    };
    format!("generation {generation} for {}, {dirty}", status.targets.join(", "))
}

/// A sentence with a command to try, as it can be typed.
fn advice(
    engine: &Engine,
    status: &Status,
    snapshot: &Snapshot,
    kinds: &[(String, u64)],
    is_read_only: bool,
) -> String {
    if snapshot.node_count() == 0 {
        return "Try `import --edges FILE`, or `generate` for a synthetic graph.".to_owned();
    }
    // With a model, similar nodes; without one, walks and training.
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

/// The number of nodes of each kind that has any, the largest first.
fn node_counts(snapshot: &Snapshot) -> Vec<(String, u64)> {
    let mut counts = vec![0u64; snapshot.kind_count()];
    let nodes = (0..snapshot.bound()).map(hedgerow::NodeIx::new);
    nodes.filter(|&node| snapshot.is_alive(node)).for_each(|node| counts[snapshot.kind(node).index()] += 1);
    sorted(kinds(snapshot).map(|kind| snapshot.kind_name(kind).to_owned()).zip(counts).collect())
}

/// Drops empty entries, and puts the largest first.
fn sorted(mut counts: Vec<(String, u64)>) -> Vec<(String, u64)> {
    counts.retain(|(_, count)| *count > 0);
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
}

fn listed(counts: &[(String, u64)]) -> String {
    let named = counts.iter().take(LISTED).map(|(name, count)| format!("{name} {}", HumanCount(*count)));
    let mut parts: Vec<String> = named.collect();
    if counts.is_empty() {
        parts.push("none".to_owned());
    }
    if counts.len() > LISTED {
        parts.push(format!("and {} more, see `stats`", counts.len() - LISTED));
    }
    parts.join(", ")
}

/// The kind to train first: of the two kinds of the largest relation, the one with features, or else with more nodes.
fn trainable(snapshot: &Snapshot, kinds: &[(String, u64)]) -> Option<String> {
    let largest = relations(snapshot).max_by_key(|&relation| snapshot.edge_count(relation))?;
    let (a, b) = *snapshot.relation_kinds(largest).first()?;
    let ends = [a, b].map(|kind| snapshot.kind_name(kind));
    let is_described = |kind: &&str| {
        let ix = snapshot.kind_ix(kind);
        let keys = ix.map_or_else(Vec::new, |ix| snapshot.keys_with_prefix(ix, "", 1));
        let node = keys.first().and_then(|key| snapshot.lookup(NodeRef { kind, key }));
        node.is_some_and(|node| !snapshot.tokens(node).is_empty())
    };
    let described = ends.into_iter().find(is_described);
    let larger = || kinds.iter().map(|(kind, _)| kind.as_str()).find(|kind| ends.contains(kind));
    described.or_else(larger).map(str::to_owned)
}

/// The node with most edges among the first keys of a kind.
fn example(snapshot: &Snapshot, kind: &str) -> Option<String> {
    let keys = snapshot.keys_with_prefix(snapshot.kind_ix(kind)?, "", EXAMPLES);
    let degree = |key: &String| {
        let node = snapshot.lookup(NodeRef { kind, key });
        node.map_or(0, |node| snapshot.degree(node))
    };
    // The first of equal degrees, so that equal stores show the same node.
    let key = keys.iter().rev().max_by_key(|key| degree(key))?;
    Some(format!("{kind}:{key}"))
}
