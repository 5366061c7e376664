//! `embed`: the vector of a node, or of one that the store has not seen but whose tokens or history are known.

use std::path::PathBuf;

use clap::Args;
use hedgerow::{Embedded, NodeName};
use serde_json::Value;

use crate::cell::{float, name};
use crate::context::Context;
use crate::failure::Failure;

/// What `embed` is told.
#[derive(Args, Debug)]
pub(crate) struct EmbedArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The node, such as pin:42; may be left out or unknown with --tokens or --history
    #[arg(value_name = "A")]
    node: Option<NodeName>,
    /// Tokens of a node that the store has not seen, such as genre=jazz,title=blue
    #[arg(long, value_name = "TOKEN,..", value_delimiter = ',')]
    tokens: Vec<String>,
    /// Nodes that an unseen node would be linked to
    #[arg(long, value_name = "NODE,..", value_delimiter = ',')]
    history: Vec<NodeName>,
}

pub(crate) fn embed(ctx: &mut Context, args: EmbedArgs) -> Result<(), Failure> {
    let unseen = !args.tokens.is_empty() || !args.history.is_empty();
    if args.node.is_none() && !unseen {
        let advice = "say which node: its name, or --tokens and --history of one that the store has not seen";
        return Err(Failure::Usage(advice.to_owned()));
    }
    let (engine, status) = ctx.trained(&args.store)?;
    let embedded = match &args.node {
        Some(node) if unseen && engine.store().snapshot().lookup(node.as_ref()).is_some() => {
            let advice = "leave out --tokens and --history, or give another name";
            return Err(Failure::Refused(format!("{node} is in the store: {advice}")));
        }
        Some(node) if !unseen => engine.embedding(node.as_ref())?,
        _ => engine.embed_unseen(&args.tokens, &args.history)?,
    };
    let Embedded { vector, epoch, generation, .. } = embedded;
    if !unseen && status.dirty_nodes > 0 {
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
