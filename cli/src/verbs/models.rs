//! `models`: lists the models of a store, promotes one, drops one, or goes back to its generation before.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use hedgerow::{Engine, Generation, ModelStatus};
use serde_json::Value;

use crate::core::failure::Failure;
use crate::session::context::Context;

const COLUMNS: [&str; 10] =
    ["model", "default", "generation", "previous", "epoch", "dirty_nodes", "kinds", "dim", "bytes", "memory"];

/// The arguments of `models`.
#[derive(Args, Debug)]
pub(crate) struct ModelsArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The change of a model [default: list all models]
    #[arg(value_enum, requires = "name")]
    action: Option<Action>,
    /// The name of the model
    #[arg(value_name = "MODEL")]
    name: Option<String>,
}

/// The change of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Action {
    /// It answers where no --model is given, from now on
    Promote,
    /// It is removed with its files
    Drop,
    /// Its generation before becomes the current one again; a second rollback returns
    Rollback,
}

pub(crate) fn models(ctx: &mut Context, args: ModelsArgs) -> Result<(), Failure> {
    ctx.map_files();
    let store = ctx.store(&args.store)?;
    match (args.action, args.name) {
        (Some(Action::Promote), Some(name)) => ctx.trained(&args.store, Some(&name))?.0.promote()?,
        (Some(Action::Drop), Some(name)) => {
            Engine::drop_model(&store, &name)?;
            ctx.forget_engine(&name);
        }
        (Some(Action::Rollback), Some(name)) => {
            drop(store);
            ctx.read_files(&args.store);
            ctx.trained(&args.store, Some(&name))?.0.rollback(&ctx.watched())?;
        }
        _ => {}
    }
    list(ctx, &args.store)
}

fn list(ctx: &mut Context, path: &Path) -> Result<(), Failure> {
    let models = Engine::models(&*ctx.store(path)?)?;
    if models.is_empty() {
        ctx.out.note("no model is trained in this store: run `hedgerow train STORE --target KIND`");
    }
    let mut rows = Vec::new();
    for model in &models {
        let memory = ctx.engine_of(path, &model.name)?.memory()?;
        rows.push(row(model, memory));
    }
    ctx.out.rows(&COLUMNS, rows)
}

fn row(model: &ModelStatus, memory: u64) -> Vec<Value> {
    let ModelStatus {
        name,
        is_default,
        generation,
        embedded,
        dirty_nodes,
        targets,
        dim,
        bytes,
        previous,
        ..
    } = model;
    vec![
        name.as_str().into(),
        (*is_default).into(),
        generation.get().into(),
        previous.map(Generation::get).into(),
        embedded.get().into(),
        (*dirty_nodes).into(),
        targets.join(",").into(),
        (*dim).into(),
        (*bytes).into(),
        memory.into(),
    ]
}
