//! Questions to the embeddings: nearest nodes, recommendations, vectors, neighbourhoods, quality.

use std::collections::HashSet;
use std::sync::Arc;

use hedgerow_storage::{
    CancelToken, Epoch, Generation, KindIx, NodeIx, NodeName, NodeRef, RelationIx, Snapshot,
};
use hedgerow_walker::{Policy, WalkOptions, Walker};

use crate::embeddings::Embeddings;
use crate::encoder::Encoder;
use crate::engine::Engine;
use crate::error::Error;
use crate::evaluate::{self, Case, RecommendQuality, RelatedQuality};
use crate::filter::Filter;
use crate::fresh::fresh;
use crate::recipe::{Recipe, unknown_kind};

/// How many answers, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Answers at most; fewer where there are not so many nodes.
    pub k: usize,
    /// Only nodes of this kind. `None`: for a node, its own kind; for a history, the kind of its first node.
    pub kind: Option<String>,
    /// Only nodes that have such tokens in the graph as it is now.
    pub filter: Option<Filter>,
    /// Nodes to leave out.
    pub exclude: Vec<NodeName>,
    /// Whether what a user has seen already may be recommended.
    pub include_seen: bool,
    /// Ranks by the cosine alone, leaving out the popularity coordinate.
    pub cosine: bool,
}

impl Default for Query {
    fn default() -> Self {
        Self { k: 10, kind: None, filter: None, exclude: Vec::new(), include_seen: false, cosine: false }
    }
}

/// A node and its score: cosine plus, unless left out, the node's popularity coordinate.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// The node.
    pub node: NodeName,
    /// Higher is nearer.
    pub score: f32,
}

/// An answer, and how fresh it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Best first, ties by stable id.
    pub items: Vec<Scored>,
    /// The epoch that the embeddings reflect.
    pub epoch: Epoch,
    /// Nodes touched since.
    pub dirty_nodes: u64,
}

/// Whom to recommend to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A node of the store: its embedded neighbours are its history.
    Node(NodeName),
    /// These nodes.
    History(Vec<NodeName>),
}

/// A vector, and what it was computed from.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// A unit vector, and last what is added to the node's score.
    pub vector: Vec<f32>,
    /// The epoch that it reflects.
    pub epoch: Epoch,
    /// Nodes touched since.
    pub dirty_nodes: u64,
    /// The model's generation.
    pub generation: Generation,
}

/// Where the answer about a node comes from.
enum Asked {
    Row(Embedded),
    Graph { recipe: Recipe, encoder: Arc<Encoder>, snapshot: Snapshot, node: NodeIx, generation: Generation },
}

/// A node of a neighbourhood.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// The node.
    pub node: NodeName,
    /// How often the walks visited it.
    pub visits: u32,
    /// Its share of the neighbourhood's visits.
    pub importance: f32,
}

impl Engine {
    /// The walk neighbourhood of a node in the graph as it is now, at most `k` of it; with the model's walk
    /// options, or the default ones where no model embeds its kind. Needs no training.
    pub fn neighborhood(&self, node: NodeRef<'_>, k: usize) -> Result<Vec<Importance>, Error> {
        let trained = self.shown().as_ref().and_then(|embeddings| {
            let recipe = &embeddings.recipe;
            let policy = recipe.policies.iter().find(|policy| policy.kind == node.kind)?;
            Some((recipe.walks, policy.clone()))
        });
        let snapshot = self.store().snapshot();
        let source = snapshot.require(node)?;
        let (walks, policy) = trained.unwrap_or_else(|| {
            (WalkOptions::default(), Policy::default_for(&snapshot, snapshot.kind(source)))
        });
        let visits = Walker::new(&snapshot, walks, &policy)?.neighborhood(source);
        let sum: u32 = visits.iter().map(|visit| visit.count).sum();
        let listed = visits.iter().take(k).map(|visit| Importance {
            node: snapshot.name(visit.node),
            visits: visit.count,
            importance: visit.count as f32 / sum as f32,
        });
        Ok(listed.collect())
    }

