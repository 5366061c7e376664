//! One list of answers from the lists of several interests, in proportion to their importance.

use std::collections::HashSet;

use crate::query::recommend::history_query::InterestRows;
use crate::query::scan::Hit;

/// A row of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MergedRow {
    pub(crate) row: u32,
    pub(crate) score: f32,
    /// The place of the interest that found the row.
    pub(crate) interest: usize,
}

/// Merges the lists of all interests. A row that an earlier place has is skipped.
///
/// The next place goes to the interest with the largest quotient of its importance and its number of places plus one half. So
/// the shares of any length of answer are as near to the importances as whole places allow.
///
/// Source: Webster's method of apportionment.
pub(crate) fn merge(interests: &[InterestRows], mut lists: Vec<Vec<Hit>>, k: usize) -> Vec<MergedRow> {
    let merged = |(row, score): Hit, interest| MergedRow { row, score, interest };
    if lists.len() == 1 {
        return lists.remove(0).into_iter().map(|hit| merged(hit, 0)).collect();
    }
    let mut places = vec![0u32; lists.len()];
    let mut lists: Vec<_> = lists.into_iter().map(|list| list.into_iter().peekable()).collect();
    let mut taken = HashSet::new();
    let mut all = Vec::new();
    while all.len() < k {
        for list in &mut lists {
            while list.next_if(|(row, _)| taken.contains(row)).is_some() {}
        }
        let quotient = |at: usize| interests[at].importance / (f64::from(places[at]) + 0.5);
        let left: Vec<usize> = (0..lists.len()).filter(|&at| lists[at].peek().is_some()).collect();
        // Of equal quotients the first, which is the more important interest.
        let next = left.into_iter().reduce(|a, b| if quotient(b) > quotient(a) { b } else { a });
        let Some((next, hit)) = next.and_then(|next| Some((next, lists[next].next()?))) else { break };
        places[next] += 1;
        taken.insert(hit.0);
        all.push(merged(hit, next));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::merge;
    use crate::query::recommend::history_query::InterestRows;

    /// Interests of 0.6, 0.32 and 0.08. Quotients, importance / (places + 1/2):
    /// 1.2 .64 .16 | .4 .64 .16 | .4 .213 .16 | .24 .213 .16 | .171 .213 .16 | .171 .128 .16 | .133 .128 .16
    /// So the places go to 1, 2, 1, 1, 2, 1, 3. Interest 1 has row 3 already, which 2 lists too.
    #[test]
    fn places_are_in_proportion_to_importance_and_each_row_is_taken_once() {
        let interests = [0.6, 0.32, 0.08].map(|importance| InterestRows { medoid: 0, importance, items: 1 });
        let lists = [vec![3, 0, 1, 2], vec![3, 5, 4], vec![7, 8]];
        let lists: Vec<Vec<(u32, f32)>> =
            lists.iter().map(|rows| rows.iter().map(|&row| (row, 0.5)).collect()).collect();
        let rows = |k| -> Vec<(u32, usize)> {
            let merged = merge(&interests, lists.clone(), k);
            merged.iter().map(|merged| (merged.row, merged.interest)).collect()
        };
        assert_eq!(rows(7), [(3, 0), (5, 1), (0, 0), (1, 0), (4, 1), (2, 0), (7, 2)]);
        assert_eq!(rows(100).last(), Some(&(8, 2)), "an exhausted interest leaves its places to others");
        assert!(rows(0).is_empty());
    }
}
