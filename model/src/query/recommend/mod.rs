//! What to show next to a user or after a history: what it asks for, how the answers of several interests become one, and where an
//! answer comes from when there is no embedding to ask with. How interests are found is `interests`', how rows are ranked `embeddings`'.

pub(crate) mod batch;
mod cold_start;

use std::collections::HashSet;

use hedgerow_storage::{KindIx, NodeIx, NodeName, RelationIx, Snapshot};

use crate::config::error::Error;
use crate::engine::handle::Engine;
use crate::linalg::rows::normalize;
use crate::query::embeddings::Embeddings;
use crate::query::interests::{MOST_CLUSTERED, clusters, weights};
use crate::query::query::{Query, Ranked, Recipient};
use crate::query::scan::Hit;

use crate::query::recommend::cold_start::Cold;

/// What an answer was made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerSource {
    /// The nearest embeddings; the score is a cosine and what popularity adds.
    #[default]
    Embeddings,
    /// Nothing of the history is embedded: what walks from it visit most in the graph as it is now, scored by
    /// [`pixie`](hedgerow_walker::pixie()).
    Walks,
    /// There is nothing to walk from either: what has most edges in the graph as it is now, scored by their number.
    Popular,
}

/// A part of a history that hangs together.
#[derive(Clone, Debug, PartialEq)]
pub struct Interest {
    /// The node in its middle: the smallest sum of squared distances from all of it.
    pub medoid: NodeName,
    /// Its share of the history, newer edges counting more; see [`DECAY`](crate::query::interests::DECAY).
    pub importance: f32,
    /// How many nodes of the history it holds.
    pub items: usize,
}

/// A user or a history in rows, and the vectors that it asks with.
pub(crate) struct Asked {
    pub(crate) kind: KindIx,
    /// One for each interest, or the user's own; none where nothing is embedded.
    pub(crate) queries: Vec<Vec<f32>>,
    pub(crate) parts: Vec<Part>,
    /// All that is embedded of it, of whatever kind.
    pub(crate) history: Vec<u32>,
    /// What is in the graph and of the answers' kind, but not embedded.
    pub(crate) starts: Vec<NodeIx>,
    /// What was named and is not used.
    pub(crate) ignored: Vec<NodeName>,
}

/// An interest in rows.
pub(crate) struct Part {
    pub(crate) medoid: u32,
    pub(crate) importance: f64,
    pub(crate) items: usize,
}

/// A node of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Answered {
    pub(crate) node: NodeIx,
    pub(crate) row: Option<u32>,
    pub(crate) score: f32,
    /// The place of the interest that brought it.
    pub(crate) interest: usize,
}

impl Engine {
    /// What to show next to a user or for a history: the embeddings nearest to the mean of the history's, each divided by the square
    /// root of its degree, and to the user's own where users are embedded too. With several [`Interests`](crate::Interests) each asks
    /// by its own mean, and the answer takes from their lists in proportion to their importance, the most important first.
    ///
    /// Seen nodes are left out unless asked for. Where nothing of the history is embedded, the answer is what walks from it visit most,
    /// or else what has most edges; [`Ranked::basis`] says which.
    ///
    /// # Errors
    /// An unknown user; a node in a history whose kind is not embedded. One that is unknown, or came after the last refresh, is
    /// ignored and listed in [`Ranked::ignored`].
    /// # Determinism
    /// A function of the embeddings, the graph and the question; ties by stable id, the same for any number of threads.
    /// # Cost
    /// A scan for each interest, and for several interests what clustering takes: for a history of 1,000 nodes some 30 ms.
    /// # Source
    /// Pal et al., `PinnerSage` (arXiv 2007.03634), sections 4 and 5. There an interest asks by its medoid, and three interests are
    /// drawn by their importance; here all are asked and nothing is drawn, so that a question has one answer.
    pub fn recommend(&self, audience: &Recipient, options: &Query) -> Result<Ranked, Error> {
        self.with_embeddings(|embeddings, snapshot| {
            let asked = Asked::new(audience, options, embeddings, snapshot)?;
            let (basis, answered) = if asked.queries.is_empty() {
                Cold { embeddings, snapshot, options }.answer(&asked, None)?
            } else {
                let mut left_out: HashSet<u32> = excluded(options, embeddings, snapshot).collect();
                if !options.include_seen {
                    left_out.extend(&asked.history);
                }
                let marks = options.filter.as_ref().map(|filter| snapshot.token_mask(filter.tokens()));
                let nearest = |query: &Vec<f32>| {
                    embeddings.nearest(query, options, Some(asked.kind), &left_out, marks.as_ref())
                };
                let lists = asked.queries.iter().map(nearest).collect();
                (AnswerSource::Embeddings, asked.merge(lists, options.k, embeddings))
            };
            asked.ranked(basis, &answered, options, embeddings, snapshot, self.store().dirty_nodes())
        })
    }
}

