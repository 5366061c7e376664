//! `stats`: what the store holds, how well it is linked, how current its embeddings are, and how large its files.

use std::path::PathBuf;

use clap::Args;
use hedgerow::{KindIx, RelationIx, Snapshot};
use serde_json::{Map, Value, json};

use crate::core::failure::Failure;
use crate::output::printer::object;
use crate::output::value::rounded;
use crate::session::context::Context;

/// What `stats` is told.
#[derive(Args, Debug)]
pub(crate) struct StatsArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
}

pub(crate) fn stats(ctx: &mut Context, args: StatsArgs) -> Result<(), Failure> {
    let engine = ctx.engine(&args.store)?;
    let (store, status) = (engine.store(), engine.status());
    let snapshot = store.snapshot();
    let (nodes, degrees) = nodes(&snapshot);
    let bytes: Map<String, Value> =
        store.sizes().files.into_iter().map(|(name, bytes)| (name, bytes.into())).collect();
    let fields = vec![
        ("nodes", nodes),
        ("edges", edges(&snapshot)),
        ("degrees", degrees),
        ("epoch", status.epoch.get().into()),
        ("generation", status.generation.map_or(Value::Null, |generation| generation.get().into())),
        ("embedded", status.embedded.map_or(Value::Null, |epoch| epoch.get().into())),
        ("dirty_nodes", status.dirty_nodes.into()),
        ("bytes", Value::Object(bytes)),
    ];
    if ctx.out.mode.is_json() {
        return ctx.out.record(fields);
    }
    // As text the maps are lines of their own, so that `grep` and `cut` find a figure.
    let mut rows = Vec::new();
    flatten("", &object(fields), &mut rows);
    ctx.out.rows(&["figure", "value"], rows)
}

/// Nodes alive of every kind, and the largest and mean degree of them.
fn nodes(snapshot: &Snapshot) -> (Value, Value) {
    let (mut counts, mut degrees) = (Map::new(), Map::new());
    let mut kinds: Vec<KindIx> = (0..snapshot.kind_count()).map(|ix| KindIx::new(ix as u8)).collect();
    kinds.sort_by_key(|kind| snapshot.kind_name(*kind));
    for kind in kinds {
        let (mut count, mut sum, mut max) = (0u64, 0u64, 0u64);
        for node in snapshot.nodes_of(kind) {
            let degree = snapshot.degree(node);
            count += 1;
            sum += degree;
            max = max.max(degree);
        }
        let mean = if count == 0 { 0.0 } else { sum as f64 / count as f64 };
        counts.insert(snapshot.kind_name(kind).to_owned(), count.into());
        degrees.insert(snapshot.kind_name(kind).to_owned(), json!({"max": max, "mean": rounded(mean, 2)}));
    }
    (Value::Object(counts), Value::Object(degrees))
}

fn edges(snapshot: &Snapshot) -> Value {
    let relations = (0..snapshot.relation_count()).map(|ix| RelationIx::new(ix as u16));
    let mut counts: Vec<(String, Value)> = relations
        .map(|relation| (snapshot.relation_name(relation).to_owned(), snapshot.edge_count(relation).into()))
        .collect();
    counts.sort_by(|a, b| a.0.cmp(&b.0));
    Value::Object(counts.into_iter().collect())
}

fn flatten(prefix: &str, value: &Value, rows: &mut Vec<Vec<Value>>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&name, value, rows);
            }
        }
        _ => rows.push(vec![prefix.into(), value.clone()]),
    }
}
