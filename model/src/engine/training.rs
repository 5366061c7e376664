//! How an engine trains: anew, warm, or on from where a run was interrupted; and how what a run gave is published.
//! What an epoch is, is `train`'s.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use hedgerow_storage::{CancelToken, Epoch, Error as StoreError, Generation, NodeName, Snapshot};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::config::error::Error;
use crate::config::model_config::ModelConfig;
use crate::config::options::TrainOptions;
use crate::engine::handle::{Engine, Rows, Work};
use crate::network::inputs::Inputs;
use crate::query::embeddings::Embeddings;
use crate::state::learning_curve::LearningCurve;
use crate::state::state::State;
use crate::train::checkpoint;
use crate::train::checkpoint::{Checkpoint, Origin, Progress, Summary};
use crate::train::estimate::Estimate;
use crate::train::event::{EpochReport, TrainEvent};
use crate::train::init;
use crate::train::init::LastGeneration;
use crate::train::run::{RunEnd, TrainRun, Trained};

/// What a training came to.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainReport {
    /// The new generation.
    pub generation: Generation,
    /// Nodes embedded.
    pub embedded: u64,
    /// All of it: walks, training, embedding, storing.
    pub seconds: f64,
    /// Whether it was ended by the caller, with what the whole epochs before gave.
    pub cancelled: bool,
    /// Every epoch, those before an interruption too.
    pub epochs: Vec<EpochReport>,
}

/// A training that was interrupted and can go on.
#[derive(Clone, Debug, PartialEq)]
pub struct UnfinishedTraining {
    /// What it was told.
    pub options: TrainOptions,
    /// The epoch of the graph that it trains on.
    pub graph: Epoch,
    /// Whether it was given pairs, which it must be given again.
    pub has_pairs: bool,
    /// Its epochs so far.
    pub epochs: Vec<EpochReport>,
}

/// What the caller has to say about a run.
struct Asked<'a> {
    /// None: what the interrupted run was told.
    options: Option<&'a TrainOptions>,
    pairs: Option<&'a [(NodeName, NodeName)]>,
}

/// A training that [`Training::run`] begins, and what it may be given besides its options.
#[must_use]
pub struct Training<'a> {
    engine: &'a Engine,
    asked: Asked<'a>,
    threads: usize,
    observer: Option<&'a mut (dyn FnMut(&TrainEvent) + Send)>,
}

impl<'a> Training<'a> {
    /// Positives of the caller's; without them they come from where [`TrainOptions::positives`] says.
    pub fn pairs(mut self, pairs: &'a [(NodeName, NodeName)]) -> Self {
        self.asked.pairs = Some(pairs);
        self
    }

    /// Who hears of epochs and alarms. The training waits for it.
    pub fn observer(mut self, observer: &'a mut (dyn FnMut(&TrainEvent) + Send)) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Trains a new generation, embeds every node of the target kinds and stores it all.
    ///
    /// # Visibility
    /// The new generation is durable and seen by readers when the call returns, all at once; until then they
    /// see the old one. It reflects all batches committed before its publication, also those that came during the
    /// training. A cancellation keeps what the whole epochs so far would have, if there is one.
    ///
    /// After every epoch the state of the run is kept durably beside the store, in the place of that of an earlier run, so
    /// that [`Engine::resuming`] can go on after a cancellation, a kill or a power cut. A training that ends removes it.
    /// # Errors
    /// Options out of range, a target kind without nodes, nothing to learn from, no generation to start from or one of
    /// another shape ([`TrainOptions::warm`]): nothing changes. [`Error::Diverged`] when the loss stops being a number: what the
    /// whole epochs before gave is published all the same, if there is one, and the run is at its end. When resuming:
    /// [`Error::NothingToResume`]; [`Error::GraphChanged`]; [`Error::PairsChanged`]; damage in what was kept, which is lost then.
    /// # Determinism
    /// The same bytes for any number of threads, and whether it was interrupted and resumed or not.
    /// # Cost
    /// Keeping the state writes four numbers for each that is trained, five where a worse epoch follows on the best.
    /// # Source
    /// PinSage, section 3.
    pub fn run(self, cancel: &CancelToken) -> Result<TrainReport, Error> {
        let Self { engine, asked, threads, observer } = self;
        let unheard = &mut |_: &TrainEvent| {};
        let observer = observer.unwrap_or(unheard);
        on_threads(threads, || engine.train_here(&asked, observer, cancel))
    }
}

impl Engine {
    /// A training by these options; [`Training::run`] begins it.
    pub fn training<'a>(&'a self, options: &'a TrainOptions) -> Training<'a> {
        let asked = Asked { options: Some(options), pairs: None };
        Training { engine: self, asked, threads: options.threads, observer: None }
    }

