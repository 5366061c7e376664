//! `similar`: the nearest embeddings of a node; and what it has in common with `recommend`, its options and how its answer is printed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use hedgerow::{Engine, Filter, NodeName, NodeRef, Query, Ranked, Scored};
use serde_json::Value;

use crate::core::failure::Failure;
use crate::input::lines::Lines;
use crate::input::source::Source;
use crate::output::value::{float, name};
use crate::session::context::Context;
use crate::verbs::answer_explanation::{facts_of, words_of};

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

/// What both verbs are told.
#[derive(Args, Debug)]
pub(super) struct RankingArgs {
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
    /// Say of each node why it is in the answer
    #[arg(long)]
    pub(super) explain: bool,
}

impl RankingArgs {
    pub(super) fn engine(&self, ctx: &mut Context, store: &Path) -> Result<Arc<Engine>, Failure> {
        let (engine, status) = ctx.trained(store)?;
        if self.now && status.dirty_nodes > 0 {
            // Which nodes are dirty is in the log, which a read-only store does not open.
            engine.refresh(engine.store().is_read_only(), &ctx.watched())?;
        }
        Ok(engine)
    }

    pub(super) fn query(self, include_seen: bool) -> Result<Query, Failure> {
        let exclude = self.exclude.as_deref().map_or(Ok(Vec::new()), read_nodes)?;
        Ok(Query {
            k: self.k,
            kind: self.kind,
            filter: self.filter,
            exclude,
            include_seen,
            cosine: self.cosine,
            explain: self.explain,
            ..Query::default()
        })
    }
}

pub(crate) fn similar(ctx: &mut Context, args: SimilarArgs) -> Result<(), Failure> {
    let engine = args.ranking.engine(ctx, &args.store)?;
    let query = args.ranking.query(true)?;
    let ranked = engine.similar(args.node.as_ref(), &query)?;
    print(ctx, &ranked, Vec::new(), query.explain)
}

/// The lines of an answer under what holds for all of it.
pub(super) fn print(
    ctx: &Context,
    ranked: &Ranked,
    mut facts: Vec<(&str, Value)>,
    explain: bool,
) -> Result<(), Failure> {
    if ranked.dirty_nodes > 0 {
        ctx.out.note(&format!(
            "{} nodes changed since epoch {}; `refresh` brings the answer up to date",
            ranked.dirty_nodes, ranked.epoch
        ));
    }
    facts.splice(0..0, [("epoch", ranked.epoch.get().into()), ("dirty_nodes", ranked.dirty_nodes.into())]);
    let row = |item: &Scored| {
        let why = item
            .explanation
            .as_ref()
            .map(|why| if ctx.out.mode.is_json() { facts_of(why) } else { words_of(why) });
        [name(&item.node), float(item.score)].into_iter().chain(why).collect()
    };
    let columns: &[&str] = if explain { &["node", "score", "why"] } else { &["node", "score"] };
    ctx.out.items(facts, columns, ranked.items.iter().map(row).collect())
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
