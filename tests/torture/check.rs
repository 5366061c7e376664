//! What must hold after every stop, however it came: all that was acknowledged, whole, nothing else; the last whole
//! generation; a complete dirty set, so that a refresh gives the bytes of a rebuild.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use hedgerow::{CancelToken, Engine, Store};

use crate::graph::{Graph, Node};
use crate::job::{Ended, Job, Told};

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The store did not open, or the command failed by itself.
    Failed(String),
    /// Acknowledged and not there.
    Lost(String),
    /// There in part, or what nobody asked for.
    Torn(String),
    /// The model is not the last whole one, or the epoch is not that of the batches.
    Generation(String),
    /// Changed nodes that are not dirty.
    Clean(String),
    /// A refresh gave other bytes than a rebuild.
    Digest(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(what) => write!(f, "not opened or failed: {what}"),
            Self::Lost(what) => write!(f, "lost: {what}"),
            Self::Torn(what) => write!(f, "torn: {what}"),
            Self::Generation(what) => write!(f, "wrong generation or epoch: {what}"),
            Self::Clean(what) => write!(f, "incomplete dirty set: {what}"),
            Self::Digest(what) => write!(f, "refresh and rebuild differ: {what}"),
        }
    }
}

/// What one check looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checked {
    /// Digests of a refresh and a rebuild were compared.
    pub(crate) compared: bool,
    /// The refresh recomputed a part only.
    pub(crate) partial: bool,
}

/// A store, and what it should hold.
pub(crate) struct Subject {
    pub(crate) path: PathBuf,
    pub(crate) graph: Graph,
    epoch: u64,
    generation: u64,
    /// Nodes that differ from the epoch before, by epoch.
    touched: BTreeMap<u64, BTreeSet<Node>>,
}

impl Subject {
    /// A store as it is found to be.
    pub(crate) fn found(path: PathBuf) -> Self {
        let engine =
            Engine::open(Arc::new(Store::options().open(&path).expect("it opens"))).expect("it opens");
        let graph = Graph::read(&engine.store().snapshot()).expect("a sound graph");
        let status = engine.status();
        let generation = status.generation.map_or(0, hedgerow::Generation::get);
        Self { path, graph, epoch: status.epoch.get(), generation, touched: BTreeMap::new() }
    }

    /// A store that is yet to be made.
    pub(crate) fn nothing(path: PathBuf) -> Self {
        Self { path, graph: Graph::default(), epoch: 0, generation: 0, touched: BTreeMap::new() }
    }

    /// Checks the store after a job ended or was ended; `persist` stores what the check refreshed.
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
        self.content(job, ended, &found, snapshot.epoch().get())?;
        let engine = Engine::open(Arc::clone(&store)).map_err(|error| Fault::Failed(error.to_string()))?;
        self.learned(&engine, job.trains, ended.done, persist)
    }

    /// Finds how many of the steps are there.
    fn content(&mut self, job: &Job, ended: &Ended, found: &Graph, epoch: u64) -> Result<(), Fault> {
        let all = job.steps.len();
        let (least, most) = match (job.told, ended.done) {
            (_, true) => (all, all),
            (Told::ByLine, false) => (ended.lines.min(all), (ended.lines + 1).min(all)),
            (Told::ByEnd, false) => (0, all),
        };
        if ended.done && job.told == Told::ByLine && ended.lines != all {
            return Err(Fault::Failed(format!("{} lines for {all} steps", ended.lines)));
        }
        let mut graph = self.graph.clone();
        let (mut touched, mut acknowledged, mut is_earlier) = (Vec::new(), None, false);
        for count in 0..=most {
            if count > 0 {
                touched.push(graph.apply(&job.steps[count - 1]));
            }
            if count < least {
                is_earlier |= graph == *found;
                continue;
            }
            if graph == *found {
                return self.adopt(graph, touched, epoch, job.told);
            }
            acknowledged.get_or_insert_with(|| graph.difference(found));
        }
        let difference = acknowledged.unwrap_or_default();
        let words = format!("{least} to {most} of {all} steps of {}: {difference}", job.name);
        Err(if is_earlier { Fault::Lost(words) } else { Fault::Torn(words) })
    }

    fn adopt(
        &mut self,
        graph: Graph,
        touched: Vec<BTreeSet<Node>>,
        epoch: u64,
        told: Told,
    ) -> Result<(), Fault> {
        let effective: Vec<_> = touched.into_iter().filter(|nodes| !nodes.is_empty()).collect();
        // An import may divide its rows as it likes.
        if told == Told::ByLine && epoch != self.epoch + effective.len() as u64 {
            let words = format!("epoch {epoch}, expected {} and {} batches", self.epoch, effective.len());
            return Err(Fault::Generation(words));
        }
        for (at, nodes) in effective.into_iter().rev().enumerate() {
            self.touched.entry((epoch - at as u64).max(self.epoch + 1)).or_default().extend(nodes);
        }
        (self.graph, self.epoch) = (graph, epoch);
        Ok(())
    }

    fn learned(
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
        let Some(embedded) = status.embedded.map(hedgerow::Epoch::get) else { return Ok(Checked::default()) };
        self.touched.retain(|&epoch, _| epoch > embedded);
        let changed: BTreeSet<&Node> = self.touched.values().flatten().collect();
        if (status.dirty_nodes as usize) < changed.len() {
            let words = format!("{} nodes are dirty, {} have changed", status.dirty_nodes, changed.len());
            return Err(Fault::Clean(words));
        }
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
