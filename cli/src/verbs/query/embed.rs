//! `embed`: the embedding of a node of the store, or of a new node that is described by features or a history.

use std::path::{Path, PathBuf};

use clap::Args;
use hedgerow::{Embedded, NewNode, NodeName};

use crate::core::failure::Failure;
use crate::core::location::Place;
use crate::input::npy::{Matrix, parse_block};
use crate::output::value::{float, name};
use crate::session::context::Context;
use crate::session::models::ModelArgs;

/// The arguments of `embed`.
#[derive(Args, Debug)]
pub(crate) struct EmbedArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The node, such as pin:42; with --tokens, --dense or --history it may be new or left out
    #[arg(value_name = "A")]
    node: Option<NodeName>,
    /// Compute the embedding of this node from the current graph; the store is not refreshed
    #[arg(long, requires = "node", conflicts_with_all = ["tokens", "dense", "history"])]
    now: bool,
    /// Tokens of a new node, such as genre=jazz,title=blue
    #[arg(long, value_name = "TOKEN,..", value_delimiter = ',')]
    tokens: Vec<String>,
    /// Dense features of a new node: the name of a block, and a .npy matrix of one row
    #[arg(long, value_name = "NAME=FILE.npy", value_parser = parse_block)]
    dense: Vec<(String, PathBuf)>,
    /// Nodes that a new node is linked to, such as pin:1,pin:2
    #[arg(long, value_name = "NODE,..", value_delimiter = ',')]
    history: Vec<NodeName>,
    #[command(flatten)]
    model: ModelArgs,
}

pub(crate) fn embed(ctx: &mut Context, args: EmbedArgs) -> Result<(), Failure> {
    ctx.map_files();
    // A node of the store, or the description of a new one.
    let is_new = !args.tokens.is_empty() || !args.dense.is_empty() || !args.history.is_empty();
    if args.node.is_none() && !is_new {
        let advice = "name a node, or describe a new one with --tokens, --dense or --history";
        return Err(Failure::Usage(advice.to_owned()));
    }
    let (engine, status) = ctx.trained(&args.store, args.model.model.as_deref())?;
    let embedded = match &args.node {
        Some(node) if is_new && engine.store().snapshot().lookup(node.as_ref()).is_some() => {
            let advice = "leave out --tokens, --dense and --history, or give another name";
            return Err(Failure::Refused(format!("{node} is in the store: {advice}")));
        }
        Some(node) if args.now => engine.embedding_now(node.as_ref(), ctx.cancel())?,
        Some(node) if !is_new => engine.embedding(node.as_ref())?,
        _ => {
            let dense = args.dense.iter().map(|(block, path)| Ok((block.clone(), only_row(path)?)));
            let dense = dense.collect::<Result<Vec<_>, Failure>>()?;
            engine.embed_new_node(&NewNode { tokens: args.tokens, dense, history: args.history })?
        }
    };
    // The result, and whether a refresh would change it.
    let Embedded { vector, epoch, generation, .. } = embedded;
    if !is_new && !args.now {
        ctx.note_dirty(status.dirty_nodes, epoch, "the embeddings");
    }
    ctx.out.record(vec![
        ("node", args.node.as_ref().map(name).into()),
        ("epoch", epoch.get().into()),
        ("generation", generation.get().into()),
        ("vector", vector.into_iter().map(float).collect()),
    ])
}

/// The row of a matrix of one row.
fn only_row(path: &Path) -> Result<Vec<f32>, Failure> {
    let mut matrix = Matrix::open(path)?;
    if matrix.rows != 1 {
        let problem = format!("the matrix has {} rows, expected 1: the features of one node", matrix.rows);
        return Err(Place::new(&path.display().to_string(), 1, 1).problem(problem).into());
    }
    Ok(matrix.next_row()?.to_vec())
}