/// The rows of the nodes that a question excludes by name.
pub(crate) fn excluded<'a>(
    options: &'a Query,
    embeddings: &'a Embeddings,
    snapshot: &'a Snapshot,
) -> impl Iterator<Item = u32> + 'a {
    let row = |name: &NodeName| snapshot.lookup(name.as_ref()).and_then(|node| embeddings.row(node));
    options.exclude.iter().filter_map(row)
}

impl Asked {
    pub(crate) fn new(
        audience: &Recipient,
        options: &Query,
        embeddings: &Embeddings,
        snapshot: &Snapshot,
    ) -> Result<Self, Error> {
        let mut ignored = Vec::new();
        let mut known: Vec<(NodeIx, Option<i64>)> = Vec::new();
        let (own, first_kind) = match audience {
            Recipient::Node(name) => {
                let node = snapshot.require(name.as_ref())?;
                known = neighbors(node, snapshot);
                (embeddings.row(node), None)
            }
            Recipient::History(names) => {
                for name in names {
                    embeddings.require_target(&name.kind, name.as_ref(), snapshot)?;
                    let node = snapshot.lookup(name.as_ref());
                    known.extend(node.map(|node| (node, None)));
                    if node.is_none_or(|node| embeddings.row(node).is_none()) {
                        ignored.push(name.clone());
                    }
                }
                (None, names.first().map(|name| name.kind.as_str()))
            }
        };
        let row = |&(node, time): &(NodeIx, Option<i64>)| Some((embeddings.row(node)?, time));
        let mut timed: Vec<(u32, Option<i64>)> = known.iter().filter_map(row).collect();
        timed.sort_by_key(|&(row, time)| (embeddings.ids[row as usize], time));
        let first = timed.first().map(|&(row, _)| snapshot.kind_name(embeddings.kind(row)));
        let kind = options.kind.as_deref().or(first_kind).or(first).or(embeddings.recipe.targets().next());
        let kind = embeddings.target_kind(kind.unwrap_or_default(), snapshot)?;
        let starts = known.iter().map(|&(node, _)| node);
        let starts = starts.filter(|&node| snapshot.kind(node) == kind && embeddings.row(node).is_none());
        let history = timed.iter().map(|&(row, _)| row).collect();
        let mut asked =
            Self { kind, queries: Vec::new(), parts: Vec::new(), history, starts: starts.collect(), ignored };
        let of_kind = |(row, _): &(u32, _)| embeddings.kind(*row) == kind;
        if timed.iter().any(of_kind) {
            timed.retain(of_kind);
        }
        asked.set_queries(timed, own, options, embeddings);
        Ok(asked)
    }

    fn set_queries(
        &mut self,
        mut timed: Vec<(u32, Option<i64>)>,
        own: Option<u32>,
        options: &Query,
        embeddings: &Embeddings,
    ) {
        if !options.interests.is_one() && timed.len() > MOST_CLUSTERED {
            timed.sort_by_key(|&(row, time)| (std::cmp::Reverse(time), embeddings.ids[row as usize]));
            timed.truncate(MOST_CLUSTERED);
            timed.sort_by_key(|&(row, _)| embeddings.ids[row as usize]);
        }
        let (rows, times): (Vec<u32>, Vec<Option<i64>>) = timed.into_iter().unzip();
        let vectors: Vec<&[f32]> = rows.iter().map(|&row| embeddings.vector(row)).collect();
        for cluster in clusters(&vectors, &weights(&times), options.interests) {
            let members: Vec<u32> = cluster.members.iter().map(|&at| rows[at]).collect();
            let query = embeddings.mean(&members);
            self.queries.push(blended(query, own, embeddings));
            let (medoid, items) = (rows[cluster.medoid], members.len());
            self.parts.push(Part { medoid, importance: cluster.importance, items });
        }
        if self.queries.is_empty()
            && let Some(own) = own
        {
            self.queries.push(embeddings.vector(own).to_vec());
        }
    }

