//! The training loop. One thread makes minibatches while the others compute steps, and every epoch ends with a
//! validation. Knows nothing of how a generation is published.

use std::ops::Range;
use std::sync::OnceLock;
use std::time::Instant;

use crossbeam_channel as channel;
use hedgerow_storage::{CancelToken, Error as StoreError, Snapshot};

use crate::config::error::Error;
use crate::config::options::TrainOptions;
use crate::factors::held_out_ranking::RankingQuality;
use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::huge_matrix::HugeMatrix;
use crate::linalg::rows::is_finite;
use crate::linalg::sparse::Sparse;
use crate::network::encoder::Encoder;
use crate::network::hash_embedding::TrainedRows;
use crate::network::importances::Importances;
use crate::network::inputs::Inputs;
use crate::network::minibatch::{Example, MinibatchMemory};
use crate::network::parameter_vector::ParameterVector;
use crate::network::parameters::check_finite;
use crate::state::layer_rows::State;
use crate::train::adam::Adam;
use crate::train::checkpoint::Progress;
use crate::train::event::{Alarm, EpochReport, EpochTimes, TrainEvent};
use crate::train::hard_negatives::HardNegatives;
use crate::train::loss;
use crate::train::negatives::NegativeSource;
use crate::train::positives::{EpochPortion, PositiveSource};
use crate::train::sampling::TimedMinibatch;

/// Draws per positive in an epoch, at most. Each has another part of its history as the query.
const DRAWS_PER_POSITIVE: usize = 4;
/// Examples per node in an epoch, at most, if nodes have identity embeddings. With 200,000 examples an epoch the 10
/// thousand items of pinterest were past their best after a fifth of the epochs that helped the 41 thousand of
/// gowalla (hr@100 .467 after a million examples, .453 after 2.4 million, .445 after 4 million). Without identity
/// embeddings there is no such limit: tokens are learned from all nodes that have them. With a fourth of the
/// examples, the films of movielens found no second sequel of Toy Story.
const EXAMPLES_PER_NODE: usize = 5;
/// Steps of an epoch that [`EXAMPLES_PER_NODE`] always leaves.
const FEWEST_STEPS: usize = 25;
/// Minibatches in the queue, at most: enough to overlap production and use, with little memory.
pub(crate) const QUEUED: usize = 2;

/// The result of a run.
pub(crate) struct Trained {
    pub(crate) encoder: Encoder,
    pub(crate) epochs: Vec<EpochReport>,
    /// The epoch whose weights the encoder has.
    pub(crate) kept: u32,
    /// True if the last epoch that was allowed still made progress.
    pub(crate) is_improving: bool,
    pub(crate) end: RunEnd,
}

/// The reason for the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunEnd {
    /// All epochs are done, or recall was worse for too many epochs.
    Done,
    /// The caller cancelled. The result is that of the complete epochs.
    Cancelled,
    /// The loss was not finite in this step. The result is that of the complete epoch `best`.
    Diverged { epoch: u32, step: u64, best: u32 },
}

/// Writes a checkpoint after an epoch.
pub(crate) type SaveProgress<'a> = dyn FnMut(&Progress) -> Result<(), StoreError> + 'a;

/// Gets the vectors of an epoch, and measures the whole score with them. `None` if epochs are compared by the recall of embeddings.
pub(crate) type ScoreQuality<'a> = dyn FnMut(&HugeMatrix) -> Option<RankingQuality> + 'a;

/// Gets the number of examples of each step. An error ends the epoch.
pub(crate) type OnExamples<'a> = dyn FnMut(u64) -> Result<(), StoreError> + 'a;

/// The constant parts of a run.
pub(crate) struct TrainRun<'a> {
    pub(crate) options: &'a TrainOptions,
    pub(crate) source: PositiveSource<'a>,
    pub(super) hard_negatives: HardNegatives,
    /// The inputs, whose tokens are empty: their sums are in `token_sums`.
    pub(crate) inputs: Inputs,
    /// The token sums of all rows. Shape: (rows, T).
    pub(crate) token_sums: Sparse,
    pub(crate) state: &'a State,
    pub(super) snapshot: &'a Snapshot,
    /// Importances of all rows in the whole graph.
    pub(crate) importances: Sparse,
    /// By fold, the shares of these that walks leave which avoid its lists. Found at first use.
    pub(super) fold_shares: Vec<OnceLock<Vec<u8>>>,
    pub(super) held_out: Vec<Example>,
    pub(super) negatives: NegativeSource,
    /// Examples per epoch.
    pub(crate) examples: usize,
}