    /// The training that was interrupted last, from its last whole epoch on, with the options it began with; on `threads`
    /// threads, 0 takes the caller's rayon pool. Pairs that it was given must be given again. [`Training::run`] begins it.
    pub fn resuming(&self, threads: usize) -> Training<'_> {
        Training { engine: self, asked: Asked { options: None, pairs: None }, threads, observer: None }
    }

    /// The training that [`Engine::resuming`] would go on with.
    ///
    /// # Errors
    /// Damage in what was kept. Cost: reading all of it.
    pub fn unfinished(&self) -> Result<Option<UnfinishedTraining>, Error> {
        let checkpoint = Checkpoint::open(&self.store)?;
        Ok(checkpoint.map(|Checkpoint { summary: Summary { origin, epochs, .. }, .. }| UnfinishedTraining {
            options: origin.options,
            graph: origin.graph,
            has_pairs: origin.pairs.is_some(),
            epochs,
        }))
    }

    /// What a training would take in memory and time, and nothing else: all walks are made and a few minibatches trained,
    /// all of which is thrown away.
    ///
    /// # Errors
    /// As for [`Training::run`], and a cancellation.
    /// # Cost
    /// The walks, a few minibatches, and one look at all held-out positives.
    pub fn estimate(
        &self,
        options: &TrainOptions,
        pairs: Option<&[(NodeName, NodeName)]>,
        cancel: &CancelToken,
    ) -> Result<Estimate, Error> {
        on_threads(options.threads, || {
            let since = Instant::now();
            let snapshot = self.store.snapshot();
            let state = State::build_neighborhoods(ModelConfig::new(options, &snapshot)?, &snapshot, cancel)?;
            let walks = since.elapsed().as_secs_f64();
            let pairs = pairs.map(|pairs| rows_of_pairs(pairs, &state, &snapshot)).transpose()?;
            let inputs = Inputs::gather(&snapshot, &state.recipe, &state.nodes, &state.levels);
            let encoder = self.starting_encoder(options, &state.recipe, &inputs)?;
            let run = TrainRun::new(options, &state, &snapshot, pairs.as_deref(), inputs, cancel)?;
            Estimate::measure(&run, &state, encoder, walks, cancel)
        })
    }

    fn train_here(
        &self,
        asked: &Asked<'_>,
        observer: &mut (dyn FnMut(&TrainEvent) + Send),
        cancel: &CancelToken,
    ) -> Result<TrainReport, Error> {
        let since = Instant::now();
        if self.store.is_read_only() {
            return Err(StoreError::ReadOnly { path: self.store.path().to_path_buf() }.into());
        }
        let _alone = self.training.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.store.snapshot();
        let (origin, checkpoint) = self.origin(asked, &snapshot)?;
        let options = &origin.options;
        let state = State::build_neighborhoods(ModelConfig::new(options, &snapshot)?, &snapshot, cancel)?;
        let pairs = asked.pairs.map(|pairs| rows_of_pairs(pairs, &state, &snapshot)).transpose()?;
        let inputs = Inputs::gather(&snapshot, &state.recipe, &state.nodes, &state.levels);
        let progress = match checkpoint {
            Some(checkpoint) => checkpoint.progress(&state.recipe)?,
            None => Progress::new(self.starting_encoder(options, &state.recipe, &inputs)?),
        };
        let trained = if options.epochs == 0 {
            Trained { encoder: progress.encoder, epochs: Vec::new(), kept: 0, end: RunEnd::Done }
        } else {
            let run = TrainRun::new(options, &state, &snapshot, pairs.as_deref(), inputs, cancel)?;
            observer(&run.started());
            if !progress.epochs.is_empty() {
                observer(&TrainEvent::Resumed { epochs: progress.epochs.len() as u32 });
            }
            let keep = &mut |progress: &Progress| progress.save(&self.store, &origin);
            run.train(progress, keep, observer, cancel)?
        };
        let Trained { encoder, epochs, kept, end } = trained;
        let curve = LearningCurve { epochs: epochs.iter().map(Into::into).collect(), kept };
        // From here on a cancellation would only lose what is done.
        let kept_on = CancelToken::new().reporting_to(cancel);
        let (generation, embedded) = self.publish_trained(
            state.embed_with(Arc::new(encoder), &snapshot, &kept_on)?,
            &curve,
            &kept_on,
        )?;
        if end != RunEnd::Cancelled {
            // What is left where this fails does no harm: going on with it would publish the same once more.
            let _ = checkpoint::discard(&self.store);
        }
        if let RunEnd::Diverged { epoch, step, best } = end {
            return Err(Error::Diverged { epoch, step, best: Some(best) });
        }
        let seconds = since.elapsed().as_secs_f64();
        Ok(TrainReport { generation, embedded, seconds, cancelled: end == RunEnd::Cancelled, epochs })
    }

