//! `refresh` brings the embeddings up to the last edge; `digest` says in one line what they all are.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use hedgerow::{NodeName, RefreshReason, RefreshReport, RefreshTimes};
use serde_json::{Value, json};

use crate::core::failure::Failure;
use crate::output::value::rounded;
use crate::session::context::Context;

/// Changed edges of a node that an explanation names.
const EDGES_SHOWN: usize = 5;

/// What `refresh` is told.
#[derive(Args, Debug)]
pub(crate) struct RefreshArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// Recompute everything, not only what changed
    #[arg(long)]
    full: bool,
    /// When embeddings are recomputed
    #[arg(long, value_enum, default_value_t = Mode::Eager, conflicts_with_all = ["full", "explain"])]
    mode: Mode,
    /// Instead of what the refresh did, say why this node's embedding is another now, step by step down to what changed
    #[arg(long, value_name = "NODE", conflicts_with = "full")]
    explain: Option<NodeName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Now
    Eager,
    /// By whoever reads with --now: this verb recomputes nothing and says how many nodes are dirty
    Lazy,
}

/// What `digest` is told.
#[derive(Args, Debug)]
pub(crate) struct DigestArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
}

pub(crate) fn refresh(ctx: &mut Context, args: RefreshArgs) -> Result<(), Failure> {
    let (engine, status) = ctx.trained(&args.store)?;
    if args.mode == Mode::Lazy {
        let report = RefreshReport {
            dirty_nodes: status.dirty_nodes,
            ..RefreshReport::new(status.embedded.unwrap_or(status.epoch), false)
        };
        return ctx.out.record(fields(&report));
    }
    let Some(node) = &args.explain else {
        let report = engine.refresh(args.full, &ctx.watched())?;
        engine.persist(&ctx.watched())?;
        return ctx.out.record(fields(&report));
    };
    let (_, explanation) = engine.refresh_explained(node.as_ref(), &ctx.watched())?;
    engine.persist(&ctx.watched())?;
    ctx.out.note(&match (explanation.changed, explanation.reasons.is_empty()) {
        (true, _) => format!("the embedding of {node} changed"),
        (false, false) => format!("{node} was looked at, and its embedding came out as it was"),
        (false, true) => format!("nothing that changed reached {node}"),
    });
    let steps = explanation.reasons.iter().map(|reason| {
        let (step, node, why) = step(reason);
        vec![step.into(), node, why.into()]
    });
    ctx.out.rows(&["step", "node", "why"], steps.collect())
}

/// What a reason is about, of which node, and what happened, in words.
fn step(reason: &RefreshReason) -> (String, Value, String) {
    let named = |node: &NodeName| Value::from(node.to_string());
    let row = |layer: &usize| format!("layer {layer}");
    match reason {
        RefreshReason::Rebuild => {
            ("all".to_owned(), Value::Null, "so much changed that all was computed anew".to_owned())
        }
        RefreshReason::NeighborRow { node, layer, neighbor } => {
            (row(layer), named(node), format!("the row of its neighbor {neighbor} changed"))
        }
        RefreshReason::OwnRow { node, layer } => {
            (row(layer), named(node), "its own row one layer below changed".to_owned())
        }
        RefreshReason::NeighborDegree { node, layer, neighbor } => (
            row(layer),
            named(node),
            format!("its neighbor {neighbor} has another degree and weighs differently"),
        ),
        RefreshReason::Walks {
            node,
            walks,
            walk,
            hop,
            at,
            relation,
            was,
            now,
            edges,
            neighborhood_changed,
        } => {
            let or_nowhere = |node: &Option<NodeName>| {
                node.as_ref().map_or_else(|| "nowhere".to_owned(), ToString::to_string)
            };
            let shown: Vec<String> = edges.iter().take(EDGES_SHOWN).map(ToString::to_string).collect();
            let more = if edges.len() > EDGES_SHOWN { " and others" } else { "" };
            let came_out = if *neighborhood_changed { "another" } else { "the same" };
            let why = format!(
                "{walks} of its walks lead elsewhere, its neighborhood came out {came_out}; walk {walk} stands on {at} \
                 before hop {hop} by {relation} and led to {}, now to {}; changed edges of {at}: {}{more}",
                or_nowhere(was),
                or_nowhere(now),
                shown.join(", "),
            );
            ("walks".to_owned(), named(node), why)
        }
        RefreshReason::Features { node } => {
            ("input".to_owned(), named(node), "its features changed".to_owned())
        }
        RefreshReason::Degree { node } => {
            ("input".to_owned(), named(node), "its degree changed by a level".to_owned())
        }
        RefreshReason::AddedOrRemoved { node } => {
            ("node".to_owned(), named(node), "it came or went".to_owned())
        }
    }
}

pub(crate) fn digest(ctx: &mut Context, args: DigestArgs) -> Result<(), Failure> {
    let (engine, status) = ctx.trained(&args.store)?;
    let digest = engine.digest(&ctx.watched())?;
    if status.dirty_nodes > 0 {
        ctx.out.note(&format!(
            "{} nodes changed since epoch {}; `refresh` brings the embeddings up to date",
            status.dirty_nodes, digest.epoch
        ));
    }
    ctx.out.record(vec![
        ("digest", digest.digest.into()),
        ("epoch", digest.epoch.get().into()),
        ("generation", digest.generation.get().into()),
        ("nodes", digest.nodes.into()),
    ])
}

fn fields(report: &RefreshReport) -> Vec<(&'static str, Value)> {
    vec![
        ("epoch", report.epoch.get().into()),
        ("dirty_nodes", report.dirty_nodes.into()),
        ("sources", report.sources.into()),
        ("neighborhoods", report.neighborhoods.into()),
        ("rows", report.rows.clone().into()),
        ("full", report.full.into()),
        ("ms", stages(&report.ms)),
        ("seconds", rounded(report.seconds, 4)),
    ]
}

fn stages(ms: &RefreshTimes) -> Value {
    json!({
        "reach": rounded(ms.reach, 3),
        "walks": rounded(ms.walks, 3),
        "layers": rounded(ms.layers, 3),
    })
}
