//! Trainings of an engine: new, warm, or resumed after an interruption; and the publication of the trained model.
//! `train` trains the epochs.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use hedgerow_storage::{CancelToken, Epoch, Error as StoreError, Generation, NodeIx, NodeName, Snapshot};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::cold_items::fit::fit_cold;
use crate::config::error::Error;
use crate::config::model_config::{MAX_FACTORED, ModelConfig};
use crate::config::options::TrainOptions;
use crate::engine::handle::{Engine, ReaderCopy};
use crate::engine::persist::NewModel;
use crate::engine::working_state::{Consistency, WorkingState};
use crate::factors::fit::{Fit, FittedScore, fit};
use crate::factors::held_out_ranking::RankingQuality;
use crate::factors::model_factors::ModelFactors;
use crate::linalg::huge_matrix::HugeMatrix;
use crate::network::encoder::Encoder;
use crate::network::inputs::{Inputs, check_inputs};
use crate::network::parameters::check_finite;
use crate::state::layer_rows::State;
use crate::state::learning_curve::LearningCurve;
use crate::train::checkpoint;
use crate::train::checkpoint::{Checkpoint, Origin, Progress, Summary};
use crate::train::estimate::Estimate;
use crate::train::event::{Alarm, EpochReport, TrainEvent};
use crate::train::init;
use crate::train::init::LastGeneration;
use crate::train::run::{RunEnd, TrainRun, Trained};

/// The report of a training.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TrainReport {
    /// The new generation.
    pub generation: Generation,
    /// The number of embedded nodes.
    pub embedded: u64,
    /// Seconds of walks, training, embedding and storing.
    pub seconds: f64,
    /// True if the caller cancelled it. The model is then from the complete epochs before.
    pub cancelled: bool,
    /// True if the last of [`TrainOptions::epochs`] still made the answers better, so that more of them may help.
    pub is_improving: bool,
    /// All epochs, also those before an interruption.
    pub epochs: Vec<EpochReport>,
}

/// An interrupted training that can be resumed.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UnfinishedTraining {
    /// Its options.
    pub options: TrainOptions,
    /// The epoch of its graph.
    pub graph: Epoch,
    /// True if it has pairs of the caller, which must be passed again.
    pub has_pairs: bool,
    /// Its complete epochs.
    pub epochs: Vec<EpochReport>,
}

/// The caller's input to a training.
struct TrainingInput<'a> {
    /// `None` resumes the interrupted training with its options.
    options: Option<&'a TrainOptions>,
    pairs: Option<&'a [(NodeName, NodeName)]>,
}

/// A training that [`Training::run`] starts, with optional pairs and an observer.
#[must_use]
pub struct Training<'a> {
    engine: &'a Engine,
    input: TrainingInput<'a>,
    threads: usize,
    observer: Option<&'a mut (dyn FnMut(&TrainEvent) + Send)>,
}

impl fmt::Display for TrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, embedded, seconds, cancelled, epochs, .. } = self;
        let cancelled = if *cancelled { ", cancelled" } else { "" };
        let epochs = epochs.len();
        write!(f, "generation {generation}: {epochs} epochs, {embedded} nodes, {seconds:.1} s{cancelled}")
    }
}

impl<'a> Training<'a> {
    /// Positives of the caller. Without them, [`TrainOptions::positives`] names their source.
    pub fn pairs(mut self, pairs: &'a [(NodeName, NodeName)]) -> Self {
        self.input.pairs = Some(pairs);
        self
    }

