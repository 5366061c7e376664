//! `train`: trains a model, embeds every node of the target kinds, and reports each epoch. It also resumes an interrupted
//! training, and estimates memory and time.

mod options;
mod typed_flags;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::Args;
use hedgerow::{
    CancelToken, Engine, EpochReport, Estimate, FittedScore, TrainEvent, TrainOptions, TrainReport,
    WeighedEmbeddings,
};
use indicatif::ProgressBar;
use serde_json::{Map, Value, json};

use crate::core::failure::Failure;
use crate::core::interrupt;
use crate::input::pairs::read_pairs;
use crate::output::printer::Output;
use crate::output::progress::new_bar;
use crate::output::stream::Stream;
use crate::output::target::create;
use crate::output::value::{count, float, object, rounded};
use crate::session::context::Context;
use crate::verbs::train::options::OptionArgs;
use crate::verbs::train::typed_flags::TypedFlags;

const COLUMNS: &[&str] =
    &["epoch", "loss", "recall", "pairs_per_second", "mean_cosine", "seconds", "score_recall"];

/// The arguments of `train`.
#[derive(Args, Debug)]
pub(crate) struct TrainArgs {
    /// The store's folder
    #[arg(value_name = "STORE")]
    store: PathBuf,
    // The first field: clap removes a flag when it reads it.
    #[command(flatten)]
    typed: TypedFlags,
    /// The kinds to embed, such as pin,board
    #[arg(long, value_name = "KIND,..", value_delimiter = ',', required_unless_present = "resume")]
    target: Vec<String>,
    /// The name of the model, 1 to 32 lowercase letters, digits and hyphens [default: the default model of the store, first `main`]
    #[arg(long, value_name = "MODEL")]
    name: Option<String>,
    /// A file of positives: per line two keys of the target kind, `query<TAB>item` [default: positives from the graph]
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// A new file for a JSON object per epoch; with --resume the next epochs are appended to it
    #[arg(long, value_name = "FILE.jsonl")]
    metrics: Option<PathBuf>,
    /// Replace the file of --metrics if it exists
    #[arg(long, requires = "metrics", conflicts_with = "resume")]
    force: bool,
    /// Resume the last interrupted training at its last whole epoch, with its own options. The result has the bytes of an
    /// uninterrupted training. --threads and --metrics may be given; --pairs must be given again if it was
    #[arg(long)]
    resume: bool,
    /// Only estimate the memory and time of the training: make the walks, measure a few minibatches, and write nothing
    #[arg(long, conflicts_with_all = ["resume", "metrics"])]
    estimate: bool,
    #[command(flatten)]
    options: OptionArgs,
}

