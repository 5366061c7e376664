//! `demo`: the whole path in a temporary folder: generate, train, ask, change, refresh. It ends with the proof that the refreshed
//! bytes are the bytes of a rebuild.

mod quality;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use hedgerow::{
    Batch, CancelToken, Edge, Engine, NodeName, NodeRef, Query, RefreshReport, Store, TrainEvent,
    TrainOptions,
};
use serde_json::Value;

use crate::core::failure::Failure;
use crate::output::printer::Output;
use crate::output::value::rounded;
use crate::session::context::Context;
use crate::synthetic::{Degrees, Plan, Random, SyntheticGraph};

const PLAN: Plan =
    Plan { items: 4000, boards: 2000, edges: 24_000, topics: 40, degrees: Degrees::Steep, seed: 1 };
const EPOCHS: u32 = 4;
const DIM: usize = 32;
/// The pin whose similar pins are shown; any would do.
const ASKED: &str = "7";
/// Edges added, and as many removed, in the larger of the two updates.
const CHANGES: u64 = 5;
/// A board of middle size that does not hold the pin yet.
const NEW_BOARD: &str = "1000";

/// The arguments of `demo`, which has none.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {}

pub(crate) fn demo(ctx: &mut Context, _args: DemoArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let folder = tempfile::Builder::new().prefix("hedgerow-demo-").tempdir();
    let folder =
        folder.map_err(|source| Failure::file(&std::env::temp_dir(), "create a folder in", source))?;
    let steps = Steps { out: ctx.out, cancel: ctx.cancel().clone() };
    let (engine, graph) = steps.generate(folder.path())?;
    steps.train(&engine)?;
    steps.similar(&engine, &graph)?;
    let (learned, counted) = steps.measure_quality(&engine, &graph)?;
    // Updates by refreshes and a rebuild of the same graph must give the same digest.
    let digest = steps.update(&engine)?;
    let rebuilt = steps.rebuild(&engine)?;
    let equal = digest == rebuilt;
    // JSON holds the result alone.
    if ctx.out.mode.is_json() {
        ctx.out.record(vec![
            ("digest", digest.clone().into()),
            ("rebuilt", rebuilt.clone().into()),
            ("equal", equal.into()),
            ("same_topic", rounded(learned, 4)),
            ("same_topic_cooccurrence", rounded(counted, 4)),
            ("seconds", rounded(started.elapsed().as_secs_f64(), 3)),
        ])?;
    }
    if !equal {
        return Err(Failure::Refused(format!(
            "the refreshed digest {digest} is not the rebuild's {rebuilt}"
        )));
    }
    steps.print(
        "Equal: what was refreshed piece by piece is byte for byte what a rebuild gives.\n\
        \nOn your own data: hedgerow import STORE --edges FILE, then hedgerow train STORE --target KIND.\n",
    )
}

/// The steps of the demo. Each prints what it does, except in JSON, which holds the result alone.
struct Steps {
    out: Output,
    cancel: CancelToken,
}

impl Steps {
    fn print(&self, text: &str) -> Result<(), Failure> {
        if self.out.mode.is_json() { Ok(()) } else { self.out.text(text) }
    }

    fn generate(&self, folder: &Path) -> Result<(Arc<Engine>, SyntheticGraph), Failure> {
        let started = Instant::now();
        let store = Arc::new(Store::options().create(true).open(folder.join("store"))?);
        let mut graph = SyntheticGraph::new(PLAN);
        graph.write(&store, &self.cancel)?;
        self.print(&format!(
            "A store of {} pins on {} boards, {} edges, committed in {:.1} s.\n\
            Every pin has one of {} topics, which only this demo knows; a fifth of the edges ignores them.\n",
            PLAN.items,
            PLAN.boards,
            PLAN.edges,
            started.elapsed().as_secs_f64(),
            PLAN.topics,
        ))?;
        Ok((Arc::new(Engine::open(store)?), graph))
    }

    fn train(&self, engine: &Engine) -> Result<(), Failure> {
        self.print(&format!("\nTraining PinSage on the edges, {EPOCHS} epochs:\n"))?;
        let options = TrainOptions {
            targets: vec!["pin".to_owned()],
            dim: DIM,
            epochs: EPOCHS,
            ..TrainOptions::default()
        };
        let mut printed = Ok(());
        let observe = &mut |event: &TrainEvent| {
            if let TrainEvent::Epoch(epoch) = event {
                let recall = epoch.recall.map_or("-".to_owned(), |recall| format!("{recall:.3}"));
                let line = format!(
                    "  epoch {}  loss {:.3}  recall {recall}  {:.1} s\n",
                    epoch.epoch, epoch.loss, epoch.seconds
                );
                printed = self.print(&line);
            }
        };
        let report = engine.training(&options).observer(observe).run(&self.cancel)?;
        printed?;
        if report.cancelled {
            return Err(Failure::Interrupted("interrupted".to_owned()));
        }
        self.print(&format!("  {} pins embedded, {:.1} s in all\n", report.embedded, report.seconds))
    }