    /// The observer of epochs and alarms. The training waits for it.
    pub fn observer(mut self, observer: &'a mut (dyn FnMut(&TrainEvent) + Send)) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Trains a new generation, embeds every node of the target kinds and stores it all.
    ///
    /// # Visibility
    /// The new generation is durable and readers see all of it when the call returns; until then they see the old one. It reflects
    /// all batches committed before its publication, also those during the training. A cancellation publishes the model of the
    /// complete epochs, if there is one.
    ///
    /// After every epoch the state of the run is stored durably in a sidecar file, which replaces that of an earlier run. So
    /// [`Engine::resuming`] can continue after a cancellation, a kill or a power cut. A training that completes removes the file.
    /// # Errors
    /// Options out of range, a target kind without nodes, no inputs, dense features out of their range, no positives, no generation to
    /// start from or one of another shape ([`TrainOptions::warm`]): nothing changes. [`Error::Diverged`] if the loss stops being a
    /// number: the model of the complete epochs is published, if there is one, and the run is over. [`Error::NotFinite`] if a
    /// parameter or an embedding is not finite, and [`Error::Collapsed`] if nearly all embeddings are zeros or all are alike: nothing
    /// is published, and the run is over. When resuming: [`Error::NothingToResume`];
    /// [`Error::GraphChanged`]; [`Error::PairsChanged`]; damage in the sidecar file, which is then lost.
    /// # Determinism
    /// The same bytes for any number of threads, with and without an interruption.
    /// # Cost
    /// Storing the state writes four numbers for each trained parameter, five after an epoch that is not the best.
    /// # Source
    /// PinSage, section 3.
    pub fn run(self, cancel: &CancelToken) -> Result<TrainReport, Error> {
        let Self { engine, input, threads, observer } = self;
        let ignore_events = &mut |_: &TrainEvent| {};
        let observer = observer.unwrap_or(ignore_events);
        on_threads(threads, || engine.train(&input, observer, cancel))
    }
}

impl Engine {
    /// A training with these options; [`Training::run`] starts it.
    pub fn training<'a>(&'a self, options: &'a TrainOptions) -> Training<'a> {
        let input = TrainingInput { options: Some(options), pairs: None };
        Training { engine: self, input, threads: options.threads, observer: None }
    }

    /// The training that was interrupted last, from its last complete epoch on, with its options; [`Training::run`] starts it. With 0
    /// `threads` it takes the caller's rayon pool. Pairs of the interrupted training must be passed again.
    pub fn resuming(&self, threads: usize) -> Training<'_> {
        let input = TrainingInput { options: None, pairs: None };
        Training { engine: self, input, threads, observer: None }
    }

    /// The interrupted training that [`Engine::resuming`] would continue.
    ///
    /// # Errors
    /// Damage in its sidecar file. Cost: reads all of that file.
    pub fn unfinished_training(&self) -> Result<Option<UnfinishedTraining>, Error> {
        let checkpoint = Checkpoint::open(self.set())?;
        Ok(checkpoint.map(|Checkpoint { summary: Summary { origin, epochs, .. }, .. }| UnfinishedTraining {
            options: origin.options,
            graph: origin.graph,
            has_pairs: origin.pairs.is_some(),
            epochs,
        }))
    }

    /// An estimate of the memory and time of a training. It makes all walks and trains a few minibatches, and discards them.
    ///
    /// # Errors
    /// As for [`Training::run`], and a cancellation.
    /// # Cost
    /// The walks, a few minibatches, and one pass over all held-out positives.
    pub fn estimate(
        &self,
        options: &TrainOptions,
        pairs: Option<&[(NodeName, NodeName)]>,
        cancel: &CancelToken,
    ) -> Result<Estimate, Error> {
        on_threads(options.threads, || {
            let since = Instant::now();
            let snapshot = self.store.snapshot();
            let state = State::build_neighborhoods(checked_config(options, &snapshot)?, &snapshot, cancel)?;
            let walks = since.elapsed().as_secs_f64();
            let pairs = pairs.map(|pairs| rows_of_pairs(pairs, &state, &snapshot)).transpose()?;
            let inputs = Inputs::gather(&snapshot, &state.config, &state.nodes, &state.levels);
            let encoder = self.starting_encoder(options, &state.config, &inputs)?;
            let (pairs, trained) = (pairs.as_deref(), &encoder.table.trained);
            let run = TrainRun::new(options, &state, &snapshot, pairs, inputs, trained, cancel)?;
            Estimate::measure(&run, &state, encoder, walks, cancel)
        })
    }

