//! Training: examples into minibatches in one thread, gradients into weights in the others, and after every
//! epoch a look at what was learned.

use std::sync::Arc;
use std::time::Instant;

use crossbeam::channel;
use hedgerow_storage::{CancelToken, Snapshot};
use ndarray::Array2;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::adam::Adam;
use crate::encoder::Encoder;
use crate::error::Error;
use crate::evaluate::held_out_recall;
use crate::hard::HardNegatives;
use crate::inputs::Inputs;
use crate::loss;
use crate::minibatch::{Example, Minibatch};
use crate::options::TrainOptions;
use crate::positives::Source;
use crate::recipe::Recipe;
use crate::rows::dot;
use crate::sparse::Sparse;
use crate::state::State;
use crate::table::{Known, TokenTable};
use crate::weights::Weights;

/// How often a positive is drawn in an epoch at most: each time with others of its history.
const DRAWS_PER_POSITIVE: usize = 4;
/// Minibatches that may wait for the consumer: enough to overlap, little to hold in memory.
const WAITING: usize = 2;
/// Pairs of nodes whose mean cosine is the collapse alarm.
const COSINE_PAIRS: usize = 2000;
/// Starting values of the token table lie within this: small, so that what was trained outweighs the luck of the
/// start. Measured on pinterest-related after equal training: hr@100 .448 with 0.01, .423 with 0.1.
const TABLE_SCALE: f32 = 0.01;
/// Starting weight of the log-degree in a score.
const POPULARITY: f32 = 0.08;

/// What an epoch came to.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochReport {
    /// From 1.
    pub epoch: u32,
    /// Mean loss of its examples.
    pub loss: f32,
    /// Share of held-out positives among the 20 best for their query, all embedded nodes ranked; `None` if
    /// nothing was held out.
    pub recall: Option<f32>,
    /// Examples per second of training.
    pub pairs_per_second: f64,
    /// Mean cosine of random pairs of embeddings. Near 1 the embeddings have collapsed.
    pub mean_cosine: f32,
    /// The epoch's time.
    pub seconds: f64,
}

/// A word from a running training.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TrainEvent {
    /// Neighbourhoods are made and training begins.
    Started {
        /// Nodes to embed.
        nodes: u64,
        /// Positives that epochs draw from.
        positives: u64,
        /// Examples of an epoch.
        examples: u64,
    },
    /// A part of an epoch is done.
    Progress {
        /// The epoch, from 1.
        epoch: u32,
        /// Examples seen.
        done: u64,
        /// Examples of the epoch.
        total: u64,
    },
    /// An epoch is done.
    Epoch(EpochReport),
}

/// What [`train`] gives back.
pub(crate) struct Trained {
    pub(crate) encoder: Encoder,
    pub(crate) epochs: Vec<EpochReport>,
    pub(crate) cancelled: bool,
}

/// Trains an encoder for the nodes of `state`, whose neighbourhoods must be made.
///
/// Keeps the weights of the last epoch whose held-out recall is within one standard error of the best: more
/// training is worth more than the luck of the draw. A cancellation ends training with the last whole epoch.
///
/// Determinism: the random numbers of a minibatch depend on the seed and its number alone, and every sum has a
/// fixed order, so that equal data, options and processor kind give equal weights for any number of threads.
///
/// # Errors
/// [`Error::NoPositives`], [`Error::Diverged`], or a cancellation within the first epoch.
pub(crate) fn train(
    options: &TrainOptions,
    state: &State,
    snapshot: &Snapshot,
    pairs: Option<&[(u32, u32)]>,
    observer: &mut dyn FnMut(&TrainEvent),
    cancel: &CancelToken,
) -> Result<Trained, Error> {
    let inputs = Inputs::gather(snapshot, &state.recipe, &state.nodes, &state.levels);
    let encoder = starting_encoder(&state.recipe, &inputs, options.seed);
    if options.epochs == 0 {
        return Ok(Trained { encoder, epochs: Vec::new(), cancelled: false });
    }
    let every_row: Vec<u32> = (0..state.rows() as u32).collect();
    let source = Source::new(options, snapshot, state, pairs)?;
    let hard = HardNegatives::new(options, snapshot, state, cancel)?;
    let run = Run {
        options,
        pool: state.pool(&every_row),
        held_out: source.held_out(),
        by_id: by_stable_id(snapshot, state),
        examples: options.pairs_per_epoch.min(source.len().saturating_mul(DRAWS_PER_POSITIVE)),
        inputs,
        source,
        hard,
    };
    observer(&TrainEvent::Started {
        nodes: state.rows() as u64,
        positives: run.source.len() as u64,
        examples: run.examples as u64,
    });
    run.train(encoder, observer, cancel)
}

