//! Benchmarks: `cargo run --release -p hedgerow-bench -- WORKLOAD`. Every figure stands beside a baseline of the same run.
//!
//! Each workload is a module that names its cases and gives its figures to a [`Recorder`]; `graph` makes what most of them
//! measure on. With the word `hedgerow` in the place of a workload, the program is that command: imports are measured in a
//! process of their own.

mod ablation;
mod affected_sources;
mod catalog;
mod graph;
mod jobs;
mod measure;
mod process;
mod python;
mod reference_walk;
mod refresh;
mod store;
mod train;
mod walk;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum};
use hedgerow::CancelToken;
use hedgerow_cli::synthetic::{Degrees, Plan};
use hedgerow_cli::{Mode, print_rows};
use serde_json::{Value, json};

use graph::Graph;
use measure::{Failure, Recorder, Row};

/// The exit code of what was interrupted.
const INTERRUPTED: u8 = 130;

const COLUMNS: [&str; 9] =
    ["workload", "case", "value", "unit", "baseline", "ratio", "threads", "graph", "options"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Walks, neighborhoods, and the sources that an edge change affects
    Walk,
    /// A whole graph loaded into an empty store
    Load,
    /// Imports, durable commits, opening, checkpoints, hubs and reads
    Store,
    /// Training and embedding all nodes, with the share of each step
    Train,
    /// Changes brought into the embeddings, beside a rebuild; needs 21 GiB at the default size
    Refresh,
    /// Processes that commit, refresh or ask once: time, memory and bytes written
    Jobs,
    /// The package for Python beside the library; needs it and pyarrow in `python3`, or in `HEDGEROW_PYTHON`
    Python,
    /// The worth of each part of PinSage on a generated catalog, as in the paper's Table 1
    Ablation,
}

/// Measure this machine, beside baselines of the same run
#[derive(Parser, Debug)]
#[command(name = "hedgerow-bench", version)]
struct Options {
    /// The workload to measure; without one, they are listed
    #[arg(value_enum, value_name = "WORKLOAD")]
    workload: Option<Workload>,
    /// Pins of the graph
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    items: u32,
    /// Boards of the graph
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1..))]
    boards: u32,
    /// Edges of the graph
    #[arg(long, value_name = "N", default_value_t = 20_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    edges: u64,
    /// Seed of the graph
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Small graphs: to see that it works, not to measure
    #[arg(long)]
    quick: bool,
    /// Affected sources on ten million nodes too; takes 12 GiB and some minutes
    #[arg(long)]
    full: bool,
    /// The format of results: table, json, jsonl, csv or tsv [default: table on a terminal, tsv in a pipe]
    #[arg(long, value_enum, value_name = "MODE", hide_possible_values = true)]
    output: Option<Mode>,
    /// No messages on stderr, only errors
    #[arg(long)]
    quiet: bool,
}

impl Options {
    /// The graph that most workloads measure on.
    fn plan(&self, topics: u32) -> Plan {
        let (items, boards, edges) =
            if self.quick { (6_000, 3_000, 60_000) } else { (self.items, self.boards, self.edges) };
        Plan { items, boards, edges, topics, degrees: Degrees::Flat, seed: self.seed }
    }
}

fn main() -> ExitCode {
    let words = std::env::args_os();
    if std::env::args_os().nth(1).is_some_and(|word| word == "hedgerow") {
        return hedgerow_cli::run(words.skip(1));
    }
    let options = Options::parse();
    let Some(workload) = options.workload else { return exit_code(list(options.output)) };
    if let Err(problem) = options.plan(1).validate() {
        Options::command().error(ErrorKind::ValueValidation, problem).exit();
    }
    let cancel = cancelled_by_ctrl_c();
    match run(workload, &options, &cancel) {
        Err(_) if cancel.is_cancelled() => {
            eprintln!("error: interrupted");
            ExitCode::from(INTERRUPTED)
        }
        result => exit_code(result),
    }
}

fn exit_code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// A token that the first Ctrl-C cancels; the second one ends the process.
fn cancelled_by_ctrl_c() -> CancelToken {
    let token = CancelToken::new();
    let cancel = token.clone();
    // Without a handler Ctrl-C still ends the process.
    let _ = ctrlc::set_handler(move || {
        if cancel.is_cancelled() {
            std::process::exit(INTERRUPTED.into());
        }
        cancel.cancel();
    });
    token
}

/// Prints the workloads, a line each.
fn list(mode: Option<Mode>) -> Result<(), Failure> {
    let workloads = Workload::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let row = |workload: clap::builder::PossibleValue| {
        let about = workload.get_help().map(ToString::to_string).unwrap_or_default();
        vec![workload.get_name().into(), about.into()]
    };
    Ok(print_rows(mode, &["workload", "measures"], workloads.map(row).collect())?)
}

fn run(workload: Workload, options: &Options, cancel: &CancelToken) -> Result<(), Failure> {
    let mut recorder = Recorder::new(cancel.clone(), options.quiet);
    match workload {
        Workload::Walk => walk::run(options, &mut recorder)?,
        Workload::Load => Graph::new(options.plan(1), cancel)?.record_size("load", &mut recorder),
        Workload::Store => store::run(options, &mut recorder)?,
        Workload::Train => train::run(options, &mut recorder)?,
        Workload::Refresh => refresh::run(options, &mut recorder)?,
        Workload::Jobs => jobs::run(options, &mut recorder)?,
        Workload::Python => python::run(options, &mut recorder)?,
        Workload::Ablation => ablation::run(options, &mut recorder)?,
    }
    let rows = recorder.rows.into_iter().map(values).collect();
    Ok(print_rows(options.output, &COLUMNS, rows)?)
}

/// A figure in the order of the columns.
fn values(row: Row) -> Vec<Value> {
    let rounded = |value: f64| json!((value * 1e3).round() / 1e3);
    vec![
        row.workload.into(),
        row.case.into(),
        rounded(row.value),
        row.unit.into(),
        row.against.map(|(baseline, _)| baseline).into(),
        row.against.map_or(Value::Null, |(_, ratio)| rounded(ratio)),
        row.threads.into(),
        row.graph.into(),
        row.options.into(),
    ]
}
