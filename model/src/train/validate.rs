//! Validation of a run: all rows are embedded with the present weights, and measured.

use hedgerow_storage::{CancelToken, NodeIx};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::config::error::Error;
use crate::evaluate::held_out::held_out_recall;
use crate::linalg::huge_matrix::HugeMatrix;
use crate::linalg::rows::dot;
use crate::linalg::sparse::Sparse;
use crate::network::encoder::Encoder;
use crate::train::run::TrainRun;

/// Random pairs of nodes for the mean cosine, which detects a collapse.
const COSINE_PAIRS: usize = 2000;

impl TrainRun<'_> {
    /// The vectors of all rows with these importances, and the recall of the held-out positives. `None` if nothing is
    /// held out.
    pub(crate) fn validate(&self, encoder: &Encoder, pool: &Sparse) -> (HugeMatrix, Option<f32>) {
        let (vectors, bias) = self.embed_all(encoder, pool);
        let recall = || held_out_recall(&vectors.view(), &bias, &self.inputs.influence, &self.held_out);
        let recall = (!self.held_out.is_empty()).then(recall);
        (vectors, recall)
    }

    /// The vectors of all rows in neighborhoods without the lists of held-out examples, from weights that did not learn these examples.
    ///
    /// # Errors
    /// A cancellation.
    pub(crate) fn vectors_without_held_out(
        &self,
        encoder: &Encoder,
        cancel: &CancelToken,
    ) -> Result<HugeMatrix, Error> {
        let portions = self.source.portions();
        let last = portions.last().expect("an epoch has a portion");
        Ok(self.embed_all(encoder, &self.importances_for(last, cancel)?.to_matrix()).0)
    }

    /// The vector of a node's row, and its weight in a history. `None` if it is not embedded.
    pub(crate) fn vector_of<'v>(&self, node: NodeIx, vectors: &'v HugeMatrix) -> Option<(&'v [f32], f32)> {
        let row = self.state.row(node)? as usize;
        Some((vectors.row(row), self.inputs.influence[row]))
    }

    /// The standard error of a recall on the held-out positives.
    pub(super) fn standard_error(&self, recall: f32) -> f32 {
        (recall * (1.0 - recall) / self.held_out.len().max(1) as f32).sqrt()
    }

    fn embed_all(&self, encoder: &Encoder, pool: &Sparse) -> (HugeMatrix, Vec<f32>) {
        let vectors = encoder.embed_all(&self.token_sums, &self.inputs.dense, pool);
        (vectors, encoder.bias(&self.token_sums, &self.inputs.log_degrees).to_vec())
    }

    /// The share of zeros among the embeddings of nodes with a token or a dense number other than 0.
    pub(super) fn share_of_zeros(&self, vectors: &HugeMatrix) -> f32 {
        let (tokens, dense) = (&self.token_sums, &self.inputs.dense);
        let has_input =
            |row: &usize| !tokens.range(*row).is_empty() || dense.row(*row).iter().any(|at| *at != 0.0);
        let (mut zeros, mut all) = (0u32, 0u32);
        for row in (0..vectors.rows()).filter(has_input) {
            zeros += u32::from(vectors.row(row).iter().all(|value| *value == 0.0));
            all += 1;
        }
        zeros as f32 / all.max(1) as f32
    }

    pub(super) fn mean_cosine(&self, vectors: &HugeMatrix) -> f32 {
        let mut rng = StdRng::seed_from_u64(self.options.seed);
        let mut random = || vectors.row(self.negatives.any(&mut rng) as usize);
        let cosine = |_| {
            let (a, b) = (random(), random());
            dot(a, b)
        };
        (0..COSINE_PAIRS).map(cosine).sum::<f32>() / COSINE_PAIRS as f32
    }
}
