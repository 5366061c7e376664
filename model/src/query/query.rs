//! Questions to the embeddings: nearest nodes, vectors, neighbourhoods. Recommendations are `recommend`'s, quality is `evaluate`'s.

use std::collections::HashSet;
use std::sync::Arc;

use hedgerow_storage::{CancelToken, Epoch, Generation, KindIx, NodeIx, NodeName, NodeRef, Snapshot};
use hedgerow_walker::{Policy, WalkOptions, Walker};

use crate::config::error::Error;
use crate::config::model_config::{ModelConfig, unknown_kind};
use crate::engine::handle::Engine;
use crate::network::encoder::Encoder;
use crate::query::answer_explanation::{AnswerExplanation, Explainer};
use crate::query::embeddings::Embeddings;
use crate::query::filter::Filter;
use crate::query::interests::Interests;
use crate::query::recommend::{AnswerSource, Interest, excluded};
use crate::state::on_demand::embed_nodes;

/// How many answers a question is to have, and which.
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
    /// By how many interests a history asks.
    pub interests: Interests,
    /// Whether to say of each node why it is in the answer.
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

/// A node and its score: cosine plus, unless left out, the node's popularity coordinate; or as [`AnswerSource`] says.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// The node.
    pub node: NodeName,
    /// Higher is nearer.
    pub score: f32,
    /// Why it is in the answer, where [`Query::explain`] asked for it.
    pub why: Option<AnswerExplanation>,
}

/// An answer, and how fresh it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Best first, ties by stable id. Where several interests asked, the scores are of different questions and need not fall.
    pub items: Vec<Scored>,
    /// What it was made from.
    pub basis: AnswerSource,
    /// The interests of the history that asked, the most important first; none where nothing of it is embedded.
    pub interests: Vec<Interest>,
    /// Nodes of a history given by name that have no embedding.
    pub ignored: Vec<NodeName>,
    /// The epoch that the embeddings reflect.
    pub epoch: Epoch,
    /// Nodes touched since.
    pub dirty_nodes: u64,
}

/// Whom to recommend to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
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
    Graph {
        recipe: ModelConfig,
        encoder: Arc<Encoder>,
        snapshot: Snapshot,
        node: NodeIx,
        generation: Generation,
    },
}

/// A node of a neighbourhood, with its share of the visits.
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
    pub fn neighborhood<'n>(&self, node: impl Into<NodeRef<'n>>, k: usize) -> Result<Vec<Importance>, Error> {
        let node = node.into();
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
    pub fn embedding<'n>(&self, node: impl Into<NodeRef<'n>>) -> Result<Embedded, Error> {
        let node = node.into();
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
    pub fn embedding_now<'n>(
        &self,
        node: impl Into<NodeRef<'n>>,
        cancel: &CancelToken,
    ) -> Result<Embedded, Error> {
        let node = node.into();
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
                let (vectors, bias) = embed_nodes(&recipe, &encoder, &snapshot, &[node], cancel)?;
                let vector = vectors.iter().copied().chain(bias).collect();
                Ok(Embedded { vector, epoch: snapshot.epoch(), dirty_nodes: 0, generation })
            }
        }
    }

    /// The embeddings nearest to a node's, without itself.
    ///
    /// # Errors
    /// An unknown node, or one without an embedding.
    pub fn similar<'n>(&self, node: impl Into<NodeRef<'n>>, options: &Query) -> Result<Ranked, Error> {
        let node = node.into();
        self.with_embeddings(|embeddings, snapshot| {
            let row = embeddings.require(node, snapshot)?;
            let query = embeddings.vector(row).to_vec();
            let kind = options.kind.as_deref().unwrap_or(node.kind);
            self.rank(embeddings, snapshot, &query, kind, options, row)
        })
    }

    fn rank(
        &self,
        embeddings: &Embeddings,
        snapshot: &Snapshot,
        query: &[f32],
        kind: &str,
        options: &Query,
        row: u32,
    ) -> Result<Ranked, Error> {
        let kind = embeddings.target_kind(kind, snapshot)?;
        let excluded: HashSet<u32> = excluded(options, embeddings, snapshot).chain([row]).collect();
        let node = embeddings.nodes[row as usize];
        let mut explainer = Explainer::new(embeddings, snapshot, options);
        let mut items = Vec::new();
        let marks = options.filter.as_ref().map(|filter| snapshot.token_mask(filter.tokens()));
        for (row, score) in embeddings.nearest(query, options, Some(kind), &excluded, marks.as_ref()) {
            let why = options.explain.then(|| explainer.similar(query, node, row)).transpose()?;
            items.push(Scored { node: snapshot.name(embeddings.nodes[row as usize]), score, why });
        }
        Ok(Ranked {
            items,
            basis: AnswerSource::Embeddings,
            interests: Vec::new(),
            ignored: Vec::new(),
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

    /// The number of a kind that is embedded.
    pub(crate) fn target_kind(&self, kind: &str, snapshot: &Snapshot) -> Result<KindIx, Error> {
        let found = snapshot.kind_ix(kind).ok_or_else(|| unknown_kind(kind, snapshot))?;
        if self.recipe.targets().any(|target| target == kind) {
            return Ok(found);
        }
        let reason = format!("only nodes of kind {} are embedded", self.recipe.target_list());
        Err(Error::NotEmbedded { node: format!("kind {kind}"), reason })
    }

    /// Refuses a name whose kind is not embedded, or not there.
    pub(crate) fn require_target(
        &self,
        kind: &str,
        name: NodeRef<'_>,
        snapshot: &Snapshot,
    ) -> Result<(), Error> {
        if snapshot.lookup(name).is_some() {
            return self.require_kind(name, snapshot).map(drop);
        }
        self.target_kind(kind, snapshot).map(drop)
    }

    /// The kind of the first of `items`.
    pub(crate) fn one_kind<'a>(
        &self,
        snapshot: &Snapshot,
        mut items: impl Iterator<Item = &'a NodeName>,
    ) -> Result<KindIx, Error> {
        let kind = items.next().map(|item| item.kind.as_str());
        let kind = kind.or(self.recipe.targets().next()).unwrap_or_default();
        snapshot.kind_ix(kind).ok_or_else(|| unknown_kind(kind, snapshot))
    }
}