fn starting_encoder(recipe: &Recipe, inputs: &Inputs, seed: u64) -> Encoder {
    let mut tokens: Vec<u64> = inputs.tokens.iter().flatten().copied().collect();
    tokens.sort_unstable();
    tokens.dedup();
    let table = TokenTable::new(&tokens, recipe.dim, seed, TABLE_SCALE);
    let mut weights = Weights::zeros(recipe.conv, recipe.layers, recipe.dim, recipe.dense_width());
    let mut rng = StdRng::seed_from_u64(seed);
    weights.initialize(|| rng.random_range(-1.0..1.0));
    weights.popularity[0] = if recipe.popularity { POPULARITY } else { 0.0 };
    Encoder { table, weights }
}

/// Rows by the stable ids of their nodes, so that drawing the n-th means the same node in every store.
fn by_stable_id(snapshot: &Snapshot, state: &State) -> Vec<u32> {
    let mut rows: Vec<u32> = state.living().collect();
    rows.sort_by_key(|&row| snapshot.stable_id(state.nodes[row as usize]));
    rows
}

struct Run<'a> {
    options: &'a TrainOptions,
    source: Source<'a>,
    hard: HardNegatives,
    inputs: Inputs,
    pool: Sparse,
    held_out: Vec<Example>,
    by_id: Vec<u32>,
    examples: usize,
}

