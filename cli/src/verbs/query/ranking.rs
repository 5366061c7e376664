//! The options that `similar` and `recommend` share, and the printing of their answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use hedgerow::{
    CancelToken, Cursor, Engine, ErrorKind, Filter, NodeName, NodeRef, OnlyNew, Query, Ranked, Scored,
    Snapshot,
};
use serde_json::Value;

use crate::core::failure::Failure;
use crate::input::duration;
use crate::input::lines::Lines;
use crate::input::source::Source;
use crate::output::printer::Mode;
use crate::output::value::{float, name};
use crate::session::context::Context;
use crate::session::models::ModelArgs;
use crate::session::properties::{ShowArgs, name_with_label};
use crate::verbs::query::answer_explanation::{facts_of, words_of};
use crate::verbs::query::filter_notes::note_unmatched;

/// The most nodes in an answer by default.
const DEFAULT_ANSWERS: usize = 10;
/// The most ignored nodes that a note names.
const NAMED_IGNORED: usize = 10;

/// The options of both verbs.
#[derive(Args, Debug)]
pub(crate) struct RankingArgs {
    /// The most nodes in the answer [default: 10, or all that --candidates names]
    #[arg(short, long, value_name = "N", value_parser = answer_count)]
    k: Option<usize>,
    /// The kind of the answers [default: the kind of A if it is embedded, or of the history]
    #[arg(long)]
    kind: Option<String>,
    /// Only nodes with matching properties and tokens, such as "price < 5 and genres = jazz and not title ~ live"
    #[arg(long = "where", value_name = "EXPR")]
    filter: Option<Filter>,
    /// Only nodes whose first edge is not older than this, such as 12h or 7d
    #[arg(long, value_name = "TIME", value_parser = duration::argument)]
    only_new: Option<Duration>,
    /// With --only-new, the property that has the time of a node [default: that of its first edge]
    #[arg(long, value_name = "PROPERTY", requires = "only_new")]
    new_by: Option<String>,
    /// Rank by cosine alone, without popularity
    #[arg(long)]
    cosine: bool,
    /// Refresh in memory first, so that the answer reflects the current graph; the store is not changed
    #[arg(long)]
    now: bool,
    /// A file of nodes to leave out, one per line, such as pin:42
    #[arg(long, value_name = "FILE")]
    exclude: Option<PathBuf>,
    /// Leave out nodes that one of these relations links to A, also with --include-seen, such as bought,hidden
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub(crate) exclude_relation: Vec<String>,
    /// A file of nodes, one per line: only these are ranked, each with the score that it has among all nodes
    #[arg(long, value_name = "FILE")]
    candidates: Option<PathBuf>,
    /// Leave out nodes with a lower score
    #[arg(long, value_name = "S", value_parser = finite, allow_negative_numbers = true)]
    min_score: Option<f32>,
    /// Answer the next page: the `next` of the answer before, in its JSON. A change of the store ends the pages
    #[arg(long, value_name = "TOKEN")]
    after: Option<Cursor>,
    /// The weight of differences between the answers, from 0 to 1, in maximal marginal relevance
    #[arg(long, value_name = "L", default_value_t = 0.0, value_parser = share)]
    diverse: f32,
    /// Fail if the answer takes more than this many milliseconds once the store is open [default: no limit]
    #[arg(long, value_name = "MS")]
    deadline: Option<u64>,
    /// Give the reasons why each node is in the answer
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// Parses a number of answers.
pub(crate) fn answer_count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| "expected a whole number of 1 or more".to_owned())
}

fn finite(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|number: &f32| number.is_finite());
    number.ok_or_else(|| "expected a finite number".to_owned())
}

fn share(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

/// The time that a question has.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    ms: Option<u64>,
}

impl Deadline {
    /// Runs a question with the token of the command and the deadline, which counts from here.
    pub(crate) fn run<T>(
        self,
        ctx: &Context,
        question: impl FnOnce(&CancelToken) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let Some(ms) = self.ms else { return question(ctx.cancel()) };
        let end = Instant::now().checked_add(Duration::from_millis(ms));
        let token = end.map_or_else(|| ctx.cancel().clone(), |end| ctx.cancel().with_deadline(end));
        question(&token).map_err(|failure| {
            let is_late = failure.is_of(ErrorKind::Cancelled) && !ctx.cancel().is_cancelled();
            if is_late { Failure::Deadline(ms) } else { failure }
        })
    }
}

