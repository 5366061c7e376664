//! The rows and scores that the options of a question allow, once they are looked up in the store.
//! Must not know what a question asks for.

use std::collections::HashSet;

use hedgerow_storage::{NodeIx, NodeName, RelationIx, Snapshot};

use crate::config::error::Error;
use crate::config::model_config::unknown_relation;
use crate::query::embeddings::Embeddings;
use crate::query::query::Query;
use crate::query::question::cursor::RankingState;
use crate::query::question::row_set::RowSet;
use crate::query::scan::Bounds;

/// The nodes and scores that may be answers. It is the same for all questions with the same options.
pub(crate) struct Restrictions {
    /// Nodes that are excluded by name.
    excluded: Vec<NodeIx>,
    /// Relations whose neighbors of the node that asks are excluded: those that are named, and those of dislikes.
    relations: Vec<RelationIx>,
    /// `None` if every node may be an answer.
    pub(crate) candidates: Option<Candidates>,
    pub(crate) bounds: Bounds,
}

/// The nodes that are to be ranked.
pub(crate) struct Candidates {
    pub(crate) rows: RowSet,
    pub(crate) nodes: HashSet<NodeIx>,
    /// Nodes that are unknown or have no embedding.
    ignored: Vec<NodeName>,
}

impl Restrictions {
    /// # Errors
    /// An option out of its range, an unknown relation, a cursor of another state.
    pub(crate) fn new(options: &Query, embeddings: &Embeddings, snapshot: &Snapshot) -> Result<Self, Error> {
        options.validate()?;
        let relation =
            |name: &String| snapshot.relation_ix(name).ok_or_else(|| unknown_relation(name, snapshot));
        let mut relations: Vec<RelationIx> =
            options.exclude_relations.iter().map(relation).collect::<Result<_, _>>()?;
        let all = (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16));
        relations.extend(all.filter(|&relation| snapshot.relation_options(relation).is_dislike));
        let now = RankingState::of(embeddings, snapshot);
        Ok(Self {
            excluded: options.exclude.iter().filter_map(|name| snapshot.lookup(name.as_ref())).collect(),
            relations,
            candidates: options.candidates.as_ref().map(|names| Candidates::new(names, embeddings, snapshot)),
            bounds: Bounds {
                least: options.min_score.unwrap_or(f32::NEG_INFINITY),
                after: options.after.map(|cursor| cursor.place(now)).transpose()?,
            },
        })
    }

    /// The nodes that are no answers to a node, or to a history without a node.
    pub(crate) fn excluded<'a>(
        &'a self,
        asking: Option<NodeIx>,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = NodeIx> + 'a {
        let lists = self.relations.iter().filter_map(move |&relation| Some((relation, asking?)));
        let linked = lists.flat_map(|(relation, node)| snapshot.list(relation, node).iter());
        self.excluded.iter().copied().chain(linked.map(|(neighbor, _, _)| neighbor))
    }

    /// The rows of the nodes that are no answers to a node.
    pub(crate) fn excluded_rows<'a>(
        &'a self,
        asking: Option<NodeIx>,
        embeddings: &'a Embeddings,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = u32> + 'a {
        self.excluded(asking, snapshot).filter_map(|node| embeddings.row(node))
    }

    /// Candidates that are unknown or have no embedding.
    pub(crate) fn ignored(&self) -> &[NodeName] {
        self.candidates.as_ref().map_or(&[], |candidates| &candidates.ignored)
    }
}

impl Candidates {
    fn new(names: &[NodeName], embeddings: &Embeddings, snapshot: &Snapshot) -> Self {
        let (mut nodes, mut ignored) = (HashSet::new(), Vec::new());
        for name in names {
            match snapshot.lookup(name.as_ref()).filter(|&node| embeddings.row(node).is_some()) {
                Some(node) => {
                    nodes.insert(node);
                }
                None => ignored.push(name.clone()),
            }
        }
        let rows = nodes.iter().filter_map(|&node| embeddings.row(node)).collect();
        Self { rows, nodes, ignored }
    }
}
