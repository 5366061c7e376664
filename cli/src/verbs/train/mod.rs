//! `train`: learns a model, embeds every node of the target kinds, and says per epoch how it goes; goes on where it was
//! interrupted, or says what it would take.

mod given;
mod options;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::Args;
use hedgerow::{CancelToken, Engine, EpochReport, Estimate, TrainEvent, TrainOptions, TrainReport};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::core::failure::Failure;
use crate::input::pairs::read_pairs;
use crate::output::printer::{Output, object};
use crate::output::progress::new_bar;
use crate::output::stream::Stream;
use crate::output::target::create;
use crate::output::value::{float, rounded};
use crate::session::context::Context;
use crate::verbs::train::given::Given;
use crate::verbs::train::options::OptionArgs;

const COLUMNS: &[&str] = &["epoch", "loss", "recall", "pairs_per_second", "mean_cosine", "seconds"];

/// What `train` is told.
#[derive(Args, Debug)]
pub(crate) struct TrainArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    // Before the flags: reading them takes them away.
    #[command(flatten)]
    given: Given,
    /// Kinds to embed
    #[arg(long, value_name = "KIND,..", value_delimiter = ',', required_unless_present = "resume")]
    target: Vec<String>,
    /// File of positives, `query<TAB>item` keys of the target kind a line [default: from the edges]
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// New file that gets every epoch as a JSON object; with --resume those that follow are added to it
    #[arg(long, value_name = "FILE.jsonl")]
    metrics: Option<PathBuf>,
    /// Replace the file of --metrics where it is there already
    #[arg(long, requires = "metrics", conflicts_with = "resume")]
    force: bool,
    /// Go on with the training that was interrupted last, from its last whole epoch, with the options it began with; the
    /// result has the bytes it would have had. Takes --threads and --metrics, and --pairs again where it had them
    #[arg(long)]
    resume: bool,
    /// Only say what the training would take in memory and time: makes the walks, trains a few minibatches to measure
    /// them, and writes nothing
    #[arg(long, conflicts_with_all = ["resume", "metrics"])]
    estimate: bool,
    #[command(flatten)]
    options: OptionArgs,
}

pub(crate) fn train(ctx: &mut Context, args: TrainArgs) -> Result<(), Failure> {
    let engine = ctx.engine(&args.store)?;
    let mut options = args.options.into_options(args.target);
    if args.resume {
        options = interrupted(&engine, &args.given, &options)?;
    }
    let pairs = match (&args.pairs, &options.targets[..]) {
        (None, _) => None,
        (Some(path), [kind]) => Some(read_pairs(path, kind)?),
        (Some(_), _) => return Err(Failure::Usage("--pairs needs a single --target kind".to_owned())),
    };
    if args.estimate {
        let estimate = engine.estimate(&options, pairs.as_deref(), &ctx.watched())?;
        return ctx.out.record(fields(&estimate));
    }
    let open = |path: &PathBuf| {
        if !args.resume {
            return create(path, args.force);
        }
        let file = File::options().create(true).append(true).open(path);
        file.map_err(|source| Failure::file(path, "create", source))
    };
    let metrics = args.metrics.map(|path| Ok::<_, Failure>((open(&path)?, path))).transpose()?;
    let mut watch = Watch::new(ctx.out, metrics);
    let cancel = ctx.cancel();
    let watched = watch.watched(cancel);
    let observe = &mut |event: &TrainEvent| {
        if let Err(failure) = watch.see(event) {
            watch.failed.get_or_insert(failure);
            cancel.cancel();
        }
    };
    let training = if args.resume { engine.resuming(options.threads) } else { engine.training(&options) };
    let training = match &pairs {
        Some(pairs) => training.pairs(pairs),
        None => training,
    };
    let trained = training.observer(observe).run(&watched);
    watch.bar.finish_and_clear();
    let report = match trained {
        Ok(report) => report,
        Err(error) => {
            watch.stream.finish()?;
            return Err(watch.failed.unwrap_or_else(|| error.into()));
        }
    };
    watch.end(&report, options.epochs)
}

/// The options of the training that is to go on; what was given beside `--resume` must say the same.
fn interrupted(engine: &Engine, given: &Given, asked: &TrainOptions) -> Result<TrainOptions, Failure> {
    // Where there is none, whoever is asked to go on with it says so.
    let Some(unfinished) = engine.unfinished_training()? else { return Ok(asked.clone()) };
    let threads = asked.threads;
    let (asked, began) = (asked.entries(), unfinished.options.entries());
    let values = |entries: &[(String, String)], name: &str| {
        let values = entries.iter().filter(|line| line.0 == name);
        let mut values: Vec<String> = values.map(|(_, value)| value.clone()).collect();
        values.sort();
        values.join(",")
    };
    for name in began.iter().map(|(name, _)| name.as_str()) {
        if !given.has(name) {
            continue;
        }
        let (asked, began) = (values(&asked, name), values(&began, name));
        if asked != began {
            let name = name.replace('_', "-");
            return Err(Failure::Usage(format!(
                "--resume goes on with {name} {began}, found {asked}: leave it out, or train anew without --resume"
            )));
        }
    }
    Ok(TrainOptions { threads, ..unfinished.options })
}