impl RankingArgs {
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline { ms: self.deadline }
    }

    pub(crate) fn engine(&self, ctx: &mut Context, store: &Path) -> Result<Arc<Engine>, Failure> {
        self.engine_of(ctx, store, self.model.model.as_deref())
    }

    /// The engine of a model, the default one if none is named; refreshed if that was asked for.
    pub(crate) fn engine_of(
        &self,
        ctx: &mut Context,
        store: &Path,
        model: Option<&str>,
    ) -> Result<Arc<Engine>, Failure> {
        for file in self.exclude.iter().chain(&self.candidates) {
            ctx.require_file(file)?;
        }
        let (engine, status) = ctx.trained(store, model)?;
        if self.now && status.dirty_nodes > 0 {
            // The log names the dirty nodes, and a read-only store does not open it: then everything is recomputed.
            engine.refresh(engine.store().is_read_only(), &ctx.watched())?;
        }
        Ok(engine)
    }

    pub(crate) fn query(self, include_seen: bool) -> Result<Query, Failure> {
        let exclude = self.exclude.as_deref().map_or(Ok(Vec::new()), read_nodes)?;
        let candidates = self.candidates.as_deref().map(read_nodes).transpose()?;
        let all = candidates.as_ref().map(|candidates| candidates.len().max(1));
        Ok(Query {
            k: self.k.or(all).unwrap_or(DEFAULT_ANSWERS),
            kind: self.kind,
            filter: self.filter,
            only_new: self.only_new.map(|age| OnlyNew { since: before_now(age), property: self.new_by }),
            exclude,
            exclude_relations: self.exclude_relation,
            candidates,
            min_score: self.min_score,
            after: self.after,
            diverse: self.diverse,
            include_seen,
            cosine: self.cosine,
            explain: self.explain,
            ..Query::default()
        })
    }
}

/// The time that is so long ago, in microseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "an age is counted from the present, and times of edges are of the same clock"
)]
fn before_now(age: Duration) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let microseconds = |length: Duration| i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
    microseconds(now) - microseconds(age)
}

/// Prints an answer, with the facts that hold for all of it. `snapshot` has the properties of its nodes.
pub(crate) fn print(
    ctx: &Context,
    ranked: &Ranked,
    mut facts: Vec<(&str, Value)>,
    query: &Query,
    (snapshot, show): (&Snapshot, &ShowArgs),
) -> Result<(), Failure> {
    if let Some(filter) = query.filter.as_ref().filter(|_| ranked.items.len() < query.k) {
        note_unmatched(ctx, snapshot, filter);
    }
    ctx.note_dirty(ranked.dirty_nodes, ranked.epoch, "the answer");
    note_ignored(ctx, ranked);
    let next = ranked.next.map(|cursor| cursor.to_string());
    if let Some(next) = next.as_ref().filter(|_| query.after.is_some()) {
        ctx.out.note(&format!("the next page: --after {next}"));
    }
    facts.push(("ignored", ranked.ignored.iter().map(name).collect()));
    facts.push(("next", next.into()));
    facts.splice(0..0, [("epoch", ranked.epoch.get().into()), ("dirty_nodes", ranked.dirty_nodes.into())]);
    let nodes = ranked.items.iter().filter_map(|item| snapshot.lookup(&item.node));
    let shown = show.columns(ctx.out, snapshot, nodes)?;
    let named = |node: &NodeName| match ctx.out.mode {
        Mode::Table => name_with_label(snapshot, node),
        _ => node.to_string(),
    };
    let row = |item: &Scored| {
        let why = item.explanation.as_ref();
        let why = why.map(|why| if ctx.out.mode.is_json() { facts_of(why) } else { words_of(why, &named) });
        let row = [name(&item.node), float(item.score)].into_iter();
        row.chain(shown.values_of(&item.node)).chain(why).collect()
    };
    let mut columns = shown.after(&["node", "score"]);
    columns.extend(query.explain.then_some("why"));
    ctx.out.items(facts, &columns, ranked.items.iter().map(row).collect())
}

/// Names the nodes of a history and the candidates that have no embedding.
fn note_ignored(ctx: &Context, ranked: &Ranked) {
    let count = ranked.ignored.len();
    if count == 0 {
        return;
    }
    let named: Vec<String> = ranked.ignored.iter().take(NAMED_IGNORED).map(NodeName::to_string).collect();
    let more =
        if count > NAMED_IGNORED { format!(" and {} more", count - NAMED_IGNORED) } else { String::new() };
    ctx.out.note(&format!("these nodes have no embedding and are ignored: {}{more}", named.join(", ")));
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