    fn similar(&self, engine: &Engine, graph: &SyntheticGraph) -> Result<(), Failure> {
        let asked = NodeRef::new("pin", ASKED)?;
        let mut lines =
            vec![format!("\nsimilar {asked} --cosine (topic {}):", topic(graph, &asked.to_name()))];
        let query = Query { k: 5, cosine: true, ..Query::default() };
        for item in engine.similar(asked, &query, &CancelToken::new())?.items {
            let (name, score) = (item.node.to_string(), item.score);
            lines.push(format!("  {name:<9} {score:.3}  topic {}", topic(graph, &item.node)));
        }
        self.print(&(lines.join("\n") + "\n"))
    }

    /// The share of right topics for the embeddings, and for co-occurrence.
    fn measure_quality(&self, engine: &Engine, graph: &SyntheticGraph) -> Result<(f64, f64), Failure> {
        let (learned, counted) = quality::measure(engine, graph, &self.cancel)?;
        self.print(&format!(
            "\nOf the ten pins most similar to a pin by cosine, so many have its topic (mean over {} pins):\n  \
            embeddings            {:.1} %\n  co-occurrence cosine  {:.1} %\n",
            quality::SAMPLE,
            learned * 100.0,
            counted * 100.0,
        ))?;
        Ok((learned, counted))
    }

    /// Adds one edge, then adds and removes a batch of edges, with a refresh after each; returns the digest after both.
    fn update(&self, engine: &Engine) -> Result<String, Failure> {
        let store = engine.store();
        let mut batch = Batch::new();
        let asked = NodeRef::new("pin", ASKED)?;
        batch.link(NodeRef::new("board", NEW_BOARD)?, asked, Edge::default())?;
        store.commit(&batch)?;
        self.print("\nOne edge, then a batch of edges, each followed by a refresh:\n")?;
        self.print_refresh("one edge added", &engine.refresh(false, &self.cancel)?)?;

        batch.clear();
        let mut random = Random::new(2);
        let snapshot = store.snapshot();
        for _ in 0..CHANGES {
            let board = NodeName::new("board", random.below(u64::from(PLAN.boards)).to_string())?;
            let pin = NodeName::new("pin", random.below(u64::from(PLAN.items)).to_string())?;
            batch.link(board.as_ref(), pin.as_ref(), Edge::default())?;
            let pin = random.below(u64::from(PLAN.items)).to_string();
            let pin = NodeRef::new("pin", &pin)?;
            if let Some(board) = quality::boards_of(&snapshot, pin).first() {
                batch.unlink(snapshot.name(*board).as_ref(), pin, None)?;
            }
        }
        store.commit(&batch)?;
        self.print_refresh(
            &format!("{} edges added and removed", batch.len()),
            &engine.refresh(false, &self.cancel)?,
        )?;
        let digest = engine.digest(&self.cancel)?.digest;
        self.print(&format!("  digest {digest}\n"))?;
        Ok(digest)
    }

    /// Computes every embedding anew, and returns the digest.
    fn rebuild(&self, engine: &Engine) -> Result<String, Failure> {
        self.print("\nThe same from nothing:\n")?;
        self.print_refresh("every pin recomputed", &engine.refresh(true, &self.cancel)?)?;
        let digest = engine.digest(&self.cancel)?.digest;
        self.print(&format!("  digest {digest}\n"))?;
        Ok(digest)
    }

    fn print_refresh(&self, what: &str, report: &RefreshReport) -> Result<(), Failure> {
        let changed = report.rows.last().copied().unwrap_or(0);
        self.print(&format!(
            "  {what}: {} of {} pins walked again, {} neighborhoods and {changed} embeddings changed, {:.1} ms\n",
            report.sources,
            PLAN.items,
            report.neighborhoods,
            report.seconds * 1000.0,
        ))
    }
}

fn topic(graph: &SyntheticGraph, pin: &NodeName) -> Value {
    let number = pin.key.parse::<usize>().ok();
    number.and_then(|number| graph.topics().get(number)).map_or(Value::Null, |topic| (*topic).into())
}
