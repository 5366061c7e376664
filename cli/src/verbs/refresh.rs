//! `refresh`: brings the embeddings up to date with the edges. `digest`: one hash over all of them.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use hedgerow::{Engine, NodeName, RebuildReport, RefreshReason, RefreshReport, RowComparison, RowPart};
use serde_json::{Value, json};

use crate::core::failure::Failure;
use crate::output::value::{count, object, rounded};
use crate::session::context::Context;
use crate::session::models::ModelArgs;

/// The most changed edges of a node that an explanation names.
const EDGES_SHOWN: usize = 5;

/// Files are read, not mapped, if more than one node in this many is dirty: walks from mapped lists are slower.
const MAPPED_SHARE: u64 = 1000;

/// Names and values of a report.
type Fields = Vec<(&'static str, Value)>;

/// The arguments of `refresh`.
#[derive(Args, Debug)]
pub(crate) struct RefreshArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// Recompute all rows, not only those that changes affect, store them, and say whether any byte differs from what was there
    #[arg(long)]
    full: bool,
    /// Refresh in memory, recompute all rows, compare both and store nothing; exit code 4 if any byte differs
    #[arg(long, requires = "full")]
    verify: bool,
    /// Refresh, and print why the embedding of this node changed, step by step down to the changed edges
    #[arg(long, value_name = "NODE", conflicts_with = "full")]
    explain: Option<NodeName>,
    /// Only this model [default: all models; --explain is about the default model]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
}

/// The arguments of `digest`.
#[derive(Args, Debug)]
pub(crate) struct DigestArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
}

pub(crate) fn refresh(ctx: &mut Context, args: RefreshArgs) -> Result<(), Failure> {
    if !args.full {
        ctx.map_files();
        let store = ctx.store(&args.store)?;
        let dirty = store.derived_sets().iter().map(|set| store.derived_set(set).dirty_nodes()).max();
        if dirty.unwrap_or(0) > store.snapshot().node_count() / MAPPED_SHARE {
            drop(store);
            ctx.read_files(&args.store);
        }
    }
    let model = args.model.as_deref();
    let (engine, _) = ctx.trained(&args.store, model)?;
    let engines = if model.is_some() { vec![engine] } else { ctx.engines(&args.store)? };
    if args.verify {
        return verify(ctx, &engines);
    }
    if let Some(node) = &args.explain {
        return explain(ctx, &engines, node);
    }
    let refreshed = engines.iter().map(|engine| Ok((engine, refreshed(ctx, engine, args.full)?)));
    let refreshed = refreshed.collect::<Result<Vec<_>, Failure>>()?;
    ctx.out.record(fields_of_all(refreshed))
}

/// Refreshes or rebuilds a model, and stores it. Returns the fields of the report.
fn refreshed(ctx: &Context, engine: &Engine, full: bool) -> Result<Fields, Failure> {
    if full {
        let report = compared(engine, engine.rebuild(&ctx.watched())?);
        engine.persist(&ctx.watched())?;
        match &report.comparison {
            RowComparison::Different { nodes, first, part } => ctx.out.note(&format!(
                "warning: {}, and are stored as the rebuild gives them",
                difference(*nodes, first, part)
            )),
            RowComparison::NotCompared { reason } => {
                ctx.out.note(&format!("the rows before were not compared: {reason}"));
            }
            _ => {}
        }
        return Ok(fields_of_rebuild(&report));
    }
    let report = engine.refresh(false, &ctx.watched())?;
    engine.persist(&ctx.watched())?;
    Ok(fields(&report))
}

/// The fields of the first model, and those of all models by name if there are several.
fn fields_of_all(all: Vec<(&Arc<Engine>, Fields)>) -> Fields {
    let models = (all.len() > 1).then(|| {
        let models = all.iter().map(|(engine, fields)| (engine.name(), object(fields.iter().cloned())));
        ("models", object(models))
    });
    let first = all.into_iter().next().map_or_else(Vec::new, |(_, fields)| fields);
    first.into_iter().chain(models).collect()
}

/// Refreshes the models, and explains the change of a node in the first one.
fn explain(ctx: &Context, engines: &[Arc<Engine>], node: &NodeName) -> Result<(), Failure> {
    let (engine, others) = engines.split_first().expect("a model is trained");
    for other in others {
        refreshed(ctx, other, false)?;
    }
    let (_, explanation) = engine.refresh_explained(node.as_ref(), &ctx.watched())?;
    engine.persist(&ctx.watched())?;
    ctx.out.note(&match (explanation.changed, explanation.reasons.is_empty()) {
        (true, _) => format!("the embedding of {node} changed"),
        (false, false) => format!("the embedding of {node} was recomputed and did not change"),
        (false, true) => format!("no change affects {node}"),
    });
    let rows = explanation.reasons.iter().map(|reason| {
        let (step, node, why) = step(reason);
        vec![step.into(), node.map(ToString::to_string).into(), why.into()]
    });
    ctx.out.rows(&["step", "node", "why"], rows.collect())
}

