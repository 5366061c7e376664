//! `check`: verifies a store, and repairs what can be repaired.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use hedgerow::{CancelToken, CheckOptions, CheckReport, Damage, Engine, Error, ErrorKind, Store, TimeUnit};
use serde_json::Value;

use crate::core::failure::Failure;
use crate::output::value::{count, object};
use crate::session::context::Context;

/// The columns of a problem or a repair.
const COLUMNS: [&str; 4] = ["file", "place", "problem", "remedy"];

/// The arguments of `check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// Check every invariant of the graph too, not checksums and records alone
    #[arg(long)]
    deep: bool,
    /// Repair what can be computed again; discard an unreadable end of the log, or a damaged model
    #[arg(long)]
    repair: bool,
}

pub(crate) fn check(ctx: &mut Context, args: CheckArgs) -> Result<(), Failure> {
    if args.repair && ctx.read_only {
        let problem = "--repair writes to the store, and --read-only forbids that: leave one of them out";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let path = args.store.as_path();
    if !path.exists() {
        return Err(Failure::NoStore(path.to_path_buf()));
    }
    // A check opens the store itself, so a console closes it first.
    ctx.close(path);
    let options = CheckOptions { deep: args.deep, read_only: ctx.read_only };
    let verify = |ctx: &Context| {
        Store::check(path, options, &ctx.watched()).map_err(|error| Failure::Open(error.into()))
    };
    let mut report = verify(ctx)?;
    let mut repairs = Vec::new();
    if args.repair && !report.problems.is_empty() {
        repairs = repair(path, &ctx.watched())?;
        report = verify(ctx)?;
    }
    for repair in &repairs {
        ctx.out.note(&repair.to_string());
    }
    if report.time_unit == Some(TimeUnit::Unknown) {
        ctx.out.note("times are seconds, as an earlier version stored them: export and import to convert");
    }
    print(ctx, &report, &repairs)?;
    match report.problems.len() as u64 {
        0 => Ok(()),
        problems => {
            let problems = count(problems, "problem", "problems");
            Err(Failure::DamageFound(format!("{} has {problems}", path.display())))
        }
    }
}

/// Opens the store with repair, which computes damaged parts again, and discards a model that cannot be read.
fn repair(path: &Path, cancel: &CancelToken) -> Result<Vec<Damage>, Failure> {
    let store = Store::options().repair(true).cancel(cancel).open(path);
    let store = Arc::new(store.map_err(|error| Failure::Open(error.into()))?);
    let mut repairs = store.damage().to_vec();
    for name in store.derived_sets() {
        let Err(error) = Engine::open_model_with(Arc::clone(&store), &name, cancel) else { continue };
        let error = Error::from(error);
        if error.kind() != ErrorKind::Damaged {
            return Err(error.into());
        }
        store.derived_set(&name).discard()?;
        repairs.push(Damage {
            path: error.path().unwrap_or(path).to_path_buf(),
            place: "model".to_owned(),
            what: error.to_string(),
            remedy: "the model and all embeddings were given up: train again".to_owned(),
        });
    }
    repairs.extend(store.remove_damaged_sidecars()?);
    store.checkpoint(cancel)?;
    Ok(repairs)
}

fn print(ctx: &Context, report: &CheckReport, repairs: &[Damage]) -> Result<(), Failure> {
    let row = |damage: &Damage| -> Vec<Value> {
        let Damage { path, place, what, remedy } = damage;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        vec![name.into(), place.clone().into(), what.clone().into(), remedy.clone().into()]
    };
    if ctx.out.mode.is_json() {
        let objects = |damage: &[Damage]| -> Value {
            damage.iter().map(|damage| object(COLUMNS.into_iter().zip(row(damage)))).collect()
        };
        return ctx.out.record(vec![
            ("sound", report.problems.is_empty().into()),
            ("problems", objects(&report.problems)),
            ("repaired", objects(repairs)),
            ("files", report.files.into()),
            ("bytes", report.bytes.into()),
            ("records", report.records.into()),
            ("nodes", report.nodes.into()),
            ("edges", report.edges.into()),
        ]);
    }
    if report.problems.is_empty() {
        let parts = [
            count(report.files, "file", "files"),
            count(report.bytes, "byte", "bytes"),
            count(report.records, "record in the log", "records in the log"),
            count(report.nodes, "node", "nodes"),
            count(report.edges, "edge", "edges"),
        ];
        ctx.out.note(&format!("sound: {}", parts.join(", ")));
        return Ok(());
    }
    ctx.out.rows(&COLUMNS, report.problems.iter().map(row).collect())
}
