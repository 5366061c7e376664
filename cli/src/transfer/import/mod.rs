//! `import`: edges, or nodes with their features, from a file into a store.

mod batch_import;
mod bulk_import;
mod edges;
mod export_tables;
mod export_values;
mod import_export;
mod manifest_check;
mod node_row;
mod nodes;
mod property_columns;
mod rejects;

#[cfg(test)]
#[path = "../../../tests/internal/bulk_import.rs"]
mod bulk_import_tests;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{ArgGroup, Args, ValueEnum};
use hedgerow::{Snapshot, Store};

use crate::core::failure::Failure;
use crate::input::blocks::BLOCK;
use crate::input::lines::Lines;
use crate::input::npy::parse_block;
use crate::input::source::Source;
use crate::input::timestamp::IntegerUnit;
use crate::output::progress::Progress;
use crate::output::value::{count, rounded};
use crate::session::context::Context;
use crate::transfer::edges::column_names::EndFlag;
use crate::transfer::edges::edge_flags::{EdgeFlags, TableFlags};
use crate::transfer::edges::row_state::RowState;
use crate::transfer::import::batch_import::BatchImport;
use crate::transfer::import::bulk_import::BulkImport;
use crate::transfer::import::edges::EdgeFile;
use crate::transfer::import::nodes::NodeFile;
use crate::transfer::import::property_columns::PropertyFlag;
use crate::transfer::import::rejects::Rejects;
use crate::transfer::model_file;

/// The flags of `import`.
#[derive(Args, Debug)]
#[command(
    group = ArgGroup::new("file").required(true).args(["edges", "nodes", "from", "model"]),
    after_help = "COL is a column of a csv or a field of a JSON object: its name, in capital or small letters, \
        with or without the type that Neo4j adds to it."
)]
pub(crate) struct ImportArgs {
    /// The store's folder; created when there is none
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// A file of edges, `-` for standard input; .gz and .zst are decompressed
    #[arg(long, value_name = "FILE")]
    edges: Option<PathBuf>,
    /// A file of nodes, one row each
    #[arg(long, value_name = "FILE", conflicts_with = "EdgeFlags")]
    nodes: Option<PathBuf>,
    /// A complete export, into a new store: graph, features and model, with the same digest
    #[arg(long, value_name = "DIR", conflicts_with_all = ["EdgeFlags", "TableFlags"])]
    from: Option<PathBuf>,
    /// Accept an export whose embeddings this version computes with another digest than the export has
    #[arg(long, conflicts_with_all = ["edges", "nodes", "model"])]
    any_digest: bool,
    /// The model.safetensors of an export, which becomes the store's next generation
    #[arg(long, value_name = "FILE", conflicts_with_all = ["EdgeFlags", "TableFlags"])]
    model: Option<PathBuf>,
    /// The form of the rows [default: jsonl for names with .jsonl, .ndjson or .json and for Parquet, else csv]
    #[arg(long, conflicts_with_all = ["from", "model"])]
    format: Option<Format>,
    #[command(flatten)]
    rows: EdgeFlags,
    /// The kind of the nodes
    #[arg(long, conflicts_with_all = ["edges", "from", "model", "kind_column"])]
    kind: Option<String>,
    /// The column of the kinds [default: :LABEL, where there is one]
    #[arg(long, value_name = "COL", conflicts_with_all = ["edges", "from", "model"])]
    kind_column: Option<String>,
    /// The column of the keys [default: the column :ID, else the first; in JSON the field key]
    #[arg(long, value_name = "COL", conflicts_with_all = ["edges", "from", "model"])]
    key: Option<String>,
    /// Columns of words that become tokens `col=word`: split at | where there is one, else at white space
    #[arg(long, value_name = "COL,..", value_delimiter = ',', conflicts_with_all = ["edges", "from", "model"])]
    tokens: Vec<String>,
    /// The separator of words in a column of --tokens without |, such as ; where values hold blanks [default: white space]
    #[arg(long, value_name = "S", requires = "tokens")]
    token_separator: Option<String>,
    /// Columns that become typed properties: text, i64, f64, bool, time or list (a|b) [default type: that in the store, else guessed from the first rows]
    #[arg(long, value_name = "COL[:TYPE],..", value_delimiter = ',', value_parser = property_columns::argument, conflicts_with_all = ["edges", "from", "model"])]
    props: Vec<PropertyFlag>,
    /// The property that is shown beside keys, such as title
    #[arg(long, value_name = "COL", conflicts_with_all = ["edges", "from", "model"])]
    label: Option<String>,
    /// A dense feature: a .npy matrix with one row for each row of the file
    #[arg(long, value_name = "NAME=FILE.npy", value_parser = parse_block, conflicts_with_all = ["edges", "from", "model"])]
    dense: Vec<(String, PathBuf)>,
    #[command(flatten)]
    table: TableFlags,
    /// The treatment of a bad row
    #[arg(long, value_enum, default_value_t = OnError::Stop)]
    on_error: OnError,
    /// The file that skipped rows are written to, unchanged
    #[arg(long, value_name = "FILE", required_if_eq("on_error", "skip"), conflicts_with_all = ["from", "model"])]
    rejects: Option<PathBuf>,
    /// Replace the file of --rejects where there is one
    #[arg(long, requires = "rejects")]
    force: bool,
    /// Stop after more than N bad rows
    #[arg(long, value_name = "N", requires = "rejects")]
    max_errors: Option<u64>,
}

