//! `check`, `dump`, `backup`: whether a store is sound, what it holds as text, and a copy of it.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use hedgerow::{CancelToken, CheckOptions, CheckReport, Damage, Engine, Error, ErrorKind, Store};
use serde_json::Value;

use crate::core::failure::Failure;
use crate::output::target::OutputTarget;
use crate::session::context::Context;

/// What `check` is told.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// Look at every invariant of the graph too, not at checksums and records alone
    #[arg(long)]
    deep: bool,
    /// Make good what can be, and give up what cannot be read at the end of the log, or a model that is damaged
    #[arg(long)]
    repair: bool,
}

/// What `dump` is told.
#[derive(Args, Debug)]
pub(crate) struct DumpArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
}

/// What `backup` is told.
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// The store's folder; another process may be writing to it
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// A new or empty folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn check(ctx: &mut Context, args: CheckArgs) -> Result<(), Failure> {
    if args.repair && ctx.read_only {
        return Err(Failure::Usage("--repair writes, and --read-only does not: leave one out".to_owned()));
    }
    let path = args.store.as_path();
    if !path.exists() {
        return Err(Failure::NoStore(path.to_path_buf()));
    }
    let options = CheckOptions { deep: args.deep, read_only: ctx.read_only };
    // A console that has the store open gives it back for the while.
    ctx.close(path);
    let look = |ctx: &Context| {
        Store::check(path, options, &ctx.watched()).map_err(|error| Failure::Open(error.into()))
    };
    let mut found = look(ctx)?;
    let mut made_good = Vec::new();
    if args.repair && !found.problems.is_empty() {
        made_good = repair(path, &ctx.watched())?;
        found = look(ctx)?;
    }
    for repair in &made_good {
        ctx.out.note(&repair.to_string());
    }
    report(ctx, &found, &made_good)?;
    match found.problems.len() {
        0 => Ok(()),
        1 => Err(Failure::Unsound(format!("{} has a problem", path.display()))),
        count => Err(Failure::Unsound(format!("{} has {count} problems", path.display()))),
    }
}

/// Opens the store so that it makes itself good, with what it computes, and gives up a model that cannot be read.
fn repair(path: &Path, cancel: &CancelToken) -> Result<Vec<Damage>, Failure> {
    let store = Store::options()
        .repair(true)
        .cancel(cancel)
        .open(path)
        .map_err(|error| Failure::Open(error.into()))?;
    let store = Arc::new(store);
    let mut made_good = store.damage().to_vec();
    if let Err(error) = Engine::open_with(Arc::clone(&store), cancel) {
        let error = Error::from(error);
        if error.kind() != ErrorKind::Damaged {
            return Err(error.into());
        }
        store.discard_derived()?;
        made_good.push(Damage {
            path: error.path().unwrap_or(path).to_path_buf(),
            place: "model".to_owned(),
            what: error.to_string(),
            remedy: "it was given up with all embeddings: train again".to_owned(),
        });
    }
    made_good.extend(store.remove_damaged_sidecars()?);
    store.checkpoint(cancel)?;
    Ok(made_good)
}

fn report(ctx: &Context, found: &CheckReport, made_good: &[Damage]) -> Result<(), Failure> {
    let row = |repair: &Damage| {
        let Damage { path, place, what, remedy } = repair;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        vec![name.into(), place.clone().into(), what.clone().into(), remedy.clone().into()]
    };
    let columns = ["file", "place", "problem", "remedy"];
    if ctx.out.mode.is_json() {
        let objects = |damage: &[Damage]| -> Value {
            let object =
                |repair| crate::output::printer::object(columns.into_iter().zip(row(repair)).collect());
            damage.iter().map(object).collect::<Vec<Value>>().into()
        };
        return ctx.out.record(vec![
            ("sound", found.problems.is_empty().into()),
            ("problems", objects(&found.problems)),
            ("repaired", objects(made_good)),
            ("files", found.files.into()),
            ("bytes", found.bytes.into()),
            ("records", found.records.into()),
            ("nodes", found.nodes.into()),
            ("edges", found.edges.into()),
        ]);
    }
    if found.problems.is_empty() {
        let CheckReport { files, bytes, records, nodes, edges, .. } = found;
        ctx.out.note(&format!(
            "sound: {files} files of {bytes} bytes, {records} records in the log, {nodes} nodes, {edges} edges"
        ));
        return Ok(());
    }
    ctx.out.rows(&columns, found.problems.iter().map(row).collect())
}

pub(crate) fn dump(ctx: &mut Context, args: DumpArgs) -> Result<(), Failure> {
    let store = ctx.store(&args.store)?;
    let mut lines = BufWriter::with_capacity(1 << 16, Results { sink: ctx.out.sink, failed: None });
    let dumped = store.dump(&mut lines, ctx.cancel());
    let flushed = lines.flush();
    if let Some(failure) = lines.get_mut().failed.take() {
        return Err(failure);
    }
    dumped?;
    flushed.map_err(|source| Failure::file(Path::new("standard output"), "write", source))
}

/// Where results go, for whoever writes bytes; why they could not is kept aside.
struct Results {
    sink: OutputTarget,
    failed: Option<Failure>,
}

impl Write for Results {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.sink.write(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(failure) => {
                self.failed = Some(failure);
                Err(io::ErrorKind::Other.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn backup(ctx: &mut Context, args: BackupArgs) -> Result<(), Failure> {
    let store = match ctx.store(&args.store) {
        // Whoever writes to it keeps the lock; a copy needs none.
        Err(Failure::Open(error)) if error.kind() == ErrorKind::Locked => {
            let store = Store::options().read_only(true).open(&args.store);
            Arc::new(store.map_err(|error| Failure::Open(error.into()))?)
        }
        other => other?,
    };
    let backup = store.backup(&args.folder, &ctx.watched())?;
    ctx.out.record(vec![("epoch", backup.epoch.get().into()), ("bytes", backup.bytes.into())])
}
