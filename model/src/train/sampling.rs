//! The minibatches of an epoch: examples and negatives are drawn, and their part of the graph is cut out.

use std::borrow::Cow;
use std::time::Instant;

use hedgerow_storage::CancelToken;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::config::error::Error;
use crate::linalg::sparse::Sparse;
use crate::network::hash_embedding::TrainedRows;
use crate::network::minibatch::Minibatch;
use crate::train::positives::EpochPortion;
use crate::train::run::TrainRun;

impl TrainRun<'_> {
    /// The importances from which the examples of a portion are learned.
    pub(super) fn importances_for(
        &self,
        portion: &EpochPortion,
        cancel: &CancelToken,
    ) -> Result<Cow<'_, Sparse>, Error> {
        match self.source.excluded_nodes(portion) {
            None => Ok(Cow::Borrowed(&self.pool)),
            Some(excluded) => {
                // The walks are part of the epoch, whose progress is counted in examples.
                let unobserved = cancel.reporting_to(&CancelToken::new());
                Ok(Cow::Owned(self.state.importances_excluding(self.snapshot, &excluded, &unobserved)?))
            }
        }
    }

    /// Minibatch number `step` of an epoch. `None` if the portion has no example.
    ///
    /// Determinism: a function of the seed, the epoch and the step.
    pub(crate) fn minibatch(
        &self,
        epoch: u32,
        portion: &EpochPortion,
        step: usize,
        pool: &Sparse,
        trained: &TrainedRows,
    ) -> Option<TimedMinibatch> {
        let start = Instant::now();
        let number = u64::from(epoch) << 32 | step as u64;
        let mut rng = StdRng::seed_from_u64(self.options.seed.wrapping_mul(0x9e37_79b9) ^ number);
        let size = self.options.batch.min(self.examples - (step * self.options.batch).min(self.examples));
        let mut examples = Vec::with_capacity(size);
        for _ in 0..size {
            let mut example = self.source.draw(portion, &mut rng)?;
            let hard = self.options.hard_negatives.min(epoch - 1);
            example.hard_negatives = self.hard_negatives.draw(&example, hard, &mut rng);
            examples.push(example);
        }
        let negatives = self.negatives.draw(self.options.negatives, &mut rng);
        let sampling = start.elapsed().as_secs_f64();
        let layers = self.options.layers;
        let batch = Minibatch::build(&self.inputs, pool, trained, layers, &examples, &negatives, &mut rng);
        Some(TimedMinibatch { batch, sampling, gathering: start.elapsed().as_secs_f64() - sampling })
    }
}

/// A minibatch, and the seconds for drawing it and for cutting it out of the graph.
pub(crate) struct TimedMinibatch {
    pub(crate) batch: Minibatch,
    pub(super) sampling: f64,
    pub(super) gathering: f64,
}
