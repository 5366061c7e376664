//! Training: examples into minibatches in one thread, gradients into weights in the others, and after every
//! epoch a look at what was learned.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel as channel;
use hedgerow_storage::{CancelToken, Error as StoreError, Snapshot};

use crate::config::error::Error;
use crate::config::options::TrainOptions;
use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::sparse::Sparse;
use crate::network::encoder::Encoder;
use crate::network::inputs::Inputs;
use crate::network::minibatch::Example;
use crate::network::parameter_vector::ParameterVector;
use crate::state::state::State;
use crate::train::adam::Adam;
use crate::train::checkpoint::Progress;
use crate::train::event::{Alarm, EpochReport, EpochTimes, TrainEvent};
use crate::train::hard_negatives::HardNegatives;
use crate::train::loss;
use crate::train::negatives::NegativeSource;
use crate::train::positives::{EpochPortion, PositiveSource};
use crate::train::sampling::TimedMinibatch;

/// How often a positive is drawn in an epoch at most: each time with others of its history.
const DRAWS_PER_POSITIVE: usize = 4;
/// Examples of an epoch at most for each node, where nodes have learned vectors of their own: each is to be learned from about
/// as many. With 200,000 an epoch the 10 thousand items of pinterest were past their best after a fifth of the epochs that the 41
/// thousand of gowalla went on to profit from (hr@100 .467 after a million examples, .453 after 2.4 million, .445 after
/// 4 million). What tokens say is learned from all nodes that have them and goes on to profit: of the films of movielens a fourth
/// as many examples found no second sequel of Toy Story.
const EXAMPLES_PER_NODE: usize = 5;
/// Steps of an epoch that few nodes do not bring down.
const FEWEST_STEPS: usize = 25;
/// Minibatches that may wait for the consumer: enough to overlap, little to hold in memory.
pub(crate) const QUEUED: usize = 2;
/// What a run gives back.
pub(crate) struct Trained {
    pub(crate) encoder: Encoder,
    pub(crate) epochs: Vec<EpochReport>,
    /// The epoch that the encoder is of.
    pub(crate) kept: u32,
    pub(crate) end: RunEnd,
}

/// Why a run is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunEnd {
    /// All epochs are done, or recall fell for too long.
    Done,
    /// The caller cancelled; the best whole epoch is what it gave.
    Cancelled,
    /// The loss stopped being a number, in this epoch and step; the whole epoch named last is what it gave.
    Diverged { epoch: u32, step: u64, best: u32 },
}

/// Writes down the state after an epoch.
pub(crate) type SaveProgress<'a> = dyn FnMut(&Progress) -> Result<(), StoreError> + 'a;

/// Is told of the examples of every step; an error of its own ends the epoch.
pub(crate) type OnExamples<'a> = dyn FnMut(u64) -> Result<(), StoreError> + 'a;

/// All that epochs work with and none of them changes.
pub(crate) struct TrainRun<'a> {
    pub(crate) options: &'a TrainOptions,
    pub(crate) source: PositiveSource<'a>,
    pub(super) hard_negatives: HardNegatives,
    pub(crate) inputs: Inputs,
    pub(super) state: &'a State,
    pub(super) snapshot: &'a Snapshot,
    /// Importances in the whole graph.
    pub(crate) pool: Sparse,
    pub(super) held_out: Vec<Example>,
    pub(super) negatives: NegativeSource,
    /// Examples of an epoch.
    pub(crate) examples: usize,
}

impl<'a> TrainRun<'a> {
    /// For the nodes of `state`, whose neighbourhoods must be made.
    ///
    /// # Errors
    /// [`Error::NoPositives`], or a cancellation.
    pub(crate) fn new(
        options: &'a TrainOptions,
        state: &'a State,
        snapshot: &'a Snapshot,
        pairs: Option<&'a [(u32, u32)]>,
        inputs: Inputs,
        cancel: &CancelToken,
    ) -> Result<Self, Error> {
        let every_row: Vec<u32> = (0..state.rows() as u32).collect();
        let source = PositiveSource::new(options, snapshot, state, pairs)?;
        let hard_negatives = HardNegatives::new(options, snapshot, state, cancel)?;
        Ok(Self {
            options,
            state,
            snapshot,
            pool: state.importances(&every_row),
            held_out: source.held_out(),
            negatives: NegativeSource::new(options.negative_power, snapshot, state),
            examples: examples(options, state, source.len()),
            inputs,
            source,
            hard_negatives,
        })
    }

