//! `generate`: fills an empty store with a synthetic graph, for trying things out.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use indicatif::HumanBytes;

use crate::core::failure::Failure;
use crate::core::memory;
use crate::output::value::rounded;
use crate::session::context::Context;
use crate::synthetic::{Degrees, Plan, SyntheticGraph};

/// The arguments of `generate`.
#[derive(Args, Debug)]
pub(crate) struct GenerateArgs {
    /// The store's folder; created when there is none, and must be empty
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// Nodes pin:0, pin:1, .. with word tokens, each of one topic
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    items: u32,
    /// Nodes board:0, board:1, .. that mostly keep to one topic
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    boards: u32,
    /// Edges between boards and pins, power-law on both sides
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    edges: u64,
    /// Topics, one for each item; the store does not hold them
    #[arg(long, value_name = "N", default_value_t = 50)]
    topics: u32,
    /// Seed: the same numbers give the same store
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn generate(ctx: &mut Context, args: GenerateArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let plan = Plan {
        items: args.items,
        boards: args.boards,
        edges: args.edges,
        topics: args.topics,
        degrees: Degrees::Steep,
        seed: args.seed,
    };
    plan.validate().map_err(Failure::Usage)?;
    let (needed, available) = (plan.memory(), memory::available());
    if let Some(available) = available.filter(|available| needed > *available) {
        return Err(Failure::Refused(format!(
            "the graph takes about {}, and {} of memory are available: generate fewer edges or nodes",
            HumanBytes(needed),
            HumanBytes(available)
        )));
    }
    let store = ctx.store_or_new(&args.store)?;
    let nodes = store.snapshot().node_count();
    if nodes > 0 {
        return Err(Failure::Refused(format!(
            "the store holds {nodes} nodes already: generate into a new one"
        )));
    }
    SyntheticGraph::new(plan).write(&store, ctx.cancel())?;
    store.checkpoint(&ctx.watched())?;
    ctx.out.record(vec![
        ("nodes", store.snapshot().node_count().into()),
        ("edges", plan.edges.into()),
        ("seconds", rounded(started.elapsed().as_secs_f64(), 3)),
    ])
}
