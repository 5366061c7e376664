//! Recommendations to one recipient or to many.

use hedgerow_storage::{CancelToken, NodeName, Snapshot};

use crate::config::error::Error;
use crate::engine::handle::Engine;
use crate::query::answer::Ranked;
use crate::query::query::{Query, Recipient};
use crate::query::recommend::batch::Recommender;
use crate::query::recommend::{Recommendation, choose_different};

impl Engine {
    /// Recommendations to a user or for a history.
    ///
    /// If the kind of the answers has factors, the graph filter and the residual factors rank them: two exact hops in the graph as it is
    /// now, and 64 fitted numbers an item. The guide has the formulas. Otherwise, and with [`Query::cosine`], the answers are the
    /// embeddings nearest to the mean of the history.
    ///
    /// In the mean each node is divided by the square root of its degree. If users are embedded too, the user's own vector is added.
    /// With several [`Interests`](crate::Interests) each has its own mean. The answer takes from their lists in proportion to their
    /// importance, the most important first.
    ///
    /// Nodes of the history are left out unless [`Query::include_seen`] is set. With no embedded history and none that two hops lead
    /// from, the answer comes from walks, then popularity; [`Ranked::source`] says which.
    /// # Visibility
    /// The hops see every committed edge. Factors are those of the generation, and their degrees and the embeddings those of the last
    /// refresh, whose epoch is [`Ranked::epoch`]. A node that came after it is no answer yet.
    ///
    /// # Errors
    /// An unknown user or relation; a node in a history whose kind is not embedded; an option that [`Query::validate`] refuses; a cursor
    /// of another state; a cancellation. A node of a history that is unknown, or came after the last refresh, is ignored and listed in
    /// [`Ranked::ignored`].
    /// # Determinism
    /// A function of the embeddings, the graph and the question; ties by stable id, the same for any number of threads.
    /// # Cost
    /// A scan for each interest; with [`Query::candidates`] a look at each 64 rows, and the scores of the candidates. Where factors answer, also two hops from each node of the history, about 30,000 reads a node at most, and
    /// a system of 64 equations. Several interests cost a clustering: for a history of 1,000 nodes some 30 ms. Walks and
    /// explanations are made after the readers' lock is released.
    /// # Source
    /// The guide, chapter *Scores from the graph*. Interests: Pal et al., `PinnerSage` (arXiv 2007.03634), sections 4 and 5. There an interest is represented by its medoid, and three
    /// interests are drawn by their importance. Here an interest is represented by its mean and all are used, so that a question has
    /// one answer.
    pub fn recommend(
        &self,
        recipient: &Recipient,
        options: &Query,
        cancel: &CancelToken,
    ) -> Result<Ranked, Error> {
        let (recommendation, snapshot) = self.find_recommendation(recipient, options, cancel)?;
        let is_pool = recommendation.is_pool(options);
        // The readers' lock is released here: walks, names and explanations come from copied rows and the snapshot.
        let mut found = recommendation.found(options, &snapshot, None, cancel)?;
        if is_pool {
            found = self.with_embeddings(|embeddings, _| {
                choose_different(found, options, embeddings, &snapshot, cancel)
            })?;
        }
        found.into_ranked(&snapshot, options, cancel)
    }

    /// The scores of some candidates for a recipient, best first: those that they have among all answers of [`Engine::recommend`], bit
    /// for bit. It is for ranking again what another system found.
    ///
    /// All candidates that may be answers are ranked, so [`Query::k`] does not count. Candidates that are unknown or have no embedding
    /// are listed in [`Ranked::ignored`]. Seen, excluded and filtered ones, and those of another kind than the answers', are left out.
    /// For a node instead of a recipient, [`Engine::similar`] takes [`Query::candidates`].
    ///
    /// # Errors
    /// Those of [`Engine::recommend`]; several interests.
    /// # Cost
    /// That of [`Engine::recommend`], but the scan reads the rows of the candidates only.
    pub fn score(
        &self,
        recipient: &Recipient,
        candidates: &[NodeName],
        options: &Query,
        cancel: &CancelToken,
    ) -> Result<Ranked, Error> {
        let (k, candidates) = (candidates.len().max(1), Some(candidates.to_vec()));
        self.recommend(recipient, &Query { k, candidates, ..options.clone() }, cancel)
    }

    pub(super) fn find_recommendation(
        &self,
        recipient: &Recipient,
        options: &Query,
        cancel: &CancelToken,
    ) -> Result<(Recommendation, Snapshot), Error> {
        self.with_embeddings(|embeddings, snapshot| {
            let dirty_nodes = self.dirty_nodes();
            let found = Recommendation::new(recipient, options, embeddings, snapshot, dirty_nodes, cancel)?;
            Ok((found, snapshot.clone()))
        })
    }

    /// A recommender for many recipients: it answers as [`Engine::recommend`] does, bit for bit, and faster.
    ///
    /// # Errors
    /// [`Error::NotTrained`]; a kind in `options` that is not embedded; an option that [`Query::validate`] refuses, and a cursor.
    /// # Cost
    /// Copies the embeddings.
    pub fn recommender(&self, options: &Query) -> Result<Recommender, Error> {
        let (embeddings, snapshot) =
            self.with_embeddings(|embeddings, snapshot| Ok((embeddings.clone(), snapshot.clone())))?;
        Recommender::new(embeddings, snapshot, options.clone(), self.dirty_nodes())
    }
}
