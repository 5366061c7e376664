//! `show`: all that the store knows of a node.

use std::path::PathBuf;

use clap::Args;
use hedgerow::NodeName;
use serde_json::Value;

use crate::core::failure::Failure;
use crate::output::value::{flat_rows, name, object};
use crate::session::context::Context;
use crate::session::properties::{json, label};
use crate::session::schema::relations;

/// The arguments of `show`.
#[derive(Args, Debug)]
pub(crate) struct ShowNodeArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The node, such as pin:42
    #[arg(value_name = "A")]
    node: NodeName,
}

pub(crate) fn show(ctx: &mut Context, args: ShowNodeArgs) -> Result<(), Failure> {
    ctx.map_files();
    let store = ctx.store(&args.store)?;
    let snapshot = store.snapshot();
    let node = snapshot.require(args.node.as_ref())?;
    let properties = snapshot.properties_of(snapshot.kind(node)).filter_map(|at| {
        let value = snapshot.value(node, at)?;
        Some((snapshot.property(at).name, json(&value)))
    });
    let blocks = snapshot.dense_blocks();
    let dense = blocks.iter().filter(|(block, _)| snapshot.dense(node, block).is_some());
    let edges = relations(&snapshot).filter_map(|relation| {
        let degree = snapshot.list(relation, node).degree();
        (degree > 0).then(|| (snapshot.relation_name(relation), degree.into()))
    });
    let fields = vec![
        ("node", name(&args.node)),
        ("label", label(&snapshot, node).into()),
        ("properties", object(properties)),
        ("tokens", snapshot.tokens(node).into()),
        ("dense", object(dense.map(|(block, width)| (block.as_str(), (*width).into())))),
        ("edges", object(edges)),
        ("dirty", store.is_dirty(node).into()),
        ("epoch", snapshot.epoch().get().into()),
    ];
    if ctx.out.mode.is_json() {
        return ctx.out.record(fields);
    }
    // Text has a line for each property, block and relation.
    let fields = fields.into_iter().filter(|(name, value)| *name != "label" || !value.is_null());
    let mut rows = flat_rows(&object(fields));
    // Numbers are shown as they are, not with four decimals.
    for value in rows.iter_mut().flatten().filter(|value| value.is_f64()) {
        *value = Value::String(value.to_string());
    }
    ctx.out.rows(&["field", "value"], rows)
}