/// Compares the stored rows of models, after the changes since the last refresh, with those of a rebuild.
fn verify(ctx: &Context, engines: &[Arc<Engine>]) -> Result<(), Failure> {
    let reports = engines.iter().map(|engine| Ok((engine, compared(engine, engine.verify(&ctx.watched())?))));
    let reports = reports.collect::<Result<Vec<_>, Failure>>()?;
    let fields = reports.iter().map(|(engine, report)| (*engine, fields_of_rebuild(report)));
    ctx.out.record(fields_of_all(fields.collect()))?;
    reports.iter().try_for_each(|(engine, report)| require_equal(engine, report))
}

/// Fails if the stored rows of a model differ from those of a rebuild, or were not compared.
fn require_equal(engine: &Engine, report: &RebuildReport) -> Result<(), Failure> {
    if let Some(damage) = engine.damage() {
        return Err(Failure::DamageFound(format!("nothing was compared: {damage}")));
    }
    match &report.comparison {
        RowComparison::Different { nodes, first, part } => Err(Failure::DamageFound(format!(
            "{}; `refresh --full` stores what the rebuild gives",
            difference(*nodes, first, part)
        ))),
        RowComparison::NotCompared { reason } => {
            Err(Failure::Refused(format!("nothing was compared: {reason}; refresh first")))
        }
        _ => Ok(()),
    }
}

/// The report of a rebuild. Rows that were damaged were computed again at opening, so they prove nothing.
fn compared(engine: &Engine, mut report: RebuildReport) -> RebuildReport {
    if let Some(damage) = engine.damage() {
        report.comparison = RowComparison::NotCompared { reason: damage.to_string() };
    }
    report
}

fn difference(nodes: u64, first: &NodeName, part: &RowPart) -> String {
    let (nodes, have) = (count(nodes, "node", "nodes"), if nodes == 1 { "differs" } else { "differ" });
    format!("{nodes} {have} from a rebuild, the first is {first} in its {part}")
}

/// The step of the computation that a reason is about, the node, and the reason in words.
fn step(reason: &RefreshReason) -> (String, Option<&NodeName>, String) {
    let layer_name = |layer: &usize| format!("layer {layer}");
    let input = || "input".to_owned();
    match reason {
        RefreshReason::Rebuild => {
            ("all".to_owned(), None, "so much changed that everything was recomputed".to_owned())
        }
        RefreshReason::NeighborRow { node, layer, neighbor } => {
            (layer_name(layer), Some(node), format!("the row of its neighbor {neighbor} changed"))
        }
        RefreshReason::OwnRow { node, layer } => {
            (layer_name(layer), Some(node), "its own row one layer below changed".to_owned())
        }
        RefreshReason::NeighborDegree { node, layer, neighbor } => (
            layer_name(layer),
            Some(node),
            format!("the degree of its neighbor {neighbor} changed, and with it the neighbor's weight"),
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
            let changed = if *neighborhood_changed { "changed" } else { "did not change" };
            let why = format!(
                "{walks} of its walks take other paths, and its neighborhood {changed}; walk {walk} is at {at} \
                 before hop {hop} by {relation}, and led to {}, now to {}; changed edges of {at}: {}{more}",
                or_nowhere(was),
                or_nowhere(now),
                shown.join(", "),
            );
            ("walks".to_owned(), Some(node), why)
        }
        RefreshReason::Features { node } => (input(), Some(node), "its features changed".to_owned()),
        RefreshReason::Degree { node } => (input(), Some(node), "the level of its degree changed".to_owned()),
        RefreshReason::AddedOrRemoved { node } => {
            ("node".to_owned(), Some(node), "it was added or removed".to_owned())
        }
    }
}

pub(crate) fn digest(ctx: &mut Context, args: DigestArgs) -> Result<(), Failure> {
    ctx.map_files();
    let (engine, status) = ctx.trained(&args.store, args.model.model.as_deref())?;
    let digest = engine.digest(&ctx.watched())?;
    ctx.note_dirty(status.dirty_nodes, digest.epoch, "the embeddings");
    ctx.out.record(vec![
        ("digest", digest.digest.into()),
        ("epoch", digest.epoch.get().into()),
        ("generation", digest.generation.get().into()),
        ("nodes", digest.nodes.into()),
    ])
}

fn fields_of_rebuild(report: &RebuildReport) -> Fields {
    let (differed, nodes, first) = match &report.comparison {
        RowComparison::Equal { .. } => (json!(false), json!(0), Value::Null),
        RowComparison::Different { nodes, first, .. } => {
            (json!(true), json!(nodes), json!(first.to_string()))
        }
        _ => (Value::Null, Value::Null, Value::Null),
    };
    let mut fields = fields(&report.refresh);
    fields.extend([("differed", differed), ("different_nodes", nodes), ("first_different", first)]);
    fields
}

fn fields(report: &RefreshReport) -> Fields {
    let ms = json!({
        "reach": rounded(report.ms.reach, 3),
        "walks": rounded(report.ms.walks, 3),
        "layers": rounded(report.ms.layers, 3),
    });
    vec![
        ("epoch", report.epoch.get().into()),
        ("dirty_nodes", report.dirty_nodes.into()),
        ("sources", report.sources.into()),
        ("neighborhoods", report.neighborhoods.into()),
        ("rows", report.rows.clone().into()),
        ("full", report.full.into()),
        ("ms", ms),
        ("seconds", rounded(report.seconds, 4)),
    ]
}