    /// A node's embedding.
    ///
    /// # Errors
    /// [`Error::NotEmbedded`] if its kind is not embedded or it came after the last refresh.
    pub fn embedding(&self, node: NodeRef<'_>) -> Result<Embedded, Error> {
        self.with_embeddings(|embeddings, snapshot| self.embedding_of(node, embeddings, snapshot))
    }

    /// A node's embedding in the graph as it is now: what a refresh would give it, without one. Where nothing changed since
    /// the last refresh it is the one that readers have anyway.
    ///
    /// # Visibility
    /// Nothing changes, so the next read costs as much: for hosts that read few nodes of many that change. The epoch is the
    /// store's, and no dirty node is behind it. It waits for no refresh.
    /// # Errors
    /// [`Error::NotEmbedded`] if its kind is not embedded; a cancellation.
    /// # Cost
    /// With K layers and neighbourhoods of T nodes, the walks of up to T^(K - 1) nodes and as many rows of T products.
    pub fn embedding_now(&self, node: NodeRef<'_>, cancel: &CancelToken) -> Result<Embedded, Error> {
        let asked = self.with_embeddings(|embeddings, snapshot| {
            let node_ix = embeddings.require_kind(node, snapshot)?;
            if embeddings.epoch == snapshot.epoch() {
                return Ok(Asked::Row(self.embedding_of(node, embeddings, snapshot)?));
            }
            let (recipe, encoder) = (embeddings.recipe.clone(), Arc::clone(&embeddings.encoder));
            Ok(Asked::Graph {
                recipe,
                encoder,
                snapshot: snapshot.clone(),
                node: node_ix,
                generation: embeddings.generation,
            })
        })?;
        match asked {
            Asked::Row(embedded) => Ok(embedded),
            Asked::Graph { recipe, encoder, snapshot, node, generation } => {
                let (vectors, bias) = fresh(&recipe, &encoder, &snapshot, &[node], cancel)?;
                let vector = vectors.iter().copied().chain(bias).collect();
                Ok(Embedded { vector, epoch: snapshot.epoch(), dirty_nodes: 0, generation })
            }
        }
    }

    /// The embeddings nearest to a node's, without itself.
    ///
    /// # Errors
    /// An unknown node, or one without an embedding.
    pub fn similar(&self, node: NodeRef<'_>, options: &Query) -> Result<Ranked, Error> {
        self.with_embeddings(|embeddings, snapshot| {
            let row = embeddings.require(node, snapshot)?;
            let query = embeddings.vector(row).to_vec();
            let kind = options.kind.as_deref().unwrap_or(node.kind);
            self.rank(embeddings, snapshot, &query, kind, options, vec![row])
        })
    }

    /// What to show next to a user or for a history: the embeddings nearest to the mean of the history's, each divided by
    /// the square root of its degree, and to the user's own where users are embedded too.
    /// Seen nodes are left out unless asked for. From an empty history the answer is the popular nodes.
    ///
    /// # Errors
    /// An unknown node, or a node in a history that has no embedding.
    pub fn recommend(&self, audience: &Audience, options: &Query) -> Result<Ranked, Error> {
        self.with_embeddings(|embeddings, snapshot| {
            let (node, history) = match audience {
                Audience::History(names) => {
                    let row = |name: &NodeName| embeddings.require(name.as_ref(), snapshot);
                    (None, names.iter().map(row).collect::<Result<Vec<_>, _>>()?)
                }
                Audience::Node(name) => {
                    let node = snapshot.require(name.as_ref())?;
                    (Some(node), embeddings.history(node, snapshot))
                }
            };
            let first = history.first().map(|&row| snapshot.kind_name(embeddings.kind(row)));
            let kind = options.kind.as_deref().or(first).or(embeddings.recipe.targets().next());
            let kind = kind.unwrap_or_default().to_owned();
            let of_kind = |row: &u32| snapshot.kind_name(embeddings.kind(*row)) == kind;
            let asked: Vec<u32> = history.iter().copied().filter(of_kind).collect();
            let asked = if asked.is_empty() { &history } else { &asked };
            let query = node.map_or_else(|| embeddings.mean(asked), |node| embeddings.asked_by(node, asked));
            let seen = if options.include_seen { Vec::new() } else { history };
            self.rank(embeddings, snapshot, &query, &kind, options, seen)
        })
    }

