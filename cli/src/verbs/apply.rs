//! `apply`: an update stream, batch by batch: durable, then refreshed, then reported, then the next is read.

mod change;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use clap::{Args, ValueEnum};
use hedgerow::{Batch, CancelToken, Engine, Store};
use serde_json::Value;

use crate::cell::rounded;
use crate::context::Context;
use crate::failure::Failure;
use crate::reading::lines::Lines;
use crate::reading::source::Source;
use crate::stream::Stream;
use change::Changes;

/// Batches between two looks at whether a checkpoint is worthwhile.
const BATCHES: u64 = 32;
const COLUMNS: &[&str] = &["batch", "edges", "epoch", "sources", "rows", "ms"];

/// What `apply` is told.
#[derive(Args, Debug)]
pub(crate) struct ApplyArgs {
    /// The store's folder; created when there is none
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// Lines `+,src,dst[,weight][,time]` and `-,src,dst`, or JSON with "op":"add" or "remove"; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Changes in a batch
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch: u32,
    /// When embeddings follow [default: eager where a model is trained, else none]
    #[arg(long)]
    refresh: Option<Refresh>,
}

/// When the embeddings follow the edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Refresh {
    /// After every batch, before the next is read
    Eager,
    /// Not at all: the changed nodes stay dirty until `refresh`
    None,
}

pub(crate) fn apply(ctx: &mut Context, args: ApplyArgs) -> Result<(), Failure> {
    if ctx.console && args.file.as_os_str() == "-" {
        return Err(Failure::Usage("the console reads standard input itself: name a file".to_owned()));
    }
    let source = Source::open(&args.file)?;
    let store = ctx.store_or_new(&args.store)?;
    let engine = engine(ctx, &args)?;
    let changes = Changes::open(Lines::new(source))?;
    let mut stream = ctx.out.stream(COLUMNS);
    let applied = Run {
        ctx,
        store: &store,
        folding: Folding::new(&store),
        engine: engine.as_deref(),
        stream: &mut stream,
    }
    .all(changes, args.batch);
    // What was refreshed is kept even when a later line is bad, so that it need not be computed again.
    let kept = engine.as_ref().map_or(Ok(()), |engine| engine.persist());
    stream.finish()?;
    // What went wrong first is what the user must hear of.
    applied?;
    kept?;
    store.checkpoint_if_worthwhile(ctx.cancel())?;
    Ok(())
}

/// The engine that refreshes after every batch, if one shall.
fn engine(ctx: &mut Context, args: &ApplyArgs) -> Result<Option<std::sync::Arc<Engine>>, Failure> {
    match args.refresh {
        Some(Refresh::None) => Ok(None),
        Some(Refresh::Eager) => Ok(Some(ctx.trained(&args.store)?.0)),
        None => {
            let engine = ctx.engine(&args.store)?;
            if engine.status().generation.is_some() {
                return Ok(Some(engine));
            }
            ctx.out.note("no model is trained in this store, so nothing is refreshed");
            Ok(None)
        }
    }
}

/// Checkpoints beside the batches: one at a time, when enough has gathered.
struct Folding {
    store: Arc<Store>,
    cancel: CancelToken,
    running: Option<JoinHandle<Result<bool, hedgerow::Error>>>,
}

impl Folding {
    fn new(store: &Arc<Store>) -> Self {
        Self { store: Arc::clone(store), cancel: CancelToken::new(), running: None }
    }

    /// Starts one where none is under way.
    fn look(&mut self) -> Result<(), Failure> {
        if self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return Ok(());
        }
        self.join()?;
        let (store, cancel) = (Arc::clone(&self.store), self.cancel.clone());
        let fold = move || Ok(store.checkpoint_if_worthwhile(&cancel)?);
        self.running = Some(std::thread::spawn(fold));
        Ok(())
    }

    fn join(&mut self) -> Result<(), Failure> {
        let Some(running) = self.running.take() else { return Ok(()) };
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(())
    }
}

impl Drop for Folding {
    fn drop(&mut self) {
        self.cancel.cancel();
        // Why it stopped is no news to somebody who has stopped already.
        drop(self.join());
    }
}

struct Run<'a> {
    ctx: &'a Context,
    store: &'a Store,
    folding: Folding,
    engine: Option<&'a Engine>,
    stream: &'a mut Stream,
}

impl Run<'_> {
    fn all(&mut self, mut changes: Changes, size: u32) -> Result<(), Failure> {
        let mut batch = Batch::new();
        let mut number = 0u64;
        let mut applied = 0u64;
        loop {
            batch.clear();
            let mut first = None;
            while batch.len() < size as usize {
                match changes.next(&mut batch) {
                    Ok(Some(line)) => first.get_or_insert(line),
                    Ok(None) => break,
                    Err(Failure::Input(bad)) => {
                        let line = first.unwrap_or(bad.place.line);
                        return Err(bad.with_outcome(outcome(applied, line)).into());
                    }
                    Err(other) => return Err(other),
                };
            }
            let Some(first) = first else { return self.folding.join() };
            if self.ctx.cancel().is_cancelled() {
                return Err(Failure::Interrupted(format!("interrupted; {}", outcome(applied, first))));
            }
            number += 1;
            self.one(number, &batch)?;
            if number.is_multiple_of(BATCHES) {
                self.folding.look()?;
            }
            applied += batch.len() as u64;
        }
    }

    fn one(&mut self, number: u64, batch: &Batch) -> Result<(), Failure> {
        let started = Instant::now();
        let commit = self.store.commit(batch)?;
        let refreshed = self.engine.map(|engine| engine.refresh(false, self.ctx.cancel())).transpose()?;
        let (sources, rows) = refreshed.map_or((Value::Null, Value::Null), |report| {
            (report.sources.into(), report.rows.last().copied().unwrap_or(0).into())
        });
        self.stream.row(vec![
            number.into(),
            batch.len().into(),
            commit.epoch.get().into(),
            sources,
            rows,
            rounded(started.elapsed().as_secs_f64() * 1000.0, 3),
        ])
    }
}

fn outcome(applied: u64, line: u64) -> String {
    format!("{applied} changes before it are applied, go on from line {line}")
}