    /// What the run is of, and where it goes on.
    fn origin(&self, asked: &Asked<'_>, snapshot: &Snapshot) -> Result<(Origin, Option<Checkpoint>), Error> {
        let pairs = asked.pairs.map(checkpoint::digest_of_pairs);
        if let Some(options) = asked.options {
            let origin = Origin { options: options.clone(), graph: snapshot.epoch(), pairs };
            return Ok((origin, None));
        }
        let checkpoint = Checkpoint::open(&self.store)?.ok_or(Error::NothingToResume)?;
        checkpoint.require(snapshot.epoch(), pairs.as_deref())?;
        Ok((checkpoint.summary.origin.clone(), Some(checkpoint)))
    }

    fn starting_encoder(
        &self,
        options: &TrainOptions,
        recipe: &ModelConfig,
        inputs: &Inputs,
    ) -> Result<crate::network::encoder::Encoder, Error> {
        if !options.warm {
            return Ok(init::random(recipe, inputs, options.seed));
        }
        let work = self.work();
        let last = work.as_ref().map(|work| LastGeneration {
            generation: work.generation,
            recipe: &work.state.recipe,
            encoder: &work.state.encoder,
        });
        init::warm(recipe, inputs, options.seed, last)
    }

    /// Makes what was trained the next generation, once it has followed the batches that came meanwhile.
    pub(super) fn publish_trained(
        &self,
        state: State,
        curve: &LearningCurve,
        cancel: &CancelToken,
    ) -> Result<(Generation, u64), Error> {
        let mut work = self.work();
        let before = work.as_ref().map_or(0, |work| work.generation.get());
        let generation = Generation::new(before + 1);
        let mut new = Work { generation, state, stored: None, rows: Rows::Exact };
        // The snapshot that was trained on is held, so the log reaches back to it.
        let now = self.store.snapshot();
        self.follow(&mut new, &now, false, None, cancel)?;
        let embedded = new.state.alive_rows().count() as u64;
        self.store_work(&mut new, Some(curve), cancel)?;
        self.show(Some(Embeddings::of(&new.state, &now, generation)));
        self.store.mark_refreshed(now.epoch());
        *work = Some(new);
        Ok((generation, embedded))
    }
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    match pool(threads)? {
        None => work(),
        Some(pool) => pool.install(work),
    }
}

/// Threads of our own; none where the caller's are to be taken.
pub(crate) fn pool(threads: usize) -> Result<Option<ThreadPool>, Error> {
    if threads == 0 {
        return Ok(None);
    }
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map(Some).map_err(|error| Error::Threads { threads, reason: error.to_string() })
}

fn rows_of_pairs(
    pairs: &[(NodeName, NodeName)],
    state: &State,
    snapshot: &Snapshot,
) -> Result<Vec<(u32, u32)>, Error> {
    let row = |name: &NodeName| {
        let node = snapshot.require(name.as_ref())?;
        state.row(node).ok_or_else(|| Error::NotEmbedded {
            node: name.to_string(),
            reason: format!("its kind is not one of the targets {}", state.recipe.target_list()),
        })
    };
    pairs.iter().map(|(query, item)| Ok((row(query)?, row(item)?))).collect()
}
