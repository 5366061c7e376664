//! `embed`: the vector of a node, or of one that the store has not seen but whose tokens or history are known.

use std::path::{Path, PathBuf};

use clap::Args;
use hedgerow::{Embedded, NewNode, NodeName};
use serde_json::Value;

use crate::core::failure::Failure;
use crate::core::location::Place;
use crate::input::npy::{Matrix, parse_block};
use crate::output::value::{float, name};
use crate::session::context::Context;

/// What `embed` is told.
#[derive(Args, Debug)]
pub(crate) struct EmbedArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The node, such as pin:42; may be left out or unknown with --tokens, --dense or --history
    #[arg(value_name = "A")]
    node: Option<NodeName>,
    /// As it is in the graph now, if nodes changed since the last refresh: computed for this node alone, nothing is refreshed
    #[arg(long, requires = "node", conflicts_with_all = ["tokens", "dense", "history"])]
    now: bool,
    /// Tokens of a node that the store has not seen, such as genre=jazz,title=blue
    #[arg(long, value_name = "TOKEN,..", value_delimiter = ',')]
    tokens: Vec<String>,
    /// Dense features of a node that the store has not seen: a block, and a .npy matrix of one row
    #[arg(long, value_name = "NAME=FILE.npy", value_parser = parse_block)]
    dense: Vec<(String, PathBuf)>,
    /// Nodes that would be in an unseen node's neighborhood
    #[arg(long, value_name = "NODE,..", value_delimiter = ',')]
    history: Vec<NodeName>,
}

pub(crate) fn embed(ctx: &mut Context, args: EmbedArgs) -> Result<(), Failure> {
    let unseen = !args.tokens.is_empty() || !args.dense.is_empty() || !args.history.is_empty();
    if args.node.is_none() && !unseen {
        let advice =
            "say which node: its name, or --tokens, --dense and --history of one that the store has not seen";
        return Err(Failure::Usage(advice.to_owned()));
    }
    let (engine, status) = ctx.trained(&args.store)?;
    let embedded = match &args.node {
        Some(node) if unseen && engine.store().snapshot().lookup(node.as_ref()).is_some() => {
            let advice = "leave out --tokens, --dense and --history, or give another name";
            return Err(Failure::Refused(format!("{node} is in the store: {advice}")));
        }
        Some(node) if args.now => engine.embedding_now(node.as_ref(), ctx.cancel())?,
        Some(node) if !unseen => engine.embedding(node.as_ref())?,
        _ => {
            let dense = args.dense.iter().map(|(block, path)| Ok((block.clone(), only_row(path)?)));
            let dense = dense.collect::<Result<Vec<_>, Failure>>()?;
            engine.embed_new_node(&NewNode { tokens: args.tokens, dense, history: args.history })?
        }
    };
    let Embedded { vector, epoch, generation, .. } = embedded;
    if !unseen && !args.now && status.dirty_nodes > 0 {
        ctx.out.note(&format!(
            "{} nodes changed since epoch {epoch}; `refresh` brings the embeddings up to date",
            status.dirty_nodes
        ));
    }
    ctx.out.record(vec![
        ("node", args.node.as_ref().map_or(Value::Null, name)),
        ("epoch", epoch.get().into()),
        ("generation", generation.get().into()),
        ("vector", vector.into_iter().map(float).collect()),
    ])
}

/// The row of a matrix that has only one.
fn only_row(path: &Path) -> Result<Vec<f32>, Failure> {
    let mut matrix = Matrix::open(path)?;
    if matrix.rows != 1 {
        let problem = format!("the matrix has {} rows, expected 1: the features of one node", matrix.rows);
        return Err(Place::new(&path.display().to_string(), 1, 1).problem(problem).into());
    }
    Ok(matrix.next_row()?.to_vec())
}
