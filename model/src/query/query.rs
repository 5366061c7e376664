//! A question to the embeddings: its options, and the recipient of a recommendation.
//! Must not know how a question is answered.

use std::fmt;

use hedgerow_storage::{KindIx, NodeName, Snapshot, TokenMask};

use crate::query::embeddings::Embeddings;
use crate::query::filter::Filter;
use crate::query::interests::Interests;
use crate::query::nearest::RowRequest;

/// The number of answers to a question, and the nodes that may be answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Query {
    /// Most answers; there are fewer if fewer nodes may be answers.
    pub k: usize,
    /// The kind of the answers. `None` takes the kind of the node, or the kind of the first node of a history.
    pub kind: Option<String>,
    /// The tokens that an answer has in the graph as it is now.
    pub filter: Option<Filter>,
    /// Nodes that are no answers.
    pub exclude: Vec<NodeName>,
    /// Allows nodes of the history as answers.
    pub include_seen: bool,
    /// Ranks by the cosine alone, without the popularity.
    pub cosine: bool,
    /// The number of interests that a history is split into.
    pub interests: Interests,
    /// Adds an explanation to each answer.
    pub explain: bool,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            k: 10,
            kind: None,
            filter: None,
            exclude: Vec::new(),
            include_seen: false,
            cosine: false,
            interests: Interests::default(),
            explain: false,
        }
    }
}

/// The recipient of a recommendation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Recipient {
    /// A node of the store, for example a user: its embedded neighbors are the history.
    Node(NodeName),
    /// A history without a node of its own.
    History(Vec<NodeName>),
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => node.fmt(f),
            Self::History(nodes) => {
                let names: Vec<String> = nodes.iter().map(NodeName::to_string).collect();
                write!(
                    f,
                    "history of {}",
                    if names.is_empty() { "no node".to_owned() } else { names.join(", ") }
                )
            }
        }
    }
}

impl Query {
    /// The tokens of the filter that each node has, if there is a filter.
    pub(crate) fn token_mask<'a>(&'a self, snapshot: &'a Snapshot) -> Option<TokenMask<'a>> {
        self.filter.as_ref().map(|filter| snapshot.token_mask(filter.tokens()))
    }

    /// The question in rows. `mask` is the result of [`Query::token_mask`].
    pub(crate) fn row_request<'a>(
        &'a self,
        kind: Option<KindIx>,
        mask: Option<&'a TokenMask<'a>>,
    ) -> RowRequest<'a> {
        RowRequest { k: self.k, popularity: !self.cosine, kind, filter: self.filter.as_ref().zip(mask) }
    }

    /// The rows of the nodes that are excluded by name.
    pub(crate) fn excluded_rows<'a>(
        &'a self,
        embeddings: &'a Embeddings,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = u32> + 'a {
        let row = |name: &NodeName| snapshot.lookup(name.as_ref()).and_then(|node| embeddings.row(node));
        self.exclude.iter().filter_map(row)
    }
}
