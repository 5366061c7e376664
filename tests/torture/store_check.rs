//! The check of a store after its job was interrupted.
//!
//! The store must contain every acknowledged step, at most the next one, and no part of a step. Its model must be that of the
//! last complete training. Its dirty set must be complete, so that a refresh gives the bytes of a rebuild.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use hedgerow::{CancelToken, Engine, Store};

use crate::job::{Acknowledged, Ended, Job};
use crate::reference_graph::{Graph, Node};

/// A failed check.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The store did not open, or the command failed without an interruption.
    Failed(String),
    /// An acknowledged step is missing.
    Lost(String),
    /// A step is there in part, or the store has a change that no step made.
    Torn(String),
    /// The generation is not that of the last complete training, or the epoch is not the number of batches.
    Generation(String),
    /// There are fewer dirty nodes than changed nodes.
    IncompleteDirtySet(String),
    /// The digests of a refresh and a rebuild differ.
    Digest(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(what) => write!(f, "not opened or failed: {what}"),
            Self::Lost(what) => write!(f, "lost: {what}"),
            Self::Torn(what) => write!(f, "torn: {what}"),
            Self::Generation(what) => write!(f, "wrong generation or epoch: {what}"),
            Self::IncompleteDirtySet(what) => write!(f, "incomplete dirty set: {what}"),
            Self::Digest(what) => write!(f, "refresh and rebuild differ: {what}"),
        }
    }
}

/// The counts that a successful check has compared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checked {
    /// Digests of a refresh and a rebuild were compared.
    pub(crate) compared: bool,
    /// The refresh was not a rebuild, and nodes had changed.
    pub(crate) partial: bool,
}

/// A store and its expected content.
pub(crate) struct StoreUnderTest {
    pub(crate) path: PathBuf,
    pub(crate) graph: Graph,
    epoch: u64,
    generation: u64,
    /// The nodes that each epoch changed.
    changed_nodes: BTreeMap<u64, BTreeSet<Node>>,
}

impl StoreUnderTest {
    /// An existing store, whose present content is the expected one.
    pub(crate) fn read(path: PathBuf) -> Self {
        let engine =
            Engine::open(Arc::new(Store::options().open(&path).expect("it opens"))).expect("it opens");
        let graph = Graph::read(&engine.store().snapshot()).expect("a sound graph");
        let status = engine.status();
        let generation = status.generation.map_or(0, hedgerow::Generation::get);
        Self { path, graph, epoch: status.epoch.get(), generation, changed_nodes: BTreeMap::new() }
    }

    /// A store that does not exist yet.
    pub(crate) fn absent(path: PathBuf) -> Self {
        Self { path, graph: Graph::default(), epoch: 0, generation: 0, changed_nodes: BTreeMap::new() }
    }

    /// Checks the store after a job ended or was stopped. With `persist`, the check stores the refreshed embeddings.
    pub(crate) fn check(&mut self, job: &Job, ended: &Ended, persist: bool) -> Result<Checked, Fault> {
        if let Some(failure) = &ended.failure {
            return Err(Fault::Failed(format!("the command failed by itself: {failure}")));
        }
        let store = match Store::options().open(&self.path) {
            Ok(store) => Arc::new(store),
            Err(error) => return Err(Fault::Failed(error.to_string())),
        };
        let snapshot = store.snapshot();
        let found = Graph::read(&snapshot).map_err(Fault::Torn)?;
        self.check_content(job, ended, &found, snapshot.epoch().get())?;
        let engine = Engine::open(Arc::clone(&store)).map_err(|error| Fault::Failed(error.to_string()))?;
        self.check_embeddings(&engine, job.trains, ended.done, persist)
    }

