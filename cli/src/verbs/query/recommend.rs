//! `recommend`: the nodes to show next to a user, after a history, or to each user of a file.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use hedgerow::{
    AnswerSource, Engine, Interest, Interests, NodeName, NodeRef, Query, Ranked, Recipient, Recommender,
};
use serde_json::Value;

use crate::core::failure::Failure;
use crate::core::location::Place;
use crate::input::lines::Lines;
use crate::input::source::Source;
use crate::output::stream::Stream;
use crate::output::value::{count, float, name, object};
use crate::session::context::Context;
use crate::verbs::query::answer_explanation::{facts_of, words_of};
use crate::verbs::query::ranking::{RankingArgs, print};

/// Users whose answers are computed together and are in memory at once.
const USERS_AT_ONCE: usize = 1024;

/// The arguments of `recommend`.
#[derive(Args, Debug)]
pub(crate) struct RecommendArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The user, such as user:7
    #[arg(value_name = "A", conflicts_with_all = ["history", "users"])]
    node: Option<NodeName>,
    /// The history of an unknown user, such as pin:1,pin:2
    #[arg(long, value_name = "NODE,..", value_delimiter = ',', conflicts_with = "users")]
    history: Vec<NodeName>,
    /// A file of users, one per line, such as user:7; `-` is standard input. Each user gets an answer
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// With --users, what to do at a user without an answer
    #[arg(long, value_enum, default_value_t = OnError::Stop, requires = "users")]
    on_error: OnError,
    /// The most interests that the history is clustered into; auto cuts the tree where clusters are far apart
    #[arg(long, value_name = "auto|M", default_value = "1", value_parser = interests)]
    interests: Interests,
    /// Keep nodes in the answer that are linked to the user or are in the history
    #[arg(long)]
    include_seen: bool,
    #[command(flatten)]
    ranking: RankingArgs,
}

/// The reaction to a user without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnError {
    /// Stop; the answers before it stay written
    Stop,
    /// Write a line with the error instead of the answer, and continue
    Skip,
}

/// Parses `auto`, or a number of 1 or more.
pub(crate) fn interests(text: &str) -> Result<Interests, String> {
    match text.parse() {
        _ if text == "auto" => Ok(Interests::Auto),
        Ok(most @ 1..=Interests::MAX) => Ok(Interests::AtMost(most)),
        _ => Err(format!("expected auto, or a number from 1 to {}", Interests::MAX)),
    }
}

pub(crate) fn recommend(ctx: &mut Context, args: RecommendArgs) -> Result<(), Failure> {
    if let Some(users) = &args.users {
        ctx.require_file(users)?;
    }
    if args.users.is_none() {
        ctx.map_files();
    }
    let recipient = match args.node {
        Some(node) => Some(Recipient::Node(node)),
        None if !args.history.is_empty() => Some(Recipient::History(args.history)),
        None => None,
    };
    if recipient.is_none() && args.users.is_none() {
        let advice = "name a recipient: a node such as user:7, --history pin:1,pin:2, or --users FILE";
        return Err(Failure::Usage(advice.to_owned()));
    }
    let engine = args.ranking.engine(ctx, &args.store)?;
    let query = Query { interests: args.interests, ..args.ranking.query(args.include_seen)? };
    match (recipient, args.users) {
        (None, Some(users)) => answer_file(ctx, &engine, &users, &query, args.on_error),
        (recipient, _) => {
            answer_one(ctx, &engine, &recipient.unwrap_or(Recipient::History(Vec::new())), &query)
        }
    }
}

fn answer_one(ctx: &Context, engine: &Engine, recipient: &Recipient, query: &Query) -> Result<(), Failure> {
    let ranked = engine.recommend(recipient, query)?;
    // Notes on the history, the source of the answer, and the interests.
    if !ranked.ignored.is_empty() {
        let names: Vec<String> = ranked.ignored.iter().map(NodeName::to_string).collect();
        ctx.out.note(&format!("these nodes have no embedding and are ignored: {}", names.join(", ")));
    }
    match ranked.source {
        AnswerSource::Graph | AnswerSource::Embeddings => {}
        AnswerSource::Walks => ctx.out.note(
            "no node of the history has an embedding: the answer comes from walks; `refresh` embeds new nodes",
        ),
        AnswerSource::Popular => {
            ctx.out.note("no node of the history has an embedding or an edge: the answer is the nodes with most edges");
        }
    }
    if ranked.interests.len() > 1 {
        let interests = ranked.interests.iter().map(|interest| {
            let Interest { medoid, importance, items } = interest;
            format!("{medoid} ({items} nodes, {:.0} %)", importance * 100.0)
        });
        ctx.out.note(&format!("interests: {}", interests.collect::<Vec<_>>().join(", ")));
    }
    // The answer, with the facts that hold for all of it.
    let interest = |interest: &Interest| {
        object(vec![
            ("medoid", name(&interest.medoid)),
            ("importance", float(interest.importance)),
            ("items", interest.items.into()),
        ])
    };
    let facts = vec![
        ("basis", basis(&ranked)),
        ("interests", ranked.interests.iter().map(interest).collect()),
        ("ignored", ranked.ignored.iter().map(name).collect()),
    ];
    print(ctx, &ranked, facts, query.explain)
}

