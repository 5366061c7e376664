//! Why a node is in an answer, in facts that can be looked up in the embeddings and in the graph. Words are for others.

use std::collections::{HashMap, HashSet};

use hedgerow_storage::{NodeIx, NodeName, RelationIx, Snapshot};
use hedgerow_walker::Walker;

use crate::config::error::Error;
use crate::linalg::rows::dot;
use crate::query::embeddings::Embeddings;
use crate::query::query::{Query, Ranked, Scored};
use crate::query::recommend::{AnswerSource, Answered, Asked};

/// Common neighbours that are named.
const NAMED: usize = 3;

/// Why a node is in an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerExplanation {
    /// The cosine with the vector that asked, the interest's where there are several; `None` unless embeddings answered.
    pub cosine: Option<f32>,
    /// What popularity adds to it: the score is their sum. `None` unless embeddings answered, 0 where the cosine alone ranks.
    pub popularity: Option<f32>,
    /// The place in [`Ranked::interests`] of the interest that brought it; `None` where there are none.
    pub interest: Option<usize>,
    /// How it hangs together with the node asked about or, for a recommendation, with the nearest node of the history; `None` where
    /// there is no such node.
    pub beside: Option<Connection>,
}

/// How two nodes hang together: their cosine in the embeddings, the rest in the graph as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// The node beside which the answer stands.
    pub node: NodeName,
    /// Their cosine; `None` where one of the two has no embedding.
    pub cosine: Option<f32>,
    /// Whether an edge links them.
    pub linked: bool,
    /// How many neighbours they have in common, through whatever relations.
    pub shared: u64,
    /// Three of those at most: the ones with the fewest edges, which say most; ties by stable id.
    pub shared_nodes: Vec<NodeName>,
    /// How often the walks of `node` visit the answer, 0 where it is not in the neighbourhood.
    pub visits: u32,
}

/// What is known of a node that others stand beside.
struct TrainedRows {
    node: NodeIx,
    neighbors: HashSet<NodeIx>,
    visits: HashMap<NodeIx, u32>,
}

/// Explains the nodes of one answer.
pub(crate) struct Explainer<'a> {
    pub(crate) embeddings: &'a Embeddings,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) options: &'a Query,
    known: HashMap<NodeIx, TrainedRows>,
}

impl<'a> Explainer<'a> {
    pub(crate) fn new(embeddings: &'a Embeddings, snapshot: &'a Snapshot, options: &'a Query) -> Self {
        Self { embeddings, snapshot, options, known: HashMap::new() }
    }

    /// A node found near to another.
    pub(crate) fn similar(
        &mut self,
        query: &[f32],
        node: NodeIx,
        row: u32,
    ) -> Result<AnswerExplanation, Error> {
        let found = self.embeddings.nodes[row as usize];
        let beside = Some(self.beside(node, found)?);
        let (cosine, popularity) = self.parts(query, row);
        Ok(AnswerExplanation { cosine, popularity, interest: None, beside })
    }

    /// A node that was recommended.
    fn recommended(
        &mut self,
        asked: &Asked,
        basis: AnswerSource,
        answered: &Answered,
    ) -> Result<AnswerExplanation, Error> {
        let mut why = AnswerExplanation { cosine: None, popularity: None, interest: None, beside: None };
        let nearest = match (basis, answered.row) {
            (AnswerSource::Embeddings, Some(row)) => {
                (why.cosine, why.popularity) = self.parts(&asked.queries[answered.interest], row);
                why.interest = asked.parts.get(answered.interest).map(|_| answered.interest);
                let vector = self.embeddings.vector(row);
                let cosine = |&of: &u32| (dot(vector, self.embeddings.vector(of)), of);
                // Of equal ones the first by stable id.
                let nearer = |a: (f32, u32), b: (f32, u32)| if b.0 > a.0 { b } else { a };
                let others = asked.history.iter().filter(|&&of| of != row);
                others.map(cosine).reduce(nearer).map(|(_, of)| self.embeddings.nodes[of as usize])
            }
            (AnswerSource::Walks, _) => {
                let (mut most, mut nearest) = (None, None);
                for &start in &asked.starts {
                    let beside = self.beside(start, answered.node)?;
                    let count = (beside.visits, beside.shared);
                    if most.is_none_or(|most| count > most) {
                        (most, nearest) = (Some(count), Some(start));
                    }
                }
                nearest
            }
            _ => None,
        };
        why.beside = nearest.map(|nearest| self.beside(nearest, answered.node)).transpose()?;
        Ok(why)
    }

