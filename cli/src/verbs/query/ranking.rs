//! The options that `similar` and `recommend` share, and the printing of their answers.

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
use crate::verbs::query::answer_explanation::{facts_of, words_of};

/// The options of both verbs.
#[derive(Args, Debug)]
pub(crate) struct RankingArgs {
    /// The most nodes in the answer
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    k: usize,
    /// The kind of the answers [default: the kind of A if it is embedded, or of the history]
    #[arg(long)]
    kind: Option<String>,
    /// Only nodes with matching tokens, such as "genre=jazz and not (live or remix)"
    #[arg(long = "where", value_name = "TOKENS")]
    filter: Option<Filter>,
    /// Rank by cosine alone, without popularity
    #[arg(long)]
    cosine: bool,
    /// Refresh in memory first, so that the answer reflects the current graph; the store is not changed
    #[arg(long)]
    now: bool,
    /// A file of nodes to leave out, one per line, such as pin:42
    #[arg(long, value_name = "FILE")]
    exclude: Option<PathBuf>,
    /// Give the reasons why each node is in the answer
    #[arg(long)]
    pub(crate) explain: bool,
}

impl RankingArgs {
    pub(crate) fn engine(&self, ctx: &mut Context, store: &Path) -> Result<Arc<Engine>, Failure> {
        let (engine, status) = ctx.trained(store)?;
        if self.now && status.dirty_nodes > 0 {
            // The log names the dirty nodes, and a read-only store does not open it: then everything is recomputed.
            engine.refresh(engine.store().is_read_only(), &ctx.watched())?;
        }
        Ok(engine)
    }

    pub(crate) fn query(self, include_seen: bool) -> Result<Query, Failure> {
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

/// Prints an answer, with the facts that hold for all of it.
pub(crate) fn print(
    ctx: &Context,
    ranked: &Ranked,
    mut facts: Vec<(&str, Value)>,
    explain: bool,
) -> Result<(), Failure> {
    ctx.note_dirty(ranked.dirty_nodes, ranked.epoch, "the answer");
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
