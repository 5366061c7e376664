//! `train`: learns a model, embeds every node of the target kinds, and says per epoch how it goes.

mod options;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use hedgerow::{EpochReport, TrainEvent, TrainReport};
use indicatif::ProgressBar;
use serde_json::Value;

use crate::cell::{float, rounded};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, object};
use crate::progress::new_bar;
use crate::reading::pairs::read_pairs;
use crate::stream::Stream;
use options::OptionArgs;

const COLUMNS: &[&str] = &["epoch", "loss", "recall", "pairs_per_second", "mean_cosine", "seconds"];

/// A mean cosine of random pairs above which embeddings have become one point.
const COLLAPSED: f32 = 0.9;

/// What `train` is told.
#[derive(Args, Debug)]
pub(crate) struct TrainArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    /// Kinds to embed
    #[arg(long, value_name = "KIND,..", value_delimiter = ',', required = true)]
    target: Vec<String>,
    /// File of positives, `query<TAB>item` keys of the target kind a line [default: from the edges]
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// File that gets every epoch as a JSON object
    #[arg(long, value_name = "FILE.jsonl")]
    metrics: Option<PathBuf>,
    #[command(flatten)]
    options: OptionArgs,
}

pub(crate) fn train(ctx: &mut Context, args: TrainArgs) -> Result<(), Failure> {
    let engine = ctx.engine(&args.store)?;
    let pairs = match (&args.pairs, &args.target[..]) {
        (None, _) => None,
        (Some(path), [kind]) => Some(read_pairs(path, kind)?),
        (Some(_), _) => return Err(Failure::Usage("--pairs needs a single --target kind".to_owned())),
    };
    let metrics = args.metrics.map(|path| match File::create(&path) {
        Ok(file) => Ok((path, file)),
        Err(source) => Err(Failure::file(&path, "create", source)),
    });
    let metrics = metrics.transpose()?;
    let options = args.options.into_options(args.target);
    let mut watch = Watch::new(ctx.out, metrics);
    let cancel = ctx.cancel();
    let observe = &mut |event: &TrainEvent| {
        if let Err(failure) = watch.see(event) {
            watch.failed.get_or_insert(failure);
            cancel.cancel();
        }
    };
    let trained = engine.train(&options, pairs.as_deref(), observe, cancel);
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

/// Prints and records what training reports.
struct Watch {
    out: Output,
    stream: Stream,
    metrics: Option<(PathBuf, File)>,
    bar: ProgressBar,
    failed: Option<Failure>,
}

impl Watch {
    fn new(out: Output, metrics: Option<(PathBuf, File)>) -> Self {
        let bar = new_bar(0, "{msg}  {bar:30} {percent:>3} %  {eta} left", out);
        Self { out, stream: out.stream(COLUMNS), metrics, bar, failed: None }
    }

    fn see(&mut self, event: &TrainEvent) -> Result<(), Failure> {
        match event {
            TrainEvent::Epoch(report) => {
                // The row and the bar share the terminal.
                let bar = self.bar.clone();
                bar.suspend(|| self.epoch(report))?;
                bar.reset();
            }
            TrainEvent::Started { nodes, positives, examples } => {
                self.out.note(&format!("{nodes} nodes, {positives} positives, {examples} examples an epoch"));
            }
            TrainEvent::Progress { epoch, done, total } => {
                self.bar.set_message(format!("epoch {epoch}"));
                self.bar.set_length(*total);
                self.bar.set_position(*done);
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
        self.stream.row(row)?;
        if report.mean_cosine > COLLAPSED {
            self.out.note(&format!(
                "collapse: random pairs have a mean cosine of {:.2}; try a smaller --learning-rate",
                report.mean_cosine
            ));
        }
        Ok(())
    }

    fn record(&mut self, fields: Vec<(&str, Value)>) -> Result<(), Failure> {
        let Some((path, file)) = &mut self.metrics else { return Ok(()) };
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
                "interrupted in epoch {epoch}; the best whole epoch is kept"
            )));
        }
        Ok(())
    }
}