    /// What a score is the sum of.
    fn parts(&self, query: &[f32], row: u32) -> (Option<f32>, Option<f32>) {
        let popularity = if self.options.cosine { 0.0 } else { self.embeddings.bias[row as usize] };
        (Some(self.embeddings.vectors.score(query, row as usize)), Some(popularity))
    }

    fn beside(&mut self, node: NodeIx, answer: NodeIx) -> Result<Connection, Error> {
        let snapshot = self.snapshot;
        if !self.known.contains_key(&node) {
            let known = self.look_at(node)?;
            self.known.insert(node, known);
        }
        let known = &self.known[&node];
        let mut shared: Vec<NodeIx> =
            neighbors(snapshot, answer).into_iter().filter(|other| known.neighbors.contains(other)).collect();
        shared.sort_by_key(|&other| (snapshot.degree(other), snapshot.stable_id(other)));
        let rows = (self.embeddings.row(node), self.embeddings.row(answer));
        let cosine = match rows {
            (Some(a), Some(b)) => Some(dot(self.embeddings.vector(a), self.embeddings.vector(b))),
            _ => None,
        };
        Ok(Connection {
            node: snapshot.name(known.node),
            cosine,
            linked: known.neighbors.contains(&answer),
            shared: shared.len() as u64,
            shared_nodes: shared.iter().take(NAMED).map(|&other| snapshot.name(other)).collect(),
            visits: known.visits.get(&answer).copied().unwrap_or(0),
        })
    }

    fn look_at(&self, node: NodeIx) -> Result<TrainedRows, Error> {
        let kind = self.snapshot.kind_name(self.snapshot.kind(node));
        let recipe = &self.embeddings.recipe;
        let visits = match recipe.policies.iter().find(|policy| policy.kind == kind) {
            Some(policy) => Walker::new(self.snapshot, recipe.walks, policy)?.neighborhood(node),
            None => Vec::new(),
        };
        let visits = visits.into_iter().map(|visit| (visit.node, visit.count)).collect();
        Ok(TrainedRows { node, neighbors: neighbors(self.snapshot, node), visits })
    }
}

fn neighbors(snapshot: &Snapshot, node: NodeIx) -> HashSet<NodeIx> {
    let relations = (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16));
    relations.flat_map(|relation| snapshot.list(relation, node).neighbors()).collect()
}

impl Asked {
    /// The answer with its names and, where asked for, its reasons.
    pub(crate) fn ranked(
        &self,
        basis: AnswerSource,
        answered: &[Answered],
        options: &Query,
        embeddings: &Embeddings,
        snapshot: &Snapshot,
        dirty_nodes: u64,
    ) -> Result<Ranked, Error> {
        let mut explainer = Explainer::new(embeddings, snapshot, options);
        let mut items = Vec::with_capacity(answered.len());
        for one in answered {
            let why = options.explain.then(|| explainer.recommended(self, basis, one)).transpose()?;
            items.push(Scored { node: snapshot.name(one.node), score: one.score, why });
        }
        Ok(Ranked {
            items,
            basis,
            interests: self.interests(embeddings, snapshot),
            ignored: self.ignored.clone(),
            epoch: embeddings.epoch,
            dirty_nodes,
        })
    }
}
