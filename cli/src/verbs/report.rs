//! `report`: one page about a store, which a browser opens without a network.

use std::fs::{self, Permissions};
use std::io::{ErrorKind as IoErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use hedgerow::Generation;

use crate::core::failure::Failure;
use crate::output::progress::new_bar;
use crate::report::ReportSource;
use crate::session::context::Context;
use crate::session::models::ModelArgs;

/// The largest page, in bytes.
const LIMIT: usize = 4_900_000;

/// The arguments of `report`.
#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The file that the page is written to
    #[arg(value_name = "OUT.html")]
    out: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
    /// The most points of the map; it has fewer if the store is so large that searches take long
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    points: u32,
    #[command(flatten)]
    model: ModelArgs,
}

pub(crate) fn report(ctx: &mut Context, args: ReportArgs) -> Result<(), Failure> {
    let engine = ctx.model(&args.store, args.model.model.as_deref())?;
    require_writable(&args.out, args.force)?;
    let bar = new_bar(0, "{bar:30} {msg}  {pos} of {len}  {eta} left", ctx.out);
    let observer = |what: &str, done: u64, of: u64| {
        bar.set_length(of);
        bar.set_position(done);
        bar.set_message(what.to_owned());
    };
    let source = ReportSource::new(&engine, ctx.cancel(), &observer);
    let mut report = source.report(name_of(&args.store), args.points as usize)?;
    let page = report.page(LIMIT)?;
    bar.finish_and_clear();
    write(&args.out, &page, args.force)?;
    let status = engine.status();
    if status.generation.is_none() {
        ctx.out.note(
            "no model is trained in this store, so the page shows the graph only: run `hedgerow train STORE --target KIND`",
        );
    }
    ctx.out.record(vec![
        ("file", args.out.display().to_string().into()),
        ("bytes", page.len().into()),
        ("points", report.points().into()),
        ("epoch", status.epoch.get().into()),
        ("generation", status.generation.map(Generation::get).into()),
    ])
}

/// The last part of the store's path, which is its name on the page.
fn name_of(store: &Path) -> String {
    let path = store.canonicalize().unwrap_or_else(|_| store.to_path_buf());
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Refuses a file before the work that could not be written after it.
fn require_writable(out: &Path, force: bool) -> Result<(), Failure> {
    match fs::symlink_metadata(out) {
        Err(error) if error.kind() == IoErrorKind::NotFound => match fs::metadata(folder_of(out)) {
            Ok(_) => Ok(()),
            Err(source) => Err(Failure::file(out, "write", source)),
        },
        Err(source) => Err(Failure::file(out, "write", source)),
        Ok(metadata) if !metadata.is_file() => Err(Failure::Refused(format!(
            "{} exists and is not a plain file: name another file",
            out.display()
        ))),
        Ok(_) if !force => Err(Failure::already_exists(out)),
        Ok(_) => Ok(()),
    }
}

fn folder_of(out: &Path) -> &Path {
    out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes the page to a temporary file and renames it, so that a reader sees a whole page or none.
fn write(out: &Path, page: &str, force: bool) -> Result<(), Failure> {
    let failed = |source| Failure::file(out, "write", source);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".hedgerow-report-");
    readable(&mut builder);
    let mut file = builder.tempfile_in(folder_of(out)).map_err(failed)?;
    file.write_all(page.as_bytes()).map_err(failed)?;
    let renamed = if force { file.persist(out) } else { file.persist_noclobber(out) };
    match renamed {
        Err(error) if error.error.kind() == IoErrorKind::AlreadyExists => Err(Failure::already_exists(out)),
        Err(error) => Err(failed(error.error)),
        Ok(_) => Ok(()),
    }
}

/// Gives the page the permissions of a new file. A temporary file is private to its owner.
#[cfg(unix)]
fn readable(builder: &mut tempfile::Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(Permissions::from_mode(0o666));
}

#[cfg(not(unix))]
fn readable(_: &mut tempfile::Builder<'_, '_>) {}
