//! `recommend`: the nodes to show next to a user, after a history, or to each user of a file.

use std::path::PathBuf;

use clap::Args;
use hedgerow::{AnswerSource, Interest, Interests, NodeName, Query, Ranked, Recipient, Snapshot};

use crate::core::failure::Failure;
use crate::output::value::{float, name, object};
use crate::session::context::Context;
use crate::session::models::{ModelShares, existing_model};
use crate::session::properties::ShowArgs;
use crate::verbs::query::answer_file::{Asked, OnError, answer_file, basis};
use crate::verbs::query::ranking::{RankingArgs, print};

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
    #[arg(long, value_name = "FILE", conflicts_with = "after")]
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
    /// Models that share users out, by a hash of the user, such as main=90,tonight=10; the answer says which one it is of
    #[arg(long, value_name = "MODEL=N,..", value_parser = ModelShares::parse, conflicts_with_all = ["model", "history"])]
    models: Option<ModelShares>,
    #[command(flatten)]
    ranking: RankingArgs,
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
    let is_history = matches!(recipient, Some(Recipient::History(_)));
    if is_history && !args.ranking.exclude_relation.is_empty() {
        let advice = "--exclude-relation needs a node that is linked, and --history has none: name the user";
        return Err(Failure::Usage(advice.to_owned()));
    }
    // Without shares one model answers; with shares each user has its own.
    let chosen = match (&args.models, &recipient) {
        (Some(shares), Some(Recipient::Node(user))) => {
            Some(shares.model_of(user.as_ref().stable_id()).to_owned())
        }
        (Some(shares), _) => shares.names().next().map(str::to_owned),
        (None, _) => args.ranking.model.model.clone(),
    };
    let engine = args.ranking.engine_of(ctx, &args.store, chosen.as_deref())?;
    let mut engines = Vec::new();
    for name in args.models.iter().flat_map(ModelShares::names) {
        let name = existing_model(engine.store(), Some(name))?;
        // One user needs the chosen model only.
        if args.users.is_some() {
            engines.push((name.clone(), args.ranking.engine_of(ctx, &args.store, Some(&name))?));
        }
    }
    let deadline = args.ranking.deadline();
    let (show, snapshot) = (args.ranking.show.clone(), engine.store().snapshot());
    let query = Query { interests: args.interests, ..args.ranking.query(args.include_seen)? };
    deadline.run(ctx, |cancel| match (recipient, args.users) {
        (None, Some(users)) => {
            let recommender = match args.models {
                None => Asked::Users(engine.recommender(&query)?),
                Some(shares) => {
                    let recommenders =
                        engines.iter().map(|(name, engine)| Ok((name.clone(), engine.recommender(&query)?)));
                    Asked::SharedUsers(shares, recommenders.collect::<Result<_, Failure>>()?)
                }
            };
            answer_file(ctx, &recommender, &users, query.explain, args.on_error, (&snapshot, &show), cancel)
        }
        (recipient, _) => {
            let recipient = recipient.unwrap_or(Recipient::History(Vec::new()));
            let ranked = engine.recommend(&recipient, &query, cancel)?;
            let model = args.models.and(chosen);
            print_one(ctx, &ranked, &query, model.as_deref(), (&snapshot, &show))
        }
    })
}

fn print_one(
    ctx: &Context,
    ranked: &Ranked,
    query: &Query,
    model: Option<&str>,
    shown: (&Snapshot, &ShowArgs),
) -> Result<(), Failure> {
    if let Some(model) = model {
        ctx.out.note(&format!("the answer is of the model {model}"));
    }
    // Notes on the source of the answer and the interests.
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
    let mut facts =
        vec![("basis", basis(ranked)), ("interests", ranked.interests.iter().map(interest).collect())];
    facts.extend(model.map(|model| ("model", model.into())));
    print(ctx, ranked, facts, query, shown)
}
