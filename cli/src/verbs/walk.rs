//! `walk`: the nodes that walks from one or several nodes visit most, without a model.

use std::path::PathBuf;

use clap::Args;
use hedgerow::{EarlyStop, NodeIx, NodeName, PixieOptions, Policy, pixie};

use crate::core::failure::Failure;
use crate::output::value::{float, name};
use crate::session::context::Context;

/// What `walk` is told.
#[derive(Args, Debug)]
pub(crate) struct WalkArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// Where the walks start: one node, such as pin:42, or several of one kind
    #[arg(value_name = "A", required = true)]
    nodes: Vec<NodeName>,
    /// How much each node counts, a number above 0 for each in their order [default: all the same]
    #[arg(long, value_name = "W,..", value_delimiter = ',', allow_negative_numbers = true)]
    weights: Vec<f32>,
    /// How many nodes at most
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    k: usize,
    /// Walks in all: more take longer and tell more surely which nodes come first
    #[arg(long, value_name = "N", default_value_t = PixieOptions::default().budget)]
    budget: u32,
    /// Stop once P nodes have V visits each, such as 100,50 [default: make all walks]
    #[arg(long, value_name = "P,V", value_parser = early)]
    early: Option<EarlyStop>,
}

fn early(text: &str) -> Result<EarlyStop, String> {
    let numbers = text.split_once(',').and_then(|(p, v)| Some((p.parse().ok()?, v.parse().ok()?)));
    match numbers {
        Some((nodes, visits)) if nodes > 0 && visits > 0 => Ok(EarlyStop { nodes, visits }),
        Some(_) | None => Err("expected P,V: two whole numbers of 1 or more, such as 100,50".to_owned()),
    }
}

pub(crate) fn walk(ctx: &mut Context, args: WalkArgs) -> Result<(), Failure> {
    let kind = &args.nodes[0].kind;
    if let Some(other) = args.nodes.iter().find(|node| node.kind != *kind) {
        return Err(Failure::Usage(format!(
            "{} and {other} are of different kinds: give nodes of one kind",
            args.nodes[0]
        )));
    }
    let given = args.weights.len();
    if given != 0 && given != args.nodes.len() {
        let nodes = args.nodes.len();
        return Err(Failure::Usage(format!("found {given} weights, expected {nodes}, one for each node")));
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
        ctx.out.note("no edge leads from here, so there is nothing to walk to");
    }
    let facts = vec![
        ("epoch", snapshot.epoch().get().into()),
        ("walks", answer.walks.into()),
        ("stopped_early", answer.stopped_early.into()),
    ];
    let row = |item: &hedgerow::Recommended| {
        vec![name(&snapshot.name(item.node)), float(item.score), item.visits.into()]
    };
    ctx.out.items(facts, &["node", "score", "visits"], answer.items.iter().map(row).collect())
}
