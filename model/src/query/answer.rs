//! Answers: ranked nodes with their scores, and the data that an answer was made from.
//! An answer is found in the embeddings first and gets its names and explanations from the graph afterwards.

use std::fmt;

use hedgerow_storage::{CancelToken, Epoch, Generation, NodeIx, NodeName, Snapshot};

use crate::config::error::Error;
use crate::query::answer_explanation::{AnswerExplanation, Explainer, ExplanationInput};
use crate::query::query::Query;
use crate::query::question::cursor::{Cursor, RankingState};

/// A node of an answer and its score.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Scored {
    /// The node.
    pub node: NodeName,
    /// Higher is better. The graph's scores are explained in the guide. From embeddings it is the cosine, plus the node's popularity unless
    /// [`Query::cosine`](crate::Query::cosine) is set. Otherwise [`AnswerSource`] defines it.
    pub score: f32,
    /// The explanation, if [`Query::explain`](crate::Query::explain) is set.
    pub explanation: Option<AnswerExplanation>,
}

impl fmt::Display for Scored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:.4}", self.node, self.score)?;
        self.explanation.as_ref().map_or(Ok(()), |explanation| write!(f, " ({explanation})"))
    }
}

/// Ranked nodes, and the epoch that the ranking reflects.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ranked {
    /// The nodes, best first, ties by stable id. With several interests the scores belong to different query vectors, so
    /// they need not fall.
    pub items: Vec<Scored>,
    /// The data that the answer was made from.
    pub source: AnswerSource,
    /// The interests of the history, the most important first. Empty if no node of the history is embedded.
    pub interests: Vec<Interest>,
    /// Nodes of a history given by name that have no embedding, and [`Query::candidates`](crate::Query::candidates) that are unknown or
    /// have none.
    pub ignored: Vec<NodeName>,
    /// The end of this page, for [`Query::after`](crate::Query::after). `None` if there are fewer answers than were asked for, or no
    /// pages: with several interests and with [`Query::diverse`](crate::Query::diverse).
    pub next: Option<Cursor>,
    /// The epoch that the embeddings reflect. Where the graph answers, its hops reflect the present epoch.
    pub epoch: Epoch,
    /// Nodes that changed since that epoch.
    pub dirty_nodes: u64,
}

impl fmt::Display for Ranked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { items, source, epoch, dirty_nodes, .. } = self;
        write!(f, "{} nodes by {source}, epoch {epoch}, {dirty_nodes} dirty nodes", items.len())?;
        items.iter().try_for_each(|item| write!(f, "\n{item}"))
    }
}

/// The data that an answer was made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum AnswerSource {
    /// The nearest embeddings. The score is the cosine plus the popularity.
    #[default]
    Embeddings,
    /// The graph filter and the residual factors: live sums over two hops in the graph as it is now, and factors of the generation.
    Graph,
    /// Walks, because no node of the history is embedded: the nodes that walks from the history visit most in the graph as it
    /// is now. [`pixie`](hedgerow_walker::pixie()) gives the score.
    Walks,
    /// Popularity, because the history has no node to walk from: the nodes with most edges in the graph as it is now. The score
    /// is the number of edges.
    Popular,
}

impl fmt::Display for AnswerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embeddings => "embeddings",
            Self::Graph => "graph",
            Self::Walks => "walks",
            Self::Popular => "popularity",
        })
    }
}

/// An interest: a cluster of a history.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Interest {
    /// The node in the middle: the one with the smallest sum of squared distances from the others.
    pub medoid: NodeName,
    /// Its share of the history, by which newer edges count more; see [`DECAY`](crate::interests::DECAY).
    pub importance: f32,
    /// The number of its nodes.
    pub items: usize,
}

impl fmt::Display for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} nodes, {:.0} %)", self.medoid, self.items, self.importance * 100.0)
    }
}

/// A node of an answer, without its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FoundNode {
    pub(crate) node: NodeIx,
    pub(crate) score: f32,
}

