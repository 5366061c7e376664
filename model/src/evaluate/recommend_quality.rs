//! Figures of recommendations: of each answer by the test items in it, and of all answers by their share of the items.
//! Must not know the ranker.

use std::collections::HashSet;
use std::fmt;

use hedgerow_storage::NodeIx;

use crate::evaluate::candidates::Candidates;
use crate::evaluate::mean::{Mean, QueryGroups};

/// Quality of recommendations: the best k items for each user.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RecommendQuality {
    /// Test items among the best k, over the number of test items; mean over users.
    pub recall: Mean,
    /// Discounted cumulative gain of the best k over that of the best possible order; mean over users.
    pub ndcg: Mean,
    /// The number of users.
    pub users: u64,
    /// The share of the embedded items that are among the best k of at least one user.
    ///
    /// Source: Ge et al., "Beyond accuracy" (`RecSys` 2010), catalog coverage.
    pub coverage: f64,
    /// The number of items that would have the same entropy with equal shares of the places: e to the entropy of the shares. It is
    /// at most the number of items shown, and near k if all users are shown the same items.
    ///
    /// Source: Jost, "Entropy and diversity" (Oikos 113, 2006), of order 1.
    pub effective_items: f64,
    /// The popularity of the items shown, relative to the items of the history: their mean degrees as a quotient, less 1. Both are
    /// means of the users' means. 0 is as popular, 1 is twice as popular, below 0 is less popular. Users without a history do not
    /// count; `None` if no user counts.
    ///
    /// Source: Abdollahpouri et al., "The connection between popularity bias, calibration, and fairness in recommendation" (`RecSys`
    /// 2020), popularity lift, over all users.
    pub popularity_lift: Option<f64>,
}

impl fmt::Display for RecommendQuality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recall, ndcg, users, coverage, .. } = self;
        write!(f, "recall {recall}, NDCG {ndcg}, coverage {coverage:.4}, {users} users")
    }
}

/// A user and the test items.
pub(super) struct TestUser {
    pub(super) user: NodeIx,
    /// The neighbors of the items' kind, by stable id.
    pub(super) history: Vec<NodeIx>,
    /// The test items that the store has.
    pub(super) items: HashSet<NodeIx>,
    /// The number of test items, with those that the store has not.
    pub(super) item_count: usize,
}

/// Figures of answers to users.
pub(super) struct AnswerFigures {
    recall: Vec<f64>,
    pub(super) ndcg: Vec<f64>,
    /// For each node, the number of answers that contain it.
    shown: Vec<u32>,
    /// Sums over users of the mean degree of the items shown, and of the items of the history.
    degrees: [f64; 2],
}

/// The figures of the answers to all users, in their order.
pub(super) fn measure<'a>(
    answers: impl Iterator<Item = (&'a Vec<NodeIx>, &'a TestUser)>,
    candidates: &Candidates<'_>,
    k: usize,
) -> AnswerFigures {
    let shown = vec![0; candidates.snapshot.bound() as usize];
    let mut figures = AnswerFigures { recall: Vec::new(), ndcg: Vec::new(), shown, degrees: [0.0; 2] };
    for (answer, user) in answers {
        let (recall, ndcg) = recall_and_ndcg(answer, user, k);
        figures.recall.push(recall);
        figures.ndcg.push(ndcg);
        for node in answer {
            figures.shown[node.index()] += 1;
        }
        if !answer.is_empty() && !user.history.is_empty() {
            for (sum, nodes) in figures.degrees.iter_mut().zip([answer, &user.history]) {
                let degrees: u64 = nodes.iter().map(|&node| candidates.degree(node)).sum();
                *sum += degrees as f64 / nodes.len() as f64;
            }
        }
    }
    figures
}

fn recall_and_ndcg(answer: &[NodeIx], user: &TestUser, k: usize) -> (f64, f64) {
    let gain = |place: usize| 1.0 / ((place + 2) as f64).log2();
    let found: Vec<usize> = (0..answer.len()).filter(|&at| user.items.contains(&answer[at])).collect();
    let ideal: f64 = (0..k.min(user.item_count)).map(gain).sum();
    let gained: f64 = found.iter().map(|&at| gain(at)).sum();
    (found.len() as f64 / user.item_count.max(1) as f64, if ideal > 0.0 { gained / ideal } else { 0.0 })
}

impl AnswerFigures {
    pub(super) fn quality(&self, candidates: &Candidates<'_>, groups: &QueryGroups) -> RecommendQuality {
        let covered = candidates.items.iter().filter(|item| self.shown[item.index()] > 0).count();
        let [shown, history] = self.degrees;
        RecommendQuality {
            recall: Mean::of(&self.recall, groups),
            ndcg: Mean::of(&self.ndcg, groups),
            users: self.recall.len() as u64,
            coverage: covered as f64 / candidates.items.len().max(1) as f64,
            effective_items: effective_items(&self.shown),
            popularity_lift: (history > 0.0).then(|| shown / history - 1.0),
        }
    }
}

/// e to the entropy of the shares of the places.
fn effective_items(shown: &[u32]) -> f64 {
    let mut shown: Vec<u32> = shown.iter().copied().filter(|&times| times > 0).collect();
    // The order of commits numbers the nodes; the bits of the sum must not depend on it.
    shown.sort_unstable();
    let places: f64 = shown.iter().copied().map(f64::from).sum();
    if places == 0.0 {
        return 0.0;
    }
    let logs: f64 = shown.iter().copied().map(f64::from).map(|times| times * times.ln()).sum();
    (places.ln() - logs / places).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(numbers: &[u32]) -> Vec<NodeIx> {
        numbers.iter().copied().map(NodeIx::new).collect()
    }

    /// The answer is 1 and 2. The test items are 2, 4 and an unknown one, and k = 2:
    ///   recall 1/3, DCG 1/log2(3), ideal DCG over min(2, 3) places 1 + 1/log2(3).
    #[test]
    fn recall_and_ndcg_are_the_hand_worked_numbers() {
        let items = nodes(&[2, 4]).into_iter().collect();
        let user = TestUser { user: NodeIx::new(9), history: Vec::new(), items, item_count: 3 };
        let (recall, ndcg) = recall_and_ndcg(&nodes(&[1, 2]), &user, 2);
        let second = 1.0 / 3f64.log2();
        assert!((recall - 1.0 / 3.0).abs() < 1e-12);
        assert!((ndcg - second / (1.0 + second)).abs() < 1e-12);
    }

    /// Without test items both figures are 0 for any k.
    #[test]
    fn a_user_without_test_items_counts_as_zero() {
        let user =
            TestUser { user: NodeIx::new(9), history: Vec::new(), items: HashSet::new(), item_count: 0 };
        assert_eq!(recall_and_ndcg(&nodes(&[1, 2]), &user, 2), (0.0, 0.0));
        assert_eq!(recall_and_ndcg(&[], &user, 0), (0.0, 0.0));
    }

    /// n equal shares are n items. The shares 1/2, 1/4, 1/4 have an entropy of 3/2 bits.
    #[test]
    fn effective_items_are_e_to_the_entropy() {
        assert!((effective_items(&[3, 0, 3, 3]) - 3.0).abs() < 1e-12);
        assert!((effective_items(&[2, 1, 1]) - 2f64.powf(1.5)).abs() < 1e-12);
        assert_eq!(effective_items(&[0, 0]), 0.0);
    }
}