    /// Ranks for each user all nodes of the items' kind that the store does not link to it, and compares with
    /// the items given. Users are of any kind; items that the store does not know count as not found.
    ///
    /// # Errors
    /// An unknown user, or users without any item of an embedded kind.
    /// # Cost
    /// Copies the embeddings, so that no refresh waits for it.
    pub fn evaluate_recommend(
        &self,
        users: &[(NodeName, Vec<NodeName>)],
        k: usize,
        cancel: &CancelToken,
    ) -> Result<RecommendQuality, Error> {
        self.with_copy(|embeddings, snapshot| {
            let items = users.iter().flat_map(|(_, items)| items);
            let kind = embeddings.one_kind(snapshot, items)?;
            let candidates = embeddings.of_kind(kind);
            let mut cases = Vec::with_capacity(users.len());
            for (user, items) in users {
                let row =
                    |item: &NodeName| snapshot.lookup(item.as_ref()).and_then(|item| embeddings.row(item));
                let node = snapshot.require(user.as_ref())?;
                let history = embeddings.history(node, snapshot);
                cases.push(Case {
                    query: embeddings.asked_by(node, &history),
                    history,
                    wanted: items.iter().filter_map(row).collect(),
                    items: items.len(),
                });
            }
            evaluate::recommend(embeddings, &cases, &candidates, k, cancel)
        })
    }

    /// Ranks all nodes of the pairs' kind for the first of each pair and finds the second.
    ///
    /// # Errors
    /// An unknown node, or one without an embedding.
    /// # Cost
    /// Copies the embeddings, so that no refresh waits for it.
    pub fn evaluate_related(
        &self,
        pairs: &[(NodeName, NodeName)],
        cancel: &CancelToken,
    ) -> Result<RelatedQuality, Error> {
        self.with_copy(|embeddings, snapshot| {
            let kind = embeddings.one_kind(snapshot, pairs.iter().map(|(_, item)| item))?;
            let candidates = embeddings.of_kind(kind);
            let rows = pairs.iter().map(|(query, item)| {
                let row = |name: &NodeName| embeddings.require(name.as_ref(), snapshot);
                Ok((row(query)?, row(item)?))
            });
            let rows = rows.collect::<Result<Vec<_>, Error>>()?;
            evaluate::related(embeddings, &rows, &candidates, cancel)
        })
    }

    fn rank(
        &self,
        embeddings: &Embeddings,
        snapshot: &Snapshot,
        query: &[f32],
        kind: &str,
        options: &Query,
        left_out: Vec<u32>,
    ) -> Result<Ranked, Error> {
        if !kind.is_empty() && !embeddings.recipe.targets().any(|target| target == kind) {
            return Err(match snapshot.kind_ix(kind) {
                None => unknown_kind(kind, snapshot),
                Some(_) => Error::NotEmbedded {
                    node: format!("kind {kind}"),
                    reason: format!("only nodes of kind {} are embedded", embeddings.recipe.target_list()),
                },
            });
        }
        let kind = snapshot.kind_ix(kind).ok_or_else(|| unknown_kind(kind, snapshot))?;
        let mut excluded: HashSet<u32> = left_out.into_iter().collect();
        for name in &options.exclude {
            let row = snapshot.lookup(name.as_ref()).and_then(|node| embeddings.row(node));
            excluded.extend(row);
        }
        let marks = options.filter.as_ref().map(|filter| snapshot.token_marks(filter.tokens()));
        let hits = embeddings.nearest(query, options, Some(kind), &excluded, marks.as_ref());
        let named = hits
            .into_iter()
            .map(|(row, score)| Scored { node: snapshot.name(embeddings.nodes[row as usize]), score });
        Ok(Ranked {
            items: named.collect(),
            epoch: embeddings.epoch,
            dirty_nodes: self.store().dirty_nodes(),
        })
    }

