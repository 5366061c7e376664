//! Explanations of answers: facts that a reader can check in the embeddings and in the graph.
//! Must not know the embeddings that readers share: [`ExplanationInput`] holds copies of the rows that it needs.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use hedgerow_storage::{NodeIx, NodeName, Snapshot};
use hedgerow_walker::{CountedRelations, Policy, RelationWeights, WalkOptions, Walker};

use crate::config::error::Error;
use crate::linalg::rows::dot;
use crate::query::embeddings::Embeddings;
use crate::query::graph_rows::{FilterSource, GraphParts, GraphRows};

/// Shared neighbors that are named.
const NAMED_SHARED: usize = 3;

/// The explanation of a node in an answer.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AnswerExplanation {
    /// The part of the graph filter in the score: what two hops from the history give. `None` unless the graph answered.
    pub filter: Option<f32>,
    /// The part of the residual factors in the score. `None` unless the graph answered.
    pub factors: Option<f32>,
    /// The part of the embeddings in the score: their cosine times its fitted weight. `None` unless the graph answered.
    pub embeddings: Option<f32>,
    /// The cosine with the query vector, which is the interest's if there are several. `None` unless embeddings answered.
    pub cosine: Option<f32>,
    /// The popularity; the score is the sum of the cosine and this. 0 if the cosine alone ranks. `None` unless embeddings
    /// answered.
    pub popularity: Option<f32>,
    /// The place in [`Ranked::interests`](crate::Ranked::interests) of the interest that found the node. `None` without
    /// interests.
    pub interest: Option<usize>,
    /// The connection with the node of the question. In a recommendation it is the nearest node of the history or, if the graph
    /// answered, the one that most of the filter's part came from; of a history without lists, the one with most tokens in common.
    /// `None` if there is no such node.
    pub connection: Option<Connection>,
}

impl fmt::Display for AnswerExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.connection.iter().map(Connection::to_string).collect();
        if let Some(filter) = self.filter {
            let further = [("factors", self.factors), ("embeddings", self.embeddings)];
            let further =
                further.iter().filter_map(|(name, part)| Some(format!(", {name} {:+.3}", (*part)?)));
            parts.push(format!("filter {filter:.3}{}", further.collect::<String>()));
        }
        if let (Some(cosine), Some(popularity)) = (self.cosine, self.popularity) {
            parts.push(format!("cosine {cosine:.3}, popularity {popularity:+.3}"));
        }
        if let Some(interest) = self.interest {
            parts.push(format!("interest {}", interest + 1));
        }
        f.write_str(if parts.is_empty() { "many edges".to_owned() } else { parts.join("; ") }.as_str())
    }
}

/// The connection of two nodes: their cosine in the embeddings, and their place in the graph as it is now.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Connection {
    /// The node that the answer is connected with.
    pub node: NodeName,
    /// The cosine of the two. `None` if one of them has no embedding.
    pub cosine: Option<f32>,
    /// The share of the filter's part of the score that came from the node. `None` unless the graph answered.
    pub share: Option<f32>,
    /// True if an edge links the two.
    pub linked: bool,
    /// The number of neighbors that both have, through any relation.
    pub shared: u64,
    /// At most three of the shared neighbors: the ones with the fewest edges, which say most. Ties are ordered by stable id.
    pub shared_nodes: Vec<NodeName>,
    /// The tokens that both have, in alphabetical order.
    pub shared_tokens: Vec<String>,
    /// Visits of the answer by the walks of `node`; 0 if it is not in the neighborhood.
    pub visits: u32,
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, share, linked, shared, shared_tokens, visits, .. } = self;
        let linked = if *linked { "linked" } else { "not linked" };
        match share {
            Some(share) => write!(f, "from {node} {:.0} %: ", share * 100.0)?,
            None => write!(f, "near {node}: ")?,
        }
        write!(
            f,
            "{linked}, {shared} shared neighbors, {} shared tokens, {visits} visits",
            shared_tokens.len()
        )
    }
}

/// The input of the explanations of one answer, copied from the embeddings while the readers' lock is held.
///
/// Size: D numbers for each answer and each node of the history.
pub(crate) struct ExplanationInput {
    walks: WalkOptions,
    policies: Vec<Policy>,
    compared: ComparedNodes,
    /// The rows of the answers, in their order. Empty unless embeddings answered.
    answers: Vec<AnswerRow>,
    /// The parts of the scores of the answers, in their order. Empty unless the graph answered.
    graph_answers: Vec<GraphAnswer>,
}

/// The nodes that the answers are compared with.
enum ComparedNodes {
    /// The embedded nodes of the history, or the one node of the question.
    Embedded(Vec<CopiedRow>),
    /// The nodes that the walks started from.
    WalkStarts(Vec<NodeIx>),
    /// The items of each interest that two hops started from, with their strengths.
    FilterStarts(Vec<Vec<(NodeIx, f32)>>, FilterSource),
}

