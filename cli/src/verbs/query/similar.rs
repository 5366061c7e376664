//! `similar`: the nodes that go with a node, or with each node of a file.

use std::path::PathBuf;

use clap::Args;
use hedgerow::NodeName;

use crate::core::failure::Failure;
use crate::session::context::Context;
use crate::verbs::query::answer_file::{Asked, OnError, answer_file};
use crate::verbs::query::ranking::{RankingArgs, print};

/// The arguments of `similar`.
#[derive(Args, Debug)]
pub(crate) struct SimilarArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The node, such as pin:42
    #[arg(value_name = "A", conflicts_with = "queries")]
    node: Option<NodeName>,
    /// A file of nodes, one per line, such as pin:42; `-` is standard input. Each node gets an answer
    #[arg(long, value_name = "FILE", conflicts_with = "after")]
    queries: Option<PathBuf>,
    /// With --queries, what to do at a node without an answer
    #[arg(long, value_enum, default_value_t = OnError::Stop, requires = "queries")]
    on_error: OnError,
    #[command(flatten)]
    ranking: RankingArgs,
}

pub(crate) fn similar(ctx: &mut Context, args: SimilarArgs) -> Result<(), Failure> {
    match &args.queries {
        Some(queries) => ctx.require_file(queries)?,
        None => ctx.map_files(),
    }
    if args.node.is_none() && args.queries.is_none() {
        return Err(Failure::Usage("name a node such as pin:42, or --queries FILE".to_owned()));
    }
    let engine = args.ranking.engine(ctx, &args.store)?;
    let deadline = args.ranking.deadline();
    let show = args.ranking.show.clone();
    let query = args.ranking.query(true)?;
    let snapshot = engine.store().snapshot();
    deadline.run(ctx, |cancel| match (args.node, args.queries) {
        (Some(node), _) => {
            let ranked = engine.similar(node.as_ref(), &query, cancel)?;
            print(ctx, &ranked, Vec::new(), &query, (&snapshot, &show))
        }
        (None, Some(queries)) => {
            let finder = Asked::Queries(engine.similar_finder(&query)?);
            answer_file(ctx, &finder, &queries, query.explain, args.on_error, (&snapshot, &show), cancel)
        }
        (None, None) => Ok(()),
    })
}
