//! `eval`: how good the embeddings are at two tasks, and whether that is better than what needs no training.

mod comparison;
mod sparkline;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use hedgerow::{
    Engine, EvaluateOptions, Interests, RecommendQuality, RelatedQuality, RelationIx, Snapshot, Status,
};

use crate::core::failure::Failure;
use crate::input::pairs::{read_pairs, read_users};
use crate::session::context::Context;
use crate::verbs::recommend::interests;

use crate::verbs::eval::comparison::{Figures, Rest, Standing, print};
use crate::verbs::eval::sparkline::{change, fraction};

/// What is said of all recommendations together.
const BEYOND: &[Rest] = &[
    Rest { name: "coverage", short: "coverage", shown: fraction },
    Rest { name: "effective_items", short: "effective", shown: |items| format!("{items:.0}") },
    Rest { name: "popularity_lift", short: "lift", shown: change },
];

/// What `eval` is told.
#[derive(Args, Debug)]
pub(crate) struct EvalArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// What to measure
    #[arg(long)]
    task: Task,
    /// For recommend: file of held-out items, `user item item ...` a line
    #[arg(long, value_name = "FILE", required_if_eq("task", "recommend"), conflicts_with = "pairs")]
    test: Option<PathBuf>,
    /// For related: file of `query<TAB>item` lines
    #[arg(long, value_name = "FILE", required_if_eq("task", "related"))]
    pairs: Option<PathBuf>,
    /// For recommend: how many items are shown to a user
    #[arg(short, long, value_name = "N", default_value_t = 20)]
    k: usize,
    /// Kind of the items [default: the model's kind, if it has one only]
    #[arg(long)]
    kind: Option<String>,
    /// For recommend: kind of the users [default: the kind that is linked to the items, if there is one only]
    #[arg(long, value_name = "KIND")]
    user_kind: Option<String>,
    /// For recommend: by how many interests a user asks, a number or auto
    #[arg(long, value_name = "auto|M", default_value = "1", value_parser = interests)]
    interests: Interests,
    /// On how many users or pairs, drawn by their names, popularity, co-occurrence and walks are asked beside the model
    #[arg(long, value_name = "N|all|off", default_value_t = EvaluateOptions::COMPARED, value_parser = baselines)]
    baselines: usize,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Task {
    /// Rank all items that a user is not linked to: recall and ndcg at k; what the answers show of the catalogue
    Recommend,
    /// Rank all items for a query item: hit rates and mean reciprocal ranks
    Related,
}

pub(crate) fn eval(ctx: &mut Context, args: EvalArgs) -> Result<(), Failure> {
    let (engine, status) = ctx.trained(&args.store)?;
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
    let found = engine.evaluate_recommend(&users, options, &ctx.watched())?;
    let (recall, ndcg) = (format!("recall@{}", options.k), format!("ndcg@{}", options.k));
    let standing = |quality: &RecommendQuality| Standing {
        queries: quality.users,
        means: vec![quality.recall, quality.ndcg],
        rest: vec![Some(quality.coverage), Some(quality.effective_items), quality.popularity_lift],
    };
    let figures = Figures { queries: "users", means: vec![&recall, &ndcg], rest: BEYOND, judged_by: &ndcg };
    print(ctx.out, &figures, &found, standing, &engine.random_cosines(Some(item))?)
}

fn related(
    ctx: &Context,
    engine: &Engine,
    pairs: &Path,
    options: &EvaluateOptions,
    kind: &str,
) -> Result<(), Failure> {
    let pairs = read_pairs(pairs, kind)?;
    let found = engine.evaluate_related(&pairs, options, &ctx.watched())?;
    let standing = |quality: &RelatedQuality| Standing {
        queries: quality.pairs,
        means: vec![quality.hr10, quality.hr100, quality.hr500, quality.mrr, quality.mrr100],
        rest: Vec::new(),
    };
    let means = vec!["hr@10", "hr@100", "hr@500", "mrr", "mrr100"];
    let figures = Figures { queries: "pairs", means, rest: &[], judged_by: "mrr" };
    print(ctx.out, &figures, &found, standing, &engine.random_cosines(Some(kind))?)
}

/// `all`, `off`, or a number.
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
        kinds => Err(Failure::Usage(format!("the model embeds {}: say which with --kind", kinds.join(", ")))),
    }
}

fn only_user(snapshot: &Snapshot, item: &str) -> Result<String, Failure> {
    let mut kinds = Vec::new();
    for relation in (0..snapshot.relation_count()).map(|ix| RelationIx::new(ix as u16)) {
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
            "no kind is linked to {item}: say who the users are with --user-kind"
        ))),
        kinds => {
            let kinds = kinds.join(", ");
            Err(Failure::Usage(format!(
                "{item} is linked to {kinds}: say who the users are with --user-kind"
            )))
        }
    }
}
