//! `apply`: applies an update stream in batches. Each batch is committed, then refreshed, then reported.

mod background_checkpoint;
pub(crate) mod change;
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

use crate::core::failure::Failure;
use crate::input::lines::Lines;
use crate::input::source::Source;
use crate::output::stream::Stream;
use crate::output::value::{count, rounded};
use crate::session::context::Context;
use crate::transfer::edges::edge_flags::{EdgeFlags, TableFlags};
use crate::transfer::edges::row_state::RowState;
use crate::verbs::apply::background_checkpoint::BackgroundCheckpoint;
use crate::verbs::apply::change::{ChangeRules, Changes};
use crate::verbs::apply::input::FollowedInput;
use crate::verbs::apply::refresher::Refresher;
use crate::verbs::apply::status::Status;

/// Batches between two checks whether a checkpoint is worthwhile.
const BATCHES: u64 = 32;
const COLUMNS: &[&str] = &["batch", "edges", "epoch", "sources", "rows", "ms"];

/// The arguments of `apply`.
#[derive(Args, Debug)]
pub(crate) struct ApplyArgs {
    /// The store's folder; it is created if there is none
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// Lines `+,src,dst[,weight][,time]` and `-,src,dst`, or JSON with "op":"add" or "remove"; with flags that name columns, a csv with
    /// a header, or JSON in which "op" may be left out; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    rows: EdgeFlags,
    #[command(flatten)]
    table: TableFlags,
    /// The form of the rows, where flags name their parts [default: that of the first line]
    #[arg(long)]
    format: Option<ChangeFormat>,
    /// The most changes in a batch
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch: u32,
    /// When embeddings are refreshed [default: eager if a model is trained, else none]
    #[arg(long)]
    refresh: Option<Refresh>,
    /// With --refresh window, the least time between two refreshes, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    window: u64,
    /// Wait for lines that are appended to FILE until Ctrl-C, or read a pipe to its end. Every batch is committed with its end
    /// position in the input, so the same command continues there after any end: each line is applied exactly once. A line
    /// counts when its line end is there. A file is known by its absolute path, a pipe by --source alone
    #[arg(long)]
    follow: bool,
    /// The name of the input in the store [default: the absolute path of a file]. A pipe skips the lines that were applied under this name
    #[arg(long, value_name = "NAME", requires = "follow")]
    source: Option<String>,
    /// Read the input from its start, whatever was applied before
    #[arg(long, requires = "follow")]
    restart: bool,
    /// The longest time that a change waits for others before it is committed, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100, requires = "follow", value_parser = clap::value_parser!(u64).range(..=3_600_000))]
    linger: u64,
    /// Write a JSON object to stderr at this interval in seconds and at the end, also with --quiet [default: none]. Its fields:
    /// seconds since the start, committed lines and position in bytes, lag in bytes, edges of this run, epoch, dirty nodes
    #[arg(long, value_name = "SECONDS", requires = "follow", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    status: Option<u64>,
}

/// The form of rows whose parts flags name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ChangeFormat {
    /// A header, and one edge a line
    #[value(alias = "tsv")]
    Csv,
    /// An object a line; without "op" it adds an edge
    Jsonl,
}

/// The time of a refresh.
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
    ctx.require_file(&args.file)?;
    // The input first: a missing file must not create a store.
    let source = (!args.follow).then(|| Source::open(&args.file)).transpose()?;
    if args.follow {
        FollowedInput::require(&args.file)?;
    }
    let store = ctx.store_or_new(&args.store)?;
    let engines = engines(ctx, &args)?;
    let size = args.batch as usize;
    let rules = ChangeRules {
        state: RowState::new(&args.rows, &store.snapshot()),
        rows: args.rows.clone(),
        table: args.table.clone(),
        is_json: args.format.map(|format| format == ChangeFormat::Jsonl),
        out: ctx.out,
    };
    let input = match source {
        Some(source) => Input::Whole(Box::new(Changes::open(Lines::new(source), rules.clone())?)),
        None => {
            Input::Followed(FollowedInput::open(&args.file, args.source.as_deref(), args.restart, &store)?)
        }
    };
    // The run: all changes of a file, or those that come.
    let window = if args.refresh == Some(Refresh::Window) { args.window } else { 0 };
    let refresher = Refresher::new(engines, Duration::from_millis(window), ctx.cancel().clone());
    let (checkpoint, mut stream) = (BackgroundCheckpoint::new(&store), ctx.out.stream(COLUMNS));
    let status = Status::new(ctx.out, args.status.map(Duration::from_secs));
    let (committed, batches, applied) = (Position::default(), 0, 0);
    let mut run = Run {
        ctx,
        store: &store,
        checkpoint,
        refresher,
        status,
        stream: &mut stream,
        committed,
        batches,
        applied,
    };
    let (applied_all, followed) = match input {
        Input::Whole(changes) => (run.all(*changes, size), None),
        Input::Followed(mut input) => {
            let linger = Duration::from_millis(args.linger);
            (run.follow(&mut input, rules, size, linger), Some(input))
        }
    };
    let Run { checkpoint, mut refresher, mut status, committed, applied, .. } = run;
    // The end: cancel a running checkpoint, refresh and store the embeddings, write the last status.
    drop(checkpoint);
    let stored = refresher.finish();
    if let Some(input) = followed {
        status.finish(&store, || follow::progress(committed, applied, &input));
    }
    stream.finish()?;
    // The first failure is reported.
    applied_all?;
    stored?;
    store.checkpoint_if_worthwhile(ctx.cancel())?;
    Ok(())
}

