//! A history as query vectors: one for each interest, or the user's own.
//! Finds no answers; how interests are clustered is `interests`'.

use std::cmp::Reverse;

use hedgerow_storage::{KindIx, NodeIx, NodeName, RelationIx, Snapshot};

use crate::config::error::Error;
use crate::linalg::rows::normalize;
use crate::query::answer::Interest;
use crate::query::embeddings::Embeddings;
use crate::query::interests::{MOST_CLUSTERED, clusters, weights};
use crate::query::query::{Query, Recipient};

/// The time of an edge, if it has one.
type Time = Option<i64>;

/// The history of a recipient in rows, and its query vectors.
pub(crate) struct HistoryQuery {
    /// The kind of the answers.
    pub(crate) kind: KindIx,
    /// A vector for each interest, or the recipient's own. Empty if no node is embedded.
    pub(crate) vectors: Vec<Vec<f32>>,
    pub(crate) interests: Vec<InterestRows>,
    /// The nodes of each interest that have the kind of the answers, embedded or not; all of them if there is at most one interest.
    pub(crate) items: Vec<Vec<NodeIx>>,
    /// The recipient, if it is a node of the graph.
    pub(crate) recipient: Option<NodeIx>,
    /// All embedded nodes of the history, of any kind.
    pub(crate) history: Vec<u32>,
    /// The nodes of the history that have the kind of the answers and no embedding: walks start from them.
    pub(crate) walk_starts: Vec<NodeIx>,
    /// Named nodes that are not used.
    pub(crate) ignored: Vec<NodeName>,
}

/// An interest in rows.
pub(crate) struct InterestRows {
    pub(crate) medoid: u32,
    pub(crate) importance: f64,
    pub(crate) items: usize,
}

/// The nodes of a history before they become rows.
struct Listed<'a> {
    nodes: Vec<(NodeIx, Time)>,
    recipient: Option<NodeIx>,
    /// The recipient's own row.
    own: Option<u32>,
    /// The kind of the first named node.
    first_kind: Option<&'a str>,
    ignored: Vec<NodeName>,
}

impl HistoryQuery {
    pub(crate) fn new(
        recipient: &Recipient,
        options: &Query,
        embeddings: &Embeddings,
        snapshot: &Snapshot,
    ) -> Result<Self, Error> {
        let Listed { nodes, recipient, own, first_kind, ignored } = listed(recipient, embeddings, snapshot)?;

        // The embedded nodes, by stable id.
        let row = |&(node, time): &(NodeIx, Time)| Some((embeddings.row(node)?, time));
        let mut rows: Vec<(u32, Time)> = nodes.iter().filter_map(row).collect();
        rows.sort_by_key(|&(row, time)| (embeddings.ids[row as usize], time));

        // The kind of the answers: from the options, the first named node, the first row, or the model.
        let row_kind = rows.first().map(|&(row, _)| snapshot.kind_name(embeddings.kind(row)));
        let kind = options.kind.as_deref().or(first_kind).or(row_kind).or(embeddings.config.targets().next());
        let kind = embeddings.require_kind(kind.unwrap_or_default(), snapshot)?;
        let items = nodes.iter().map(|&(node, _)| node).filter(|&node| snapshot.kind(node) == kind);
        let items: Vec<NodeIx> = items.collect();
        let walk_starts = items.iter().copied().filter(|&node| embeddings.row(node).is_none());
        let mut query = Self {
            kind,
            vectors: Vec::new(),
            interests: Vec::new(),
            history: rows.iter().map(|&(row, _)| row).collect(),
            walk_starts: walk_starts.collect(),
            items: Vec::new(),
            recipient,
            ignored,
        };

        // Rows of the answers' kind make the query vectors; rows of other kinds do if there are no others.
        let has_kind = |(row, _): &(u32, _)| embeddings.kind(*row) == kind;
        if rows.iter().any(has_kind) {
            rows.retain(has_kind);
        }
        query.set_vectors(rows, own, options, embeddings);
        // Clusters have embedded nodes only; one interest needs no cluster.
        if query.interests.len() < 2 {
            query.items = vec![items];
        }
        Ok(query)
    }