fn fields(estimate: &Estimate) -> Vec<(&'static str, Value)> {
    let Estimate { nodes, positives, examples, epochs, bytes, seconds } = estimate;
    vec![
        ("nodes", (*nodes).into()),
        ("positives", (*positives).into()),
        ("examples", (*examples).into()),
        ("epochs", (*epochs).into()),
        (
            "bytes",
            json!({
                "table": bytes.table,
                "moments": bytes.moments,
                "kept": bytes.kept,
                "inputs": bytes.inputs,
                "neighborhoods": bytes.neighborhoods,
                "minibatches": bytes.minibatches,
                "layers": bytes.layers,
                "memory": bytes.memory(),
                "checkpoint": bytes.checkpoint,
            }),
        ),
        (
            "seconds",
            json!({
                "walks": rounded(seconds.walks, 3),
                "epoch": rounded(seconds.epoch, 3),
                "all": rounded(seconds.all, 1),
            }),
        ),
    ]
}

/// Prints and records what training reports.
struct Watch {
    out: Output,
    stream: Stream,
    metrics: Option<(File, PathBuf)>,
    bar: ProgressBar,
    /// Whole epochs so far.
    epochs: Arc<AtomicU32>,
    failed: Option<Failure>,
}

impl Watch {
    fn new(out: Output, metrics: Option<(File, PathBuf)>) -> Self {
        let bar = new_bar(0, "{msg}  {bar:30} {percent:>3} %  {eta} left", out);
        Self { out, stream: out.stream(COLUMNS), metrics, bar, epochs: Arc::default(), failed: None }
    }

    /// The token with the bar, which says what the training is at.
    fn watched(&self, cancel: &CancelToken) -> CancelToken {
        let (bar, epochs) = (self.bar.clone(), Arc::clone(&self.epochs));
        cancel.observed(move |at| {
            bar.set_message(match at.stage {
                "epoch" => format!("epoch {}", epochs.load(Ordering::Relaxed) + 1),
                other => other.to_owned(),
            });
            bar.set_length(at.of);
            bar.set_position(at.done);
        })
    }

    fn see(&mut self, event: &TrainEvent) -> Result<(), Failure> {
        match event {
            TrainEvent::Epoch(report) => {
                self.epochs.store(report.epoch, Ordering::Relaxed);
                // The row and the bar share the terminal.
                let bar = self.bar.clone();
                bar.suspend(|| self.epoch(report))?;
                bar.reset();
            }
            TrainEvent::Started { nodes, positives, examples } => {
                self.out.note(&format!("{nodes} nodes, {positives} positives, {examples} examples an epoch"));
            }
            TrainEvent::Resumed { epochs } => {
                self.epochs.store(*epochs, Ordering::Relaxed);
                self.out.note(&format!("goes on after epoch {epochs}"));
            }
            TrainEvent::Alarm { epoch, alarm } => {
                self.bar.suspend(|| self.out.note(&format!("warning: epoch {epoch}: {alarm}")));
            }
            // Later versions of the library may tell more.
            _ => {}
        }
        Ok(())
    }

    fn epoch(&mut self, report: &EpochReport) -> Result<(), Failure> {
        let row: Vec<Value> = vec![
            report.epoch.into(),
            float(report.loss),
            report.recall.map_or(Value::Null, float),
            rounded(report.pairs_per_second, 0),
            float(report.mean_cosine),
            rounded(report.seconds, 3),
        ];
        self.record(COLUMNS.iter().copied().zip(row.clone()).collect())?;
        self.stream.row(row)
    }

    fn record(&mut self, fields: Vec<(&str, Value)>) -> Result<(), Failure> {
        let Some((file, path)) = &mut self.metrics else { return Ok(()) };
        writeln!(file, "{}", object(fields)).map_err(|source| Failure::file(path, "write", source))
    }

    fn end(mut self, report: &TrainReport, asked: u32) -> Result<(), Failure> {
        let last: Vec<(&str, Value)> = vec![
            ("generation", report.generation.get().into()),
            ("embedded", report.embedded.into()),
            ("seconds", rounded(report.seconds, 3)),
        ];
        self.record(last.clone())?;
        self.out.note(&format!(
            "generation {}: {} nodes embedded, {:.1} s",
            report.generation, report.embedded, report.seconds
        ));
        if !report.cancelled && report.epochs.len() < asked as usize {
            self.out.note("stopped early: recall fell over the last epochs (see --patience)");
        }
        let written = self.stream.summary(last);
        self.stream.finish()?;
        written?;
        if let Some(failure) = self.failed {
            return Err(failure);
        }
        if report.cancelled {
            let epoch = report.epochs.len() + 1;
            return Err(Failure::Interrupted(format!(
                "interrupted in epoch {epoch}; the best whole epoch is kept, and `train --resume` goes on from epoch {epoch}"
            )));
        }
        Ok(())
    }
}