    fn train(
        &self,
        input: &TrainingInput<'_>,
        observer: &mut (dyn FnMut(&TrainEvent) + Send),
        cancel: &CancelToken,
    ) -> Result<TrainReport, Error> {
        // The graph, the neighborhoods and the inputs.
        let since = Instant::now();
        if self.store.is_read_only() {
            return Err(StoreError::ReadOnly { path: self.store.path().to_path_buf() }.into());
        }
        let _exclusive = self.training.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.store.snapshot();
        let (origin, checkpoint) = self.origin(input, &snapshot)?;
        let options = &origin.options;
        let mut state = State::build_neighborhoods(checked_config(options, &snapshot)?, &snapshot, cancel)?;
        let pairs = input.pairs.map(|pairs| rows_of_pairs(pairs, &state, &snapshot)).transpose()?;
        let inputs = Inputs::gather(&snapshot, &state.config, &state.nodes, &state.levels);

        // The graph filter and the factors, then the epochs, from the start or from the checkpoint on. Edges that are held out of the
        // epochs are held out of the fit too: by their ranks the embeddings get a weight beside both.
        let progress = match checkpoint {
            Some(checkpoint) => checkpoint.progress(&state.config)?,
            None => Progress::new(self.starting_encoder(options, &state.config, &inputs)?),
        };
        let run = if options.epochs == 0 {
            drop(inputs);
            None
        } else {
            let (pairs, trained) = (pairs.as_deref(), &progress.encoder.table.trained);
            Some(TrainRun::new(options, &state, &snapshot, pairs, inputs, trained, cancel)?)
        };
        let mut fits = match &run {
            _ if !options.factors => Vec::new(),
            Some(run) => {
                let held_out = run.source.held_out_edges();
                fit_factors(&state.config, &snapshot, &held_out, options.seed, observer, cancel)?
            }
            None => fit_factors(&state.config, &snapshot, &[], options.seed, observer, cancel)?,
        };
        let trained = match &run {
            None => {
                let (epochs, kept, is_improving) = (Vec::new(), 0, false);
                Trained { encoder: progress.encoder, epochs, kept, is_improving, end: RunEnd::Done }
            }
            Some(run) => {
                observer(&run.started());
                if !progress.epochs.is_empty() {
                    observer(&TrainEvent::Resumed { epochs: progress.epochs.len() as u32 });
                }
                let keep = &mut |progress: &Progress| progress.save(self.set(), &origin);
                let score_quality = &mut |vectors: &HugeMatrix| score_quality(&fits, run, vectors);
                let trained = run.train(progress, score_quality, keep, observer, cancel)?;
                // A cancellation ends the epochs; what they gave is still published.
                weigh_embeddings(&mut fits, run, &trained.encoder, observer, &CancelToken::new())?;
                trained
            }
        };
        drop(run);
        state.config.graph = fits.iter().map(|fit| fit.factors.constants.clone()).collect();
        state.factors = ModelFactors::new(fits.into_iter().map(|fit| fit.factors).collect());
        let Trained { encoder, epochs, kept, is_improving, end } = trained;
        let curve = LearningCurve { epochs: epochs.iter().map(Into::into).collect(), kept };

        // The publication, if the model and its embeddings are sound. A cancellation from here on would only lose the
        // trained model, so it reports progress only.
        let progress_only = CancelToken::new().reporting_to(cancel);
        let published = sound_state(state, encoder, !epochs.is_empty(), &snapshot, &progress_only)
            .and_then(|state| self.publish_trained(state, &curve, &progress_only));
        let is_over = match &published {
            Ok(_) => end != RunEnd::Cancelled,
            Err(error) => matches!(error, Error::NotFinite { .. } | Error::Collapsed { .. }),
        };
        if is_over {
            // If this fails, the file does no harm: resuming from it would publish or refuse the same model again.
            let _ = checkpoint::discard(self.set());
        }
        let (generation, embedded) = published?;
        if let RunEnd::Diverged { epoch, step, best } = end {
            return Err(Error::Diverged { epoch, step, best: Some(best) });
        }
        let seconds = since.elapsed().as_secs_f64();
        let cancelled = end == RunEnd::Cancelled;
        Ok(TrainReport { generation, embedded, seconds, cancelled, is_improving, epochs })
    }

