//! `export`: all that a store holds, as files that others read and `import --from` reads back.

mod arrays;
mod delimited;
mod folder;
mod graphml;
mod objects;
#[cfg(feature = "parquet")]
mod parquet;
mod projector;
mod rows;
mod sheet;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use hedgerow::{EmbeddingExport, Engine, ErrorKind, Store};

use crate::core::failure::Failure;
use crate::output::value::rounded;
use crate::session::context::Context;
use crate::transfer::export::folder::Folder;
use crate::transfer::export::rows::Rows;
use crate::transfer::manifest::Form;
use crate::transfer::model;

/// Rows of a Parquet file.
const SHARD: u64 = 1_000_000;

/// What `export` is told.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// The store's folder; another process may be writing to it
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// A new or empty folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Form of the files; `import --from` reads csv, jsonl and parquet
    #[arg(long, value_enum, default_value_t = Form::Csv)]
    format: Form,
    /// Replace an earlier export
    #[arg(long)]
    force: bool,
    /// csv: an apostrophe before texts that a spreadsheet would take for formulas; `import --from` takes it off again
    #[arg(long)]
    guard_formulas: bool,
    /// parquet: rows of a file at most
    #[arg(long, value_name = "N", default_value_t = SHARD, value_parser = clap::value_parser!(u64).range(1..))]
    shard_rows: u64,
}

pub(crate) fn export(ctx: &mut Context, args: ExportArgs) -> Result<(), Failure> {
    let started = Instant::now();
    if args.guard_formulas && args.format != Form::Csv {
        return Err(Failure::Usage("--guard-formulas is for --format csv".to_owned()));
    }
    if cfg!(not(feature = "parquet")) && args.format == Form::Parquet {
        return Err(Failure::no_parquet());
    }
    let engine = engine(ctx, &args.store)?;
    let store = engine.store();
    if is_within(&args.folder, store.path()) {
        let folder = args.folder.display();
        return Err(Failure::Refused(format!(
            "{folder} is in the folder of the store: name one outside of it"
        )));
    }
    let mut folder = Folder::create(&args.folder, args.force)?;
    let dirty = store.dirty_nodes();
    let is_trained = engine.status().generation.is_some();
    let learned = is_trained.then(|| engine.export_embeddings(&ctx.watched())).transpose()?;
    if is_trained && dirty > 0 {
        ctx.out.note(&format!("{dirty} nodes had changed since the last refresh: refreshed"));
    }
    let snapshot = learned.as_ref().map_or_else(|| store.snapshot(), |learned| learned.snapshot().clone());
    let mut rows = Rows::new(&snapshot, learned.as_ref(), args.format, ctx.cancel(), ctx.out);
    match args.format {
        Form::Csv => rows.tables(&mut |table, columns| {
            delimited::Sheet::create(&mut folder, table, columns, args.guard_formulas)
        })?,
        Form::Jsonl => {
            rows.tables(&mut |table, columns| objects::Sheet::create(&mut folder, table, columns))?;
        }
        #[cfg(feature = "parquet")]
        Form::Parquet => rows.tables(&mut |table, columns| {
            parquet::Sheet::create(&mut folder, table, columns, args.shard_rows)
        })?,
        #[cfg(not(feature = "parquet"))]
        Form::Parquet => return Err(Failure::no_parquet()),
        Form::Npy => arrays::write(&mut rows, &mut folder)?,
        Form::Safetensors => {}
        Form::Tensorboard => projector::write(&mut rows, &mut folder)?,
        Form::Graphml => graphml::write(&mut rows, &mut folder)?,
    }
    let with_model = matches!(args.format, Form::Csv | Form::Jsonl | Form::Parquet | Form::Safetensors);
    if with_model && let Some(learned) = &learned {
        let mut file = folder.file(model::MODEL)?;
        file.put(&model::to_bytes(&learned.model())?)?;
        folder.keep(file, None, None)?;
    }
    if args.format == Form::Safetensors && learned.is_none() {
        return Err(not_trained());
    }
    let mut manifest = rows.manifest(args.guard_formulas)?;
    drop(rows);
    drop(learned);
    let bytes = folder.finish(&mut manifest)?;
    if is_trained && dirty > 0 && !store.is_read_only() {
        // So that what the store says of itself is what was exported.
        engine.persist(&ctx.watched())?;
    }
    let counts = manifest.counts;
    ctx.out.record(vec![
        ("nodes", counts.nodes.into()),
        ("features", counts.features.into()),
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

/// The engine of the store, also where another process writes to it.
fn engine(ctx: &mut Context, path: &Path) -> Result<Arc<Engine>, Failure> {
    match ctx.engine(path) {
        // Whoever writes to it keeps the lock; reading needs none.
        Err(Failure::Open(error)) if error.kind() == ErrorKind::Locked => {
            let store = Store::options().read_only(true).open(path);
            let store = Arc::new(store.map_err(|error| Failure::Open(error.into()))?);
            ctx.out
                .note("another process writes to the store: exported as of its last checkpoint or refresh");
            Ok(Arc::new(Engine::open(store)?))
        }
        other => other,
    }
}

/// Whether a folder is another or lies in it.
fn is_within(folder: &Path, other: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    let exists = folder.ancestors().find(|path| path.exists());
    match (exists.map(whole), whole(other)) {
        (Some(Ok(folder)), Ok(other)) => folder.starts_with(other),
        _ => false,
    }
}

fn not_trained() -> Failure {
    Failure::NotTrained(
        "no model is trained in this store: run `hedgerow train STORE --target KIND` first".to_owned(),
    )
}

/// The embeddings, for forms that are of nothing else.
fn trained<'a>(learned: Option<&'a EmbeddingExport<'a>>) -> Result<&'a EmbeddingExport<'a>, Failure> {
    learned.ok_or_else(not_trained)
}
