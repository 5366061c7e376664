//! The minibatches of an epoch: examples and negatives are drawn, and their part of the graph is cut out.

use std::time::Instant;

use hedgerow_storage::CancelToken;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::config::error::Error;
use crate::network::importances::Importances;
use crate::network::minibatch::{Minibatch, MinibatchMemory, MinibatchSource};
use crate::train::negatives::NodeSet;
use crate::train::positives::EpochPortion;
use crate::train::run::TrainRun;

impl TrainRun<'_> {
    /// The importances from which the examples of a portion are learned. The first call for a fold makes all walks.
    ///
    /// # Errors
    /// A cancellation.
    pub(crate) fn importances_for(
        &self,
        portion: &EpochPortion,
        cancel: &CancelToken,
    ) -> Result<Importances<'_>, Error> {
        let Some(fold) = portion.fold else { return Ok(Importances::of(&self.importances)) };
        let shares = &self.fold_shares[fold];
        if shares.get().is_none() {
            let excluded = self.source.excluded_nodes(fold);
            let found = self.state.shares_excluding(self.snapshot, &excluded, cancel)?;
            // Two threads may find them at the same time. They are equal.
            let _ = shares.set(found);
        }
        Ok(Importances::with_shares(&self.importances, shares.get().expect("set above")))
    }

    /// Minibatch number `step` of an epoch. `None` if the portion has no example.
    ///
    /// Determinism: a function of the seed, the epoch and the step.
    pub(crate) fn minibatch(
        &self,
        epoch: u32,
        portion: &EpochPortion,
        step: usize,
        importances: Importances<'_>,
        memory: &mut MinibatchMemory,
    ) -> Option<TimedMinibatch> {
        let start = Instant::now();
        let number = u64::from(epoch) << 32 | step as u64;
        let mut rng = StdRng::seed_from_u64(self.options.seed.wrapping_mul(0x9e37_79b9) ^ number);
        let size = self.options.batch.min(self.examples - (step * self.options.batch).min(self.examples));
        // Related rows must not be negatives. Without hard negatives those of the shared ones are enough.
        let negatives = self.negatives.draw(self.options.negatives, &mut rng);
        let hard = self.options.hard_negatives.min(epoch - 1);
        let among = (hard == 0).then(|| NodeSet::of_rows(&negatives.rows, self.state));
        let mut examples = Vec::with_capacity(size);
        for _ in 0..size {
            let mut example = self.source.draw(portion, among.as_ref(), &mut rng)?;
            let visited = self.hard_negatives.draw(&example, hard, &mut rng);
            example.hard_negatives.extend(visited);
            examples.push(example);
        }
        let sampling = start.elapsed().as_secs_f64();
        let (inputs, token_sums) = (&self.inputs, &self.token_sums);
        let source = MinibatchSource { inputs, token_sums, importances, layers: self.options.layers };
        let batch = Minibatch::build(&source, &examples, &negatives, memory, &mut rng);
        Some(TimedMinibatch { batch, sampling, gathering: start.elapsed().as_secs_f64() - sampling })
    }
}

/// A minibatch, and the seconds for drawing it and for cutting it out of the graph.
pub(crate) struct TimedMinibatch {
    pub(crate) batch: Minibatch,
    pub(super) sampling: f64,
    pub(super) gathering: f64,
}