    /// One answer from those to each query. The next place goes to the interest with the largest importance over one and a half more
    /// than the places that it has, so that its share of any length of answer is as near to its importance as whole places allow;
    /// what an earlier one has brought is passed over.
    ///
    /// Source: Webster's rule for seats and votes.
    pub(crate) fn merge(&self, mut lists: Vec<Vec<Hit>>, k: usize, embeddings: &Embeddings) -> Vec<Answered> {
        let answered = |(row, score): Hit, interest| Answered {
            node: embeddings.nodes[row as usize],
            row: Some(row),
            score,
            interest,
        };
        if lists.len() == 1 {
            return lists.remove(0).into_iter().map(|hit| answered(hit, 0)).collect();
        }
        let mut taken = vec![0u32; lists.len()];
        let mut lists: Vec<_> = lists.into_iter().map(|list| list.into_iter().peekable()).collect();
        let mut brought = HashSet::new();
        let mut all = Vec::new();
        while all.len() < k {
            for list in &mut lists {
                while list.next_if(|(row, _)| brought.contains(row)).is_some() {}
            }
            let claim = |at: usize| self.parts[at].importance / (f64::from(taken[at]) + 0.5);
            let open: Vec<usize> = (0..lists.len()).filter(|&at| lists[at].peek().is_some()).collect();
            // Of equal claims the first, which is the interest that stands before the other.
            let next = open.into_iter().reduce(|a, b| if claim(b) > claim(a) { b } else { a });
            let Some((next, hit)) = next.and_then(|next| Some((next, lists[next].next()?))) else { break };
            taken[next] += 1;
            brought.insert(hit.0);
            all.push(answered(hit, next));
        }
        all
    }

    pub(crate) fn interests(&self, embeddings: &Embeddings, snapshot: &Snapshot) -> Vec<Interest> {
        let interest = |part: &Part| Interest {
            medoid: snapshot.name(embeddings.nodes[part.medoid as usize]),
            importance: part.importance as f32,
            items: part.items,
        };
        self.parts.iter().map(interest).collect()
    }
}

/// The unit vector of a query and of the user's own, in equal shares.
fn blended(mut query: Vec<f32>, own: Option<u32>, embeddings: &Embeddings) -> Vec<f32> {
    if let Some(own) = own {
        query.iter_mut().zip(embeddings.vector(own)).for_each(|(sum, value)| *sum += value);
        normalize(&mut query);
    }
    query
}

/// The neighbours of a node through all relations, each once with the newest time of its edges.
pub(crate) fn neighbors(node: NodeIx, snapshot: &Snapshot) -> Vec<(NodeIx, Option<i64>)> {
    let relations = (0..snapshot.relation_count()).map(|at| RelationIx::new(at as u16));
    let mut found: Vec<(NodeIx, Option<i64>)> = relations
        .flat_map(|relation| snapshot.list(relation, node).iter())
        .map(|(neighbor, _, time)| (neighbor, time))
        .collect();
    found.sort_by_key(|&(neighbor, time)| (snapshot.stable_id(neighbor), std::cmp::Reverse(time)));
    found.dedup_by_key(|(neighbor, _)| *neighbor);
    found
}

#[cfg(test)]
mod tests {
    use super::{Asked, Part};
    use crate::query::embeddings::Embeddings;
    use hedgerow_storage::KindIx;

    /// Interests of 0.6, 0.32 and 0.08. Claims, importance / (places + 1/2):
    /// 1.2 .64 .16 | .4 .64 .16 | .4 .213 .16 | .24 .213 .16 | .171 .213 .16 | .171 .128 .16 | .133 .128 .16
    /// So the places go to 1, 2, 1, 1, 2, 1, 3. Row 3, which 2 lists too, is 1's already.
    #[test]
    fn places_are_shared_out_by_importance_and_each_row_is_taken_once() {
        let embeddings = Embeddings::example(&ndarray::Array2::ones((12, 1)), vec![0.0; 12]);
        let part = |importance| Part { medoid: 0, importance, items: 1 };
        let asked = Asked {
            kind: KindIx::new(0),
            queries: Vec::new(),
            parts: [0.6, 0.32, 0.08].map(part).into(),
            history: Vec::new(),
            starts: Vec::new(),
            ignored: Vec::new(),
        };
        let lists = [vec![3, 0, 1, 2], vec![3, 5, 4], vec![7, 8]];
        let lists: Vec<Vec<(u32, f32)>> =
            lists.iter().map(|rows| rows.iter().map(|&row| (row, 0.5)).collect()).collect();
        let rows = |k| -> Vec<(u32, usize)> {
            let merged = asked.merge(lists.clone(), k, &embeddings);
            merged.iter().map(|answered| (answered.row.expect("a row"), answered.interest)).collect()
        };
        assert_eq!(rows(7), [(3, 0), (5, 1), (0, 0), (1, 0), (4, 1), (2, 0), (7, 2)]);
        assert_eq!(rows(100).last(), Some(&(8, 2)), "who has nothing left makes room");
        assert!(rows(0).is_empty());
    }
}