pub(crate) fn train(ctx: &mut Context, args: TrainArgs) -> Result<(), Failure> {
    // Options and positives.
    let name = args.name.map_or_else(|| Ok(ctx.store(&args.store)?.default_set()), Ok::<_, Failure>)?;
    let engine = ctx.engine_of(&args.store, &name)?;
    let mut options = args.options.into_options(args.target);
    if args.resume {
        options = interrupted_options(&engine, &args.typed, &options)?;
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
    // The file of metrics, and the log of epochs.
    let open = |path: &PathBuf| {
        if !args.resume {
            return create(path, args.force);
        }
        let file = interrupt::while_waiting(|| File::options().create(true).append(true).open(path));
        file.map_err(|source| Failure::file(path, "create", source))
    };
    let metrics = args.metrics.map(|path| Ok::<_, Failure>((open(&path)?, path))).transpose()?;
    let mut log = TrainingLog::new(ctx.out, metrics);
    let cancel = ctx.cancel();
    let watched = log.watched(cancel);
    let observe = &mut |event: &TrainEvent| {
        if let Err(failure) = log.event(event) {
            log.failed.get_or_insert(failure);
            cancel.cancel();
        }
    };
    // The training itself.
    let training = if args.resume { engine.resuming(options.threads) } else { engine.training(&options) };
    let training = match &pairs {
        Some(pairs) => training.pairs(pairs),
        None => training,
    };
    let trained = training.observer(observe).run(&watched);
    log.bar.finish_and_clear();
    match trained {
        Ok(report) => {
            if name != engine.store().default_set() {
                ctx.out.note(&format!(
                    "`models STORE promote {name}` makes it the model that answers by default"
                ));
            }
            log.end(&report, options.epochs)
        }
        Err(error) => {
            log.stream.finish()?;
            Err(log.failed.unwrap_or_else(|| error.into()))
        }
    }
}

/// The options of the interrupted training. Options that are typed with `--resume` must be equal to them.
fn interrupted_options(
    engine: &Engine,
    typed: &TypedFlags,
    options: &TrainOptions,
) -> Result<TrainOptions, Failure> {
    // Without an interrupted training the engine refuses to resume.
    let Some(unfinished) = engine.unfinished_training()? else { return Ok(options.clone()) };
    let (found, expected) = (options.entries(), unfinished.options.entries());
    let values = |entries: &[(String, String)], name: &str| {
        let values = entries.iter().filter(|entry| entry.0 == name);
        let mut values: Vec<String> = values.map(|(_, value)| value.clone()).collect();
        values.sort();
        values.join(",")
    };
    for name in expected.iter().map(|(name, _)| name.as_str()).filter(|name| typed.has(name)) {
        let (found, expected) = (values(&found, name), values(&expected, name));
        if found != expected {
            let name = name.replace('_', "-");
            return Err(Failure::Usage(format!(
                "--resume continues with {name} {expected}, found {found}: leave it out, or train anew without --resume"
            )));
        }
    }
    Ok(TrainOptions { threads: options.threads, ..unfinished.options })
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

/// Prints the epochs of a training, and writes them to the file of metrics.
struct TrainingLog {
    out: Output,
    stream: Stream,
    metrics: Option<(File, PathBuf)>,
    bar: ProgressBar,
    /// Whole epochs.
    epochs: Arc<AtomicU32>,
    /// For each kind with a fitted score its constants, and the recall of its parts.
    fitted: Map<String, Value>,
    parts: Map<String, Value>,
    /// The first failure of the log, which stops the training.
    failed: Option<Failure>,
}

impl TrainingLog {
    fn new(out: Output, metrics: Option<(File, PathBuf)>) -> Self {
        let bar = new_bar(0, "{msg}  {bar:30} {percent:>3} %  {eta} left", out);
        Self {
            out,
            stream: out.stream(COLUMNS),
            metrics,
            bar,
            epochs: Arc::default(),
            fitted: Map::new(),
            parts: Map::new(),
            failed: None,
        }
    }

    /// The token with an observer that shows the stage of the training.
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

    fn event(&mut self, event: &TrainEvent) -> Result<(), Failure> {
        match event {
            TrainEvent::Epoch(report) => {
                self.epochs.store(report.epoch, Ordering::Relaxed);
                // The bar is hidden while the row is printed.
                let bar = self.bar.clone();
                bar.suspend(|| self.epoch(report))?;
                bar.reset();
            }
            TrainEvent::Fitted(fitted) => {
                let bar = self.bar.clone();
                bar.suspend(|| self.fitted(fitted))?;
            }
            TrainEvent::Weighed(weighed) => {
                let bar = self.bar.clone();
                bar.suspend(|| self.weighed(weighed))?;
            }
            TrainEvent::Started { nodes, positives, examples } => {
                self.out.note(&format!(
                    "{}, {}, {} per epoch",
                    count(*nodes, "node", "nodes"),
                    count(*positives, "positive", "positives"),
                    count(*examples, "example", "examples"),
                ));
            }
            TrainEvent::Resumed { epochs } => {
                self.epochs.store(*epochs, Ordering::Relaxed);
                self.out.note(&format!("continues after epoch {epochs}"));
            }
            TrainEvent::Alarm { epoch, alarm } => {
                self.bar.suspend(|| self.out.note(&format!("warning: epoch {epoch}: {alarm}")));
            }
            // Later versions of the library may report more events.
            _ => {}
        }
        Ok(())
    }

    /// Reports what each part of a fitted score reaches, and the constants.
    fn fitted(&mut self, fitted: &FittedScore) -> Result<(), Failure> {
        let FittedScore { kind, constants, recall_filter, recall, lists, edges, related, cold, seconds } =
            fitted;
        let constants = constants.iter().map(|&(name, value)| (name, float(value)));
        let row = vec![
            ("fitted", kind.as_str().into()),
            ("held_out_lists", (*lists).into()),
            ("held_out_edges", (*edges).into()),
            ("recall_filter", rounded(*recall_filter, 4)),
            ("recall", rounded(*recall, 4)),
            ("related", related.map_or(Value::Null, |related| rounded(related, 4))),
            ("cold", cold.map_or(Value::Null, |cold| rounded(cold, 4))),
            ("constants", object(constants.clone())),
            ("seconds", rounded(*seconds, 3)),
        ];
        self.record(row)?;
        self.fitted.insert(kind.clone(), object(constants.clone()));
        let constants = constants.map(|(name, value)| format!("{name} {value}"));
        let (lists, edges) = (count(*lists, "list", "lists"), count(*edges, "edge", "edges"));
        self.out.note(&format!(
            "{kind}: recall@20 of {edges} hidden in {lists}: {recall_filter:.4} by the graph filter, {recall:.4} with residual factors \
             ({seconds:.1} s)"
        ));
        self.out.note(&format!("{kind}: fitted {}", constants.collect::<Vec<_>>().join(", ")));
        Ok(())
    }

    /// Reports what each part of a score finds, and the weight of embeddings.
    fn weighed(&mut self, weighed: &WeighedEmbeddings) -> Result<(), Failure> {
        let WeighedEmbeddings { kind, weight, lists, .. } = weighed;
        let parts = [
            ("filter", weighed.recall_filter),
            ("graph", weighed.recall_graph),
            ("embeddings", weighed.recall_embeddings),
            ("all", weighed.recall),
        ];
        let parts = object(parts.map(|(part, recall)| (part, rounded(recall, 4))));
        self.record(vec![
            ("weighed", kind.as_str().into()),
            ("weight", float(*weight)),
            ("held_out_lists", (*lists).into()),
            ("parts", parts.clone()),
        ])?;
        self.parts.insert(kind.clone(), parts);
        if let Some(Value::Object(fitted)) = self.fitted.get_mut(kind) {
            fitted.insert("embeddings".to_owned(), float(*weight));
        }
        self.out.note(&format!(
            "{kind}: recall@20 of held-out items of {}: filter {:.4}, with factors {:.4}, embeddings {:.4}; all {:.4} with \
             embeddings times {weight}",
            count(*lists, "list", "lists"),
            weighed.recall_filter,
            weighed.recall_graph,
            weighed.recall_embeddings,
            weighed.recall,
        ));
        Ok(())
    }

    fn epoch(&mut self, report: &EpochReport) -> Result<(), Failure> {
        let row: Vec<Value> = vec![
            report.epoch.into(),
            float(report.loss),
            report.recall.map(float).into(),
            rounded(report.pairs_per_second, 0),
            float(report.mean_cosine),
            rounded(report.seconds, 3),
            report.score_recall.map(float).into(),
        ];
        self.record(COLUMNS.iter().copied().zip(row.clone()))?;
        self.stream.row(row)
    }

    /// Appends an object to the file of metrics.
    fn record<'a>(&mut self, fields: impl IntoIterator<Item = (&'a str, Value)>) -> Result<(), Failure> {
        let Some((file, path)) = &mut self.metrics else { return Ok(()) };
        writeln!(file, "{}", object(fields)).map_err(|source| Failure::file(path, "write", source))
    }

    /// Reports the end of a training that was to have this number of epochs.
    fn end(mut self, report: &TrainReport, epochs: u32) -> Result<(), Failure> {
        let last: Vec<(&str, Value)> = vec![
            ("generation", report.generation.get().into()),
            ("embedded", report.embedded.into()),
            ("seconds", rounded(report.seconds, 3)),
            ("parts", Value::Object(std::mem::take(&mut self.parts))),
            ("fitted", Value::Object(std::mem::take(&mut self.fitted))),
        ];
        self.record(last.clone())?;
        self.out.note(&format!(
            "generation {}: {} embedded, {:.1} s",
            report.generation,
            count(report.embedded, "node", "nodes"),
            report.seconds
        ));
        if !report.cancelled && report.epochs.len() < epochs as usize {
            self.out.note("stopped early: the last epochs made the answers no better (see --patience)");
        } else if report.is_improving {
            self.out.note("the last epoch still made the answers better: more may help (see --epochs)");
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
                "interrupted in epoch {epoch}; the best whole epoch is kept, and `train --resume` continues from epoch {epoch}"
            )));
        }
        Ok(())
    }
}