impl<'a> TrainRun<'a> {
    /// A run for the nodes of `state`, whose neighborhoods must be complete, with a table of these trained rows.
    ///
    /// # Errors
    /// [`Error::NoPositives`], or a cancellation.
    pub(crate) fn new(
        options: &'a TrainOptions,
        state: &'a State,
        snapshot: &'a Snapshot,
        pairs: Option<&'a [(u32, u32)]>,
        mut inputs: Inputs,
        trained: &TrainedRows,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let token_sums = trained.sums_of(&std::mem::take(&mut inputs.tokens));
        let every_row: Vec<u32> = (0..state.rows() as u32).collect();
        let source = PositiveSource::new(options, snapshot, state, pairs)?;
        let hard_negatives = HardNegatives::new(options, snapshot, state, cancel)?;
        Ok(Self {
            options,
            state,
            snapshot,
            importances: state.importances(&every_row),
            fold_shares: (0..source.folds()).map(|_| OnceLock::new()).collect(),
            held_out: source.held_out(),
            negatives: NegativeSource::new(options.negative_power, snapshot, state),
            examples: examples(options, state, source.len()),
            inputs,
            token_sums,
            source,
            hard_negatives,
        })
    }

    /// The event [`TrainEvent::Started`].
    pub(crate) fn started(&self) -> TrainEvent {
        TrainEvent::Started {
            nodes: self.importances.rows() as u64,
            positives: self.source.len() as u64,
            examples: self.examples as u64,
        }
    }

    /// The number of minibatches in an epoch.
    pub(crate) fn steps(&self) -> usize {
        self.examples.div_ceil(self.options.batch)
    }

    /// Trains to the last epoch. Calls `save` after each.
    ///
    /// The result has the weights of the last epoch that is within one standard error of the best, by `score_quality` or else by the
    /// held-out recall. A longer training is preferred to random differences. A cancellation, or a loss that is not finite, ends the
    /// training with the result of the complete epochs.
    ///
    /// Determinism: the random numbers of a minibatch depend only on the seed and its number, and every sum has a
    /// fixed order. So equal data, options and processor kind give equal weights, for any number of threads, with or
    /// without interruptions.
    ///
    /// # Errors
    /// [`Error::Diverged`] or a cancellation, if no epoch is complete. An error of a store that can no longer be
    /// written.
    pub(crate) fn train(
        &self,
        mut progress: Progress,
        score_quality: &mut ScoreQuality<'_>,
        save: &mut SaveProgress<'_>,
        observer: &mut dyn FnMut(&TrainEvent),
        cancel: &CancelToken,
    ) -> Result<Trained, Error> {
        let mut end = RunEnd::Done;
        while !self.is_at_end(&progress) {
            let result = self.next_epoch(&mut progress, score_quality, observer, cancel);
            if let (Err(error), Some((best, _))) = (&result, &progress.best) {
                match *error {
                    Error::Diverged { epoch, step, .. } => {
                        end = RunEnd::Diverged { epoch, step, best: *best }
                    }
                    Error::Store(StoreError::Cancelled | StoreError::DeadlinePassed) => {
                        end = RunEnd::Cancelled;
                    }
                    _ => {}
                }
            }
            if end != RunEnd::Done {
                break;
            }
            let zeros = result?;
            let epoch = progress.epochs.len() as u32;
            let alarm = |alarm| TrainEvent::Alarm { epoch, alarm };
            if zeros > Alarm::ZEROS {
                observer(&alarm(Alarm::Zeros { share: zeros }));
            }
            for loss_step in Alarm::of(&progress.epochs) {
                observer(&alarm(loss_step));
            }
            match save(&progress) {
                // The result could not be published either.
                Err(error @ StoreError::Broken { .. }) => return Err(error.into()),
                Err(error) => observer(&alarm(Alarm::NotKept { reason: error.to_string() })),
                Ok(()) => {}
            }
        }
        let is_improving = self.is_improving(&progress);
        let Progress { mut encoder, best, epochs, .. } = progress;
        let kept_epoch = best.as_ref().map_or(0, |(epoch, _)| *epoch);
        if let Some((epoch, packed)) = best
            && (end != RunEnd::Done || epoch as usize != epochs.len())
        {
            assert!(ParameterVector::unpack(&packed.0, &mut encoder), "it was packed from this encoder");
        }
        Ok(Trained { encoder, epochs, kept: kept_epoch, is_improving, end })
    }

