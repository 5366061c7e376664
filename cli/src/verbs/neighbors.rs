//! `neighbors` and `neighborhood`: who a node is linked to, and who its walks visit.

use std::path::PathBuf;

use clap::Args;
use hedgerow::{NodeName, RelationIx};
use serde_json::Value;

use crate::core::failure::Failure;
use crate::input::timestamp;
use crate::output::value::{float, name};
use crate::session::context::Context;

/// What `neighbors` is told.
#[derive(Args, Debug)]
pub(crate) struct NeighborsArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The node, such as pin:42
    #[arg(value_name = "A")]
    node: NodeName,
    /// Only edges of this time or later: integer seconds, or an ISO 8601 date or date and time
    #[arg(long, value_name = "TIME", value_parser = timestamp::argument, allow_negative_numbers = true)]
    since: Option<i64>,
}

/// What `neighborhood` is told.
#[derive(Args, Debug)]
pub(crate) struct NeighborhoodArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The node, such as pin:42
    #[arg(value_name = "A")]
    node: NodeName,
    /// How many nodes at most
    #[arg(short, long, value_name = "N", default_value_t = 20)]
    k: usize,
}

/// Heaviest first; the order of equal weights is that of the names, so it is the same in every store with these edges.
pub(crate) fn neighbors(ctx: &mut Context, args: NeighborsArgs) -> Result<(), Failure> {
    let snapshot = ctx.store(&args.store)?.snapshot();
    let node = snapshot.require(args.node.as_ref())?;
    let mut found = Vec::new();
    for relation in (0..snapshot.relation_count()).map(|ix| RelationIx::new(ix as u16)) {
        for (neighbor, weight, time) in snapshot.list(relation, node).iter() {
            if args.since.is_some_and(|since| time.is_none_or(|time| time < since)) {
                continue;
            }
            found.push((snapshot.name(neighbor), weight, time, snapshot.relation_name(relation)));
        }
    }
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| (&a.0, a.3).cmp(&(&b.0, b.3))));
    let row = |(node, weight, time, relation): &(NodeName, f32, Option<i64>, &str)| {
        vec![name(node), float(*weight), time.map_or(Value::Null, Value::from), (*relation).into()]
    };
    ctx.out.rows(&["node", "weight", "time", "relation"], found.iter().map(row).collect())
}

pub(crate) fn neighborhood(ctx: &mut Context, args: NeighborhoodArgs) -> Result<(), Failure> {
    let found = ctx.engine(&args.store)?.neighborhood(args.node.as_ref(), args.k)?;
    let rows = found
        .iter()
        .map(|visited| vec![name(&visited.node), visited.visits.into(), float(visited.importance)]);
    ctx.out.rows(&["node", "visits", "importance"], rows.collect())
}
