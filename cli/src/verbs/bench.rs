//! `bench`: the project's benchmarks, in a temporary folder.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::bench::graph::{Graph, Plan};
use crate::bench::walk;
use crate::bench::walk::Setup;
use crate::bench::{Row, ablation, refresh, store, train};
use crate::core::failure::Failure;
use crate::output::value::rounded;
use crate::session::context::Context;

/// Nodes of the graphs on which reach is measured; the last one with `--full` only.
const CURVE: [u32; 3] = [100_000, 1_000_000, 10_000_000];
const QUICK: [u32; 2] = [1_000, 10_000];
/// Nodes of the smaller kind for each topic of the graph that refreshes are measured on.
const NODES_PER_TOPIC: u32 = 250;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Walks, neighborhoods, and what an edge change reaches
    Walk,
    /// A whole graph loaded into an empty store
    BulkLoad,
    /// Imports, durable commits, opening, checkpoints, hubs and reads
    Store,
    /// Training and embedding all nodes, with where the time goes
    Train,
    /// Changes brought into the embeddings, beside a rebuild; needs 21 GiB at the default size
    Refresh,
    /// What the parts of PinSage are worth on a generated catalogue, as in the paper's Table 1
    Ablation,
}

/// What `bench` is told.
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// What to measure
    #[arg(value_enum, value_name = "WORKLOAD", default_value = "walk")]
    workload: Workload,
    /// Pins of the graph
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    items: u32,
    /// Boards of the graph
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    boards: u32,
    /// Edges of the graph, some 1 in 50 of which coincide
    #[arg(long, value_name = "N", default_value_t = 20_000_000)]
    edges: u64,
    /// Seed of the graph
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Small graphs: to see that it works, not to measure
    #[arg(long)]
    quick: bool,
    /// Reach on ten million nodes too; takes 12 GiB and some minutes
    #[arg(long)]
    full: bool,
}

pub(crate) fn bench(ctx: &mut Context, args: BenchArgs) -> Result<(), Failure> {
    // What a refresh costs depends on how many nodes walks visit twice, and in a graph without topics few are.
    let topics =
        if args.workload == Workload::Refresh { args.items.min(args.boards) / NODES_PER_TOPIC } else { 1 };
    let topics = topics.max(1);
    let plan = if args.quick {
        Plan { items: 6_000, boards: 3_000, edges: 60_000, topics, seed: args.seed }
    } else {
        Plan { items: args.items, boards: args.boards, edges: args.edges, topics, seed: args.seed }
    };
    if plan.items == 0 || plan.boards == 0 || plan.edges == 0 {
        return Err(Failure::Usage("items, boards and edges must be 1 or more".to_owned()));
    }
    let curve = match (args.quick, args.full) {
        (true, _) => &QUICK[..],
        (false, true) => &CURVE[..],
        (false, false) => &CURVE[..2],
    };
    let (changes, hops, rounds) = if args.quick { (50, 100_000, 1) } else { (1000, 10_000_000, 5) };
    let setup = Setup { plan, curve, changes, hops, rounds };
    let stored = if args.quick {
        let span = Duration::from_millis(100);
        store::Setup { plan, span, tail: 2000, hub: 1000, changes: 40, reads: 10_000 }
    } else {
        let span = Duration::from_secs(3);
        store::Setup { plan, span, tail: 100_000, hub: 1_000_000, changes: 1000, reads: 1_000_000 }
    };
    let trained = train::Setup {
        plan,
        examples: if args.quick { 4096 } else { 100_000 },
        rounds: if args.quick { 1 } else { 3 },
    };
    let shelf = ablation::Shelf { items: 100_000, boards: 60_000, styles: 4000, seed: args.seed };
    let parts = if args.quick {
        let plan = ablation::Shelf { items: 2000, boards: 1500, styles: 100, ..shelf };
        ablation::Setup { plan, pairs: 4000, judged: 500, epochs: 1, pairs_per_epoch: 4096 }
    } else {
        ablation::Setup { plan: shelf, pairs: 400_000, judged: 5000, epochs: 4, pairs_per_epoch: 100_000 }
    };
    let refreshed = refresh::Setup { plan, quick: args.quick };
    let (out, cancel) = (ctx.out, ctx.cancel().clone());
    let mut found = Vec::new();
    let mut row = |row: Row| {
        let value = rounded(row.value, 3);
        found.push(vec![
            row.workload.into(),
            row.case.into(),
            value,
            row.unit.into(),
            row.baseline.map_or(Value::Null, Value::from),
            row.ratio.map_or(Value::Null, |ratio| rounded(ratio, 3)),
            row.threads.into(),
            row.graph.into(),
            row.options.into(),
        ]);
        Ok(())
    };
    match args.workload {
        Workload::Walk => walk::run(setup, &cancel, &|what| out.note(what), &mut row)?,
        Workload::Store => store::run(stored, &cancel, &|what| out.note(what), &mut row)?,
        Workload::Train => train::run(trained, &cancel, &|what| out.note(what), &mut row)?,
        Workload::Refresh => refresh::run(refreshed, &cancel, &|what| out.note(what), &mut row)?,
        Workload::Ablation => ablation::run(parts, &cancel, &|what| out.note(what), &mut row)?,
        Workload::BulkLoad => Graph::make(plan, &cancel)?.size("load", &mut row)?,
    }
    let columns = ["workload", "case", "value", "unit", "baseline", "ratio", "threads", "graph", "options"];
    ctx.out.rows(&columns, found)
}