/// The input: all changes of a file or pipe, or one that is followed.
enum Input {
    Whole(Box<Changes>),
    Followed(FollowedInput),
}

/// The engines that refresh; none if nothing is refreshed.
fn engines(ctx: &mut Context, args: &ApplyArgs) -> Result<Vec<Arc<Engine>>, Failure> {
    match args.refresh {
        Some(Refresh::None) => Ok(Vec::new()),
        Some(Refresh::Eager | Refresh::Window) => {
            ctx.trained(&args.store, None)?;
            ctx.engines(&args.store)
        }
        None => {
            let engines = ctx.engines(&args.store)?;
            if engines.is_empty() {
                ctx.out.note("no model is trained in this store, so nothing is refreshed");
            }
            Ok(engines)
        }
    }
}

/// A run of `apply`.
struct Run<'a> {
    ctx: &'a Context,
    store: &'a Store,
    checkpoint: BackgroundCheckpoint,
    refresher: Refresher,
    status: Status,
    stream: &'a mut Stream,
    /// The position of a followed input after the last committed line.
    committed: Position,
    batches: u64,
    /// The changes of all batches.
    applied: u64,
}

impl Run<'_> {
    /// Applies all changes of an input.
    fn all(&mut self, mut changes: Changes, size: usize) -> Result<(), Failure> {
        let mut batch = Batch::new();
        loop {
            batch.clear();
            let (mut first, mut count) = (None, 0);
            while count < size && !batch.is_half_full() {
                match changes.next(&mut batch) {
                    Ok(Some(line)) => {
                        first.get_or_insert(line);
                        count += 1;
                    }
                    Ok(None) => break,
                    Err(Failure::Input(bad)) => {
                        let line = first.unwrap_or(bad.place.line);
                        return Err(bad.with_outcome(outcome(self.applied, line)).into());
                    }
                    Err(other) => return Err(other),
                }
            }
            let Some(first) = first else { return self.checkpoint.join() };
            if self.ctx.cancel().is_cancelled() {
                return Err(Failure::Interrupted(format!("interrupted; {}", outcome(self.applied, first))));
            }
            self.commit(&batch, count)?;
        }
    }

    /// Applies the changes that come.
    fn follow(
        &mut self,
        input: &mut FollowedInput,
        rules: ChangeRules,
        size: usize,
        linger: Duration,
    ) -> Result<(), Failure> {
        // An empty commit fails now if the store cannot be written to, and not at the first change.
        self.store.commit(&Batch::new())?;
        self.committed = input.start();
        let lines = self.committed.lines;
        if lines > 0 {
            self.ctx.out.note(&format!("continues from line {} of {}", lines + 1, input.name()));
        }
        self.refresher.catch_up();
        follow::follow(self, input, rules, size, linger)?;
        self.checkpoint.join()
    }

    /// Commits a batch of changes, refreshes if it is time, and prints a row.
    fn commit(&mut self, batch: &Batch, changes: usize) -> Result<(), Failure> {
        let started = Instant::now();
        let commit = self.store.commit(batch)?;
        self.batches += 1;
        self.applied += changes as u64;
        let refreshed = self.refresher.committed()?;
        let rows = refreshed.as_ref().map(|report| report.rows.last().copied().unwrap_or(0));
        self.stream.row(vec![
            self.batches.into(),
            changes.into(),
            commit.epoch.get().into(),
            refreshed.map(|report| report.sources).into(),
            rows.into(),
            rounded(started.elapsed().as_secs_f64() * 1000.0, 3),
        ])?;
        if self.batches.is_multiple_of(BATCHES) {
            self.checkpoint.start_if_worthwhile()?;
        }
        Ok(())
    }
}

/// The last part of a message: the changes that are applied, and the line to continue from.
fn outcome(applied: u64, line: u64) -> String {
    let changes = count(applied, "change before it is", "changes before it are");
    format!("{changes} applied, go on from line {line}")
}