    /// The origin of a run and, if it is resumed, its checkpoint.
    fn origin(
        &self,
        input: &TrainingInput<'_>,
        snapshot: &Snapshot,
    ) -> Result<(Origin, Option<Checkpoint>), Error> {
        let pairs = input.pairs.map(checkpoint::digest_of_pairs);
        if let Some(options) = input.options {
            let origin = Origin { options: options.clone(), graph: snapshot.epoch(), pairs };
            return Ok((origin, None));
        }
        let checkpoint = Checkpoint::open(self.set())?.ok_or(Error::NothingToResume)?;
        checkpoint.require(snapshot.epoch(), pairs.as_deref())?;
        Ok((checkpoint.summary.origin.clone(), Some(checkpoint)))
    }

    /// The encoder that a training starts from: new, or that of the last generation.
    fn starting_encoder(
        &self,
        options: &TrainOptions,
        config: &ModelConfig,
        inputs: &Inputs,
    ) -> Result<Encoder, Error> {
        if !options.warm {
            return Ok(init::random(config, inputs, options.seed));
        }
        let working = self.working_state();
        let last = working.as_ref().map(|working| LastGeneration {
            generation: working.generation,
            config: &working.state.config,
            encoder: &working.state.encoder,
        });
        if let Some(last) = &last {
            last.encoder.table.rows.verify()?;
        }
        init::warm(config, inputs, options.seed, last)
    }

    /// Makes a trained state the next generation, after it has followed the batches of the meantime.
    pub(super) fn publish_trained(
        &self,
        state: State,
        curve: &LearningCurve,
        cancel: &CancelToken,
    ) -> Result<(Generation, u64), Error> {
        let mut working = self.working_state();
        let before = working.as_ref().map_or(0, |working| working.generation.get());
        let generation = Generation::new(before + 1);
        let mut new = WorkingState { generation, state, stored: None, consistency: Consistency::Exact };
        if !self.store.is_mapped() {
            new.state.make_reverse_lists();
        }
        // The caller still holds the snapshot of the training, so the log reaches back to it.
        let now = self.store.snapshot();
        self.advance_to(&mut new, &now, false, None, cancel)?;
        let embedded = new.state.alive_rows().count() as u64;
        let earlier = working.as_ref().map(|working| self.earlier_model(working)).transpose()?.flatten();
        let new_model = NewModel { curve, before: earlier };
        self.publish_to_store(&mut new, Some(&new_model), cancel)?;
        drop(new_model);
        // The old embeddings are freed after readers are let in again.
        let mut embeddings = ReaderCopy::Made(self.copy_for_readers(&new, &now)?);
        self.change_reader_copy(|readers| std::mem::swap(readers, &mut embeddings));
        self.set().mark_refreshed(now.epoch());
        *working = Some(new);
        Ok((generation, embedded))
    }
}

/// Fits constants and factors of each kind that has lists. `held_out` is edges that embeddings do not learn.
fn fit_factors(
    config: &ModelConfig,
    snapshot: &Snapshot,
    held_out: &[(NodeIx, NodeIx)],
    seed: u64,
    observer: &mut (dyn FnMut(&TrainEvent) + Send),
    cancel: &CancelToken,
) -> Result<Vec<Fit>, Error> {
    let mut fits = Vec::new();
    for policy in config.policies.iter().take(MAX_FACTORED) {
        let since = Instant::now();
        if let Some(mut fitted) = fit(snapshot, policy, held_out, seed, cancel)? {
            // Tokens say nothing about dense features, embeddings do.
            if config.dense.is_empty()
                && let Some((constants, gain)) = fit_cold(snapshot, policy, seed, cancel)?
            {
                fitted.factors.constants.cold = Some(constants);
                fitted.quality.cold = Some(gain);
            }
            if !fitted.factors.is_finite() {
                return Err(Error::NotFinite { found: format!("a factor of kind {}", policy.kind) });
            }
            let Fit { factors, quality, .. } = &fitted;
            let seconds = since.elapsed().as_secs_f64();
            observer(&TrainEvent::Fitted(FittedScore::new(&factors.constants, quality, seconds)));
            fits.push(fitted);
        }
    }
    Ok(fits)
}