/// A copy of an embedded row.
struct CopiedRow {
    row: u32,
    node: NodeIx,
    vector: Vec<f32>,
}

/// A copy of the row of an answer, and the parts of its score.
struct AnswerRow {
    copy: CopiedRow,
    /// The part of related items in the score.
    filter: Option<f32>,
    cosine: f32,
    popularity: f32,
    interest: Option<usize>,
}

/// The parts of the score of an answer from the graph, and the place of its interest.
struct GraphAnswer {
    parts: GraphParts,
    interest: Option<usize>,
}

/// An answer in rows: the row, the query vector that found it, and the place of its interest.
pub(crate) type FoundRow<'a> = (u32, &'a [f32], Option<usize>);

impl ExplanationInput {
    /// The input of an answer from the embeddings. `history` is the rows to compare with, and `popularity` is part of the score
    /// where it is set.
    pub(crate) fn from_rows<'a>(
        embeddings: &Embeddings,
        history: &[u32],
        answers: impl Iterator<Item = FoundRow<'a>>,
        popularity: bool,
    ) -> Self {
        let copy = |row: u32| CopiedRow {
            row,
            node: embeddings.nodes[row as usize],
            vector: embeddings.vector(row),
        };
        let answers = answers.map(|(row, query, interest)| AnswerRow {
            copy: copy(row),
            filter: None,
            cosine: embeddings.score(&embeddings.vectors.query(query), row, false),
            popularity: if popularity { embeddings.bias[row as usize] } else { 0.0 },
            interest,
        });
        Self {
            walks: embeddings.config.walks,
            policies: embeddings.config.policies.clone(),
            answers: answers.collect(),
            graph_answers: Vec::new(),
            compared: ComparedNodes::Embedded(history.iter().map(|&row| copy(row)).collect()),
        }
    }

    /// The same input with the part of related items in the score of each answer.
    pub(crate) fn with_filter(mut self, scores: impl Iterator<Item = f32>) -> Self {
        self.answers.iter_mut().zip(scores).for_each(|(answer, score)| answer.filter = Some(score));
        self
    }

    /// The input of an answer from the graph. `starts` is the nodes that walks start from.
    pub(crate) fn from_walks(embeddings: &Embeddings, starts: Vec<NodeIx>) -> Self {
        Self {
            walks: embeddings.config.walks,
            policies: embeddings.config.policies.clone(),
            answers: Vec::new(),
            graph_answers: Vec::new(),
            compared: ComparedNodes::WalkStarts(starts),
        }
    }

    /// The input of an answer from the graph filter and the factors. `items` is the items of each interest.
    pub(crate) fn from_graph(
        embeddings: &Embeddings,
        graph: &GraphRows,
        items: &[Vec<(NodeIx, f32)>],
        answers: impl Iterator<Item = (GraphParts, Option<usize>)>,
    ) -> Self {
        Self {
            walks: embeddings.config.walks,
            policies: embeddings.config.policies.clone(),
            answers: Vec::new(),
            graph_answers: answers.map(|(parts, interest)| GraphAnswer { parts, interest }).collect(),
            compared: ComparedNodes::FilterStarts(items.to_vec(), graph.source()),
        }
    }

    /// Compares the answers with no node.
    pub(crate) fn without_starts(self) -> Self {
        Self { compared: ComparedNodes::WalkStarts(Vec::new()), ..self }
    }
}

/// Explains the nodes of one answer from copies and a snapshot.
///
/// It walks once from each node that an answer is compared with, so it must not be used while the readers' lock is held.
pub(crate) struct Explainer<'a> {
    input: &'a ExplanationInput,
    snapshot: &'a Snapshot,
    compared: HashMap<NodeIx, Surroundings>,
}

/// The neighbors and the neighborhood of a node that answers are compared with.
struct Surroundings {
    neighbors: HashSet<NodeIx>,
    visits: HashMap<NodeIx, u32>,
}

impl<'a> Explainer<'a> {
    pub(crate) fn new(input: &'a ExplanationInput, snapshot: &'a Snapshot) -> Self {
        Self { input, snapshot, compared: HashMap::new() }
    }

