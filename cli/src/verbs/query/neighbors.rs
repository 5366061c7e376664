//! `neighbors`: the edges of a node. `neighborhood`: the nodes that its walks visit.

use std::path::PathBuf;

use clap::Args;
use hedgerow::{NodeIx, NodeName, PropertyValue, TimeUnit};
use serde_json::Value;

use crate::core::failure::Failure;
use crate::input::timestamp;
use crate::output::printer::Mode;
use crate::output::value::{float, name};
use crate::session::context::Context;
use crate::session::models::ModelArgs;
use crate::session::properties::ShowArgs;
use crate::session::schema::relations;
use crate::verbs::query::ranking::answer_count;

/// The arguments of `neighbors`.
#[derive(Args, Debug)]
pub(crate) struct NeighborsArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The node, such as pin:42
    #[arg(value_name = "A")]
    node: NodeName,
    /// Only edges of this time or later: an ISO 8601 date or date and time, or seconds, milliseconds or microseconds since 1970 [default: all]
    #[arg(long, value_name = "TIME", value_parser = timestamp::argument, allow_negative_numbers = true)]
    since: Option<i64>,
    /// The most edges in the answer, the heaviest first [default: all]
    #[arg(short, long, value_name = "N", value_parser = answer_count)]
    k: Option<usize>,
    #[command(flatten)]
    show: ShowArgs,
}

/// The arguments of `neighborhood`.
#[derive(Args, Debug)]
pub(crate) struct NeighborhoodArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The node, such as pin:42
    #[arg(value_name = "A")]
    node: NodeName,
    /// The most nodes in the answer
    #[arg(short, long, value_name = "N", default_value_t = 20, value_parser = answer_count)]
    k: usize,
    #[command(flatten)]
    show: ShowArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// Prints the heaviest edges first. Equal weights are ordered by name, so equal graphs have equal answers.
pub(crate) fn neighbors(ctx: &mut Context, args: NeighborsArgs) -> Result<(), Failure> {
    ctx.map_files();
    let snapshot = ctx.store(&args.store)?.snapshot();
    let node = snapshot.require(args.node.as_ref())?;
    let (mut edges, unit) = (Vec::new(), snapshot.time_unit());
    let since = args.since.map(|since| unit.from_microseconds(since));
    for relation in relations(&snapshot) {
        for (neighbor, weight, time) in snapshot.list(relation, node).iter() {
            if since.is_none_or(|since| time.is_some_and(|time| time >= since)) {
                let name = snapshot.name(neighbor);
                edges.push((name, weight, time, snapshot.relation_name(relation), neighbor));
            }
        }
    }
    edges.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| (&a.0, a.3).cmp(&(&b.0, b.3))));
    edges.truncate(args.k.unwrap_or(usize::MAX));
    let shown = args.show.columns(ctx.out, &snapshot, edges.iter().map(|edge| edge.4))?;
    let row = |(node, weight, time, relation, neighbor): &(NodeName, f32, Option<i64>, &str, NodeIx)| {
        let row = vec![name(node), float(*weight), shown_time(*time, unit, ctx.out.mode), (*relation).into()];
        row.into_iter().chain(shown.values(*neighbor)).collect()
    };
    let columns = shown.after(&["node", "weight", "time", "relation"]);
    ctx.out.rows(&columns, edges.iter().map(row).collect())
}

/// A time in microseconds; in a table as a date.
fn shown_time(time: Option<i64>, unit: TimeUnit, mode: Mode) -> Value {
    let time = time.map(|time| unit.to_microseconds(time));
    match (time, mode) {
        (Some(time), Mode::Table) => PropertyValue::Time(time).to_string().into(),
        (time, _) => time.into(),
    }
}

pub(crate) fn neighborhood(ctx: &mut Context, args: NeighborhoodArgs) -> Result<(), Failure> {
    ctx.map_files();
    let engine = ctx.model(&args.store, args.model.model.as_deref())?;
    let visited = engine.neighborhood(args.node.as_ref(), args.k)?;
    let snapshot = engine.store().snapshot();
    let nodes = visited.iter().filter_map(|node| snapshot.lookup(&node.node));
    let shown = args.show.columns(ctx.out, &snapshot, nodes)?;
    let rows = visited.iter().map(|node| {
        let row = vec![name(&node.node), node.visits.into(), float(node.importance)];
        row.into_iter().chain(shown.values_of(&node.node)).collect()
    });
    ctx.out.rows(&shown.after(&["node", "visits", "importance"]), rows.collect())
}
