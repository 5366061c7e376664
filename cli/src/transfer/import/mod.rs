//! `import`: edges, or nodes with their features, from a file into a store.

mod batch_import;
mod bulk_import;
mod column_names;
mod edge_columns;
mod edge_fields;
pub(crate) mod edges;
mod import_export;
mod node_features;
mod nodes;
mod rejects;
mod row_target;

#[cfg(test)]
#[path = "../../../tests/internal/bulk_import.rs"]
mod bulk_import_tests;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{ArgGroup, Args, ValueEnum};

use crate::core::failure::Failure;
use crate::input::blocks::BLOCK;
use crate::input::delimited::Dialect;
use crate::input::lines::Lines;
use crate::input::npy::parse_block;
use crate::input::separator;
use crate::input::separator::Separator;
use crate::input::source::Source;
use crate::output::progress::Progress;
use crate::output::value::rounded;
use crate::session::context::Context;
use crate::transfer::import::batch_import::BatchImport;
use crate::transfer::import::bulk_import::BulkImport;
use crate::transfer::import::column_names::EndFlag;
use crate::transfer::import::edges::EdgeFile;
use crate::transfer::import::nodes::NodeFile;
use crate::transfer::import::rejects::Rejects;
use crate::transfer::model;

/// What `import` is told.
#[derive(Args, Debug)]
#[command(
    group = ArgGroup::new("file").required(true).args(["edges", "nodes", "from", "model"]),
    after_help = "COL is a column of a csv or a field of a JSON object: its name, capital or small, \
        with or without the type that Neo4j writes behind it."
)]
pub(crate) struct ImportArgs {
    /// The store's folder; created when there is none
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// File of edges, `-` for standard input; .gz and .zst are read directly
    #[arg(long, value_name = "FILE")]
    edges: Option<PathBuf>,
    /// File of nodes, a row each
    #[arg(long, value_name = "FILE")]
    nodes: Option<PathBuf>,
    /// An export as a whole, into a new store: graph, features and model, with the same digest
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// A model.safetensors of an export: becomes the store's next generation
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Form of the rows [default: jsonl for names with .jsonl, .ndjson or .json and for Parquet, else csv]
    #[arg(long, conflicts_with_all = ["from", "model"])]
    format: Option<Format>,
    /// Kind of the first node of an edge, and where its key is; * where it is written kind:key
    #[arg(long, value_name = "KIND[=COL]", conflicts_with_all = ["nodes", "from", "model"], value_parser = column_names::argument)]
    src: Option<EndFlag>,
    /// Kind of the second node of an edge, and where its key is [default: the first two columns, named by their kinds]
    #[arg(long, value_name = "KIND[=COL]", conflicts_with_all = ["nodes", "from", "model"], value_parser = column_names::argument)]
    dst: Option<EndFlag>,
    /// Relation of the edges [default: named by the two kinds, such as board-pin]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["nodes", "from", "model"])]
    relation: Option<String>,
    /// What holds the relations [default: what is named relation or :TYPE]
    #[arg(long, value_name = "COL", conflicts_with_all = ["nodes", "from", "model", "relation"])]
    relation_column: Option<String>,
    /// What holds the weights [default: what is named weight]
    #[arg(long, visible_alias = "weight", value_name = "COL", conflicts_with_all = ["nodes", "from", "model"])]
    weight_column: Option<String>,
    /// What holds the times [default: what is named time or timestamp]
    #[arg(long, visible_alias = "time", value_name = "COL", conflicts_with_all = ["nodes", "from", "model"])]
    time_column: Option<String>,
    /// Kind of the nodes
    #[arg(long, conflicts_with_all = ["edges", "from", "model", "kind_column"])]
    kind: Option<String>,
    /// What holds the kinds of the nodes [default: what is named :LABEL]
    #[arg(long, value_name = "COL", conflicts_with_all = ["edges", "from", "model"])]
    kind_column: Option<String>,
    /// What holds the keys of the nodes [default: the column :ID, else the first; in JSON the field key]
    #[arg(long, value_name = "COL", conflicts_with_all = ["edges", "from", "model"])]
    key: Option<String>,
    /// What holds words that become tokens `col=word`: split on | where there is one, else on white space
    #[arg(long, value_name = "COL,..", value_delimiter = ',', conflicts_with_all = ["edges", "from", "model"])]
    tokens: Vec<String>,
    /// A dense feature: one row of a .npy matrix for each row of the file
    #[arg(long, value_name = "NAME=FILE.npy", value_parser = parse_block, conflicts_with_all = ["edges", "from", "model"])]
    dense: Vec<(String, PathBuf)>,
    /// Names of the columns of a csv that has no header line
    #[arg(long, value_name = "COL,..", value_delimiter = ',', conflicts_with_all = ["from", "model"])]
    columns: Vec<String>,
    /// What stands between columns: comma, tab, semicolon, bar, blanks, ::, or a character [default: what the first line has]
    #[arg(long, value_name = "SEP", value_parser = separator::argument, conflicts_with_all = ["from", "model"])]
    separator: Option<Separator>,
    /// Pass over lines that begin so, such as #
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["from", "model"])]
    comment: Option<String>,
    /// What to do with a bad row
    #[arg(long, value_enum, default_value_t = OnError::Stop)]
    on_error: OnError,
    /// Where skipped rows are written as they are
    #[arg(long, value_name = "FILE", required_if_eq("on_error", "skip"), conflicts_with_all = ["from", "model"])]
    rejects: Option<PathBuf>,
    /// Write over the file of --rejects where there is one
    #[arg(long, requires = "rejects")]
    force: bool,
    /// Stop after so many bad rows all the same
    #[arg(long, value_name = "N", requires = "rejects")]
    max_errors: Option<u64>,
}