/// Gives the embeddings a weight beside the other parts of each fitted score.
fn weigh_embeddings(
    fits: &mut [Fit],
    run: &TrainRun<'_>,
    encoder: &Encoder,
    observer: &mut (dyn FnMut(&TrainEvent) + Send),
    cancel: &CancelToken,
) -> Result<(), Error> {
    if fits.iter().all(|fit| fit.held_out.is_none()) {
        return Ok(());
    }
    let vectors = run.vectors_without_held_out(encoder, cancel)?;
    for Fit { factors, held_out, .. } in fits {
        let Some(held_out) = held_out else { continue };
        let vector = |node| run.vector_of(node, &vectors);
        let weighed = held_out.weigh_embeddings(&factors.constants.kind, run.options.dim, vector);
        factors.constants.embeddings = weighed.weight;
        observer(&TrainEvent::Weighed(weighed));
    }
    Ok(())
}

/// The quality of the whole score of all kinds with these embeddings. `None` if embeddings answer some questions alone, as they do for
/// kinds without a fit or with features; only their own recall then tells when they are good.
fn score_quality(fits: &[Fit], run: &TrainRun<'_>, vectors: &HugeMatrix) -> Option<RankingQuality> {
    let config = &run.state.config;
    if fits.len() < config.policies.len()
        || fits.iter().any(|fit| !config.has_identities(&fit.factors.constants.kind))
    {
        return None;
    }
    let vector = |node| run.vector_of(node, vectors);
    let quality = |fit: &Fit| fit.held_out.as_ref()?.quality_with_embeddings(run.options.dim, vector);
    let qualities = fits.iter().map(|fit| Some(vec![quality(fit)?])).collect::<Option<Vec<_>>>()?;
    RankingQuality::over_folds(qualities).pop()
}

/// The state that a model gives. Only a model that `was_trained` is checked for collapse: starting weights may have
/// any embeddings.
///
/// # Errors
/// [`Error::NotFinite`] with the parameter or the node; [`Error::Collapsed`].
fn sound_state(
    state: State,
    encoder: Encoder,
    was_trained: bool,
    snapshot: &Snapshot,
    cancel: &CancelToken,
) -> Result<State, Error> {
    check_finite(&state.config, &encoder)?;
    let state = state.embed_with(Arc::new(encoder), snapshot, cancel)?;
    if was_trained {
        state.check_collapse(Alarm::ZEROS)?;
    }
    Ok(state)
}

/// The configuration of a training whose inputs are checked, before any walk.
fn checked_config(options: &TrainOptions, snapshot: &Snapshot) -> Result<ModelConfig, Error> {
    let config = ModelConfig::new(options, snapshot)?;
    check_inputs(snapshot, &config)?;
    Ok(config)
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    match pool(threads)? {
        None => work(),
        Some(pool) => pool.install(work),
    }
}

/// A pool of this many threads; `None` for 0, which takes the caller's pool.
pub(crate) fn pool(threads: usize) -> Result<Option<ThreadPool>, Error> {
    if threads == 0 {
        return Ok(None);
    }
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map(Some).map_err(|error| Error::Threads { threads, reason: error.to_string() })
}

/// The rows of the caller's pairs.
fn rows_of_pairs(
    pairs: &[(NodeName, NodeName)],
    state: &State,
    snapshot: &Snapshot,
) -> Result<Vec<(u32, u32)>, Error> {
    let row = |name: &NodeName| {
        let node = snapshot.require(name.as_ref())?;
        state.row(node).ok_or_else(|| Error::NotEmbedded {
            node: name.to_string(),
            reason: format!("its kind is not one of the targets {}", state.config.target_list()),
        })
    };
    pairs.iter().map(|(query, item)| Ok((row(query)?, row(item)?))).collect()
}
