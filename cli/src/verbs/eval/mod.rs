//! `eval`: the quality of the embeddings at two tasks, compared with baselines.

mod comparison;
mod sparkline;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use hedgerow::{Engine, EvaluateOptions, Interests, RecommendQuality, RelatedQuality, Snapshot, Status};

use crate::core::failure::Failure;
use crate::input::pairs::{read_pairs, read_users};
use crate::session::context::Context;
use crate::session::models::ModelArgs;
use crate::session::schema::relations;
use crate::verbs::eval::comparison::{FigureNames, OverallFigure, RankerFigures, print};
use crate::verbs::eval::sparkline::{change, fraction};
use crate::verbs::query::ranking::answer_count;
use crate::verbs::query::recommend::interests;

/// The figures of all recommendations together.
const OVERALL: &[OverallFigure] = &[
    OverallFigure { name: "coverage", short: "coverage", format: fraction },
    OverallFigure { name: "effective_items", short: "effective", format: |items| format!("{items:.0}") },
    OverallFigure { name: "popularity_lift", short: "lift", format: change },
];

/// The arguments of `eval`.
#[derive(Args, Debug)]
pub(crate) struct EvalArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// The task to measure
    #[arg(long)]
    task: Task,
    /// For recommend: a file of held-out items, per line `user item item ...`
    #[arg(long, value_name = "FILE", required_if_eq("task", "recommend"), conflicts_with = "pairs")]
    test: Option<PathBuf>,
    /// For related: a file of pairs, per line `query<TAB>item`
    #[arg(long, value_name = "FILE", required_if_eq("task", "related"))]
    pairs: Option<PathBuf>,
    /// For recommend: the number of items in an answer
    #[arg(short, long, value_name = "N", default_value_t = 20, value_parser = answer_count)]
    k: usize,
    /// The kind of the items [default: the kind that the model embeds, if it is only one]
    #[arg(long)]
    kind: Option<String>,
    /// For recommend: the kind of the users [default: the kind that is linked to the items, if it is only one]
    #[arg(long, value_name = "KIND")]
    user_kind: Option<String>,
    /// For recommend: the most interests of a user; auto cuts the tree where clusters are far apart
    #[arg(long, value_name = "auto|M", default_value = "1", value_parser = interests)]
    interests: Interests,
    /// The number of users or pairs, drawn by name, on which the model is compared with popularity,
    /// co-occurrence, two damped hops (RP3-beta), Pixie and implicit ALS
    #[arg(long, value_name = "N|all|off", default_value_t = EvaluateOptions::COMPARED, value_parser = baselines)]
    baselines: usize,
    #[command(flatten)]
    model: ModelArgs,
}

/// The tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Task {
    /// Rank all items that a user is not linked to: recall and ndcg at k, and the diversity of the answers
    Recommend,
    /// Rank all items for a query item: hit rates and mean reciprocal ranks
    Related,
}

pub(crate) fn eval(ctx: &mut Context, args: EvalArgs) -> Result<(), Failure> {
    let (engine, status) = ctx.trained(&args.store, args.model.model.as_deref())?;
    let kind = args.kind.map_or_else(|| only_target(&status), Ok)?;
    let options = EvaluateOptions { k: args.k, interests: args.interests, compared: args.baselines };
    match (args.task, args.test, args.pairs) {
        (Task::Recommend, Some(test), _) => {
            let user = args.user_kind;
            let user = user.map_or_else(|| only_user(&engine.store().snapshot(), &kind), Ok)?;
            recommend(ctx, &engine, &test, &options, [&user, &kind])
        }
        (Task::Related, _, Some(pairs)) => related(ctx, &engine, &pairs, &options, &kind),
        (Task::Recommend, None, _) => Err(Failure::Usage("--task recommend needs --test FILE".to_owned())),
        (Task::Related, _, None) => Err(Failure::Usage("--task related needs --pairs FILE".to_owned())),
    }
}

fn recommend(
    ctx: &Context,
    engine: &Engine,
    test: &Path,
    options: &EvaluateOptions,
    [user, item]: [&str; 2],
) -> Result<(), Failure> {
    let users = read_users(test, user, item)?;
    let comparison = engine.evaluate_recommend(&users, options, &ctx.watched())?;
    let (recall, ndcg) = (format!("recall@{}", options.k), format!("ndcg@{}", options.k));
    let figures = |quality: &RecommendQuality| RankerFigures {
        queries: quality.users,
        means: vec![quality.recall, quality.ndcg],
        overall: vec![Some(quality.coverage), Some(quality.effective_items), quality.popularity_lift],
    };
    let names =
        FigureNames { queries: "users", means: vec![&recall, &ndcg], overall: OVERALL, judged_by: &ndcg };
    print(ctx.out, &names, &comparison, figures, &engine.random_cosines(Some(item))?)
}

fn related(
    ctx: &Context,
    engine: &Engine,
    pairs: &Path,
    options: &EvaluateOptions,
    kind: &str,
) -> Result<(), Failure> {
    let pairs = read_pairs(pairs, kind)?;
    let comparison = engine.evaluate_related(&pairs, options, &ctx.watched())?;
    let figures = |quality: &RelatedQuality| RankerFigures {
        queries: quality.pairs,
        means: vec![quality.hr10, quality.hr100, quality.hr500, quality.mrr, quality.mrr100],
        overall: Vec::new(),
    };
    let means = vec!["hr@10", "hr@100", "hr@500", "mrr", "mrr100"];
    let names = FigureNames { queries: "pairs", means, overall: &[], judged_by: "mrr" };
    print(ctx.out, &names, &comparison, figures, &engine.random_cosines(Some(kind))?)
}

/// Parses `all`, `off`, or a number.
fn baselines(text: &str) -> Result<usize, String> {
    match text {
        "all" => Ok(usize::MAX),
        "off" => Ok(0),
        number => number.parse().map_err(|_| "expected all, off, or a number of users or pairs".to_owned()),
    }
}

fn only_target(status: &Status) -> Result<String, Failure> {
    match &status.targets[..] {
        [kind] => Ok(kind.clone()),
        kinds => Err(Failure::Usage(format!("the model embeds {}: name one with --kind", kinds.join(", ")))),
    }
}

fn only_user(snapshot: &Snapshot, item: &str) -> Result<String, Failure> {
    let mut kinds = Vec::new();
    for relation in relations(snapshot) {
        for (a, b) in snapshot.relation_kinds(relation) {
            let (a, b) = (snapshot.kind_name(a), snapshot.kind_name(b));
            let other = if a == item { b } else { a };
            if (a == item || b == item) && other != item {
                kinds.push(other.to_owned());
            }
        }
    }
    kinds.sort();
    kinds.dedup();
    match &kinds[..] {
        [kind] => Ok(kind.clone()),
        [] => Err(Failure::Usage(format!(
            "no kind is linked to {item}: name the kind of the users with --user-kind"
        ))),
        kinds => {
            let kinds = kinds.join(", ");
            Err(Failure::Usage(format!(
                "{item} is linked to {kinds}: name the kind of the users with --user-kind"
            )))
        }
    }
}
