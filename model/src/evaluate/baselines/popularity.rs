//! Popularity: items by their number of edges, the same for every query.

use hedgerow_storage::NodeIx;

use crate::evaluate::candidates::Candidates;
use crate::query::scan::RankCount;

/// The degrees of the candidates, largest first.
pub(super) struct Popularity(Vec<u64>);

impl Popularity {
    pub(super) fn new(candidates: &Candidates<'_>) -> Self {
        Self(candidates.items.iter().map(|&item| candidates.degree(item)).collect())
    }

    /// The rank of the second node of a pair, without the first.
    pub(super) fn rank_count(
        &self,
        candidates: &Candidates<'_>,
        (query, item): (NodeIx, NodeIx),
    ) -> RankCount {
        let level = candidates.degree(item);
        let higher = self.0.partition_point(|&degree| degree > level) as u64;
        let equal = self.0.partition_point(|&degree| degree >= level) as u64 - higher;
        let counts_query =
            |is_counted: bool| u64::from(is_counted && query != item && candidates.contains(query));
        let query_degree = candidates.degree(query);
        RankCount {
            higher: higher - counts_query(query_degree > level),
            equal: equal - counts_query(query_degree == level) - u64::from(candidates.contains(item)),
        }
    }
}
