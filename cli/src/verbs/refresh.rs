//! `refresh` brings the embeddings up to the last edge; `digest` says in one line what they all are.

use std::path::PathBuf;

use clap::Args;
use hedgerow::{RefreshReport, Stages};
use serde_json::{Value, json};

use crate::cell::rounded;
use crate::context::Context;
use crate::failure::Failure;

/// What `refresh` is told.
#[derive(Args, Debug)]
pub(crate) struct RefreshArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// Recompute everything, not only what changed
    #[arg(long)]
    full: bool,
}

/// What `digest` is told.
#[derive(Args, Debug)]
pub(crate) struct DigestArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
}

pub(crate) fn refresh(ctx: &mut Context, args: RefreshArgs) -> Result<(), Failure> {
    let (engine, _) = ctx.trained(&args.store)?;
    let report = engine.refresh(args.full, ctx.cancel())?;
    engine.persist()?;
    ctx.out.record(fields(&report))
}

pub(crate) fn digest(ctx: &mut Context, args: DigestArgs) -> Result<(), Failure> {
    let (engine, status) = ctx.trained(&args.store)?;
    let digest = engine.digest()?;
    if status.dirty_nodes > 0 {
        ctx.out.note(&format!(
            "{} nodes changed since epoch {}; `refresh` brings the embeddings up to date",
            status.dirty_nodes, digest.epoch
        ));
    }
    ctx.out.record(vec![
        ("digest", digest.digest.into()),
        ("epoch", digest.epoch.get().into()),
        ("generation", digest.generation.get().into()),
        ("nodes", digest.nodes.into()),
    ])
}

fn fields(report: &RefreshReport) -> Vec<(&'static str, Value)> {
    vec![
        ("epoch", report.epoch.get().into()),
        ("dirty_nodes", report.dirty_nodes.into()),
        ("sources", report.sources.into()),
        ("neighborhoods", report.neighborhoods.into()),
        ("rows", report.rows.clone().into()),
        ("full", report.full.into()),
        ("ms", stages(&report.ms)),
        ("seconds", rounded(report.seconds, 4)),
    ]
}

fn stages(ms: &Stages) -> Value {
    json!({
        "reach": rounded(ms.reach, 3),
        "walks": rounded(ms.walks, 3),
        "layers": rounded(ms.layers, 3),
    })
}