    /// What [`TrainEvent::Started`] says.
    pub(crate) fn started(&self) -> TrainEvent {
        TrainEvent::Started {
            nodes: self.pool.rows() as u64,
            positives: self.source.len() as u64,
            examples: self.examples as u64,
        }
    }

    /// Minibatches of an epoch.
    pub(crate) fn steps(&self) -> usize {
        self.examples.div_ceil(self.options.batch)
    }

    /// Goes on to the last epoch, and tells `save` after each what there is by then.
    ///
    /// Gives the weights of the last epoch whose held-out recall is within one standard error of the best: more
    /// training is worth more than the luck of the draw. A cancellation, or a loss that is not a number, ends training with
    /// the whole epochs before.
    ///
    /// Determinism: the random numbers of a minibatch depend on the seed and its number alone, and every sum has a
    /// fixed order, so that equal data, options and processor kind give equal weights for any number of threads, and
    /// whether a run was interrupted or not.
    ///
    /// # Errors
    /// [`Error::Diverged`] or a cancellation, where there is no whole epoch; a store that cannot be written to any more.
    pub(crate) fn train(
        &self,
        mut progress: Progress,
        save: &mut SaveProgress<'_>,
        observer: &mut dyn FnMut(&TrainEvent),
        cancel: &CancelToken,
    ) -> Result<Trained, Error> {
        let mut end = RunEnd::Done;
        while !self.is_at_end(&progress) {
            let result = self.next_epoch(&mut progress, observer, cancel);
            if let (Err(error), Some((best, _))) = (&result, &progress.best) {
                match *error {
                    Error::Diverged { epoch, step, .. } => {
                        end = RunEnd::Diverged { epoch, step, best: *best }
                    }
                    Error::Store(StoreError::Cancelled) => end = RunEnd::Cancelled,
                    _ => {}
                }
            }
            if end != RunEnd::Done {
                break;
            }
            result?;
            let epoch = progress.epochs.len() as u32;
            let alarm = |alarm| TrainEvent::Alarm { epoch, alarm };
            for loss_step in Alarm::of(&progress.epochs) {
                observer(&alarm(loss_step));
            }
            match save(&progress) {
                // Nothing could be published either.
                Err(error @ StoreError::Broken { .. }) => return Err(error.into()),
                Err(error) => observer(&alarm(Alarm::NotKept { reason: error.to_string() })),
                Ok(()) => {}
            }
        }
        let Progress { mut encoder, best, epochs, .. } = progress;
        let kept = best.as_ref().map_or(0, |(epoch, _)| *epoch);
        if let Some((epoch, packed)) = best
            && (end != RunEnd::Done || epoch as usize != epochs.len())
        {
            assert!(ParameterVector::unpack(&packed.0, &mut encoder), "it was packed from this encoder");
        }
        Ok(Trained { encoder, epochs, kept, end })
    }

    fn is_at_end(&self, progress: &Progress) -> bool {
        let stops = self.options.patience > 0 && progress.worse >= self.options.patience;
        stops || progress.epochs.len() >= self.options.epochs as usize
    }

    /// An epoch and the look at what it gave. After an error the encoder is in the midst of it.
    fn next_epoch(
        &self,
        progress: &mut Progress,
        observer: &mut dyn FnMut(&TrainEvent),
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        let start = Instant::now();
        let epoch = progress.epochs.len() as u32 + 1;
        let Progress { encoder, adam, .. } = progress;
        let stage = cancel.stage("epoch", self.examples as u64);
        let on_examples = &mut |examples| stage.advance(examples);
        let (loss, spent, pool) = self.pass(epoch, self.steps(), encoder, adam, on_examples, cancel)?;
        stage.end();
        let trained = start.elapsed().as_secs_f64();
        let (vectors, recall) = self.validate(encoder, &pool);
        if !vectors.values().iter().all(|value| value.is_finite()) {
            return Err(Error::Diverged { epoch, step: self.steps() as u64, best: None });
        }
        let report = EpochReport {
            epoch,
            loss,
            recall,
            pairs_per_second: self.examples as f64 / trained,
            mean_cosine: self.mean_cosine(&vectors),
            seconds: start.elapsed().as_secs_f64(),
        };
        observer(&TrainEvent::EpochTimes(spent));
        observer(&TrainEvent::Epoch(report.clone()));
        progress.epochs.push(report);
        // Without held-out positives every epoch is as good as the last.
        let recall = recall.unwrap_or(0.0);
        progress.best_recall = progress.best_recall.max(recall);
        if recall >= progress.best_recall - self.standard_error(progress.best_recall) {
            // The one before makes room first.
            progress.best = None;
            progress.best = Some((epoch, ParameterVector::of(&progress.encoder)));
            progress.worse = 0;
        } else {
            progress.worse += 1;
        }
        Ok(())
    }

