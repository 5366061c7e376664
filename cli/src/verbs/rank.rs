//! `similar` and `recommend`: the nearest embeddings of a node, and what to show next to a node or a history.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use hedgerow::{Audience, Engine, Filter, NodeName, NodeRef, Query, Ranked};

use crate::cell::{float, name};
use crate::context::Context;
use crate::failure::Failure;
use crate::reading::lines::Lines;
use crate::reading::source::Source;

/// What `similar` is told.
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

/// What `recommend` is told.
#[derive(Args, Debug)]
pub(crate) struct RecommendArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// For whom, such as user:7
    #[arg(value_name = "A", conflicts_with = "history")]
    node: Option<NodeName>,
    /// What an unknown visitor has looked at, such as pin:1,pin:2
    #[arg(long, value_name = "NODE,..", value_delimiter = ',')]
    history: Vec<NodeName>,
    /// Keep what is linked already, or in the history
    #[arg(long)]
    include_seen: bool,
    #[command(flatten)]
    ranking: RankingArgs,
}

/// What both verbs are told.
#[derive(Args, Debug)]
struct RankingArgs {
    /// How many nodes at most
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    k: usize,
    /// Kind of the answers [default: the kind of A where it is embedded, or of the history]
    #[arg(long)]
    kind: Option<String>,
    /// Only nodes that have such tokens, such as "genre=jazz and not (live or remix)"
    #[arg(long = "where", value_name = "TOKENS")]
    filter: Option<Filter>,
    /// Rank by the cosine alone, whatever is popular
    #[arg(long)]
    cosine: bool,
    /// Refresh first where nodes changed, so that the answer is of the graph as it is; the store keeps what it has
    #[arg(long)]
    now: bool,
    /// File of nodes to leave out, one a line such as pin:42
    #[arg(long, value_name = "FILE")]
    exclude: Option<PathBuf>,
}

impl RankingArgs {
    fn engine(&self, ctx: &mut Context, store: &Path) -> Result<Arc<Engine>, Failure> {
        let (engine, status) = ctx.trained(store)?;
        if self.now && status.dirty_nodes > 0 {
            // Which nodes are dirty is in the log, which a read-only store does not open.
            engine.refresh(engine.store().is_read_only(), ctx.cancel())?;
        }
        Ok(engine)
    }

    fn query(self, include_seen: bool) -> Result<Query, Failure> {
        let exclude = self.exclude.as_deref().map_or(Ok(Vec::new()), read_nodes)?;
        Ok(Query {
            k: self.k,
            kind: self.kind,
            filter: self.filter,
            exclude,
            include_seen,
            cosine: self.cosine,
        })
    }
}

pub(crate) fn similar(ctx: &mut Context, args: SimilarArgs) -> Result<(), Failure> {
    let engine = args.ranking.engine(ctx, &args.store)?;
    let ranked = engine.similar(args.node.as_ref(), &args.ranking.query(true)?)?;
    print(ctx, &ranked)
}

pub(crate) fn recommend(ctx: &mut Context, args: RecommendArgs) -> Result<(), Failure> {
    let audience = match args.node {
        Some(node) => Audience::Node(node),
        None if !args.history.is_empty() => Audience::History(args.history),
        None => {
            let advice = "say for whom: a node such as user:7, or --history pin:1,pin:2";
            return Err(Failure::Usage(advice.to_owned()));
        }
    };
    let engine = args.ranking.engine(ctx, &args.store)?;
    let ranked = engine.recommend(&audience, &args.ranking.query(args.include_seen)?)?;
    print(ctx, &ranked)
}

fn print(ctx: &Context, ranked: &Ranked) -> Result<(), Failure> {
    if ranked.dirty_nodes > 0 {
        ctx.out.note(&format!(
            "{} nodes changed since epoch {}; `refresh` brings the answer up to date",
            ranked.dirty_nodes, ranked.epoch
        ));
    }
    let facts = vec![("epoch", ranked.epoch.get().into()), ("dirty_nodes", ranked.dirty_nodes.into())];
    let rows = ranked.items.iter().map(|item| vec![name(&item.node), float(item.score)]);
    ctx.out.items(facts, &["node", "score"], rows.collect())
}

fn read_nodes(path: &Path) -> Result<Vec<NodeName>, Failure> {
    let mut lines = Lines::new(Source::open(path)?);
    let mut nodes = Vec::new();
    while lines.advance()? {
        let text = lines.text(0, lines.bytes().len())?;
        if !text.is_empty() {
            let node = NodeRef::parse(text).map_err(|error| lines.place(0).problem(error))?;
            nodes.push(node.to_name());
        }
    }
    Ok(nodes)
}
