//! `apply`: an update stream, batch by batch: durable, then refreshed, then reported, then the next.

mod background_checkpoint;
mod change;
mod follow;
mod input;
mod reader_thread;
mod refresher;
mod status;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use hedgerow::{Batch, Engine, Position, Store};
use serde_json::Value;

use crate::core::failure::Failure;
use crate::input::lines::Lines;
use crate::input::source::Source;
use crate::output::stream::Stream;
use crate::output::value::rounded;
use crate::session::context::Context;
use crate::verbs::apply::background_checkpoint::BackgroundCheckpoint;
use crate::verbs::apply::change::Changes;
use crate::verbs::apply::input::Input;
use crate::verbs::apply::refresher::Refresher;
use crate::verbs::apply::status::Status;

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
    /// The least time between two refreshes with --refresh window, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    window: u64,
    /// Goes on with what is appended to FILE until Ctrl-C, or with a pipe until it ends. Every batch is committed with where
    /// it ends in the input, so that the same command, after whatever ended this one, goes on there: each line is applied
    /// exactly once. A line is taken when it has its end. FILE is known by its absolute path; a pipe, by --source alone
    #[arg(long)]
    follow: bool,
    /// The name by which the store knows the input. For a pipe: lines that were applied under it before are passed over
    #[arg(long, value_name = "NAME", requires = "follow")]
    source: Option<String>,
    /// Reads the input from its start, whatever was applied of it before
    #[arg(long, requires = "follow")]
    restart: bool,
    /// How long a change waits for others before it is committed without them, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100, requires = "follow", value_parser = clap::value_parser!(u64).range(..=3_600_000))]
    linger: u64,
    /// Writes a JSON object to stderr every so many seconds and at the end, with --quiet too: seconds since the start, lines
    /// and position in bytes up to which the input is committed, lag in bytes behind it, edges of this run, epoch and dirty nodes
    #[arg(long, value_name = "SECONDS", requires = "follow", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    status: Option<u64>,
}

/// When the embeddings follow the edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Refresh {
    /// After every batch, before the next is committed
    Eager,
    /// At most once in --window, and at the end
    Window,
    /// Never: the changed nodes stay dirty until `refresh`
    None,
}

pub(crate) fn apply(ctx: &mut Context, args: ApplyArgs) -> Result<(), Failure> {
    if ctx.console && args.file.as_os_str() == "-" {
        return Err(Failure::Usage("the console reads standard input itself: name a file".to_owned()));
    }
    // Before the store is opened: a file that is not there must not make a new one.
    let source = (!args.follow).then(|| Source::open(&args.file)).transpose()?;
    if args.follow {
        Input::find(&args.file)?;
    }
    let store = ctx.store_or_new(&args.store)?;
    let engine = engine(ctx, &args)?;
    let size = args.batch as usize;
    let what = match source {
        Some(source) => What::Lines(Changes::open(Lines::new(source))?),
        None => What::Input(Input::open(&args.file, args.source.as_deref(), args.restart, &store)?),
    };
    let window = if args.refresh == Some(Refresh::Window) { args.window } else { 0 };
    let refresher = Refresher::new(engine, Duration::from_millis(window), ctx.cancel().clone());
    let (folding, mut stream) = (BackgroundCheckpoint::new(&store), ctx.out.stream(COLUMNS));
    let status = Status::new(ctx.out, args.status.map(Duration::from_secs));
    let (behind, batches, applied) = (Position::default(), 0, 0);
    let mut run =
        Run { ctx, store: &store, folding, refresher, status, stream: &mut stream, behind, batches, applied };
    let (followed, input) = match what {
        What::Lines(changes) => (run.all(changes, size), None),
        What::Input(mut input) => {
            let linger = Duration::from_millis(args.linger);
            (run.follow(&mut input, size, linger), Some(input))
        }
    };
    let Run { folding, mut refresher, mut status, behind, applied, .. } = run;
    // A checkpoint under way would be waited for.
    drop(folding);
    let kept = refresher.finish();
    if let Some(input) = input {
        status.finish(&store, || follow::standing(behind, applied, &input));
    }
    stream.finish()?;
    // What went wrong first is what the user must hear of.
    followed?;
    kept?;
    store.checkpoint_if_worthwhile(ctx.cancel())?;
    Ok(())
}

/// What is applied: lines that are there, or an input that goes on.
enum What {
    Lines(Changes),
    Input(Input),
}

/// The engine that refreshes, if one shall.
fn engine(ctx: &mut Context, args: &ApplyArgs) -> Result<Option<Arc<Engine>>, Failure> {
    match args.refresh {
        Some(Refresh::None) => Ok(None),
        Some(Refresh::Eager | Refresh::Window) => Ok(Some(ctx.trained(&args.store)?.0)),
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

struct Run<'a> {
    ctx: &'a Context,
    store: &'a Store,
    folding: BackgroundCheckpoint,
    refresher: Refresher,
    status: Status,
    stream: &'a mut Stream,
    /// Where a followed input goes on behind what is committed.
    behind: Position,
    batches: u64,
    /// Changes of all batches so far.
    applied: u64,
}

impl Run<'_> {
    fn all(&mut self, mut changes: Changes, size: usize) -> Result<(), Failure> {
        let mut batch = Batch::new();
        loop {
            batch.clear();
            let mut first = None;
            while batch.len() < size {
                match changes.next(&mut batch) {
                    Ok(Some(line)) => first.get_or_insert(line),
                    Ok(None) => break,
                    Err(Failure::Input(bad)) => {
                        let line = first.unwrap_or(bad.place.line);
                        return Err(bad.with_outcome(outcome(self.applied, line)).into());
                    }
                    Err(other) => return Err(other),
                };
            }
            let Some(first) = first else { return self.folding.join() };
            if self.ctx.cancel().is_cancelled() {
                return Err(Failure::Interrupted(format!("interrupted; {}", outcome(self.applied, first))));
            }
            self.one(&batch, batch.len())?;
        }
    }

    fn follow(&mut self, input: &mut Input, size: usize, linger: Duration) -> Result<(), Failure> {
        // Nothing by itself; where nothing can be committed that is told now, not when the first change comes.
        self.store.commit(&Batch::new())?;
        self.behind = input.start();
        let lines = self.behind.lines;
        if lines > 0 {
            self.ctx.out.note(&format!("goes on from line {} of {}", lines + 1, input.name()));
        }
        self.refresher.catch_up();
        follow::follow(self, input, size, linger)?;
        self.folding.join()
    }

    /// Commits a batch of so many changes, and what follows from it.
    fn one(&mut self, batch: &Batch, changes: usize) -> Result<(), Failure> {
        let started = Instant::now();
        let commit = self.store.commit(batch)?;
        self.batches += 1;
        self.applied += changes as u64;
        let refreshed = self.refresher.committed()?;
        let (sources, rows) = refreshed.map_or((Value::Null, Value::Null), |report| {
            (report.sources.into(), report.rows.last().copied().unwrap_or(0).into())
        });
        self.stream.row(vec![
            self.batches.into(),
            changes.into(),
            commit.epoch.get().into(),
            sources,
            rows,
            rounded(started.elapsed().as_secs_f64() * 1000.0, 3),
        ])?;
        if self.batches.is_multiple_of(BATCHES) {
            self.folding.look()?;
        }
        Ok(())
    }
}

fn outcome(applied: u64, line: u64) -> String {
    format!("{applied} changes before it are applied, go on from line {line}")
}
