//! The workload `train`: examples a second and where the time goes; all nodes embedded.

use std::sync::Arc;

use hedgerow::{
    CancelToken, Conv, Engine, EpochTimes, Ids, Loss, Positives, TrainEvent, TrainOptions, WalkOptions,
};

use crate::bench::graph::{Graph, Plan};
use crate::bench::{Row, with_threads};
use crate::core::failure::Failure;

/// What the workload is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) plan: Plan,
    /// Examples of an epoch, and how many epochs there are, of which the best counts.
    pub(crate) examples: usize,
    pub(crate) rounds: u32,
}

/// Two layers of 128 -> 256 -> 128, ten neighbours, 500 negatives: what others' figures are known for.
fn options(setup: Setup) -> TrainOptions {
    TrainOptions {
        targets: vec!["pin".to_owned()],
        dim: 128,
        layers: 2,
        conv: Conv::PinSage,
        walks: WalkOptions { walks: 100, top: 10, ..WalkOptions::default() },
        ids: Ids::On,
        epochs: setup.rounds,
        pairs_per_epoch: setup.examples,
        batch: 2048,
        negatives: 500,
        positives: Positives::Walks,
        loss: Loss::Margin,
        held_out: 0,
        ..TrainOptions::default()
    }
}

pub(crate) fn run(
    setup: Setup,
    cancel: &CancelToken,
    note: &dyn Fn(&str),
    row: &mut dyn FnMut(Row) -> Result<(), Failure>,
) -> Result<(), Failure> {
    note("making the graph");
    let graph = Graph::make(setup.plan, cancel)?;
    let (label, options) = (graph.label.clone(), options(setup));
    let engine = Engine::open(Arc::new(graph.store))?;
    let described = format!(
        "dim {} layers {} T={} negatives {} batch {}",
        options.dim, options.layers, options.walks.top, options.negatives, options.batch
    );
    let mut print = |case: &str, value, unit, baseline, ratio| {
        let (graph, options) = (label.clone(), described.clone());
        row(Row {
            workload: "train",
            case: case.to_owned(),
            value,
            unit,
            baseline,
            ratio,
            threads: 1,
            graph,
            options,
        })
    };
    note("training");
    let mut epochs: Vec<EpochTimes> = Vec::new();
    let mut observe = |event: &TrainEvent| {
        if let TrainEvent::EpochTimes(spent) = event {
            epochs.push(*spent);
        }
    };
    let trained = with_threads(1, || Ok(engine.training(&options).observer(&mut observe).run(cancel)?))?;
    let busy = |spent: &EpochTimes| spent.sampling + spent.gathering + spent.products + spent.update;
    let examples = setup.examples as f64;
    if let Some(best) = epochs.iter().min_by(|a, b| busy(a).total_cmp(&busy(b))) {
        // The producer has a thread of its own, so what a core does is counted by the time of both.
        print("training", examples / busy(best), "pairs/s/core", None, None)?;
        for (case, seconds) in [
            ("sampling", best.sampling),
            ("gathering", best.gathering),
            ("products", best.products),
            ("update", best.update),
        ] {
            print(case, seconds / busy(best), "share", Some("training"), None)?;
        }
    }
    note("embedding all nodes");
    let mut layers = f64::INFINITY;
    for _ in 0..setup.rounds {
        let report = with_threads(1, || Ok(engine.refresh(true, cancel)?))?;
        layers = layers.min(report.ms.layers / 1e3);
    }
    print("embedding all nodes, walks left out", trained.embedded as f64 / layers, "nodes/s/core", None, None)
}
