//! Similar nodes.

use hedgerow_storage::{NodeRef, Snapshot};

use crate::config::error::Error;
use crate::engine::handle::Engine;
use crate::query::answer::{FoundNodes, Ranked};
use crate::query::query::Query;
use crate::query::similar::similar;

impl Engine {
    /// The nodes that are similar to a node, without the node itself.
    ///
    /// If the kind of the answers has factors and no features, the items that two and four hops relate to the node come first, by the
    /// graph as it is now. For a node without lists these are the items that go with items of similar tokens. The nodes with the nearest
    /// embeddings follow. Otherwise, and with [`Query::cosine`], embeddings alone rank. The guide has the formulas.
    ///
    /// # Errors
    /// An unknown node, or one without an embedding.
    /// # Cost
    /// A scan; where the graph answers, also two hops from 101 items. With [`Query::explain`], the walks of the node and the edges of the
    /// answers; no other reader or refresh waits for these.
    pub fn similar<'n>(&self, node: impl Into<NodeRef<'n>>, options: &Query) -> Result<Ranked, Error> {
        let (found, snapshot) = self.find_similar(node.into(), options)?;
        // The readers' lock is released here: names and explanations come from copied rows and the snapshot.
        found.into_ranked(&snapshot)
    }

    fn find_similar(&self, node: NodeRef<'_>, options: &Query) -> Result<(FoundNodes, Snapshot), Error> {
        self.with_embeddings(|embeddings, snapshot| {
            let found = similar(embeddings, snapshot, node, options, self.store.dirty_nodes())?;
            Ok((found, snapshot.clone()))
        })
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_storage::{Batch, CancelToken, Edge, Store};

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
        let options = Query { explain: true, ..Query::default() };
        let before = engine.similar(("pin", "1"), &options).expect("an answer");
        assert!(before.items.iter().any(|item| {
            let explanation = item.explanation.as_ref().expect("an explanation");
            explanation.connection.as_ref().expect("a connection").visits > 0
        }));

        let (found, snapshot) = engine.find_similar(("pin", "1").into(), &options).expect("found");
        link(engine.store(), &[("d", "1"), ("d", "4"), ("d", "3"), ("e", "1"), ("e", "3")]);
        engine
            .refresh(false, &CancelToken::new())
            .expect("refreshed, while the answer has no explanation yet");
        assert_eq!(found.into_ranked(&snapshot).expect("explained"), before);

        let after = engine.similar(("pin", "1"), &options).expect("an answer");
        assert_ne!(after.items, before.items, "the refresh changed what explanations read");
    }

    #[test]
    fn a_refresh_between_a_recommendation_and_its_explanation_neither_waits_nor_shows() {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = engine(folder.path());
        let options = Query { explain: true, include_seen: true, ..Query::default() };
        let recipient = Recipient::Node(NodeRef::from(("board", "a")).to_name());
        let before = engine.recommend(&recipient, &options).expect("an answer");
        let (recommendation, snapshot) = engine.find_recommendation(&recipient, &options).expect("found");
        link(engine.store(), &[("a", "4"), ("d", "1"), ("d", "4"), ("d", "3")]);
        engine.refresh(false, &CancelToken::new()).expect("refreshed");
        let found = recommendation.found(&options, &snapshot, None).expect("found");
        assert_eq!(found.into_ranked(&snapshot).expect("explained"), before);
        assert_ne!(engine.recommend(&recipient, &options).expect("an answer").items, before.items);
    }
}