/// An answer without names and explanations.
///
/// It owns all that it takes from the embeddings. Names and explanations are made from it and a snapshot, after the readers'
/// lock is released.
pub(crate) struct FoundNodes {
    pub(crate) nodes: Vec<FoundNode>,
    pub(crate) source: AnswerSource,
    pub(crate) interests: Vec<Interest>,
    pub(crate) ignored: Vec<NodeName>,
    pub(crate) generation: Generation,
    pub(crate) epoch: Epoch,
    pub(crate) dirty_nodes: u64,
    /// `None` if the question asks for no explanations.
    pub(crate) explanation: Option<ExplanationInput>,
}

impl FoundNodes {
    /// Adds names, explanations and the cursor. `snapshot` and `options` are those that the nodes were found with.
    ///
    /// Cost: with explanations, the walks of one node, or of each node of a history that the answers are nearest to.
    pub(crate) fn into_ranked(
        self,
        snapshot: &Snapshot,
        options: &Query,
        cancel: &CancelToken,
    ) -> Result<Ranked, Error> {
        let mut explainer = self.explanation.as_ref().map(|input| Explainer::new(input, snapshot));
        let mut items = Vec::with_capacity(self.nodes.len());
        for (place, found) in self.nodes.iter().enumerate() {
            cancel.check()?;
            let explanation =
                explainer.as_mut().map(|explainer| explainer.explain(place, found.node)).transpose()?;
            items.push(Scored { node: snapshot.name(found.node), score: found.score, explanation });
        }
        Ok(Ranked {
            items,
            next: self.next(snapshot, options),
            source: self.source,
            interests: self.interests,
            ignored: self.ignored,
            epoch: self.epoch,
            dirty_nodes: self.dirty_nodes,
        })
    }

    /// The end of the page, if a next one may follow.
    fn next(&self, snapshot: &Snapshot, options: &Query) -> Option<Cursor> {
        let last = self.nodes.last().filter(|_| options.has_pages() && self.nodes.len() == options.k)?;
        let (generation, graph) = (self.generation, snapshot.epoch());
        let ranking = RankingState { generation, graph, embeddings: self.epoch };
        Some(Cursor::new(ranking, last.score, snapshot.stable_id(last.node)))
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;
    use crate::query::answer_explanation::Connection;
    use crate::query::interests::Interests;
    use crate::query::query::Recipient;

    fn through_json<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
        let text = serde_json::to_string(value).expect("written");
        serde_json::from_str(&text).expect("its own text")
    }

    #[test]
    fn a_question_and_its_answer_read_back_from_json_as_they_were() {
        let node = |key: &str| NodeName { kind: "pin".to_owned(), key: key.to_owned() };
        let query = Query {
            filter: Some("genre=jazz and not live".parse().expect("a filter")),
            exclude: vec![node("7")],
            exclude_relations: vec!["bought".to_owned()],
            candidates: Some(vec![node("8"), node("9")]),
            min_score: Some(0.1 + 0.2),
            after: Some("1.2a.29.3f5a0000.9c0ffee012345678".parse().expect("a cursor")),
            diverse: 0.3,
            interests: Interests::AtMost(3),
            ..Query::default()
        };
        assert_eq!(through_json(&query), query);
        let few: Query = serde_json::from_str(r#"{"k": 5}"#).expect("the other options have defaults");
        assert_eq!(few, Query { k: 5, ..Query::default() });
        let recipient = Recipient::History(vec![node("1")]);
        assert_eq!(through_json(&recipient), recipient);

        let connection = Connection {
            node: node("1"),
            cosine: Some(0.1 + 0.2),
            share: Some(0.7),
            linked: false,
            shared: 2,
            shared_nodes: vec![node("8"), node("9")],
            shared_tokens: vec!["jazz".to_owned()],
            visits: 3,
        };
        let explanation = AnswerExplanation {
            filter: Some(0.25),
            factors: None,
            embeddings: None,
            cosine: Some(1.0 / 3.0),
            popularity: Some(-1e-9),
            interest: Some(0),
            connection: Some(connection),
        };
        let ranked = Ranked {
            items: vec![Scored { node: node("2"), score: 0.7, explanation: Some(explanation) }],
            source: AnswerSource::Embeddings,
            interests: vec![Interest { medoid: node("1"), importance: 1.0, items: 1 }],
            ignored: vec![node("3")],
            next: query.after,
            epoch: Epoch::new(5),
            dirty_nodes: 2,
        };
        assert_eq!(through_json(&ranked), ranked);
    }
}
