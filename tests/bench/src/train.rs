//! The workload `train`: examples a second, the share of each step, and the rate of embedding all nodes.

use std::sync::Arc;

use hedgerow::{Conv, Engine, EpochTimes, Ids, Loss, Positives, TrainEvent, TrainOptions, WalkOptions};

use crate::Options;
use crate::graph::Graph;
use crate::measure::{Failure, Recorder, Row, with_threads};

/// Two layers of 128 -> 256 -> 128, ten neighbors, 500 negatives: the figures of others are for these. Of several epochs
/// the best counts.
fn train_options(examples: usize, epochs: u32) -> TrainOptions {
    TrainOptions {
        targets: vec!["pin".to_owned()],
        dim: 128,
        layers: 2,
        conv: Conv::PinSage,
        walks: WalkOptions { walks: 100, top: 10, ..WalkOptions::default() },
        ids: Ids::On,
        epochs,
        pairs_per_epoch: examples,
        batch: 2048,
        negatives: 500,
        positives: Positives::Walks,
        loss: Loss::Margin,
        held_out: 0,
        // It measures embeddings.
        factors: false,
        ..TrainOptions::default()
    }
}

pub(crate) fn run(options: &Options, recorder: &mut Recorder) -> Result<(), Failure> {
    let (examples, rounds) = if options.quick { (4096, 1) } else { (100_000, 3) };
    let cancel = recorder.cancel.clone();
    recorder.note("making the graph");
    let graph = Graph::new(options.plan(1), &cancel)?;
    let (label, options) = (graph.label.clone(), train_options(examples, rounds));
    let engine = Engine::open(Arc::new(graph.store))?;
    let described = format!(
        "dim {} layers {} T={} negatives {} batch {}",
        options.dim, options.layers, options.walks.top, options.negatives, options.batch
    );
    let row = |case: &str, value, unit, against| Row {
        workload: "train",
        case: case.to_owned(),
        value,
        unit,
        against,
        threads: 1,
        graph: label.clone(),
        options: described.clone(),
    };
    // Training, with the share of each step in the fastest epoch.
    recorder.note("training");
    let mut epochs: Vec<EpochTimes> = Vec::new();
    let mut observe = |event: &TrainEvent| {
        if let TrainEvent::EpochTimes(spent) = event {
            epochs.push(*spent);
        }
    };
    let trained = with_threads(1, || Ok(engine.training(&options).observer(&mut observe).run(&cancel)?))?;
    let busy = |spent: &EpochTimes| spent.sampling + spent.gathering + spent.products + spent.update;
    if let Some(best) = epochs.iter().min_by(|a, b| busy(a).total_cmp(&busy(b))) {
        // The producer has a thread of its own, so the work of a core is counted by the time of both.
        recorder.rows.push(row("training", examples as f64 / busy(best), "pairs/s/core", None));
        for (case, seconds) in [
            ("sampling", best.sampling),
            ("gathering", best.gathering),
            ("products", best.products),
            ("update", best.update),
        ] {
            let share = seconds / busy(best);
            recorder.rows.push(row(case, share, "share", Some(("training", share))));
        }
    }
    // A rebuild, of which only the layers count.
    recorder.note("embedding all nodes");
    let mut layers = f64::INFINITY;
    for _ in 0..rounds {
        let report = with_threads(1, || Ok(engine.refresh(true, &cancel)?))?;
        layers = layers.min(report.ms.layers / 1e3);
    }
    let rate = trained.embedded as f64 / layers;
    recorder.rows.push(row("embedding all nodes, walks left out", rate, "nodes/s/core", None));
    Ok(())
}
