//! `export`: the graph, features and embeddings of a store as files for other programs and for `import --from`.

mod csv;
mod export_folder;
mod export_rows;
mod graphml;
mod jsonl;
mod npy;
#[cfg(feature = "parquet")]
mod parquet;
mod property_values;
mod table_writer;
mod tensorboard;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use hedgerow::{EmbeddingExport, Engine, ErrorKind, Store};

use crate::core::failure::Failure;
use crate::output::value::rounded;
use crate::session::context::Context;
use crate::session::models::{ModelArgs, existing_model};
use crate::transfer::export::export_folder::ExportFolder;
use crate::transfer::export::export_rows::ExportRows;
use crate::transfer::manifest::ExportFormat;
use crate::transfer::model_file;
use crate::transfer::table_schema::Table;

/// The most rows of a Parquet file.
const SHARD: u64 = 1_000_000;

/// The flags of `export`.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// The store's folder; another process may be writing to it
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// A new or empty folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The format of the files; `import --from` reads csv, jsonl and parquet
    #[arg(long, value_enum, default_value_t = ExportFormat::Csv)]
    format: ExportFormat,
    /// Replace an earlier export
    #[arg(long)]
    force: bool,
    /// csv: write an apostrophe before texts that begin like a formula of a spreadsheet; `import --from` removes it
    #[arg(long)]
    guard_formulas: bool,
    /// parquet: the most rows of a file
    #[arg(long, value_name = "N", default_value_t = SHARD, value_parser = clap::value_parser!(u64).range(1..))]
    shard_rows: u64,
    #[command(flatten)]
    model: ModelArgs,
}

pub(crate) fn export(ctx: &mut Context, args: &ExportArgs) -> Result<(), Failure> {
    let started = Instant::now();
    // Flags and target are checked before anything is written.
    if args.guard_formulas && args.format != ExportFormat::Csv {
        return Err(Failure::Usage("--guard-formulas is for --format csv".to_owned()));
    }
    if cfg!(not(feature = "parquet")) && args.format == ExportFormat::Parquet {
        return Err(Failure::no_parquet());
    }
    let engine = engine(ctx, &args.store, args.model.model.as_deref())?;
    let store = engine.store();
    if is_within(&args.folder, store.path()) {
        let folder = args.folder.display();
        return Err(Failure::Refused(format!(
            "{folder} is in the folder of the store: name one outside of it"
        )));
    }
    // The embeddings are refreshed first, so that they and the graph are of one epoch.
    let mut folder = ExportFolder::create(&args.folder, args.force)?;
    let dirty = engine.status().dirty_nodes;
    let is_trained = engine.status().generation.is_some();
    let embeddings = is_trained.then(|| engine.export_embeddings(&ctx.watched())).transpose()?;
    if is_trained && dirty > 0 {
        ctx.out.note(&format!("{dirty} nodes had changed since the last refresh: refreshed"));
    }
    let snapshot =
        embeddings.as_ref().map_or_else(|| store.snapshot(), |embeddings| embeddings.snapshot().clone());
    // The tables or files of the format.
    let mut rows = ExportRows::new(&snapshot, embeddings.as_ref(), args.format, ctx.cancel(), ctx.out);
    match args.format {
        ExportFormat::Csv => rows.tables(&mut |table, columns| {
            csv::CsvWriter::create(&mut folder, table, &columns, args.guard_formulas)
        })?,
        ExportFormat::Jsonl => {
            rows.tables(&mut |table, columns| jsonl::JsonlWriter::create(&mut folder, table, columns))?;
        }
        #[cfg(feature = "parquet")]
        ExportFormat::Parquet => rows.tables(&mut |table, columns| {
            parquet::ParquetWriter::create(&mut folder, table, &columns, args.shard_rows)
        })?,
        #[cfg(not(feature = "parquet"))]
        ExportFormat::Parquet => return Err(Failure::no_parquet()),
        ExportFormat::Npy => npy::write(&mut rows, &mut folder)?,
        ExportFormat::Safetensors => {}
        ExportFormat::Tensorboard => tensorboard::write(&mut rows, &mut folder)?,
        ExportFormat::Graphml => graphml::write(&mut rows, &mut folder)?,
    }
    // The model, in formats that `import --from` or `import --model` read.
    let with_model = matches!(
        args.format,
        ExportFormat::Csv | ExportFormat::Jsonl | ExportFormat::Parquet | ExportFormat::Safetensors
    );
    if with_model && let Some(embeddings) = &embeddings {
        let mut file = folder.file(model_file::MODEL)?;
        file.put(&model_file::to_bytes(&embeddings.model())?)?;
        folder.add(file, None, None)?;
    }
    if args.format == ExportFormat::Safetensors && embeddings.is_none() {
        return Err(not_trained());
    }
    // The manifest is last: a folder without one is not a complete export.
    let mut manifest = rows.manifest(args.guard_formulas)?;
    drop(rows);
    drop(embeddings);
    let bytes = folder.finish(&mut manifest)?;
    if is_trained && !store.is_read_only() {
        // Rows that were refreshed or rebuilt are also stored, so that the store and its export agree.
        engine.persist(&ctx.watched())?;
    }
    let counts = manifest.counts;
    ctx.out.record(vec![
        ("nodes", counts.nodes.into()),
        ("features", counts.features.into()),
        ("values", counts.of(Table::Values).into()),
        ("edges", counts.edges.into()),
        ("neighborhoods", counts.neighborhoods.into()),
        ("embeddings", counts.embeddings.into()),
        ("files", manifest.files.len().into()),
        ("bytes", bytes.into()),
        ("epoch", manifest.epoch.into()),
        ("generation", manifest.generation.into()),
        ("digest", manifest.digest.into()),
        ("seconds", rounded(started.elapsed().as_secs_f64(), 3)),
    ])
}

/// Opens the engine of the store, read-only where another process writes to the store.
fn engine(ctx: &mut Context, path: &Path, model: Option<&str>) -> Result<Arc<Engine>, Failure> {
    match ctx.model(path, model) {
        // The writing process has the lock; reading needs none.
        Err(Failure::Open(error)) if error.kind() == ErrorKind::Locked => {
            let store = Store::options().read_only(true).open(path);
            let store = Arc::new(store.map_err(|error| Failure::Open(error.into()))?);
            ctx.out
                .note("another process writes to the store: exported as of its last checkpoint or refresh");
            let name = existing_model(&store, model)?;
            Ok(Arc::new(Engine::open_model(store, &name)?))
        }
        other => other,
    }
}

/// True if a folder is another one or lies in it.
fn is_within(folder: &Path, other: &Path) -> bool {
    let resolved = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    let exists = folder.ancestors().find(|path| path.exists());
    match (exists.map(resolved), resolved(other)) {
        (Some(Ok(folder)), Ok(other)) => folder.starts_with(other),
        _ => false,
    }
}

fn not_trained() -> Failure {
    Failure::NotTrained(
        "no model is trained in this store: run `hedgerow train STORE --target KIND` first".to_owned(),
    )
}

/// The embeddings, for formats that hold nothing else.
fn trained<'a>(embeddings: Option<&'a EmbeddingExport<'a>>) -> Result<&'a EmbeddingExport<'a>, Failure> {
    embeddings.ok_or_else(not_trained)
}