    fn set_vectors(
        &mut self,
        mut timed: Vec<(u32, Time)>,
        own: Option<u32>,
        options: &Query,
        embeddings: &Embeddings,
    ) {
        // Clustering costs the square of the number of rows, so the newest ones are taken.
        if !options.interests.is_one() && timed.len() > MOST_CLUSTERED {
            timed.sort_by_key(|&(row, time)| (Reverse(time), embeddings.ids[row as usize]));
            timed.truncate(MOST_CLUSTERED);
            timed.sort_by_key(|&(row, _)| embeddings.ids[row as usize]);
        }

        // One query vector for each cluster.
        let (rows, times): (Vec<u32>, Vec<Time>) = timed.into_iter().unzip();
        let vectors: Vec<Vec<f32>> = rows.iter().map(|&row| embeddings.vector(row)).collect();
        let vectors: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
        for cluster in clusters(&vectors, &weights(&times), options.interests) {
            let members: Vec<u32> = cluster.members.iter().map(|&at| rows[at]).collect();
            self.vectors.push(blended(embeddings.mean(&members), own, embeddings));
            self.items.push(members.iter().map(|&row| embeddings.nodes[row as usize]).collect());
            let (medoid, items) = (rows[cluster.medoid], members.len());
            self.interests.push(InterestRows { medoid, importance: cluster.importance, items });
        }
        if self.vectors.is_empty()
            && let Some(own) = own
        {
            self.vectors.push(embeddings.vector(own));
        }
    }

    /// The interests with the names of their medoids.
    pub(crate) fn named_interests(&self, embeddings: &Embeddings, snapshot: &Snapshot) -> Vec<Interest> {
        let interest = |interest: &InterestRows| Interest {
            medoid: snapshot.name(embeddings.nodes[interest.medoid as usize]),
            importance: interest.importance as f32,
            items: interest.items,
        };
        self.interests.iter().map(interest).collect()
    }
}

fn listed<'a>(
    recipient: &'a Recipient,
    embeddings: &Embeddings,
    snapshot: &Snapshot,
) -> Result<Listed<'a>, Error> {
    match recipient {
        Recipient::Node(name) => {
            let node = snapshot.require(name.as_ref())?;
            let nodes = neighbors(node, snapshot);
            let own = embeddings.row(node);
            Ok(Listed { nodes, recipient: Some(node), own, first_kind: None, ignored: Vec::new() })
        }
        Recipient::History(names) => {
            let (mut nodes, mut ignored) = (Vec::new(), Vec::new());
            for name in names {
                embeddings.check_kind_of(name.as_ref(), snapshot)?;
                let node = snapshot.lookup(name.as_ref());
                nodes.extend(node.map(|node| (node, None)));
                if node.is_none_or(|node| embeddings.row(node).is_none()) {
                    ignored.push(name.clone());
                }
            }
            let first_kind = names.first().map(|name| name.kind.as_str());
            Ok(Listed { nodes, recipient: None, own: None, first_kind, ignored })
        }
    }
}

/// The unit vector of the sum of a query vector and the recipient's own.
fn blended(mut query: Vec<f32>, own: Option<u32>, embeddings: &Embeddings) -> Vec<f32> {
    if let Some(own) = own {
        query.iter_mut().zip(embeddings.vector(own)).for_each(|(sum, value)| *sum += value);
        normalize(&mut query);
    }
    query
}

/// The neighbors of a node through all relations, each once with the newest time of its edges, by stable id.
pub(crate) fn neighbors(node: NodeIx, snapshot: &Snapshot) -> Vec<(NodeIx, Time)> {
    let relations = (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16));
    let mut found: Vec<(NodeIx, Time)> = relations
        .flat_map(|relation| snapshot.list(relation, node).iter())
        .map(|(neighbor, _, time)| (neighbor, time))
        .collect();
    found.sort_by_key(|&(neighbor, time)| (snapshot.stable_id(neighbor), Reverse(time)));
    found.dedup_by_key(|(neighbor, _)| *neighbor);
    found
}