    fn is_at_end(&self, progress: &Progress) -> bool {
        let stops = self.options.patience > 0 && progress.worse >= self.options.patience;
        stops || progress.epochs.len() >= self.options.epochs as usize
    }

    /// Trains and validates an epoch. Returns the share of zeros among the embeddings of nodes with an input. After an
    /// error the encoder has part of the epoch's steps.
    fn next_epoch(
        &self,
        progress: &mut Progress,
        score_quality: &mut ScoreQuality<'_>,
        observer: &mut dyn FnMut(&TrainEvent),
        cancel: &CancelToken,
    ) -> Result<f32, Error> {
        let start = Instant::now();
        let epoch = progress.epochs.len() as u32 + 1;
        let Progress { encoder, adam, .. } = progress;
        // The walks that the first epoch makes have a progress of their own.
        for portion in self.source.portions() {
            self.importances_for(&portion, cancel)?;
        }
        let walked = start.elapsed().as_secs_f64();
        let stage = cancel.stage("epoch", self.examples as u64);
        let on_examples = &mut |examples| stage.advance(examples);
        let (loss, times, importances) =
            self.pass(epoch, self.steps(), encoder, adam, on_examples, cancel)?;
        stage.end();
        let trained = start.elapsed().as_secs_f64() - walked;
        let (vectors, recall) = self.validate(encoder, &importances.to_matrix());
        // A parameter that no held-out example reads is checked too: the kept epoch may be published.
        if !is_finite(vectors.values()) || check_finite(&self.state.config, &progress.encoder).is_err() {
            return Err(Error::Diverged { epoch, step: self.steps() as u64, best: None });
        }
        let score = score_quality(&vectors);
        let report = EpochReport {
            epoch,
            loss,
            recall,
            score_recall: score.as_ref().map(|score| score.recall as f32),
            pairs_per_second: self.examples as f64 / trained,
            mean_cosine: self.mean_cosine(&vectors),
            seconds: start.elapsed().as_secs_f64(),
        };
        observer(&TrainEvent::EpochTimes(times));
        observer(&TrainEvent::Epoch(report.clone()));
        progress.epochs.push(report);
        // Without held-out positives the last epoch is the best.
        let recall = recall.unwrap_or(0.0);
        progress.best_recall = progress.best_recall.max(recall);
        let (is_progress, is_kept) = if let Some(score) = score {
            let best = progress.best_score.take();
            let is_progress = best.as_ref().is_none_or(|best| score.is_better_than(best));
            let is_kept = best.as_ref().is_none_or(|best| !best.leads_by(&score, 1.0));
            progress.best_score = if is_progress { Some(score) } else { best };
            (is_progress, is_kept)
        } else {
            let is_kept = recall >= progress.best_recall - self.standard_error(progress.best_recall);
            (is_kept, is_kept)
        };
        if is_kept {
            // Frees the memory of the previous best first.
            progress.best = None;
            progress.best = Some((epoch, ParameterVector::of(&progress.encoder)));
        }
        progress.worse = if is_progress { 0 } else { progress.worse + 1 };
        Ok(self.share_of_zeros(&vectors))
    }

    /// True if all epochs are used up, and the last one still made progress: by more than chance beside the one before it, or by recall
    /// beside the last one that [`TrainOptions::patience`] would have waited for.
    fn is_improving(&self, progress: &Progress) -> bool {
        let Progress { epochs, best_score, worse, .. } = progress;
        let is_whole = epochs.len() > 1 && epochs.len() == self.options.epochs as usize;
        let recall = |at: usize| epochs.get(at).and_then(|epoch| epoch.recall);
        let by_recall = || {
            let before = recall(epochs.len().checked_sub(1 + self.options.patience.max(1) as usize)?)?;
            let last = recall(epochs.len() - 1)?;
            Some(last > before + self.standard_error(last))
        };
        is_whole && if best_score.is_some() { *worse == 0 } else { by_recall().unwrap_or(false) }
    }

