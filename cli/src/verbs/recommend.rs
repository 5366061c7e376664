//! `recommend`: what to show next to a user or after a history, or to each user of a file.

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
use crate::output::printer::object;
use crate::output::stream::Stream;
use crate::output::value::{float, name};
use crate::session::context::Context;
use crate::verbs::answer_explanation::{facts_of, words_of};
use crate::verbs::similar::{RankingArgs, print};

/// Users that are ranked together, and whose answers are in memory at once.
const USERS_AT_ONCE: usize = 1024;

/// What `recommend` is told.
#[derive(Args, Debug)]
pub(crate) struct RecommendArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// For whom, such as user:7
    #[arg(value_name = "A", conflicts_with_all = ["history", "users"])]
    node: Option<NodeName>,
    /// What an unknown visitor has looked at, such as pin:1,pin:2
    #[arg(long, value_name = "NODE,..", value_delimiter = ',', conflicts_with = "users")]
    history: Vec<NodeName>,
    /// File of users, one a line such as user:7, or `-` for standard input: a line of results for each
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// With --users, what to do with a line that has no answer
    #[arg(long, value_enum, default_value_t = OnError::Stop, requires = "users")]
    on_error: OnError,
    /// By how many interests the history asks: a number, or auto to cut its tree
    #[arg(long, value_name = "auto|M", default_value = "1", value_parser = interests)]
    interests: Interests,
    /// Keep what is linked already, or in the history
    #[arg(long)]
    include_seen: bool,
    #[command(flatten)]
    ranking: RankingArgs,
}

/// What a user without an answer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnError {
    /// Stop; the answers before it are written
    Stop,
    /// Write a line with the error in its place and go on
    Skip,
}

/// `auto`, or a number of 1 or more.
pub(crate) fn interests(text: &str) -> Result<Interests, String> {
    match text.parse() {
        _ if text == "auto" => Ok(Interests::Auto),
        Ok(most @ 1..=Interests::MAX) => Ok(Interests::AtMost(most)),
        _ => Err(format!("expected auto, or a number from 1 to {}", Interests::MAX)),
    }
}

pub(crate) fn recommend(ctx: &mut Context, args: RecommendArgs) -> Result<(), Failure> {
    if ctx.console && args.users.as_deref() == Some(Path::new("-")) {
        return Err(Failure::Usage("the console reads standard input itself: name a file".to_owned()));
    }
    let audience = match args.node {
        Some(node) => Some(Recipient::Node(node)),
        None if !args.history.is_empty() => Some(Recipient::History(args.history)),
        None => None,
    };
    if audience.is_none() && args.users.is_none() {
        let advice = "say for whom: a node such as user:7, --history pin:1,pin:2, or --users FILE";
        return Err(Failure::Usage(advice.to_owned()));
    }
    let engine = args.ranking.engine(ctx, &args.store)?;
    let query = Query { interests: args.interests, ..args.ranking.query(args.include_seen)? };
    match (audience, args.users) {
        (None, Some(users)) => many(ctx, &engine, &users, &query, args.on_error),
        (audience, _) => one(ctx, &engine, &audience.unwrap_or(Recipient::History(Vec::new())), &query),
    }
}

fn one(ctx: &Context, engine: &Engine, audience: &Recipient, query: &Query) -> Result<(), Failure> {
    let ranked = engine.recommend(audience, query)?;
    if !ranked.ignored.is_empty() {
        let names: Vec<String> = ranked.ignored.iter().map(NodeName::to_string).collect();
        ctx.out.note(&format!("without an embedding, so not asked with: {}", names.join(", ")));
    }
    match ranked.source {
        AnswerSource::Embeddings => {}
        AnswerSource::Walks => ctx.out.note(
            "nothing of the history is embedded: this is what walks from it visit most; `refresh` embeds what is new",
        ),
        AnswerSource::Popular => {
            ctx.out.note("nothing of the history is embedded or linked: these are the nodes with most edges");
        }
    }
    if ranked.interests.len() > 1 {
        let told = ranked.interests.iter().map(|interest| {
            let Interest { medoid, importance, items } = interest;
            format!("{medoid} ({items} nodes, {:.0} %)", importance * 100.0)
        });
        ctx.out.note(&format!("interests: {}", told.collect::<Vec<_>>().join(", ")));
    }
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
        AnswerSource::Embeddings => "embeddings",
        AnswerSource::Walks => "walks",
        AnswerSource::Popular => "popular",
    }
    .into()
}

/// A user of a file, and where the file names it.
struct User {
    audience: Recipient,
    name: NodeName,
    place: Place,
}

fn many(
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
        let users = if writer.failed == 1 { "1 user has" } else { &format!("{} users have", writer.failed) };
        ctx.out.note(&format!("{users} no answer"));
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
                let audience = Recipient::Node(node.to_name());
                users.push(User { audience, name: node.to_name(), place: lines.place(0) });
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

/// Where the answers go: an object for a user, or lines of its nodes.
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
        let audiences: Vec<Recipient> = users.iter().map(|user| user.audience.clone()).collect();
        for (user, ranked) in users.into_iter().zip(recommender.recommend(&audiences)) {
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