    /// Finds the number of steps that the store contains, and expects at least the acknowledged ones.
    fn check_content(&mut self, job: &Job, ended: &Ended, found: &Graph, epoch: u64) -> Result<(), Fault> {
        // Between `least` and `most` steps may be in the store.
        let all = job.steps.len();
        let (least, most) = match (job.acknowledged, ended.done) {
            (_, true) => (all, all),
            (Acknowledged::ByLine, false) => (ended.lines.min(all), (ended.lines + 1).min(all)),
            (Acknowledged::ByEnd, false) => (0, all),
        };
        if ended.done && job.acknowledged == Acknowledged::ByLine && ended.lines != all {
            return Err(Fault::Failed(format!("{} lines for {all} steps", ended.lines)));
        }
        // Apply the steps one by one, until the reference graph equals the store.
        let mut graph = self.graph.clone();
        let (mut changed_nodes, mut first_difference, mut is_earlier) = (Vec::new(), None, false);
        for count in 0..=most {
            if count > 0 {
                changed_nodes.push(graph.apply(&job.steps[count - 1]));
            }
            if count < least {
                is_earlier |= graph == *found;
                continue;
            }
            if graph == *found {
                return self.adopt(graph, changed_nodes, epoch, job.acknowledged);
            }
            first_difference.get_or_insert_with(|| graph.difference(found));
        }
        // A state before the last acknowledged step is a loss. Any other state is torn.
        let difference = first_difference.unwrap_or_default();
        let words = format!("{least} to {most} of {all} steps of {}: {difference}", job.name);
        Err(if is_earlier { Fault::Lost(words) } else { Fault::Torn(words) })
    }

    /// Takes a content as the expected one, and records the nodes that its steps changed.
    fn adopt(
        &mut self,
        graph: Graph,
        changed_nodes: Vec<BTreeSet<Node>>,
        epoch: u64,
        acknowledged: Acknowledged,
    ) -> Result<(), Fault> {
        let effective: Vec<_> = changed_nodes.into_iter().filter(|nodes| !nodes.is_empty()).collect();
        // The division of an import into batches is not specified, so its epochs are not compared.
        if acknowledged == Acknowledged::ByLine && epoch != self.epoch + effective.len() as u64 {
            let words = format!("epoch {epoch}, expected {} and {} batches", self.epoch, effective.len());
            return Err(Fault::Generation(words));
        }
        for (at, nodes) in effective.into_iter().rev().enumerate() {
            self.changed_nodes.entry((epoch - at as u64).max(self.epoch + 1)).or_default().extend(nodes);
        }
        (self.graph, self.epoch) = (graph, epoch);
        Ok(())
    }

    /// Checks the generation and the dirty set, and compares a refresh with a rebuild.
    fn check_embeddings(
        &mut self,
        engine: &Engine,
        trains: bool,
        done: bool,
        persist: bool,
    ) -> Result<Checked, Fault> {
        let status = engine.status();
        let generation = status.generation.map_or(0, hedgerow::Generation::get);
        let least = self.generation + u64::from(trains && done);
        let most = self.generation + u64::from(trains);
        if !(least..=most).contains(&generation) {
            return Err(Fault::Generation(format!("generation {generation}, expected {least} to {most}")));
        }
        self.generation = generation;
        // Every node that changed after the last refresh is dirty.
        let Some(embedded) = status.embedded.map(hedgerow::Epoch::get) else { return Ok(Checked::default()) };
        self.changed_nodes.retain(|&epoch, _| epoch > embedded);
        let changed: BTreeSet<&Node> = self.changed_nodes.values().flatten().collect();
        if (status.dirty_nodes as usize) < changed.len() {
            let words = format!("{} nodes are dirty, {} have changed", status.dirty_nodes, changed.len());
            return Err(Fault::IncompleteDirtySet(words));
        }
        // A refresh gives the digest of a rebuild.
        let failed = |error: hedgerow::Error| Fault::Failed(error.to_string());
        let digest = |full: bool| -> Result<(String, bool), hedgerow::Error> {
            let report = engine.refresh(full, &CancelToken::new())?;
            Ok((engine.digest(&CancelToken::new())?.digest, report.full))
        };
        let (refreshed, full) = digest(false).map_err(failed)?;
        let (rebuilt, _) = digest(true).map_err(failed)?;
        if refreshed != rebuilt {
            return Err(Fault::Digest(format!("{} nodes were dirty", status.dirty_nodes)));
        }
        if persist || full {
            engine.persist(&CancelToken::new()).map_err(|error| failed(error.into()))?;
        }
        Ok(Checked { compared: true, partial: !full && !changed.is_empty() })
    }
}
