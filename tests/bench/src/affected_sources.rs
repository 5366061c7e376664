//! The sources that one changed edge affects, on graphs of several sizes: a part of the workload `walk`.

use std::time::Instant;

use hedgerow::{Batch, Generation, Publish};
use hedgerow_cli::synthetic::{Degrees, Plan, Random};

use crate::graph::{Graph, change, pins};
use crate::measure::{Failure, Recorder, Row, quantile};
use crate::walk::refresh_walker;

/// Edges for each node of the graphs of the curve; two nodes of three are pins.
const EDGES_PER_NODE: u64 = 13;
/// Sources walked again, from which the time of walking all of them is computed.
const SAMPLE: usize = 50_000;

/// Records a row for each quantile, on a graph of so many nodes.
pub(crate) fn measure(nodes: u32, changes: usize, seed: u64, recorder: &mut Recorder) -> Result<(), Failure> {
    let cancel = recorder.cancel.clone();
    let plan = Plan {
        items: nodes / 3 * 2,
        boards: nodes / 3,
        edges: u64::from(nodes) * EDGES_PER_NODE,
        topics: 1,
        degrees: Degrees::Flat,
        seed,
    };
    let graph = Graph::new(plan, &cancel)?;
    let mut before = graph.store.snapshot();
    let pins = pins(&before);
    // Once something is published, the store remembers what changes.
    let derived = Publish { generation: Generation::new(1), refreshed: before.epoch(), files: Vec::new() };
    graph.store.publish(derived, &cancel)?;
    // Each change is committed, and the time counts until its affected sources are known.
    let (mut times, mut sources, mut random) = (Vec::new(), 0, Random::new(seed));
    let mut options = String::new();
    for number in 0..changes {
        cancel.check()?;
        let mut batch = Batch::new();
        change(&mut batch, &before, &pins, number % 2 == 0, &mut random)?;
        graph.store.commit(&batch)?;
        let after = graph.store.snapshot();
        let since = Instant::now();
        let changes = graph.store.changes(before.epoch(), &after, &cancel)?;
        let (walker, described) = refresh_walker(&after)?;
        sources += walker.affected_sources(&changes, &cancel)?.len();
        times.push(since.elapsed().as_secs_f64() * 1e3);
        options = described;
        before = after;
    }
    // The baseline is walking all pins again; a sample tells its time.
    let again: Vec<_> = pins.iter().step_by((pins.len() / SAMPLE).max(1)).copied().collect();
    let since = Instant::now();
    refresh_walker(&before)?.0.neighborhoods(&again, &cancel)?;
    let all = since.elapsed().as_secs_f64() * 1e3 * pins.len() as f64 / again.len() as f64;
    let options = format!(
        "{options}; edges drawn by degree, half added, half removed; {:.1} sources each",
        sources as f64 / changes.max(1) as f64
    );
    for (case, share) in [("reach p50", 0.5), ("reach p99", 0.99), ("reach max", 1.0)] {
        let value = quantile(&mut times, share);
        recorder.rows.push(Row {
            workload: "walk",
            case: case.to_owned(),
            value,
            unit: "ms",
            against: Some(("walking again from all pins", all / value)),
            threads: rayon::current_num_threads(),
            graph: graph.label.clone(),
            options: options.clone(),
        });
    }
    Ok(())
}
