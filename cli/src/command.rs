//! The one table of verbs: what the shell and the console parse, what both print as help, and what each verb calls.

use clap::{Args, Parser, Subcommand};

use crate::core::failure::Failure;
use crate::output::printer::Mode;
use crate::repl::verb;
use crate::session::context::Context;
use crate::session::suggest;
use crate::transfer::{export, import};
use crate::verbs::{
    apply, bench, demo, edit, embed, eval, generate, keep, neighbors, recommend, refresh, report, similar,
    stats, train, walk,
};

/// An embedded graph database whose learned embeddings follow every edge, bit for bit
#[derive(Parser, Debug)]
#[command(
    name = "hedgerow",
    version,
    after_help = "A node is written kind:key, such as pin:42. Begin with `hedgerow demo`, or with `hedgerow import`.\n\
        Exit codes: 0 done, 1 failed, 2 usage, 3 cannot open the store, 4 damaged, 5 bad input, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb understands.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of every verb")]
pub(crate) struct Globals {
    /// How results are written: table, json, jsonl, csv or tsv [default: table on a terminal, tsv in a pipe]
    #[arg(long, global = true, value_enum, value_name = "MODE", hide_possible_values = true)]
    pub(crate) output: Option<Mode>,
    /// No messages and no progress on stderr, only errors
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// Open the store as of its last checkpoint or refresh and change nothing; works while another process writes
    #[arg(long, global = true)]
    pub(crate) read_only: bool,
    /// Map the store's files instead of reading them: opens at once, takes little memory, and walks are slower
    #[arg(long, global = true)]
    pub(crate) low_memory: bool,
}

/// What can be asked.
#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Add edges, or nodes with their features, from a file
    Import(Box<import::ImportArgs>),
    /// Add one edge, and its nodes where they are new
    Link(edit::LinkArgs),
    /// Remove one edge
    Unlink(edit::UnlinkArgs),
    /// Remove one node with its edges and features
    Remove(edit::RemoveArgs),
    /// Apply a stream of added and removed edges in durable batches
    Apply(apply::ApplyArgs),
    /// Show what a node is linked to, with weights
    Neighbors(neighbors::NeighborsArgs),
    /// Show whom the walks from a node visit, with visit counts and importance
    Neighborhood(neighbors::NeighborhoodArgs),
    /// Find the nodes that walks from one or several nodes visit most; needs no training
    Walk(walk::WalkArgs),
    /// Train a model and embed every node of the target kinds
    Train(train::TrainArgs),
    /// Bring every embedding up to date with the edges
    Refresh(refresh::RefreshArgs),
    /// Print one hash over all neighborhoods and embeddings: equal digests are equal bytes
    Digest(refresh::DigestArgs),
    /// Print the embedding of a node, known or described
    Embed(embed::EmbedArgs),
    /// Find the nodes with the nearest embeddings
    Similar(similar::SimilarArgs),
    /// Say what to show next to a node, or after a history
    Recommend(recommend::RecommendArgs),
    /// Measure the embeddings at a task, beside what needs no training
    Eval(eval::EvalArgs),
    /// Count nodes, edges, degrees, dirty nodes and bytes
    Stats(stats::StatsArgs),
    /// Look at everything the store holds, and list whatever is not as it should be
    Check(keep::CheckArgs),
    /// Write all that the store holds as text, a line each
    Dump(keep::DumpArgs),
    /// Copy the store, also while another process writes to it
    Backup(keep::BackupArgs),
    /// Write all that the store holds as files for other programs, and for `import --from`
    Export(export::ExportArgs),
    /// Write one page about the store, with figures, that opens without a network
    Report(report::ReportArgs),
    /// Fill an empty store with a synthetic world of planted topics
    Generate(generate::GenerateArgs),
    /// Show the whole path in a temporary folder, under a minute
    Demo(demo::DemoArgs),
    /// Measure this machine, beside baselines of the same run
    Bench(bench::BenchArgs),
    /// Type verbs one after the other, with completion and history
    Console(verb::ConsoleArgs),
}

/// Does what was asked; of a node that is not in the store, says which are called nearly so.
pub(crate) fn run(ctx: &mut Context, verb: Verb) -> Result<(), Failure> {
    call(ctx, verb).map_err(|failure| suggest::advised(failure, ctx.opened()))
}

fn call(ctx: &mut Context, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Import(args) => import::run(ctx, &args),
        Verb::Link(args) => edit::link(ctx, args),
        Verb::Unlink(args) => edit::unlink(ctx, args),
        Verb::Remove(args) => edit::remove(ctx, args),
        Verb::Apply(args) => apply::apply(ctx, args),
        Verb::Neighbors(args) => neighbors::neighbors(ctx, args),
        Verb::Neighborhood(args) => neighbors::neighborhood(ctx, args),
        Verb::Walk(args) => walk::walk(ctx, args),
        Verb::Train(args) => train::train(ctx, args),
        Verb::Refresh(args) => refresh::refresh(ctx, args),
        Verb::Digest(args) => refresh::digest(ctx, args),
        Verb::Embed(args) => embed::embed(ctx, args),
        Verb::Similar(args) => similar::similar(ctx, args),
        Verb::Recommend(args) => recommend::recommend(ctx, args),
        Verb::Eval(args) => eval::eval(ctx, args),
        Verb::Stats(args) => stats::stats(ctx, args),
        Verb::Check(args) => keep::check(ctx, args),
        Verb::Dump(args) => keep::dump(ctx, args),
        Verb::Backup(args) => keep::backup(ctx, args),
        Verb::Export(args) => export::export(ctx, &args),
        Verb::Report(args) => report::report(ctx, args),
        Verb::Generate(args) => generate::generate(ctx, args),
        Verb::Demo(args) => demo::demo(ctx, args),
        Verb::Bench(args) => bench::bench(ctx, args),
        Verb::Console(args) => verb::console(ctx, args),
    }
}
