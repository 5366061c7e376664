//! `walk`: the nodes that walks from one or several nodes visit most. It needs no model.

use std::path::PathBuf;

use clap::Args;
use hedgerow::{EarlyStop, NodeIx, NodeName, PixieOptions, Policy, pixie};

use crate::core::failure::Failure;
use crate::output::value::{float, name};
use crate::session::context::Context;
use crate::session::properties::ShowArgs;
use crate::verbs::query::ranking::answer_count;

/// The arguments of `walk`.
#[derive(Args, Debug)]
pub(crate) struct WalkArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The nodes that walks start from: one, such as pin:42, or several of one kind
    #[arg(value_name = "A", required = true)]
    nodes: Vec<NodeName>,
    /// The weight of each node, a number above 0, in the order of the nodes [default: 1 for all]
    #[arg(long, value_name = "W,..", value_delimiter = ',', allow_negative_numbers = true)]
    weights: Vec<f32>,
    /// The most nodes in the answer
    #[arg(short, long, value_name = "N", default_value_t = 10, value_parser = answer_count)]
    k: usize,
    /// The number of walks; more walks take longer and rank more accurately
    #[arg(long, value_name = "N", default_value_t = PixieOptions::default().budget)]
    budget: u32,
    /// Stop when P nodes have V visits each, such as 100,50 [default: make all walks]
    #[arg(long, value_name = "P,V", value_parser = early)]
    early: Option<EarlyStop>,
    #[command(flatten)]
    show: ShowArgs,
}

fn early(text: &str) -> Result<EarlyStop, String> {
    let numbers = text.split_once(',').and_then(|(p, v)| Some((p.parse().ok()?, v.parse().ok()?)));
    match numbers {
        Some((nodes, visits)) if nodes > 0 && visits > 0 => Ok(EarlyStop { nodes, visits }),
        Some(_) | None => Err("expected P,V: two whole numbers of 1 or more, such as 100,50".to_owned()),
    }
}

pub(crate) fn walk(ctx: &mut Context, args: WalkArgs) -> Result<(), Failure> {
    ctx.map_files();
    let kind = &args.nodes[0].kind;
    if let Some(other) = args.nodes.iter().find(|node| node.kind != *kind) {
        return Err(Failure::Usage(format!(
            "{} and {other} are of different kinds: give nodes of one kind",
            args.nodes[0]
        )));
    }
    let (weights, nodes) = (args.weights.len(), args.nodes.len());
    if weights != 0 && weights != nodes {
        return Err(Failure::Usage(format!("found {weights} weights, expected {nodes}, one for each node")));
    }
    let weights = args.weights.into_iter().chain(std::iter::repeat(1.0));
    let snapshot = ctx.store(&args.store)?.snapshot();
    let queries = args.nodes.iter().zip(weights).map(|(node, weight)| {
        let node = snapshot.require(node.as_ref())?;
        Ok((node, weight))
    });
    let queries: Vec<(NodeIx, f32)> = queries.collect::<Result<_, Failure>>()?;
    let policy = Policy::default_for(&snapshot, snapshot.kind(queries[0].0));
    let options = PixieOptions { budget: args.budget, early: args.early, ..PixieOptions::default() };
    let answer = pixie(&snapshot, &policy, &queries, args.k, &options)?;
    if answer.walks == 0 {
        ctx.out.note("these nodes have no edges, so there is nothing to walk to");
    }
    let facts = vec![
        ("epoch", snapshot.epoch().get().into()),
        ("walks", answer.walks.into()),
        ("stopped_early", answer.stopped_early.into()),
    ];
    let shown = args.show.columns(ctx.out, &snapshot, answer.items.iter().map(|item| item.node))?;
    let row = |item: &hedgerow::Recommended| {
        let row = vec![name(&snapshot.name(item.node)), float(item.score), item.visits.into()];
        row.into_iter().chain(shown.values(item.node)).collect()
    };
    ctx.out.items(facts, &shown.after(&["node", "score", "visits"]), answer.items.iter().map(row).collect())
}
