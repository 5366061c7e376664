//! `similar`: the nodes with the nearest embeddings.

use std::path::PathBuf;

use clap::Args;
use hedgerow::NodeName;

use crate::core::failure::Failure;
use crate::session::context::Context;
use crate::verbs::query::ranking::{RankingArgs, print};

/// The arguments of `similar`.
#[derive(Args, Debug)]
pub(crate) struct SimilarArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The node, such as pin:42
    #[arg(value_name = "A")]
    node: NodeName,
    #[command(flatten)]
    ranking: RankingArgs,
}

pub(crate) fn similar(ctx: &mut Context, args: SimilarArgs) -> Result<(), Failure> {
    ctx.map_files();
    let engine = args.ranking.engine(ctx, &args.store)?;
    let query = args.ranking.query(true)?;
    let ranked = engine.similar(args.node.as_ref(), &query)?;
    print(ctx, &ranked, Vec::new(), query.explain)
}