impl ImportArgs {
    /// The kinds of both ends of an adjacency file.
    fn adjacency(&self) -> Result<(String, String), Failure> {
        let kind = |flag: &Option<EndFlag>| match flag {
            Some(EndFlag { kind: Some(kind), column: None, .. }) => Some(kind.clone()),
            _ => None,
        };
        kind(&self.rows.src).zip(kind(&self.rows.dst)).ok_or_else(|| {
            Failure::Usage("adjacency names no kinds: give --src KIND and --dst KIND".to_owned())
        })
    }

    /// The state before the first row of the file.
    fn state(&self, store: &Store) -> RowState {
        RowState::new(&self.rows, &store.snapshot())
    }

    /// Refuses a label that is no property, in the flags or in the store.
    fn expect_label(&self, snapshot: Option<&Snapshot>) -> Result<(), Failure> {
        let Some(label) = &self.label else { return Ok(()) };
        let is_stored = || {
            let snapshot = snapshot?;
            snapshot.property_ix(snapshot.kind_ix(self.kind.as_ref()?)?, label)
        };
        if self.props.iter().any(|flag| flag.column == *label) || is_stored().is_some() {
            return Ok(());
        }
        Err(Failure::Usage(format!("--label {label} names no property: add it to --props")))
    }
}

/// The form of a file of edges or nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A header and one row a line, separated by comma, tab, semicolon, bar, blanks or ::
    #[value(alias = "tsv")]
    Csv,
    /// `src dst dst ...` a line; needs --src and --dst
    Adjacency,
    /// {"src":"board:1","dst":"pin:2","weight":1,"time":0} a line, or objects whose fields flags name
    Jsonl,
}

/// The treatment of a bad row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnError {
    /// Stop; the rows before it stay: in an empty store all, else those of complete batches of 100,000 edges or 10,000 nodes
    Stop,
    /// Write the row to --rejects and continue
    Skip,
}

pub(crate) fn run(ctx: &mut Context, args: &ImportArgs) -> Result<(), Failure> {
    let started = Instant::now();
    if let Some(folder) = &args.from {
        return import_export::run(ctx, &args.store, folder, args.any_digest, started);
    }
    if let Some(file) = &args.model {
        return install(ctx, &args.store, file, started);
    }
    let Some(file) = args.edges.as_deref().or(args.nodes.as_deref()) else {
        return Err(Failure::Usage("import needs --edges FILE, --nodes FILE or --from DIR".to_owned()));
    };
    if ctx.console && file.as_os_str() == "-" {
        return Err(Failure::Usage("the console reads standard input itself: name a file".to_owned()));
    }
    if args.format == Some(Format::Adjacency) && args.edges.is_some() {
        args.adjacency()?;
    }
    import_file(ctx, args, file, started)
}

