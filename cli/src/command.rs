//! The table of verbs, for the shell and the console: arguments, help, and the function of each verb.

use clap::{Args, Parser, Subcommand};

use crate::core::failure::Failure;
use crate::output::printer::Mode;
use crate::repl::console;
use crate::session::context::Context;
use crate::session::suggest;
use crate::transfer::{export, import};
use crate::verbs::query::{embed, neighbors, recommend, show, similar, walk};
use crate::verbs::{
    apply, backup, check, demo, dump, edit, eval, generate, models, refresh, report, stats, train,
};

/// An embedded graph database whose learned embeddings follow every edge, bit for bit
#[derive(Parser, Debug)]
#[command(
    name = "hedgerow",
    version,
    after_help = "A node is written kind:key, such as pin:42. Start with `hedgerow demo` or `hedgerow import`.\n\
        Exit codes: 0 done, 1 failed, 2 usage, 3 cannot open the store, 4 damaged, 5 bad input, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The options of every verb.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of every verb")]
pub(crate) struct Globals {
    /// The format of results: table, json, jsonl, csv or tsv [default: table on a terminal, tsv in a pipe]
    #[arg(long, global = true, value_enum, value_name = "MODE", hide_possible_values = true)]
    pub(crate) output: Option<Mode>,
    /// Print only errors on stderr, no messages and no progress
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// Open the store at its last checkpoint or refresh and change nothing; another process may be writing
    #[arg(long, global = true)]
    pub(crate) read_only: bool,
    /// Map the files of the store instead of reading them: it opens at once and takes little memory, but walks are slower
    #[arg(long, global = true)]
    pub(crate) low_memory: bool,
}

/// The verbs.
#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Add edges, or nodes with their features, from a file
    Import(Box<import::ImportArgs>),
    /// Add one edge, and its nodes if they are new
    Link(edit::LinkArgs),
    /// Remove one edge
    Unlink(edit::UnlinkArgs),
    /// Remove one node with its edges and features
    Remove(edit::RemoveArgs),
    /// Apply a stream of added and removed edges in durable batches
    Apply(apply::ApplyArgs),
    /// Print all that is known of a node: properties, tokens, edges
    Show(show::ShowNodeArgs),
    /// List the neighbors of a node, with weights
    Neighbors(neighbors::NeighborsArgs),
    /// List the nodes that walks from a node visit, with visits and importance
    Neighborhood(neighbors::NeighborhoodArgs),
    /// Find the nodes that walks from one or several nodes visit most, without a model
    Walk(walk::WalkArgs),
    /// Train a model and embed every node of the target kinds
    Train(train::TrainArgs),
    /// List the models of the store; promote, drop or roll back one
    Models(models::ModelsArgs),
    /// Bring all embeddings up to date with the edges
    Refresh(refresh::RefreshArgs),
    /// Print a hash over all neighborhoods and embeddings: equal digests mean equal bytes
    Digest(refresh::DigestArgs),
    /// Print the embedding of a node, or of a new one that is described
    Embed(embed::EmbedArgs),
    /// Find the nodes with the nearest embeddings
    Similar(similar::SimilarArgs),
    /// Recommend nodes for a user or after a history
    Recommend(recommend::RecommendArgs),
    /// Measure the embeddings at a task, compared with baselines
    Eval(eval::EvalArgs),
    /// Count nodes, edges, degrees, dirty nodes and bytes
    Stats(stats::StatsArgs),
    /// Verify the whole store, and list all problems
    Check(check::CheckArgs),
    /// Write the whole store as lines of text
    Dump(dump::DumpArgs),
    /// Copy the store, also while another process writes to it
    Backup(backup::BackupArgs),
    /// Write the whole store as files for other programs and for `import --from`
    Export(export::ExportArgs),
    /// Write a page about the store, with figures, that needs no network
    Report(report::ReportArgs),
    /// Fill an empty store with a synthetic graph of planted topics
    Generate(generate::GenerateArgs),
    /// Show the whole path in a temporary folder, under a minute
    Demo(demo::DemoArgs),
    /// Run verbs at a prompt, with completion and history
    Console(console::ConsoleArgs),
}

/// Runs a verb, and tells of damage that it met. A failure about a missing node suggests similar names.
pub(crate) fn run(ctx: &mut Context, verb: Verb) -> Result<(), Failure> {
    let ran = call(ctx, verb);
    ctx.tell_damage();
    ran.map_err(|failure| suggest::advised(failure, ctx.shared()))
}

fn call(ctx: &mut Context, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Import(args) => import::run(ctx, &args),
        Verb::Link(args) => edit::link(ctx, args),
        Verb::Unlink(args) => edit::unlink(ctx, args),
        Verb::Remove(args) => edit::remove(ctx, args),
        Verb::Apply(args) => apply::apply(ctx, args),
        Verb::Show(args) => show::show(ctx, args),
        Verb::Neighbors(args) => neighbors::neighbors(ctx, args),
        Verb::Neighborhood(args) => neighbors::neighborhood(ctx, args),
        Verb::Walk(args) => walk::walk(ctx, args),
        Verb::Train(args) => train::train(ctx, args),
        Verb::Models(args) => models::models(ctx, args),
        Verb::Refresh(args) => refresh::refresh(ctx, args),
        Verb::Digest(args) => refresh::digest(ctx, args),
        Verb::Embed(args) => embed::embed(ctx, args),
        Verb::Similar(args) => similar::similar(ctx, args),
        Verb::Recommend(args) => recommend::recommend(ctx, args),
        Verb::Eval(args) => eval::eval(ctx, args),
        Verb::Stats(args) => stats::stats(ctx, args),
        Verb::Check(args) => check::check(ctx, args),
        Verb::Dump(args) => dump::dump(ctx, args),
        Verb::Backup(args) => backup::backup(ctx, args),
        Verb::Export(args) => export::export(ctx, &args),
        Verb::Report(args) => report::report(ctx, args),
        Verb::Generate(args) => generate::generate(ctx, args),
        Verb::Demo(args) => demo::demo(ctx, args),
        Verb::Console(args) => console::console(ctx, args),
    }
}
