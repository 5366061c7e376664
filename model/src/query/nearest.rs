//! The nearest rows to query vectors, and the rank of a row: a request in rows becomes a scan.
//! Must not know names, histories and explanations.

use hedgerow_storage::{CancelToken, KindIx};

use crate::config::error::Error;
use crate::query::embeddings::Embeddings;
use crate::query::filter::node_filter::NodeFilter;
use crate::query::question::row_set::RowSet;
use crate::query::scan::{BLOCK, Bounds, Hit, RankCount, Scan, ScanRequest};

/// The number of rows to find, their score, and the rows that may be found.
#[derive(Clone, Copy)]
pub(crate) struct RowRequest<'a> {
    /// Most rows.
    pub(crate) k: usize,
    /// Adds the popularity to the cosine.
    pub(crate) popularity: bool,
    /// The kind of the rows; `None` allows all kinds.
    pub(crate) kind: Option<KindIx>,
    /// The filter of the nodes.
    pub(crate) filter: Option<&'a NodeFilter<'a>>,
    /// The only rows that may be found; `None` allows all.
    pub(crate) candidates: Option<&'a RowSet>,
    /// A factor of every score, above 0.
    pub(crate) scale: f32,
    /// The scores, times the factor, that rows may have.
    pub(crate) bounds: Bounds,
}

impl RowRequest<'_> {
    /// All rows of a kind, by cosine and popularity.
    fn all_of(kind: KindIx) -> Self {
        let (k, kind, bounds) = (usize::MAX, Some(kind), Bounds::default());
        Self { k, popularity: true, kind, filter: None, candidates: None, scale: 1.0, bounds }
    }
}

/// A question of a batch: a query vector, and the rows that are no answers to it.
pub(crate) type BatchQuestion<'a> = (&'a [f32], &'a RowSet);

impl Embeddings {
    /// The rows with the highest `query . vector + bias`, best first, without the excluded ones.
    ///
    /// Determinism: exact, ties by stable id, and the same for any number of threads.
    pub(crate) fn nearest(
        &self,
        query: &[f32],
        request: &RowRequest<'_>,
        excluded: &RowSet,
        cancel: &CancelToken,
    ) -> Result<Vec<Hit>, Error> {
        let bias = request.popularity.then_some(&self.bias[..]);
        self.nearest_by(&self.vectors, query, bias, request, excluded, cancel)
    }

    /// The rows with the highest `query . vector + bias` by other vectors of the same rows, and another number for each row.
    pub(crate) fn nearest_by(
        &self,
        vectors: &Scan,
        query: &[f32],
        bias: Option<&[f32]>,
        request: &RowRequest<'_>,
        excluded: &RowSet,
        cancel: &CancelToken,
    ) -> Result<Vec<Hit>, Error> {
        let admitted = self.admitted_rows(request);
        let mask = |first: usize| admitted(first) & !excluded.mask(first);
        let order = |row: u32| self.ids[row as usize].get();
        let RowRequest { k, scale, bounds, .. } = *request;
        let request = ScanRequest { bias, scale, bounds, ..ScanRequest::new(k, &mask, &order) };
        Ok(vectors.nearest(query, &request, cancel)?)
    }

