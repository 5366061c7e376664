//! A question to the embeddings: its options, and the recipient of a recommendation.
//! Must not know how a question is answered.

use std::fmt;

use hedgerow_storage::{KindIx, NodeName, Snapshot};

use crate::config::error::Error;
use crate::query::filter::Filter;
use crate::query::filter::node_filter::NodeFilter;
use crate::query::filter::only_new::OnlyNew;
use crate::query::interests::Interests;
use crate::query::nearest::RowRequest;
use crate::query::question::cursor::Cursor;
use crate::query::question::diversity::pool_size;
use crate::query::question::restrictions::Restrictions;

/// The number of answers to a question, and the nodes that may be answers.
///
/// ```
/// use hedgerow_model::Query;
/// let default = Query::default();
/// assert_eq!((default.k, default.min_score, default.diverse), (10, None, 0.0));
/// assert!(default.validate().is_ok());
/// assert!(Query { k: 0, ..default }.validate().is_err());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Query {
    /// Most answers, 1 or more; there are fewer if fewer nodes may be answers.
    pub k: usize,
    /// The kind of the answers. `None` takes the kind of the node, or the kind of the first node of a history.
    pub kind: Option<String>,
    /// The properties and tokens that an answer has in the graph as it is now.
    pub filter: Option<Filter>,
    /// Allows only nodes as answers that are new.
    pub only_new: Option<OnlyNew>,
    /// Nodes that are no answers.
    pub exclude: Vec<NodeName>,
    /// Relations, such as `bought` or `hidden`. Nodes that one of them links to the node that asks are no answers, also with
    /// [`Query::include_seen`]. A history without a node of its own has no links, so they leave out nothing.
    pub exclude_relations: Vec<String>,
    /// The only nodes that may be answers, for ranking again what another system found. Each has the score that it has among all
    /// nodes. Those that are unknown or have no embedding are listed in [`Ranked::ignored`](crate::Ranked::ignored). `None` allows all
    /// nodes. Needs one interest.
    pub candidates: Option<Vec<NodeName>>,
    /// The lowest score of an answer, a finite number. What scores lower is left out.
    pub min_score: Option<f32>,
    /// [`Ranked::next`](crate::Ranked::next) of the page before: the answers begin after it. Pages put together are the answer of one
    /// large `k`, if all else is the same. Needs one interest, and no [`Query::diverse`].
    pub after: Option<Cursor>,
    /// From 0 to 1: how much answers shall differ. Above 0, `k` answers are chosen from the best `5 k`, at least 100, by maximal
    /// marginal relevance. Each choice has the largest `(1 - diverse) relevance - diverse similarity`. The relevance is the score, scaled
    /// to 0 to 1 among those. The similarity is the largest cosine of embeddings with a choice before it, or 0 without an embedding.
    /// Scores stay as they are, so they need not fall. Needs one interest.
    pub diverse: f32,
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
            only_new: None,
            exclude: Vec::new(),
            exclude_relations: Vec::new(),
            candidates: None,
            min_score: None,
            after: None,
            diverse: 0.0,
            include_seen: false,
            cosine: false,
            interests: Interests::default(),
            explain: false,
        }
    }
}

/// Refuses a question for no answer.
pub(crate) fn require_answers(k: usize) -> Result<(), Error> {
    match k {
        0 => Err(Error::Option { option: "k", found: "0".to_owned(), expected: "1 or more" }),
        _ => Ok(()),
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
    /// Checks every option, and those that do not go together.
    ///
    /// # Errors
    /// [`Error::Option`] with the first that is not valid.
    pub fn validate(&self) -> Result<(), Error> {
        let one_interest = "one interest, because the lists of several are merged";
        let has_interests = !self.interests.is_one();
        require_answers(self.k)?;
        let refusal = match self {
            Self { min_score: Some(score), .. } if !score.is_finite() => {
                Some(("min_score", score.to_string(), "a finite number"))
            }
            Self { diverse, .. } if !(0.0..=1.0).contains(diverse) => {
                Some(("diverse", diverse.to_string(), "a number from 0 to 1"))
            }
            Self { after: Some(_), diverse, .. } if *diverse > 0.0 => {
                Some(("after", "diverse above 0".to_owned(), "diverse 0, because it has no pages"))
            }
            Self { after: Some(_), .. } if has_interests => {
                Some(("after", "several interests".to_owned(), one_interest))
            }
            Self { candidates: Some(_), .. } if has_interests => {
                Some(("candidates", "several interests".to_owned(), one_interest))
            }
            Self { diverse, .. } if *diverse > 0.0 && has_interests => {
                Some(("diverse", "several interests".to_owned(), one_interest))
            }
            _ => None,
        };
        refusal.map_or(Ok(()), |(option, found, expected)| Err(Error::Option { option, found, expected }))
    }

    /// Checks that the question begins at the first page: a cursor is the end of one answer, and many are asked for.
    pub(crate) fn require_first_page(&self) -> Result<(), Error> {
        let expected = "none, because each of many answers has its own";
        let refusal = |_| Err(Error::Option { option: "after", found: "a cursor".to_owned(), expected });
        self.after.map_or(Ok(()), refusal)
    }

    /// True if the answers are chosen from a pool.
    pub(crate) fn has_pool(&self) -> bool {
        self.diverse > 0.0
    }

    /// The number of best rows to find.
    pub(crate) fn rows_to_find(&self) -> usize {
        if self.has_pool() { pool_size(self.k) } else { self.k }
    }

    /// True if the next page of the ranking begins after its last answer.
    pub(crate) fn has_pages(&self) -> bool {
        !self.has_pool() && self.interests.is_one()
    }

    /// The filter for answers of a kind, if there is a filter.
    pub(crate) fn node_filter<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        kind: KindIx,
    ) -> Result<Option<NodeFilter<'a>>, Error> {
        let (filter, only_new) = (self.filter.as_ref(), self.only_new.as_ref());
        let is_needed = filter.is_some() || only_new.is_some();
        is_needed.then(|| NodeFilter::new(filter, only_new, snapshot, kind)).transpose()
    }

    /// The question in rows. `filter` is the result of [`Query::node_filter`].
    pub(crate) fn row_request<'a>(
        &'a self,
        kind: Option<KindIx>,
        filter: Option<&'a NodeFilter<'a>>,
        restrictions: &'a Restrictions,
    ) -> RowRequest<'a> {
        RowRequest {
            k: self.rows_to_find(),
            popularity: !self.cosine,
            kind,
            filter,
            candidates: restrictions.candidates.as_ref().map(|candidates| &candidates.rows),
            scale: 1.0,
            bounds: restrictions.bounds,
        }
    }
}
