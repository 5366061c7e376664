//! `demo`: the whole path in a temporary folder, with the proof at its end: the refreshed bytes are a rebuild's bytes.

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
use crate::synthetic::{Plan, Random, World};

const PLAN: Plan = Plan { items: 4000, boards: 2000, edges: 24_000, topics: 40, seed: 1 };
const EPOCHS: u32 = 4;
const DIM: usize = 32;
/// The pin that the demo asks about: any will do.
const ASKED: &str = "7";
/// Edges added, and as many removed, in the larger of the two updates.
const CHANGES: u64 = 5;
/// A board of middling size that does not hold the pin yet.
const NEW_BOARD: &str = "1000";

/// What `demo` is told.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {}

pub(crate) fn demo(ctx: &mut Context, _args: DemoArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let folder = tempfile::Builder::new().prefix("hedgerow-demo-").tempdir();
    let folder =
        folder.map_err(|source| Failure::file(&std::env::temp_dir(), "create a folder in", source))?;
    let tale = Tale { out: ctx.out, cancel: ctx.cancel().clone() };
    let (engine, world) = tale.build(folder.path())?;
    tale.train(&engine)?;
    tale.ask(&engine, &world)?;
    let (learned, counted) = tale.judge(&engine, &world)?;
    let digest = tale.update(&engine)?;
    let rebuilt = tale.rebuild(&engine)?;
    let equal = digest == rebuilt;
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
    tale.say(
        "Equal: what was refreshed piece by piece is byte for byte what a rebuild gives.\n\
        \nOn your own data: hedgerow import STORE --edges FILE, then hedgerow train STORE --target KIND.\n",
    )
}

/// Tells the demo as it goes; in JSON only the result is printed.
struct Tale {
    out: Output,
    cancel: CancelToken,
}

impl Tale {
    fn say(&self, text: &str) -> Result<(), Failure> {
        if self.out.mode.is_json() { Ok(()) } else { self.out.text(text) }
    }

    fn build(&self, folder: &Path) -> Result<(Arc<Engine>, World), Failure> {
        let started = Instant::now();
        let store = Arc::new(Store::options().create(true).open(folder.join("store"))?);
        let mut world = World::new(PLAN);
        world.write(&store, &self.cancel)?;
        self.say(&format!(
            "A store of {} pins on {} boards, {} edges, committed in {:.1} s.\n\
            Every pin has one of {} topics, which only this demo knows; a fifth of the edges ignores them.\n",
            PLAN.items,
            PLAN.boards,
            PLAN.edges,
            started.elapsed().as_secs_f64(),
            PLAN.topics,
        ))?;
        Ok((Arc::new(Engine::open(store)?), world))
    }

    fn train(&self, engine: &Engine) -> Result<(), Failure> {
        self.say(&format!("\nTraining PinSage on the edges, {EPOCHS} epochs:\n"))?;
        let options = TrainOptions {
            targets: vec!["pin".to_owned()],
            dim: DIM,
            epochs: EPOCHS,
            ..TrainOptions::default()
        };
        let mut told = Ok(());
        let observe = &mut |event: &TrainEvent| {
            if let TrainEvent::Epoch(epoch) = event {
                let recall = epoch.recall.map_or("-".to_owned(), |recall| format!("{recall:.3}"));
                let line = format!(
                    "  epoch {}  loss {:.3}  recall {recall}  {:.1} s\n",
                    epoch.epoch, epoch.loss, epoch.seconds
                );
                told = self.say(&line);
            }
        };
        let report = engine.training(&options).observer(observe).run(&self.cancel)?;
        told?;
        if report.cancelled {
            return Err(Failure::Interrupted("interrupted".to_owned()));
        }
        self.say(&format!("  {} pins embedded, {:.1} s in all\n", report.embedded, report.seconds))
    }

    fn ask(&self, engine: &Engine, world: &World) -> Result<(), Failure> {
        let asked = NodeRef::new("pin", ASKED)?;
        let mut lines =
            vec![format!("\nsimilar {asked} --cosine (topic {}):", topic(world, &asked.to_name()))];
        for item in engine.similar(asked, &Query { k: 5, cosine: true, ..Query::default() })?.items {
            let (name, score) = (item.node.to_string(), item.score);
            lines.push(format!("  {name:<9} {score:.3}  topic {}", topic(world, &item.node)));
        }
        self.say(&(lines.join("\n") + "\n"))
    }

    fn judge(&self, engine: &Engine, world: &World) -> Result<(f64, f64), Failure> {
        let (learned, counted) = quality::measure(engine, world, &self.cancel)?;
        self.say(&format!(
            "\nOf the ten pins most similar to a pin by cosine, so many have its topic (mean over {} pins):\n  \
            embeddings            {:.1} %\n  co-occurrence cosine  {:.1} %\n",
            quality::SAMPLE,
            learned * 100.0,
            counted * 100.0,
        ))?;
        Ok((learned, counted))
    }

    /// One edge, then a batch of added and removed ones, each refreshed; the digest after both.
    fn update(&self, engine: &Engine) -> Result<String, Failure> {
        let store = engine.store();
        let mut batch = Batch::new();
        let asked = NodeRef::new("pin", ASKED)?;
        batch.link(NodeRef::new("board", NEW_BOARD)?, asked, Edge::default())?;
        store.commit(&batch)?;
        self.say("\nOne edge, then a batch of edges, each followed by a refresh:\n")?;
        self.tell("one edge added", &engine.refresh(false, &self.cancel)?)?;

        batch.clear();
        let mut random = Random(2);
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
        self.tell(
            &format!("{} edges added and removed", batch.len()),
            &engine.refresh(false, &self.cancel)?,
        )?;
        let digest = engine.digest(&self.cancel)?.digest;
        self.say(&format!("  digest {digest}\n"))?;
        Ok(digest)
    }

    fn rebuild(&self, engine: &Engine) -> Result<String, Failure> {
        self.say("\nThe same from nothing:\n")?;
        self.tell("every pin recomputed", &engine.refresh(true, &self.cancel)?)?;
        let digest = engine.digest(&self.cancel)?.digest;
        self.say(&format!("  digest {digest}\n"))?;
        Ok(digest)
    }

    fn tell(&self, what: &str, report: &RefreshReport) -> Result<(), Failure> {
        let changed = report.rows.last().copied().unwrap_or(0);
        self.say(&format!(
            "  {what}: {} of {} pins walked again, {} neighborhoods and {changed} embeddings changed, {:.1} ms\n",
            report.sources,
            PLAN.items,
            report.neighborhoods,
            report.seconds * 1000.0,
        ))
    }
}

fn topic(world: &World, pin: &NodeName) -> Value {
    let number = pin.key.parse::<usize>().ok();
    number.and_then(|number| world.topics.get(number)).map_or(Value::Null, |topic| (*topic).into())
}
