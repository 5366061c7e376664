//! Promise: after random batches, reopenings and checkpoints, a store has the content of the reference model's maps.

use hedgerow::{CancelToken, Store};

use crate::fixtures::graph_model::GraphModel;

const SEQUENCES: u64 = 60;

/// Runs the first `steps` steps of a sequence. An error describes the first difference.
fn run(seed: u64, steps: usize) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("store");
    let open = || Store::options().create(true).open(&path).map_err(|error| format!("open: {error}"));
    let mut store = open()?;
    let mut model_graph = GraphModel::new(seed, 30);
    // An old snapshot, which must not change.
    let mut old = None;
    for step in 0..steps {
        let batch = model_graph.batch(12);
        store.commit(&batch).map_err(|error| format!("step {step}: commit: {error}"))?;
        match model_graph.random_below(6) {
            0 => {
                drop(store);
                store = open()?;
            }
            1 => store.checkpoint(&CancelToken::new()).map_err(|error| format!("checkpoint: {error}"))?,
            _ => {}
        }
        let snapshot = store.snapshot();
        if let Some(difference) = model_graph.difference(&snapshot) {
            return Err(format!("step {step}: {difference}"));
        }
        if step == steps / 2 {
            old = Some((snapshot.clone(), format!("{:?}", describe(&snapshot))));
        }
    }
    match old {
        Some((snapshot, before)) if format!("{:?}", describe(&snapshot)) != before => {
            Err("an old snapshot changed".to_owned())
        }
        _ => Ok(()),
    }
}

/// The name and the lists of each node.
fn describe(snapshot: &hedgerow::Snapshot) -> Vec<(String, Vec<String>)> {
    let nodes = (0..snapshot.bound()).map(hedgerow::NodeIx::new).filter(|&node| snapshot.is_alive(node));
    nodes
        .map(|node| {
            let relations = (0..snapshot.relation_count()).map(|at| hedgerow::RelationIx::new(at as u16));
            let lists = relations.map(|relation| format!("{:?}", snapshot.list(relation, node)));
            (snapshot.name(node).to_string(), lists.collect())
        })
        .collect()
}

#[test]
fn after_random_batches_the_store_has_the_content_of_the_maps() {
    for seed in 0..SEQUENCES {
        if let Err(error) = run(seed, 25) {
            let shortest = (1..=25).find(|&steps| run(seed, steps).is_err());
            panic!("seed {seed}: {error}; the shortest failing prefix has {shortest:?} steps");
        }
    }
}