    /// The nearest rows for each question of a batch, as [`Embeddings::nearest`] finds them.
    pub(crate) fn nearest_each(
        &self,
        questions: &[BatchQuestion<'_>],
        request: &RowRequest<'_>,
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<Hit>>, Error> {
        self.nearest_each_in(&self.vectors, questions, &vec![None; questions.len()], request, cancel)
    }

    /// As [`Embeddings::nearest_each`], among other vectors of the same rows, and with further scores of each question: a number for
    /// each row.
    pub(crate) fn nearest_each_in(
        &self,
        vectors: &Scan,
        questions: &[BatchQuestion<'_>],
        further: &[Option<&[f32]>],
        request: &RowRequest<'_>,
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<Hit>>, Error> {
        let queries: Vec<&[f32]> = questions.iter().map(|(query, _)| *query).collect();
        let is_excluded = |question: usize, row: u32| questions[question].1.contains(row);
        let admitted = self.admitted_rows(request);
        let order = |row: u32| self.ids[row as usize].get();
        let bias = request.popularity.then_some(&self.bias[..]);
        let RowRequest { k, scale, bounds, .. } = *request;
        let request = ScanRequest { bias, scale, bounds, ..ScanRequest::new(k, &admitted, &order) };
        Ok(vectors.nearest_each_with(&queries, further, &request, &is_excluded, cancel)?)
    }

    /// Rank counts for pairs of a query row and an item row: the rows of a kind that score higher than the item, and those that score
    /// the same. Neither the query nor the item counts. Scores are those of [`Embeddings::nearest`].
    pub(crate) fn rank_counts(&self, pairs: &[(u32, u32)], kind: KindIx) -> Vec<RankCount> {
        let score = |query: u32, row: u32| self.score(&self.vectors.query(&self.vector(query)), row, true);
        let item_scores: Vec<f32> = pairs.iter().map(|&(query, item)| score(query, item)).collect();
        let queries: Vec<Vec<f32>> = pairs.iter().map(|&(query, _)| self.vector(query)).collect();
        let questions: Vec<(&[f32], f32)> =
            queries.iter().map(Vec::as_slice).zip(item_scores.iter().copied()).collect();
        let request = RowRequest::all_of(kind);
        let mut counts = self.vectors.rank_counts(&questions, &self.bias, &self.admitted_rows(&request));

        // The scan counts the query and the item too.
        for ((count, &(query, item)), &item_score) in counts.iter_mut().zip(pairs).zip(&item_scores) {
            let own = [query, item];
            for &row in &own[usize::from(query == item)..] {
                if self.is_alive(row) && self.kind(row) == kind {
                    count.higher -= u64::from(score(query, row) > item_score);
                    count.equal -= u64::from(score(query, row) == item_score);
                }
            }
        }
        counts
    }

    /// A bit for each row of a block that may be an answer.
    fn admitted_rows<'a>(&'a self, request: &RowRequest<'a>) -> impl Fn(usize) -> u64 + Sync + 'a {
        let request = *request;
        move |first| {
            // Mostly a block has no candidate.
            let candidates = request.candidates.map_or(u64::MAX, |candidates| candidates.mask(first));
            if candidates == 0 {
                return 0;
            }
            let rows = first..(first + BLOCK).min(self.rows());
            let mut word = 0;
            for (at, (&is_alive, &kind)) in
                self.alive[rows.clone()].iter().zip(&self.kinds[rows.clone()]).enumerate()
            {
                let is_of_kind = request.kind.is_none_or(|asked| asked == kind);
                word |= u64::from(is_alive & is_of_kind) << at;
            }
            word &= candidates;
            // The filter reads the graph, so it comes last.
            match request.filter {
                Some(filter) => filter.admitted(&self.nodes[rows], word),
                None => word,
            }
        }
    }

    /// True if a row may be an answer.
    pub(crate) fn is_admitted(&self, row: u32, request: &RowRequest<'_>) -> bool {
        self.is_alive(row)
            && request.kind.is_none_or(|kind| self.kind(row) == kind)
            && request.candidates.is_none_or(|candidates| candidates.contains(row))
            && request.filter.is_none_or(|filter| filter.admits(self.nodes[row as usize]))
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_storage::{CancelToken, KindIx};
    use ndarray::array;

    use super::RowRequest;
    use crate::query::embeddings::Embeddings;
    use crate::query::question::row_set::RowSet;

    /// Rows 1 and 2 score the same; row 2 has the smaller stable id.
    #[test]
    fn the_nearest_come_by_score_then_by_stable_id() {
        let vectors = array![[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.6, 0.8]];
        let embeddings = Embeddings::example(&vectors, vec![0.0, 0.5, 0.5, 0.0]);
        let ranked = |k: usize, popularity: bool, excluded: &[u32]| {
            let excluded: RowSet = excluded.iter().copied().collect();
            let request = RowRequest { k, popularity, ..RowRequest::all_of(KindIx::new(0)) };
            let hits = embeddings.nearest(&[1.0, 0.0], &request, &excluded, &CancelToken::new());
            hits.expect("nobody cancels").into_iter().map(|(row, _)| row).collect::<Vec<_>>()
        };
        let rows = |k: usize, excluded: &[u32]| ranked(k, true, excluded);
        assert_eq!(rows(10, &[]), [0, 3, 2, 1]);
        assert_eq!(rows(3, &[0]), [3, 2, 1]);
        assert_eq!(rows(2, &[3]), [0, 2]);
        assert!(rows(0, &[]).is_empty());
        assert_eq!(ranked(2, false, &[0]), [3, 2]);
    }

    /// The larger the number of a node, the farther it is from node 0. Its bias makes node 4 tie with node 3, the third of four.
    #[test]
    fn ranks_count_half_of_the_ties_and_not_the_query() {
        let vectors = array![[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]];
        let embeddings = Embeddings::example(&vectors, vec![0.0, 0.0, 0.0, 0.0, 1.0]);
        let found = embeddings.rank_counts(&[(0, 1), (0, 3), (3, 0), (2, 2)], KindIx::new(0));
        assert_eq!(found.iter().map(|count| count.rank()).collect::<Vec<_>>(), [1.0, 3.5, 4.0, 1.0]);
    }
}