impl ImportArgs {
    /// Where the names of the columns stand.
    fn named_by(&self) -> &'static str {
        if self.columns.is_empty() { "the header" } else { "--columns" }
    }

    /// The kinds of both ends of an adjacency file.
    fn adjacency(&self) -> Result<(String, String), Failure> {
        let kind = |flag: &Option<EndFlag>| match flag {
            Some(EndFlag { kind: Some(kind), column: None, .. }) => Some(kind.clone()),
            _ => None,
        };
        kind(&self.src).zip(kind(&self.dst)).ok_or_else(|| {
            Failure::Usage("adjacency names no kinds: give --src KIND and --dst KIND".to_owned())
        })
    }

    /// The form of a csv, as the flags give it.
    fn dialect(&self, blanks: bool) -> Dialect {
        Dialect { separator: self.separator, blanks, comment: self.comment.clone() }
    }
}

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A header and one row a line, separated by comma, tab, semicolon, bar, blanks or ::
    #[value(alias = "tsv")]
    Csv,
    /// `src dst dst ...` a line; needs --src and --dst
    Adjacency,
    /// {"src":"board:1","dst":"pin:2","weight":1,"time":0} a line, or objects of which flags name the fields
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
    if let Some(folder) = &args.from {
        return import_export::run(ctx, &args.store, folder, started);
    }
    if let Some(file) = &args.model {
        return install(ctx, &args.store, file, started);
    }
    let Some(file) = args.edges.as_ref().or(args.nodes.as_ref()) else {
        return Err(Failure::Usage("import needs --edges FILE, --nodes FILE or --from DIR".to_owned()));
    };
    if ctx.console && file.as_os_str() == "-" {
        return Err(Failure::Usage("the console reads standard input itself: name a file".to_owned()));
    }
    if args.format == Some(Format::Adjacency) && args.edges.is_some() {
        args.adjacency()?;
    }
    // The input is looked at before a store comes into being for it.
    let source = Source::open(file)?;
    let format = if source.is_parquet { Format::Jsonl } else { args.format.unwrap_or_else(|| guess(file)) };
    let what = if args.edges.is_some() { "edges" } else { "nodes" };
    let progress = Progress::reading(source.size, &source.position, what, ctx.out);
    let lines = Lines::new(source);
    let rejects = args.rejects.as_ref().filter(|_| args.on_error == OnError::Skip);
    // Created once nothing else can be refused, so that the same command can be given again.
    if let Some(path) = rejects.filter(|path| !args.force && path.exists()) {
        return Err(Rejects::taken(path));
    }
    let rejects = || rejects.map(|path| Rejects::create(path, args.max_errors, args.force)).transpose();
    if args.nodes.is_some() {
        let nodes = NodeFile::open(&args, format, lines, file)?;
        let store = ctx.store_or_new(&args.store)?;
        nodes.expect_widths(&store.snapshot().dense_blocks())?;
        let mut import = BatchImport::new(ctx, &store, (what, batch_import::NODES), progress, rejects()?);
        nodes.read(&mut import)?;
        report(ctx, import.finish()?, started)
    } else {
        let edges = EdgeFile::open(&args, format, lines, ctx.out)?;
        let store = ctx.store_or_new(&args.store)?;
        let rejects = rejects()?;
        let totals = if bulk_import::is_possible(&store) {
            BulkImport::new(ctx, &store, progress, rejects).run(edges, BLOCK)?
        } else {
            let mut import = BatchImport::new(ctx, &store, (what, batch_import::EDGES), progress, rejects);
            import.read_edges(edges)?;
            import.finish()?
        };
        report(ctx, totals, started)
    }
}

/// A model from elsewhere for the nodes of this store.
fn install(ctx: &mut Context, store: &Path, file: &Path, started: Instant) -> Result<(), Failure> {
    let model = model::read(file)?;
    let engine = ctx.engine(store)?;
    let generation = engine.install(&model, ctx.cancel())?;
    ctx.out.record(vec![
        ("generation", generation.get().into()),
        ("embedded", engine.digest(&ctx.watched())?.nodes.into()),
        ("seconds", rounded(started.elapsed().as_secs_f64(), 3)),
    ])
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

fn guess(file: &Path) -> Format {
    let name = file.to_string_lossy().to_lowercase();
    let is_objects = [".jsonl", ".ndjson", ".json"].iter().any(|end| name.contains(end));
    if is_objects { Format::Jsonl } else { Format::Csv }
}
