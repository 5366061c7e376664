//! `stats`: counts of nodes and edges, degrees, the state of the embeddings, and the sizes of the store's files.

use std::path::PathBuf;

use clap::Args;
use hedgerow::{Epoch, Generation, Snapshot, Store};
use serde_json::{Value, json};

use crate::core::failure::Failure;
use crate::output::value::{flat_rows, object, rounded};
use crate::session::context::Context;
use crate::session::models::several_models;
use crate::session::schema::{edge_counts, kinds_by_name};

/// The arguments of `stats`.
#[derive(Args, Debug)]
pub(crate) struct StatsArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
}

pub(crate) fn stats(ctx: &mut Context, args: StatsArgs) -> Result<(), Failure> {
    ctx.map_files();
    let engine = ctx.engine(&args.store)?;
    let (store, status) = (engine.store(), engine.status());
    let snapshot = store.snapshot();
    let (nodes, degrees) = nodes(&snapshot);
    let mut fields = vec![
        ("nodes", nodes),
        ("edges", object(edge_counts(&snapshot).into_iter().map(|(name, count)| (name, count.into())))),
        ("degrees", degrees),
        ("epoch", status.epoch.get().into()),
        ("generation", status.generation.map(Generation::get).into()),
        ("embedded", status.embedded.map(Epoch::get).into()),
        ("dirty_nodes", status.dirty_nodes.into()),
        ("bytes", object(store.sizes().files.into_iter().map(|(name, bytes)| (name, bytes.into())))),
    ];
    fields.extend(models(store)?);
    if ctx.out.mode.is_json() {
        return ctx.out.record(fields);
    }
    // Text has a line for each figure, so that `grep` and `cut` find it.
    ctx.out.rows(&["figure", "value"], flat_rows(&object(fields)))
}

/// The models, if there are several.
fn models(store: &Store) -> Result<Option<(&'static str, Value)>, Failure> {
    let models = several_models(store)?;
    let figures = models.iter().map(|model| {
        let figures = json!({
            "default": model.is_default,
            "generation": model.generation.get(),
            "embedded": model.embedded.get(),
            "dirty_nodes": model.dirty_nodes,
        });
        (model.name.as_str(), figures)
    });
    Ok((!models.is_empty()).then(|| ("models", object(figures))))
}

/// The number of nodes of each kind, and their largest and mean degree.
fn nodes(snapshot: &Snapshot) -> (Value, Value) {
    let (mut counts, mut degrees) = (Vec::new(), Vec::new());
    for kind in kinds_by_name(snapshot) {
        let (mut count, mut sum, mut max) = (0u64, 0u64, 0u64);
        for node in snapshot.nodes_of(kind) {
            let degree = snapshot.degree(node);
            count += 1;
            sum += degree;
            max = max.max(degree);
        }
        let mean = if count == 0 { 0.0 } else { sum as f64 / count as f64 };
        counts.push((snapshot.kind_name(kind), count.into()));
        degrees.push((snapshot.kind_name(kind), json!({"max": max, "mean": rounded(mean, 2)})));
    }
    (object(counts), object(degrees))
}
