//! A history as query vectors: one for each interest, or the user's own.
//! Finds no answers; how interests are clustered is `interests`'.

use std::cmp::Reverse;

use hedgerow_storage::{KindIx, NodeIx, NodeName, Snapshot};
use hedgerow_walker::CountedRelations;

use crate::config::error::Error;
use crate::linalg::rows::normalize;
use crate::query::answer::Interest;
use crate::query::embeddings::Embeddings;
use crate::query::interests::{MOST_CLUSTERED, clusters, weights};
use crate::query::query::{Query, Recipient};

/// The time of an edge, if it has one.
type Time = Option<i64>;

/// A node of a history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HistoryNode {
    pub(crate) node: NodeIx,
    /// The newest time of its edges.
    time: Time,
    /// The strength of its edge; 1 if the node was named.
    strength: f32,
}

/// The history of a recipient in rows, and its query vectors.
pub(crate) struct HistoryQuery {
    /// The kind of the answers.
    pub(crate) kind: KindIx,
    /// A vector for each interest, or the recipient's own. Empty if no node is embedded.
    pub(crate) vectors: Vec<Vec<f32>>,
    pub(crate) interests: Vec<InterestRows>,
    /// The nodes of each interest that have the kind of the answers, embedded or not, with their strengths; all of them if there is at
    /// most one interest.
    pub(crate) items: Vec<Vec<(NodeIx, f32)>>,
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
    nodes: Vec<HistoryNode>,
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
        let Listed { mut nodes, recipient, own, first_kind, ignored } =
            listed(recipient, embeddings, snapshot)?;

        // The embedded nodes, by stable id.
        let row = |&listed: &HistoryNode| Some((embeddings.row(listed.node)?, listed));
        let mut rows: Vec<(u32, HistoryNode)> = nodes.iter().filter_map(row).collect();
        rows.sort_by_key(|&(row, listed)| (embeddings.ids[row as usize], listed.time));

        // The kind of the answers: from the options, the first named node, the first row, or the model.
        let row_kind = rows.first().map(|&(row, _)| snapshot.kind_name(embeddings.kind(row)));
        let kind = options.kind.as_deref().or(first_kind).or(row_kind).or(embeddings.config.targets().next());
        let kind = embeddings.require_kind(kind.unwrap_or_default(), snapshot)?;
        // In sums an edge of the recipient counts as any other.
        let lists = embeddings.graph_rows(kind).and_then(|rows| rows.relations(snapshot));
        if let (Some(recipient), Some(lists)) = (recipient, lists) {
            let listed = nodes.iter_mut().chain(rows.iter_mut().map(|(_, listed)| listed));
            for HistoryNode { node, strength, .. } in listed {
                let in_sums = lists.strength(snapshot, recipient, *node);
                if in_sums > 0.0 {
                    *strength = in_sums;
                }
            }
        }
        let items = nodes.iter().map(|listed| (listed.node, listed.strength));
        let items: Vec<(NodeIx, f32)> = items.filter(|&(node, _)| snapshot.kind(node) == kind).collect();
        let walk_starts = items.iter().map(|&(node, _)| node).filter(|&node| embeddings.row(node).is_none());
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
        mut listed: Vec<(u32, HistoryNode)>,
        own: Option<u32>,
        options: &Query,
        embeddings: &Embeddings,
    ) {
        // Clustering costs the square of the number of rows, so the newest ones are taken.
        if !options.interests.is_one() && listed.len() > MOST_CLUSTERED {
            listed.sort_by_key(|&(row, listed)| (Reverse(listed.time), embeddings.ids[row as usize]));
            listed.truncate(MOST_CLUSTERED);
            listed.sort_by_key(|&(row, _)| embeddings.ids[row as usize]);
        }

        // One query vector for each cluster.
        let times: Vec<Time> = listed.iter().map(|(_, listed)| listed.time).collect();
        let (rows, nodes): (Vec<u32>, Vec<HistoryNode>) = listed.into_iter().unzip();
        let vectors: Vec<Vec<f32>> = rows.iter().map(|&row| embeddings.vector(row)).collect();
        let vectors: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
        for cluster in clusters(&vectors, &weights(&times), options.interests) {
            let members = cluster.members.iter().map(|&at| (rows[at], nodes[at].strength));
            self.vectors.push(blended(embeddings.mean(members), own, embeddings));
            let item = |&at: &usize| (nodes[at].node, nodes[at].strength);
            self.items.push(cluster.members.iter().map(item).collect());
            let (medoid, items) = (rows[cluster.medoid], cluster.members.len());
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
            let nodes = history_of(node, snapshot, &embeddings.config.counted(snapshot));
            let own = embeddings.row(node);
            Ok(Listed { nodes, recipient: Some(node), own, first_kind: None, ignored: Vec::new() })
        }
        Recipient::History(names) => {
            let (mut nodes, mut ignored) = (Vec::new(), Vec::new());
            for name in names {
                embeddings.check_kind_of(name.as_ref(), snapshot)?;
                let node = snapshot.lookup(name.as_ref());
                nodes.extend(node.map(|node| HistoryNode { node, time: None, strength: 1.0 }));
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

/// The neighbors of a node through relations that count, each once, by stable id. Those that are disliked as well are left out.
pub(crate) fn history_of(
    node: NodeIx,
    snapshot: &Snapshot,
    relations: &CountedRelations,
) -> Vec<HistoryNode> {
    let mut found: Vec<HistoryNode> = Vec::new();
    for (relation, strength) in relations.iter() {
        let edges = snapshot.list(relation, node).iter();
        let history = edges.map(|(node, _, time)| {
            let time = time.map(|time| snapshot.time_unit().to_microseconds(time));
            HistoryNode { node, time, strength }
        });
        found.extend(history);
    }
    if relations.has_dislikes() {
        found.retain(|listed| !relations.is_disliked(snapshot, node, listed.node));
    }
    found.sort_by_key(|listed| (snapshot.stable_id(listed.node), Reverse(listed.time)));
    found.dedup_by(|next, kept| {
        let is_same = next.node == kept.node;
        if is_same {
            kept.strength = kept.strength.max(next.strength);
        }
        is_same
    });
    found
}