    fn embedding_of(
        &self,
        node: NodeRef<'_>,
        embeddings: &Embeddings,
        snapshot: &Snapshot,
    ) -> Result<Embedded, Error> {
        let row = embeddings.require(node, snapshot)?;
        let mut vector = embeddings.vector(row).to_vec();
        vector.push(embeddings.bias[row as usize]);
        Ok(self.embedded(vector, embeddings))
    }

    pub(crate) fn embedded(&self, vector: Vec<f32>, embeddings: &Embeddings) -> Embedded {
        let (epoch, generation) = (embeddings.epoch, embeddings.generation);
        Embedded { vector, epoch, dirty_nodes: self.store().dirty_nodes(), generation }
    }

    /// Asks the embeddings of one epoch, beside the graph of that epoch or a later one: it is looked up behind them, since
    /// they may hold nodes that an earlier graph has no names for.
    pub(crate) fn with_embeddings<T>(
        &self,
        ask: impl FnOnce(&Embeddings, &Snapshot) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let shown = self.shown();
        let embeddings = shown.as_ref().ok_or(Error::NotTrained)?;
        ask(embeddings, &self.store().snapshot())
    }

    /// The same where the answer takes long: a refresh that waited for it would keep all other readers waiting.
    fn with_copy<T>(&self, ask: impl FnOnce(&Embeddings, &Snapshot) -> Result<T, Error>) -> Result<T, Error> {
        let (copy, snapshot) =
            self.with_embeddings(|embeddings, snapshot| Ok((embeddings.clone(), snapshot.clone())))?;
        ask(&copy, &snapshot)
    }
}

impl Embeddings {
    pub(crate) fn require(&self, name: NodeRef<'_>, snapshot: &Snapshot) -> Result<u32, Error> {
        let node = self.require_kind(name, snapshot)?;
        let reason = || "it came after the last refresh; refresh first".to_owned();
        self.row(node).ok_or_else(|| Error::NotEmbedded { node: name.to_string(), reason: reason() })
    }

    /// A node that is in the graph, and of a kind that is embedded.
    pub(crate) fn require_kind(&self, name: NodeRef<'_>, snapshot: &Snapshot) -> Result<NodeIx, Error> {
        let node = snapshot.require(name)?;
        if self.recipe.targets().any(|target| target == name.kind) {
            return Ok(node);
        }
        let reason = format!("only nodes of kind {} are embedded", self.recipe.target_list());
        Err(Error::NotEmbedded { node: name.to_string(), reason })
    }

    /// Rows of the embedded neighbours of a node, through all relations, in the order of their ids.
    fn history(&self, node: NodeIx, snapshot: &Snapshot) -> Vec<u32> {
        let mut rows: Vec<u32> = (0..snapshot.relation_count())
            .flat_map(|relation| snapshot.list(RelationIx::new(relation as u16), node).neighbors())
            .filter_map(|neighbor| self.row(neighbor))
            .collect();
        rows.sort_unstable_by_key(|&row| self.ids[row as usize]);
        rows.dedup();
        rows
    }

    /// The kind of the first of `items`.
    fn one_kind<'a>(
        &self,
        snapshot: &Snapshot,
        mut items: impl Iterator<Item = &'a NodeName>,
    ) -> Result<KindIx, Error> {
        let kind = items.next().map(|item| item.kind.as_str());
        let kind = kind.or(self.recipe.targets().next()).unwrap_or_default();
        snapshot.kind_ix(kind).ok_or_else(|| unknown_kind(kind, snapshot))
    }

    fn of_kind(&self, kind: KindIx) -> Vec<u32> {
        (0..self.rows() as u32).filter(|&row| self.is_alive(row) && self.kind(row) == kind).collect()
    }
}