    /// The first `steps` of an epoch, portion after portion, each of which `on_examples` is told of. Gives the mean loss, where the time
    /// went, and the importances that the last portion saw.
    pub(crate) fn pass(
        &self,
        epoch: u32,
        steps: usize,
        encoder: &mut Encoder,
        adam: &mut Adam,
        on_examples: &mut OnExamples<'_>,
        cancel: &CancelToken,
    ) -> Result<(f32, EpochTimes, Cow<'_, Sparse>), Error> {
        let portions = self.source.portions();
        let (buffers, spent) = (BufferPool::default(), EpochTimes::default());
        let mut state_of_epoch = EpochState { epoch, encoder, adam, buffers, loss: 0.0, examples: 0, spent };
        let (mut from, mut share, mut pool) = (0, 0.0, Cow::Borrowed(&self.pool));
        for (at, portion) in portions.iter().enumerate() {
            share += portion.share;
            let end = if at + 1 == portions.len() { 1.0 } else { share };
            let to = ((self.steps() as f64 * end).round() as usize).min(steps);
            // The last one's importances are asked for even if it is too small for a step.
            if from < to || at + 1 == portions.len() {
                let start = Instant::now();
                pool = self.importances_for(portion, cancel)?;
                state_of_epoch.spent.sampling += start.elapsed().as_secs_f64();
                self.learn(&mut state_of_epoch, portion, from..to, &pool, on_examples, cancel)?;
            }
            from = to;
        }
        let EpochState { loss, examples, spent, .. } = state_of_epoch;
        Ok(((loss / examples.max(1) as f64) as f32, spent, pool))
    }

    /// Some steps of an epoch: a producer cuts minibatches out of the graph, this thread turns them into steps.
    fn learn(
        &self,
        state_of_epoch: &mut EpochState<'_>,
        portion: &EpochPortion,
        steps: Range<usize>,
        pool: &Sparse,
        on_examples: &mut OnExamples<'_>,
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        let epoch = state_of_epoch.epoch;
        let (sender, receiver) = channel::bounded::<TimedMinibatch>(QUEUED);
        // Which rows of the table are trained is settled before the first step; the producer reads nothing else.
        let trained = Arc::clone(&state_of_epoch.encoder.table.trained);
        std::thread::scope(|scope| {
            let numbers = steps.clone();
            scope.spawn(|| {
                let sender = sender;
                for step in numbers {
                    let Some(batch) = self.minibatch(epoch, portion, step, pool, &trained) else { break };
                    if cancel.is_cancelled() || sender.send(batch).is_err() {
                        break;
                    }
                }
            });
            // Dropped with an early return, so that the producer does not wait for room that nobody makes.
            let receiver = receiver;
            for (step, minibatch) in steps.zip(receiver.iter()) {
                cancel.check()?;
                self.step(state_of_epoch, step, &minibatch)?;
                on_examples(minibatch.batch.positives.len() as u64)?;
            }
            cancel.check()?;
            Ok(())
        })
    }

    /// One step down the gradient of a minibatch.
    fn step(
        &self,
        state_of_epoch: &mut EpochState<'_>,
        step: usize,
        minibatch: &TimedMinibatch,
    ) -> Result<(), Error> {
        let (start, TimedMinibatch { batch, sampling, gathering }) = (Instant::now(), minibatch);
        let EpochState { epoch, encoder, adam, buffers, loss, examples, spent } = state_of_epoch;
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
        spent.sampling += sampling;
        spent.gathering += gathering;
        spent.products += computed;
        spent.update += start.elapsed().as_secs_f64() - computed;
        *loss += f64::from(loss_step.loss) * batch.positives.len() as f64;
        *examples += batch.positives.len();
        Ok(())
    }
}

/// How many examples an epoch has.
fn examples(options: &TrainOptions, state: &State, positives: usize) -> usize {
    let few_nodes = if state.recipe.identities.is_empty() {
        usize::MAX
    } else {
        (state.rows() * EXAMPLES_PER_NODE).max(options.batch.saturating_mul(FEWEST_STEPS))
    };
    options.pairs_per_epoch.min(positives.saturating_mul(DRAWS_PER_POSITIVE)).min(few_nodes)
}

/// What an epoch changes, and what its examples came to so far.
struct EpochState<'a> {
    epoch: u32,
    encoder: &'a mut Encoder,
    adam: &'a mut Adam,
    buffers: BufferPool,
    /// The sum of the examples' losses.
    loss: f64,
    examples: usize,
    spent: EpochTimes,
}
