//! The quality of the embeddings, and of baselines beside them.

use hedgerow_storage::{CancelToken, NodeName, Snapshot};

use crate::config::error::Error;
use crate::engine::handle::Engine;
use crate::evaluate::comparison::{Comparison, EvaluateOptions};
use crate::evaluate::cosines::RandomCosines;
use crate::evaluate::recommend_comparison::compare_recommendations;
use crate::evaluate::recommend_quality::RecommendQuality;
use crate::evaluate::related_comparison::compare_related;
use crate::evaluate::related_quality::RelatedQuality;
use crate::query::embeddings::Embeddings;

impl Engine {
    /// The quality of recommendations to users, each with test items. It recommends as [`Engine::recommend`] does.
    ///
    /// All nodes of the items' kind are ranked but those that the store links to the user. Users are of any kind. Items that the
    /// store does not have count as not found. Baselines rank the same items, for a sample of the users.
    ///
    /// # Errors
    /// An unknown user, or users without any item of an embedded kind; a cancellation.
    /// # Determinism
    /// The same bits for any number of threads.
    /// # Cost
    /// Copies the embeddings, so that no refresh waits for it. Users x rows x D operations; for each compared user the lists of all
    /// nodes that share an item with it. Implicit ALS is trained seven times for four to eight sweeps, about 300 thousand rows a second.
    pub fn evaluate_recommend(
        &self,
        users: &[(NodeName, Vec<NodeName>)],
        options: &EvaluateOptions,
        cancel: &CancelToken,
    ) -> Result<Comparison<RecommendQuality>, Error> {
        let (embeddings, snapshot) = self.copy_of_embeddings()?;
        compare_recommendations(embeddings, snapshot, users, options, cancel)
    }

    /// The quality of related items: for each pair, the rank of the second node among all nodes of its kind, ranked for the first.
    ///
    /// The rank is 1 + the nodes that score higher + half of those that score the same, without the first node. Baselines rank for a
    /// sample of the pairs.
    ///
    /// # Errors
    /// An unknown node, or one without an embedding; a cancellation.
    /// # Determinism
    /// The same bits for any number of threads; scores are those of [`Engine::similar`].
    /// # Cost
    /// Copies the embeddings, so that no refresh waits for it. Pairs x rows x D operations.
    pub fn evaluate_related(
        &self,
        pairs: &[(NodeName, NodeName)],
        options: &EvaluateOptions,
        cancel: &CancelToken,
    ) -> Result<Comparison<RelatedQuality>, Error> {
        let (embeddings, snapshot) = self.copy_of_embeddings()?;
        compare_related(&embeddings, &snapshot, pairs, options, cancel)
    }

    /// The cosines of random pairs of embeddings, of one kind or of all: of the 4,000 nodes with the smallest stable ids, each with
    /// 25 others. A node without edges and features has a vector of zeros and is left out.
    ///
    /// # Errors
    /// [`Error::NotTrained`]; a kind that is not embedded.
    /// # Determinism
    /// A function of the embeddings and the nodes' names.
    /// # Cost
    /// Reads every row, and computes 100,000 cosines; readers do not wait.
    /// # Source
    /// `PinSage`, section 4.4 and figure 4.
    pub fn random_cosines(&self, kind: Option<&str>) -> Result<RandomCosines, Error> {
        self.with_embeddings(|embeddings, snapshot| RandomCosines::sampled(embeddings, snapshot, kind))
    }

    /// A copy for an evaluation. A refresh would wait for an evaluation under the readers' lock, and readers behind that refresh.
    fn copy_of_embeddings(&self) -> Result<(Embeddings, Snapshot), Error> {
        self.with_embeddings(|embeddings, snapshot| Ok((embeddings.clone(), snapshot.clone())))
    }
}