/// Imports a file of edges or nodes.
fn import_file(ctx: &mut Context, args: &ImportArgs, file: &Path, started: Instant) -> Result<(), Failure> {
    // The input is opened before the store, so that a missing file creates no store.
    let source = Source::open(file)?;
    let format = if source.is_parquet { Format::Jsonl } else { args.format.unwrap_or_else(|| guess(file)) };
    let what = if args.edges.is_some() { "edges" } else { "nodes" };
    let progress = Progress::reading(source.size, &source.position, what, ctx.out);
    let lines = Lines::new(source);
    let rejects = args.rejects.as_ref().filter(|_| args.on_error == OnError::Skip);
    // The file is created after all other checks, so that a refused command can be repeated.
    if let Some(path) = rejects.filter(|path| !args.force && path.exists()) {
        return Err(Rejects::taken(path));
    }
    let rejects = || rejects.map(|path| Rejects::create(path, args.max_errors, args.force)).transpose();
    if args.nodes.is_some() {
        // A new store is created after the checks.
        let snapshot = args.store.exists().then(|| ctx.store_or_new(&args.store)).transpose()?;
        let snapshot = snapshot.map(|store| store.snapshot());
        let nodes = NodeFile::open(args, format, lines, file, snapshot.as_ref())?;
        args.expect_label(snapshot.as_ref())?;
        let store = ctx.store_or_new(&args.store)?;
        let state = args.state(&store);
        nodes.expect_widths(&store.snapshot().dense_blocks())?;
        if !nodes.properties().is_empty() {
            let properties =
                nodes.properties().into_iter().map(|column| format!("{} {}", column.name, column.of));
            ctx.out.note(&format!("properties: {}", properties.collect::<Vec<_>>().join(", ")));
        }
        let mut import =
            BatchImport::new(ctx, &store, (what, batch_import::NODES), progress, rejects()?, state);
        if args.tokens.is_empty() && args.dense.is_empty() && bulk_import::is_possible(&store) {
            import = import.into_load();
        }
        let read = nodes.read(&mut import);
        report(ctx, args, import.finish(read)?, started)
    } else {
        let edges = EdgeFile::open(args, format, lines, ctx.out)?;
        let store = ctx.store_or_new(&args.store)?;
        let (rejects, state) = (rejects()?, args.state(&store));
        let totals = if bulk_import::is_possible(&store) {
            BulkImport::new(ctx, &store, progress, rejects, state).run(edges, BLOCK)?
        } else {
            let mut import =
                BatchImport::new(ctx, &store, (what, batch_import::EDGES), progress, rejects, state);
            let read = import.read_edges(edges);
            import.finish(read)?
        };
        report(ctx, args, totals, started)
    }
}

/// Installs a model of another store.
fn install(ctx: &mut Context, store: &Path, file: &Path, started: Instant) -> Result<(), Failure> {
    let model = model_file::read(file)?;
    let engine = ctx.engine(store)?;
    let generation = engine.install(&model, ctx.cancel())?;
    ctx.out.record(vec![
        ("generation", generation.get().into()),
        ("embedded", engine.digest(&ctx.watched())?.nodes.into()),
        ("seconds", rounded(started.elapsed().as_secs_f64(), 3)),
    ])
}

/// Counts of an import.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    nodes: u64,
    edges: u64,
    /// Links of edges that were there.
    repeats: u64,
    rejected: u64,
    /// Features that the import set or replaced.
    features: u64,
    /// Nodes whose properties the import set or changed.
    properties: u64,
    /// The unit of times that was guessed.
    time_unit: Option<IntegerUnit>,
    dislikes: u64,
    /// Rows that rules passed over.
    skipped: u64,
}

impl Totals {
    /// Takes what the rows said, once all are read.
    fn set_signals(&mut self, state: &RowState) {
        (self.time_unit, self.dislikes, self.skipped) = (state.times.guess(), state.dislikes, state.skipped);
    }
}

fn report(ctx: &Context, args: &ImportArgs, totals: Totals, started: Instant) -> Result<(), Failure> {
    if totals.rejected > 0 {
        ctx.out.note(&format!("{} bad rows were skipped, see the file of rejects", totals.rejected));
    }
    if let Some(unit) = totals.time_unit {
        ctx.out.note(&format!("times: {}", unit.name()));
    }
    if totals.repeats > 0 {
        let (repeats, outcome) = (count(totals.repeats, "edge", "edges"), args.rows.repeat.outcome());
        ctx.out.note(&format!("{repeats} came again: {outcome}"));
    }
    if args.rows.weight_map.is_some() {
        let (dislikes, skipped) = (totals.dislikes, totals.skipped);
        let (dislikes, skipped) = (count(dislikes, "dislike", "dislikes"), count(skipped, "row", "rows"));
        ctx.out.note(&format!("{dislikes}, {skipped} skipped by the rules of --weight-map"));
    }
    if totals.features > 0 {
        ctx.out.note(&format!("{} features were set or replaced", totals.features));
    }
    if totals.properties > 0 {
        ctx.out.note(&format!(
            "the properties of {} were set or changed",
            count(totals.properties, "node", "nodes")
        ));
    }
    ctx.out.record(vec![
        ("nodes", totals.nodes.into()),
        ("edges", totals.edges.into()),
        ("repeats", totals.repeats.into()),
        ("dislikes", totals.dislikes.into()),
        ("skipped", totals.skipped.into()),
        ("rejected", totals.rejected.into()),
        ("seconds", rounded(started.elapsed().as_secs_f64(), 3)),
    ])
}

/// The form of a file by its name.
fn guess(file: &Path) -> Format {
    let name = file.to_string_lossy().to_lowercase();
    let is_objects = [".jsonl", ".ndjson", ".json"].iter().any(|end| name.contains(end));
    if is_objects { Format::Jsonl } else { Format::Csv }
}
