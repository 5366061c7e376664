//! Nodes that are similar to one node or to each of many.

use hedgerow_storage::{CancelToken, NodeName, NodeRef, Snapshot};

use crate::config::error::Error;
use crate::engine::handle::Engine;
use crate::query::answer::{FoundNodes, Ranked};
use crate::query::query::Query;
use crate::query::similar::batch::SimilarFinder;
use crate::query::similar::similar;

impl Engine {
    /// The nodes that are similar to a node, without the node itself.
    ///
    /// If the kind of the answers has factors and no features, the items that two and four hops relate to the node come first, by the
    /// graph as it is now. For a node without lists these are the items that go with items of similar tokens. The nodes with the nearest
    /// embeddings follow. Otherwise, and with [`Query::cosine`], embeddings alone rank. The guide has the formulas.
    ///
    /// # Errors
    /// An unknown node or relation, or a node without an embedding; an option that [`Query::validate`] refuses; a cursor of another
    /// state; a cancellation.
    /// # Cost
    /// A scan; with [`Query::candidates`] a look at each 64 rows, and the scores of the candidates. Where the graph answers, also two hops from 101 items. With [`Query::explain`], the walks of the node and the edges of the
    /// answers; no other reader or refresh waits for these.
    pub fn similar<'n>(
        &self,
        node: impl Into<NodeRef<'n>>,
        options: &Query,
        cancel: &CancelToken,
    ) -> Result<Ranked, Error> {
        let (found, snapshot) = self.find_similar(node.into(), options, cancel)?;
        // The readers' lock is released here: names and explanations come from copied rows and the snapshot.
        found.into_ranked(&snapshot, options, cancel)
    }

    /// An answer or an error for each of many nodes, in their order: those of [`Engine::similar`], bit for bit, and faster. All are from
    /// the embeddings of one epoch.
    ///
    /// # Errors
    /// Those of [`Engine::similar_finder`]; a cancellation. For each node, those of [`Engine::similar`].
    /// # Cost
    /// Copies the embeddings; then that of [`SimilarFinder::similar`].
    pub fn similar_many(
        &self,
        nodes: &[NodeName],
        options: &Query,
        cancel: &CancelToken,
    ) -> Result<Vec<Result<Ranked, Error>>, Error> {
        self.similar_finder(options)?.similar(nodes, cancel)
    }

    /// A finder of similar nodes for many nodes, in as many calls as a host likes.
    ///
    /// # Errors
    /// [`Error::NotTrained`]; a kind in `options` that is not embedded; an option that [`Query::validate`] refuses, and a cursor.
    /// # Cost
    /// Copies the embeddings.
    pub fn similar_finder(&self, options: &Query) -> Result<SimilarFinder, Error> {
        let (embeddings, snapshot) =
            self.with_embeddings(|embeddings, snapshot| Ok((embeddings.clone(), snapshot.clone())))?;
        SimilarFinder::new(embeddings, snapshot, options.clone(), self.dirty_nodes())
    }

    fn find_similar(
        &self,
        node: NodeRef<'_>,
        options: &Query,
        cancel: &CancelToken,
    ) -> Result<(FoundNodes, Snapshot), Error> {
        self.with_embeddings(|embeddings, snapshot| {
            let found = similar(embeddings, snapshot, node, options, self.dirty_nodes(), cancel)?;
            Ok((found, snapshot.clone()))
        })
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_storage::{Batch, Edge, Store};

    use super::*;
    use crate::config::options::TrainOptions;
    use crate::query::query::Recipient;

    fn link(store: &Store, edges: &[(&str, &str)]) {
        let mut batch = Batch::new();
        for (board, pin) in edges {
            batch.link(("board", *board), ("pin", *pin), Edge::default()).expect("a valid edge");
        }
        store.commit(&batch).expect("committed");
    }

    fn engine(folder: &std::path::Path) -> Engine {
        let store = Store::options().create(true).open(folder.join("s")).expect("created");
        link(&store, &[("a", "1"), ("a", "2"), ("b", "2"), ("b", "3"), ("c", "3"), ("c", "4"), ("c", "1")]);
        let engine = Engine::open(store).expect("opened");
        let options = TrainOptions { dim: 4, epochs: 0, ..TrainOptions::new(["pin"]) };
        engine.training(&options).run(&CancelToken::new()).expect("trained");
        engine
    }

    /// An explanation walks for milliseconds. Under the readers' lock, a refresh would wait for it, and all readers behind the
    /// refresh. So a refresh between an answer and its explanation neither waits nor changes the explanation.
    #[test]
    fn a_refresh_between_an_answer_and_its_explanation_neither_waits_nor_shows() {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = engine(folder.path());
        let (options, cancel) = (Query { explain: true, ..Query::default() }, CancelToken::new());
        let before = engine.similar(("pin", "1"), &options, &cancel).expect("an answer");
        assert!(before.items.iter().any(|item| {
            let explanation = item.explanation.as_ref().expect("an explanation");
            explanation.connection.as_ref().expect("a connection").visits > 0
        }));

        let (found, snapshot) = engine.find_similar(("pin", "1").into(), &options, &cancel).expect("found");
        link(engine.store(), &[("d", "1"), ("d", "4"), ("d", "3"), ("e", "1"), ("e", "3")]);
        engine
            .refresh(false, &CancelToken::new())
            .expect("refreshed, while the answer has no explanation yet");
        assert_eq!(found.into_ranked(&snapshot, &options, &cancel).expect("explained"), before);

        let after = engine.similar(("pin", "1"), &options, &cancel).expect("an answer");
        assert_ne!(after.items, before.items, "the refresh changed what explanations read");
    }

    #[test]
    fn a_refresh_between_a_recommendation_and_its_explanation_neither_waits_nor_shows() {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = engine(folder.path());
        let options = Query { explain: true, include_seen: true, ..Query::default() };
        let cancel = CancelToken::new();
        let recipient = Recipient::Node(NodeRef::from(("board", "a")).to_name());
        let before = engine.recommend(&recipient, &options, &cancel).expect("an answer");
        let (recommendation, snapshot) =
            engine.find_recommendation(&recipient, &options, &cancel).expect("found");
        link(engine.store(), &[("a", "4"), ("d", "1"), ("d", "4"), ("d", "3")]);
        engine.refresh(false, &CancelToken::new()).expect("refreshed");
        let found = recommendation.found(&options, &snapshot, None, &cancel).expect("found");
        assert_eq!(found.into_ranked(&snapshot, &options, &cancel).expect("explained"), before);
        assert_ne!(engine.recommend(&recipient, &options, &cancel).expect("an answer").items, before.items);
    }
}