    /// The explanation of the answer at a place.
    pub(crate) fn explain(&mut self, place: usize, answer: NodeIx) -> Result<AnswerExplanation, Error> {
        let found = self.input.answers.get(place);
        let graph = self.input.graph_answers.get(place);
        let interest = found.map_or_else(|| graph.and_then(|graph| graph.interest), |found| found.interest);
        let connection = match (&self.input.compared, found) {
            (ComparedNodes::Embedded(history), Some(found)) => {
                let nearest = nearest(history, &found.copy);
                nearest.map(|(node, cosine)| self.connection(node, answer, Some(cosine))).transpose()?
            }
            // Nodes that walks start from have no embedding, so there is no cosine.
            (ComparedNodes::WalkStarts(starts), _) => self.most_visiting(starts, answer)?,
            (ComparedNodes::FilterStarts(items, source), _) => {
                let start = source.largest_share(&items[interest.unwrap_or(0)], answer, self.snapshot);
                match start {
                    Some((start, share)) => {
                        let connection = self.connection(start, answer, None)?;
                        Some(Connection { share: Some(share), ..connection })
                    }
                    // Items without lists lead to answers by their tokens.
                    None => self.most_alike(&items[interest.unwrap_or(0)], answer)?,
                }
            }
            (ComparedNodes::Embedded(_), None) => None,
        };
        Ok(AnswerExplanation {
            filter: graph
                .map_or_else(|| found.and_then(|found| found.filter), |graph| Some(graph.parts.filter)),
            factors: graph.map(|graph| graph.parts.factors),
            embeddings: graph.map(|graph| graph.parts.embeddings),
            cosine: found.map(|found| found.cosine),
            popularity: found.map(|found| found.popularity),
            interest,
            connection,
        })
    }

    /// The connection with the start whose walks visit the answer most; ties by shared neighbors, then by the order of starts.
    fn most_visiting(&mut self, starts: &[NodeIx], answer: NodeIx) -> Result<Option<Connection>, Error> {
        let mut most: Option<Connection> = None;
        for &start in starts {
            let connection = self.connection(start, answer, None)?;
            let count = |connection: &Connection| (connection.visits, connection.shared);
            if most.as_ref().is_none_or(|most| count(&connection) > count(most)) {
                most = Some(connection);
            }
        }
        Ok(most)
    }

    /// The connection with the item that has most tokens in common with the answer, the first of equal ones. `None` without any.
    fn most_alike(&mut self, items: &[(NodeIx, f32)], answer: NodeIx) -> Result<Option<Connection>, Error> {
        let shared = |&(item, _): &(NodeIx, f32)| (shared_tokens(self.snapshot, item, answer).len(), item);
        let most = items.iter().map(shared).reduce(|a, b| if b.0 > a.0 { b } else { a });
        most.filter(|(count, _)| *count > 0).map(|(_, item)| self.connection(item, answer, None)).transpose()
    }

    fn connection(&mut self, node: NodeIx, answer: NodeIx, cosine: Option<f32>) -> Result<Connection, Error> {
        let snapshot = self.snapshot;
        if !self.compared.contains_key(&node) {
            let surroundings = self.surroundings(node)?;
            self.compared.insert(node, surroundings);
        }
        let Surroundings { neighbors, visits } = &self.compared[&node];
        let mut shared: Vec<NodeIx> =
            all_neighbors(snapshot, answer).intersection(neighbors).copied().collect();
        shared.sort_by_key(|&other| (snapshot.degree(other), snapshot.stable_id(other)));
        Ok(Connection {
            node: snapshot.name(node),
            cosine,
            share: None,
            linked: neighbors.contains(&answer),
            shared: shared.len() as u64,
            shared_nodes: shared.iter().take(NAMED_SHARED).map(|&other| snapshot.name(other)).collect(),
            shared_tokens: shared_tokens(snapshot, node, answer),
            visits: visits.get(&answer).copied().unwrap_or(0),
        })
    }

    /// Walks from a node as the model does, if its kind is embedded.
    fn surroundings(&self, node: NodeIx) -> Result<Surroundings, Error> {
        let kind = self.snapshot.kind_name(self.snapshot.kind(node));
        let visits = match self.input.policies.iter().find(|policy| policy.kind == kind) {
            Some(policy) => Walker::new(self.snapshot, self.input.walks, policy)?.neighborhood(node),
            None => Vec::new(),
        };
        let visits = visits.into_iter().map(|visit| (visit.node, visit.count)).collect();
        Ok(Surroundings { neighbors: all_neighbors(self.snapshot, node), visits })
    }
}

/// The row of a history with the highest cosine to an answer other than itself, the first of equal ones.
fn nearest(history: &[CopiedRow], answer: &CopiedRow) -> Option<(NodeIx, f32)> {
    let others = history.iter().filter(|other| other.row != answer.row);
    let cosines = others.map(|other| (other.node, dot(&answer.vector, &other.vector)));
    cosines.reduce(|a, b| if b.1 > a.1 { b } else { a })
}

/// The tokens that two nodes have, in alphabetical order.
fn shared_tokens(snapshot: &Snapshot, a: NodeIx, b: NodeIx) -> Vec<String> {
    let tokens = |node| -> BTreeSet<&str> { snapshot.tokens(node).into_iter().collect() };
    tokens(a).intersection(&tokens(b)).map(|&token| token.to_owned()).collect()
}

/// The neighbors of a node through all relations but those of dislikes.
fn all_neighbors(snapshot: &Snapshot, node: NodeIx) -> HashSet<NodeIx> {
    let relations = CountedRelations::new(snapshot, &RelationWeights::default());
    relations.iter().flat_map(|(relation, _)| snapshot.list(relation, node).neighbors()).collect()
}