impl Run<'_> {
    fn train(
        &self,
        mut encoder: Encoder,
        observer: &mut dyn FnMut(&TrainEvent),
        cancel: &CancelToken,
    ) -> Result<Trained, Error> {
        let mut adam = Adam::new(&mut encoder);
        let mut kept: Option<Encoder> = None;
        let mut best_recall = 0.0f32;
        let (mut epochs, mut worse, mut cancelled) = (Vec::new(), 0, false);
        for epoch in 1..=self.options.epochs {
            let start = Instant::now();
            let loss = match self.epoch(epoch, &mut encoder, &mut adam, observer, cancel) {
                Err(error) if error.is_cancelled() && kept.is_some() => {
                    cancelled = true;
                    break;
                }
                other => other?,
            };
            let trained = start.elapsed().as_secs_f64();
            if !loss.is_finite() {
                return Err(Error::Diverged { epoch });
            }
            let vectors = self.embed_all(&encoder);
            let report = EpochReport {
                epoch,
                loss,
                recall: (!self.held_out.is_empty())
                    .then(|| held_out_recall(&vectors.0, &vectors.1, &self.held_out)),
                pairs_per_second: self.examples as f64 / trained,
                mean_cosine: self.mean_cosine(&vectors.0),
                seconds: start.elapsed().as_secs_f64(),
            };
            observer(&TrainEvent::Epoch(report.clone()));
            // Without held-out positives every epoch is as good as the last.
            let recall = report.recall.unwrap_or(0.0);
            epochs.push(report);
            best_recall = best_recall.max(recall);
            if recall >= best_recall - self.standard_error(best_recall) {
                kept = Some(encoder.clone());
                worse = 0;
            } else {
                worse += 1;
                if self.options.patience > 0 && worse >= self.options.patience {
                    break;
                }
            }
        }
        let encoder = kept.unwrap_or(encoder);
        Ok(Trained { encoder, epochs, cancelled })
    }

    /// Of a share among the held-out positives.
    fn standard_error(&self, recall: f32) -> f32 {
        (recall * (1.0 - recall) / self.held_out.len().max(1) as f32).sqrt()
    }

    /// One pass: a producer cuts minibatches out of the graph, this thread turns them into steps.
    fn epoch(
        &self,
        epoch: u32,
        encoder: &mut Encoder,
        adam: &mut Adam,
        observer: &mut dyn FnMut(&TrainEvent),
        cancel: &CancelToken,
    ) -> Result<f32, Error> {
        let steps = self.examples.div_ceil(self.options.batch);
        let (sender, receiver) = channel::bounded::<Minibatch>(WAITING);
        // Which rows of the table are trained is settled before the first step; the producer reads nothing else.
        let known = Arc::clone(&encoder.table.known);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let sender = sender;
                for step in 0..steps {
                    let Some(batch) = self.minibatch(epoch, step, &known) else { break };
                    if cancel.is_cancelled() || sender.send(batch).is_err() {
                        break;
                    }
                }
            });
            let (mut total, mut seen) = (0.0, 0);
            for (step, batch) in receiver.iter().enumerate() {
                cancel.check()?;
                let trace = encoder.forward(&batch);
                let mut found = loss::step(self.options, &batch, &trace.vectors, &trace.bias);
                if !self.options.popularity {
                    found.bias.fill(0.0);
                }
                let gradient = encoder.backward(&batch, &trace, found.vectors, &found.bias);
                let examples = batch.positives.len();
                adam.step(encoder, gradient, self.learning_rate(epoch, (step + 1) as f32 / steps as f32));
                total += f64::from(found.loss) * examples as f64;
                seen += examples;
                observer(&TrainEvent::Progress { epoch, done: seen as u64, total: self.examples as u64 });
            }
            cancel.check()?;
            Ok((total / seen.max(1) as f64) as f32)
        })
    }

    fn minibatch(&self, epoch: u32, step: usize, known: &Known) -> Option<Minibatch> {
        let number = u64::from(epoch) << 32 | step as u64;
        let mut rng = StdRng::seed_from_u64(self.options.seed.wrapping_mul(0x9e37_79b9) ^ number);
        let size = self.options.batch.min(self.examples - (step * self.options.batch).min(self.examples));
        let mut examples = Vec::with_capacity(size);
        for _ in 0..size {
            let mut example = self.source.draw(&mut rng)?;
            let hard = self.options.hard_negatives.min(epoch - 1);
            example.hard = self.hard.draw(&example.query, hard, &mut rng);
            examples.push(example);
        }
        let negatives: Vec<u32> =
            (0..self.options.negatives).map(|_| self.by_id[rng.random_range(0..self.by_id.len())]).collect();
        Some(Minibatch::build(&self.inputs, &self.pool, known, self.options.layers, &examples, &negatives))
    }

    /// Linear to the full rate over the first epoch, then multiplied by the decay after each (section 3.3).
    fn learning_rate(&self, epoch: u32, share: f32) -> f32 {
        let rate = self.options.learning_rate;
        if epoch == 1 { rate * share } else { rate * self.options.decay.powf((epoch - 2) as f32 + share) }
    }

    fn embed_all(&self, encoder: &Encoder) -> (Array2<f32>, Vec<f32>) {
        let known = &encoder.table.known;
        let mut tokens = known.sums();
        for of_node in &self.inputs.tokens {
            known.push_tokens(of_node, &mut tokens);
        }
        let mut h = encoder.input(&tokens, &self.inputs.dense.view());
        for layer in &encoder.weights.layers {
            let z = layer.message(&h.view());
            let n = self.pool.multiply(&z.as_ref().unwrap_or(&h).view());
            h = layer.update(&h.view(), n).0;
        }
        (encoder.output(&h.view()).0, encoder.bias(&tokens, &self.inputs.log_degrees).to_vec())
    }

    fn mean_cosine(&self, vectors: &Array2<f32>) -> f32 {
        let mut rng = StdRng::seed_from_u64(self.options.seed);
        let mut random = || {
            let row = self.by_id[rng.random_range(0..self.by_id.len())];
            vectors.row(row as usize)
        };
        let cosine = |_| {
            let (a, b) = (random(), random());
            dot(a.to_slice().expect("contiguous"), b.to_slice().expect("contiguous"))
        };
        (0..COSINE_PAIRS).map(cosine).sum::<f32>() / COSINE_PAIRS as f32
    }
}