fn basis(ranked: &Ranked) -> Value {
    match ranked.source {
        AnswerSource::Graph => "graph",
        AnswerSource::Embeddings => "embeddings",
        AnswerSource::Walks => "walks",
        AnswerSource::Popular => "popular",
    }
    .into()
}

/// A user of a file, and its place there.
struct User {
    name: NodeName,
    place: Place,
}

fn answer_file(
    ctx: &Context,
    engine: &Engine,
    path: &Path,
    query: &Query,
    on_error: OnError,
) -> Result<(), Failure> {
    let recommender = engine.recommender(query)?;
    let lines = Lines::new(Source::open(path)?);
    let mut writer = Writer::new(ctx, query.explain);
    let answered = answer_all(ctx, &recommender, lines, &mut writer, on_error);
    writer.stream.finish()?;
    if writer.failed > 0 {
        ctx.out.note(&format!("{} no answer", count(writer.failed, "user has", "users have")));
    }
    answered
}

fn answer_all(
    ctx: &Context,
    recommender: &Recommender,
    mut lines: Lines,
    writer: &mut Writer,
    on_error: OnError,
) -> Result<(), Failure> {
    let mut users = Vec::new();
    while lines.advance()? {
        let text = lines.text(0, lines.bytes().len())?;
        if text.is_empty() {
            continue;
        }
        match NodeRef::parse(text) {
            Ok(node) => {
                users.push(User { name: node.to_name(), place: lines.place(0) });
            }
            Err(error) => {
                writer.answer(recommender, &mut users, on_error)?;
                let bad = lines.place(0).problem(error);
                if on_error == OnError::Stop {
                    return Err(bad.into());
                }
                writer.error(text, &bad.to_string())?;
            }
        }
        if users.len() == USERS_AT_ONCE {
            ctx.cancel().check()?;
            writer.answer(recommender, &mut users, on_error)?;
        }
    }
    writer.answer(recommender, &mut users, on_error)
}

/// Writes the answers: an object for each user, or a line for each node of its answer.
struct Writer {
    stream: Stream,
    json: bool,
    explain: bool,
    failed: u64,
}

impl Writer {
    fn new(ctx: &Context, explain: bool) -> Self {
        let json = ctx.out.mode.is_json();
        let columns: &[&str] = match (json, explain) {
            (true, _) => &["user", "basis", "epoch", "dirty_nodes", "items"],
            (false, true) => &["user", "node", "score", "basis", "why"],
            (false, false) => &["user", "node", "score", "basis"],
        };
        Self { stream: ctx.out.stream(columns), json, explain, failed: 0 }
    }

    fn answer(
        &mut self,
        recommender: &Recommender,
        users: &mut Vec<User>,
        on_error: OnError,
    ) -> Result<(), Failure> {
        let users = std::mem::take(users);
        let recipients: Vec<Recipient> =
            users.iter().map(|user| Recipient::Node(user.name.clone())).collect();
        for (user, ranked) in users.into_iter().zip(recommender.recommend(&recipients)) {
            match ranked {
                Ok(ranked) => self.write(&user.name, &ranked)?,
                Err(error) if on_error == OnError::Skip => {
                    self.error(&user.name.to_string(), &error.to_string())?;
                }
                Err(error) => {
                    return Err(user.place.problem(error).into());
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, user: &NodeName, ranked: &Ranked) -> Result<(), Failure> {
        if !self.json {
            for item in &ranked.items {
                let why = item.explanation.as_ref().map(words_of);
                let row = [name(user), name(&item.node), float(item.score), basis(ranked)];
                self.stream.row(row.into_iter().chain(why).collect())?;
            }
            return Ok(());
        }
        let items = ranked.items.iter().map(|item| {
            let mut fields = vec![("node", name(&item.node)), ("score", float(item.score))];
            fields.extend(item.explanation.as_ref().map(|why| ("why", facts_of(why))));
            object(fields)
        });
        self.stream.row(vec![
            name(user),
            basis(ranked),
            ranked.epoch.get().into(),
            ranked.dirty_nodes.into(),
            items.collect(),
        ])
    }

    fn error(&mut self, user: &str, error: &str) -> Result<(), Failure> {
        self.failed += 1;
        if self.json {
            return self.stream.summary(vec![("user", user.into()), ("error", error.into())]);
        }
        let mut row = vec![user.into(), Value::Null, Value::Null, format!("error: {error}").into()];
        row.extend(self.explain.then_some(Value::Null));
        self.stream.row(row)
    }
}
