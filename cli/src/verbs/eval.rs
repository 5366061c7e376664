//! `eval`: how good the embeddings are at two tasks, measured as `CLI.md` defines them.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use hedgerow::{Interests, RelationIx, Snapshot, Status};

use crate::cell::rounded;
use crate::context::Context;
use crate::failure::Failure;
use crate::reading::pairs::{read_pairs, read_users};
use crate::verbs::recommend::interests;

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
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Task {
    /// Rank all items that a user is not linked to: recall and ndcg at k
    Recommend,
    /// Rank all items for a query item: hit rates and mean reciprocal ranks
    Related,
}

pub(crate) fn eval(ctx: &mut Context, args: EvalArgs) -> Result<(), Failure> {
    let (engine, status) = ctx.trained(&args.store)?;
    let kind = args.kind.map_or_else(|| only_target(&status), Ok)?;
    match (args.task, args.test, args.pairs) {
        (Task::Recommend, Some(test), _) => {
            let user = args.user_kind;
            let user = user.map_or_else(|| only_user(&engine.store().snapshot(), &kind), Ok)?;
            recommend(ctx, &args.store, &test, (args.k, args.interests), [&user, &kind])
        }
        (Task::Related, _, Some(pairs)) => related(ctx, &args.store, &pairs, &kind),
        (Task::Recommend, None, _) => Err(Failure::Usage("--task recommend needs --test FILE".to_owned())),
        (Task::Related, _, None) => Err(Failure::Usage("--task related needs --pairs FILE".to_owned())),
    }
}

fn recommend(
    ctx: &mut Context,
    store: &Path,
    test: &Path,
    (k, interests): (usize, Interests),
    kinds: [&str; 2],
) -> Result<(), Failure> {
    let (engine, _) = ctx.trained(store)?;
    let users = read_users(test, kinds[0], kinds[1])?;
    let quality = engine.evaluate_recommend(&users, k, interests, ctx.cancel())?;
    let (recall, ndcg) = (format!("recall@{k}"), format!("ndcg@{k}"));
    ctx.out.record(vec![
        (&recall, rounded(quality.recall, 6)),
        (&ndcg, rounded(quality.ndcg, 6)),
        ("users", quality.users.into()),
    ])
}

fn related(ctx: &mut Context, store: &Path, pairs: &Path, kind: &str) -> Result<(), Failure> {
    let (engine, _) = ctx.trained(store)?;
    let pairs = read_pairs(pairs, kind)?;
    let quality = engine.evaluate_related(&pairs, ctx.cancel())?;
    ctx.out.record(vec![
        ("hr@10", rounded(quality.hr10, 6)),
        ("hr@100", rounded(quality.hr100, 6)),
        ("hr@500", rounded(quality.hr500, 6)),
        ("mrr", rounded(quality.mrr, 6)),
        ("mrr100", rounded(quality.mrr100, 6)),
        ("pairs", quality.pairs.into()),
    ])
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