    /// Trains the first `steps` steps of an epoch, portion by portion. Returns the mean loss, the times, and the
    /// importances of the last portion.
    pub(crate) fn pass(
        &self,
        epoch: u32,
        steps: usize,
        encoder: &mut Encoder,
        adam: &mut Adam,
        on_examples: &mut OnExamples<'_>,
        cancel: &CancelToken,
    ) -> Result<(f32, EpochTimes, Importances<'_>), Error> {
        let portions = self.source.portions();
        let (buffers, times) = (BufferPool::default(), EpochTimes::default());
        let mut epoch_state = EpochState { epoch, encoder, adam, buffers, loss: 0.0, examples: 0, times };
        let (mut from, mut share, mut importances) = (0, 0.0, Importances::of(&self.importances));
        for (at, portion) in portions.iter().enumerate() {
            share += portion.share;
            let end = if at + 1 == portions.len() { 1.0 } else { share };
            let to = ((self.steps() as f64 * end).round() as usize).min(steps);
            // The importances of the last portion are returned even if it has no step.
            if from < to || at + 1 == portions.len() {
                let start = Instant::now();
                importances = self.importances_for(portion, cancel)?;
                epoch_state.times.sampling += start.elapsed().as_secs_f64();
                self.learn(&mut epoch_state, portion, from..to, importances, on_examples, cancel)?;
            }
            from = to;
        }
        let EpochState { loss, examples, times, .. } = epoch_state;
        Ok(((loss / examples.max(1) as f64) as f32, times, importances))
    }

    /// Trains some steps of an epoch: a producer thread makes minibatches, and this thread takes steps.
    fn learn(
        &self,
        epoch_state: &mut EpochState<'_>,
        portion: &EpochPortion,
        steps: Range<usize>,
        importances: Importances<'_>,
        on_examples: &mut OnExamples<'_>,
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        let epoch = epoch_state.epoch;
        let (sender, receiver) = channel::bounded::<TimedMinibatch>(QUEUED);
        std::thread::scope(|scope| {
            let numbers = steps.clone();
            let produce = || {
                let sender = sender;
                let mut memory = MinibatchMemory::default();
                for step in numbers {
                    let batch = self.minibatch(epoch, portion, step, importances, &mut memory);
                    let Some(batch) = batch else { break };
                    if cancel.is_cancelled() || sender.send(batch).is_err() {
                        break;
                    }
                }
            };
            let producer = std::thread::Builder::new().spawn_scoped(scope, produce);
            producer.map_err(|error| Error::Threads { threads: 1, reason: error.to_string() })?;
            // An early return drops the receiver, so that the producer does not wait for it forever.
            let receiver = receiver;
            for (step, minibatch) in steps.zip(receiver.iter()) {
                cancel.check()?;
                self.step(epoch_state, step, &minibatch)?;
                on_examples(minibatch.batch.positives.len() as u64)?;
            }
            cancel.check()?;
            Ok(())
        })
    }

    /// Takes one step with a minibatch.
    fn step(
        &self,
        epoch_state: &mut EpochState<'_>,
        step: usize,
        minibatch: &TimedMinibatch,
    ) -> Result<(), Error> {
        let (start, TimedMinibatch { batch, sampling, gathering }) = (Instant::now(), minibatch);
        let EpochState { epoch, encoder, adam, buffers, loss, examples, times } = epoch_state;
        let trace = encoder.forward(batch, buffers);
        let mut loss_step = loss::step(self.options, batch, &trace.vectors, &trace.bias, buffers);
        if !self.options.popularity {
            loss_step.bias.fill(0.0);
        }
        if !loss_step.loss.is_finite() {
            return Err(Error::Diverged { epoch: *epoch, step: step as u64 + 1, best: None });
        }
        let mut gradient = encoder.backward(batch, trace, loss_step.vectors, &loss_step.bias, buffers);
        let computed = start.elapsed().as_secs_f64();
        let share = (step + 1) as f32 / self.steps() as f32;
        adam.step(encoder, &mut gradient, self.options.learning_rate_at(*epoch, share));
        buffers.recycle(gradient.table);
        times.sampling += sampling;
        times.gathering += gathering;
        times.products += computed;
        times.update += start.elapsed().as_secs_f64() - computed;
        *loss += f64::from(loss_step.loss) * batch.positives.len() as f64;
        *examples += batch.positives.len();
        Ok(())
    }
}

/// The number of examples per epoch.
fn examples(options: &TrainOptions, state: &State, positives: usize) -> usize {
    let few_nodes = if state.config.identities.is_empty() {
        usize::MAX
    } else {
        (state.rows() * EXAMPLES_PER_NODE).max(options.batch.saturating_mul(FEWEST_STEPS))
    };
    options.pairs_per_epoch.min(positives.saturating_mul(DRAWS_PER_POSITIVE)).min(few_nodes)
}

/// The parts of a run that an epoch changes, and sums over its examples so far.
struct EpochState<'a> {
    epoch: u32,
    encoder: &'a mut Encoder,
    adam: &'a mut Adam,
    buffers: BufferPool,
    /// The sum of the losses of examples.
    loss: f64,
    examples: usize,
    times: EpochTimes,
}
