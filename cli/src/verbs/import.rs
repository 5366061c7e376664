//! `import`: edges, or nodes with their features, from a file into a store.

mod bulk;
pub(crate) mod edges;
mod gather;
mod loader;
mod nodes;
mod rejects;
mod target;

use std::path::PathBuf;
use std::time::Instant;

use clap::{ArgGroup, Args, ValueEnum};

use crate::cell::rounded;
use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::reading::blocks::BLOCK;
use crate::reading::lines::Lines;
use crate::reading::matrix::parse_block;
use crate::reading::source::Source;
use bulk::Bulk;
use loader::Loader;
use rejects::Rejects;

/// What `import` is told.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("file").required(true).args(["edges", "nodes"]))]
pub(crate) struct ImportArgs {
    /// The store's folder; created when there is none
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// File of edges, `-` for standard input; .gz and .zst are read directly
    #[arg(long, value_name = "FILE")]
    edges: Option<PathBuf>,
    /// File of nodes with a header line, first column the key
    #[arg(long, value_name = "FILE", requires = "kind")]
    nodes: Option<PathBuf>,
    /// Form of the edges [default: jsonl for names with .jsonl or .ndjson, else csv]
    #[arg(long, conflicts_with = "nodes")]
    format: Option<Format>,
    /// Kind of the first node of an edge; for csv instead of the header's first name
    #[arg(long, value_name = "KIND", conflicts_with = "nodes")]
    src: Option<String>,
    /// Kind of the second node of an edge; for csv instead of the header's second name
    #[arg(long, value_name = "KIND", conflicts_with = "nodes")]
    dst: Option<String>,
    /// Relation of the edges [default: named by the two kinds, such as board-pin]
    #[arg(long, value_name = "NAME", conflicts_with = "nodes")]
    relation: Option<String>,
    /// Column of a csv that holds the weights [default: the one named weight]
    #[arg(long, value_name = "COL", conflicts_with = "nodes")]
    weight_column: Option<String>,
    /// Column of a csv that holds the times [default: the one named time or timestamp]
    #[arg(long, value_name = "COL", conflicts_with = "nodes")]
    time_column: Option<String>,
    /// Kind of the nodes
    #[arg(long, conflicts_with = "edges")]
    kind: Option<String>,
    /// Columns whose words become tokens `col=word`: split on | where there is one, else on white space
    #[arg(long, value_name = "COL,..", value_delimiter = ',', conflicts_with = "edges")]
    tokens: Vec<String>,
    /// A dense feature: one row of a .npy matrix for each line of the file
    #[arg(long, value_name = "NAME=FILE.npy", value_parser = parse_block, conflicts_with = "edges")]
    dense: Vec<(String, PathBuf)>,
    /// What to do with a bad row
    #[arg(long, value_enum, default_value_t = OnError::Stop)]
    on_error: OnError,
    /// Where skipped rows are written as they are
    #[arg(long, value_name = "FILE", required_if_eq("on_error", "skip"))]
    rejects: Option<PathBuf>,
    /// Stop after so many bad rows all the same
    #[arg(long, value_name = "N", requires = "rejects")]
    max_errors: Option<u64>,
}

/// The form of a file of edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A header and one edge a line, separated by comma, tab, semicolon or bar
    #[value(alias = "tsv")]
    Csv,
    /// `src dst dst ...` a line; needs --src and --dst
    Adjacency,
    /// {"src":"board:1","dst":"pin:2","weight":1,"time":0} a line
    Jsonl,
}

/// What a bad row does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnError {
    /// Stop; the rows before it stay, in a store that held something those of whole batches of 100,000 (nodes: 10,000)
    Stop,
    /// Write the row to --rejects and go on
    Skip,
}

pub(crate) fn run(ctx: &mut Context, args: ImportArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let Some(file) = args.edges.as_ref().or(args.nodes.as_ref()) else {
        return Err(Failure::Usage("import needs --edges FILE or --nodes FILE".to_owned()));
    };
    if ctx.console && file.as_os_str() == "-" {
        return Err(Failure::Usage("the console reads standard input itself: name a file".to_owned()));
    }
    let format = args.format.unwrap_or_else(|| guess(file));
    if args.edges.is_some() && format == Format::Adjacency && (args.src.is_none() || args.dst.is_none()) {
        return Err(Failure::Usage("adjacency names no kinds: give --src KIND and --dst KIND".to_owned()));
    }
    // The input is looked at before a store comes into being for it.
    let source = Source::open(file)?;
    let what = if args.edges.is_some() { "edges" } else { "nodes" };
    let progress = Progress::reading(&source, what, ctx.out);
    let lines = Lines::new(source);
    let rejects = match (&args.on_error, &args.rejects) {
        (OnError::Skip, Some(path)) => Some(Rejects::create(path, args.max_errors)?),
        _ => None,
    };
    if let Some(kind) = &args.kind {
        let plan = nodes::Plan::open(kind, &args.tokens, &args.dense, lines, file)?;
        let store = ctx.store_or_new(&args.store)?;
        plan.expect_widths(&store.snapshot().dense_blocks())?;
        let mut loader = Loader::new(ctx, &store, (what, loader::NODES), progress, rejects);
        plan.run(&mut loader)?;
        report(ctx, loader.finish()?, started)
    } else {
        let plan = edges::Plan::open(&args, format, lines, ctx.out)?;
        let store = ctx.store_or_new(&args.store)?;
        let totals = if bulk::is_possible(&store) {
            Bulk::new(ctx, &store, progress, rejects).run(plan, BLOCK)?
        } else {
            let mut loader = Loader::new(ctx, &store, (what, loader::EDGES), progress, rejects);
            plan.run(&mut loader)?;
            loader.finish()?
        };
        report(ctx, totals, started)
    }
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    nodes: u64,
    edges: u64,
    rejected: u64,
    /// Nodes whose tokens or dense rows are other ones now.
    features: u64,
}

fn report(ctx: &Context, totals: Totals, started: Instant) -> Result<(), Failure> {
    if totals.rejected > 0 {
        ctx.out.note(&format!("{} bad rows were skipped, see the file of rejects", totals.rejected));
    }
    if totals.features > 0 {
        ctx.out.note(&format!("{} features were set or replaced", totals.features));
    }
    ctx.out.record(vec![
        ("nodes", totals.nodes.into()),
        ("edges", totals.edges.into()),
        ("rejected", totals.rejected.into()),
        ("seconds", rounded(started.elapsed().as_secs_f64(), 3)),
    ])
}

fn guess(file: &std::path::Path) -> Format {
    let name = file.to_string_lossy().to_lowercase();
    if name.contains(".jsonl") || name.contains(".ndjson") { Format::Jsonl } else { Format::Csv }
}
