//! Answers to users judged: each by what it holds of what was to be found, all together by what they show of the catalogue.
//! Knows nothing of who answered.

use std::collections::HashSet;

use hedgerow_storage::NodeIx;

use crate::evaluate::candidates::Candidates;
use crate::evaluate::mean::{Askers, Mean};

/// Quality of recommendations: the best k for each user.
#[derive(Clone, Debug, PartialEq)]
pub struct RecommendQuality {
    /// Hits among the best k over the number of test items; mean over users.
    pub recall: Mean,
    /// Discounted cumulative gain of the best k over that of the best possible order; mean over users.
    pub ndcg: Mean,
    /// Users evaluated.
    pub users: u64,
    /// Share of the embedded items that are among the best k of some user.
    ///
    /// Source: Ge et al., "Beyond accuracy" (`RecSys` 2010), catalog coverage.
    pub coverage: f64,
    /// By how many items all places were taken if each item had equally many: e to the entropy of the items' shares of the
    /// places. At most the number of items that are shown; near k where all users are shown the same.
    ///
    /// Source: Jost, "Entropy and diversity" (Oikos 113, 2006), of order 1.
    pub effective_items: f64,
    /// How much more popular what is shown is than what users have: mean degree of the items shown over mean degree of the items of the
    /// history, less 1, both means of the users' means. 0: as popular, 1: twice as popular, below 0: less. Users without history
    /// do not count; none where no user has one and is shown something.
    ///
    /// Source: Abdollahpouri et al., "The connection between popularity bias, calibration, and fairness in recommendation" (`RecSys`
    /// 2020), popularity lift, over all users.
    pub popularity_lift: Option<f64>,
}

/// A user in numbers.
pub(super) struct Wanted {
    pub(super) user: NodeIx,
    /// What it is linked to, of the items' kind; by stable id.
    pub(super) history: Vec<NodeIx>,
    pub(super) items: HashSet<NodeIx>,
    /// How many were to be found, of which some may not be known.
    pub(super) count: usize,
}

/// What answers came to.
pub(super) struct Judged {
    recall: Vec<f64>,
    pub(super) ndcg: Vec<f64>,
    /// By node, how often it was shown.
    shown: Vec<u32>,
    /// Sums over users of the mean degree of what they are shown, and of what they have.
    degrees: [f64; 2],
}

/// The answers to all users, judged in their order.
pub(super) fn judge<'a>(
    answers: impl Iterator<Item = (&'a Vec<NodeIx>, &'a Wanted)>,
    field: &Candidates<'_>,
    k: usize,
) -> Judged {
    let shown = vec![0; field.snapshot.bound() as usize];
    let mut judged = Judged { recall: Vec::new(), ndcg: Vec::new(), shown, degrees: [0.0; 2] };
    for (answer, wanted) in answers {
        let (recall, ndcg) = recall_and_ndcg(answer, wanted, k);
        judged.recall.push(recall);
        judged.ndcg.push(ndcg);
        for node in answer {
            judged.shown[node.index()] += 1;
        }
        if !answer.is_empty() && !wanted.history.is_empty() {
            for (sum, nodes) in judged.degrees.iter_mut().zip([answer, &wanted.history]) {
                let degrees: u64 = nodes.iter().map(|&node| field.snapshot.degree(node)).sum();
                *sum += degrees as f64 / nodes.len() as f64;
            }
        }
    }
    judged
}

fn recall_and_ndcg(answer: &[NodeIx], wanted: &Wanted, k: usize) -> (f64, f64) {
    let gain = |place: usize| 1.0 / ((place + 2) as f64).log2();
    let found: Vec<usize> = (0..answer.len()).filter(|&at| wanted.items.contains(&answer[at])).collect();
    let ideal: f64 = (0..k.min(wanted.count)).map(gain).sum();
    let reached: f64 = found.iter().map(|&at| gain(at)).sum();
    (found.len() as f64 / wanted.count.max(1) as f64, if ideal > 0.0 { reached / ideal } else { 0.0 })
}

impl Judged {
    pub(super) fn quality(&self, field: &Candidates<'_>, askers: &Askers) -> RecommendQuality {
        let covered = field.items.iter().filter(|item| self.shown[item.index()] > 0).count();
        let [shown, had] = self.degrees;
        RecommendQuality {
            recall: Mean::of(&self.recall, askers),
            ndcg: Mean::of(&self.ndcg, askers),
            users: self.recall.len() as u64,
            coverage: covered as f64 / field.items.len().max(1) as f64,
            effective_items: effective(&self.shown),
            popularity_lift: (had > 0.0).then(|| shown / had - 1.0),
        }
    }
}

fn effective(shown: &[u32]) -> f64 {
    let mut shown: Vec<u32> = shown.iter().copied().filter(|&times| times > 0).collect();
    // Nodes are numbered as they came; the sum shall not depend on it.
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

    /// Answered are 1 and 2. Wanted are 2, 4 and an item that nobody knows; k = 2:
    ///   recall 1/3, DCG 1/log2(3), ideal DCG over min(2, 3) places 1 + 1/log2(3).
    #[test]
    fn recall_and_ndcg_are_the_hand_worked_numbers() {
        let items = nodes(&[2, 4]).into_iter().collect();
        let wanted = Wanted { user: NodeIx::new(9), history: Vec::new(), items, count: 3 };
        let (recall, ndcg) = recall_and_ndcg(&nodes(&[1, 2]), &wanted, 2);
        let second = 1.0 / 3f64.log2();
        assert!((recall - 1.0 / 3.0).abs() < 1e-12);
        assert!((ndcg - second / (1.0 + second)).abs() < 1e-12);
    }

    /// Who wants nothing finds nothing, whatever k is.
    #[test]
    fn a_user_without_test_items_counts_as_zero() {
        let wanted = Wanted { user: NodeIx::new(9), history: Vec::new(), items: HashSet::new(), count: 0 };
        assert_eq!(recall_and_ndcg(&nodes(&[1, 2]), &wanted, 2), (0.0, 0.0));
        assert_eq!(recall_and_ndcg(&[], &wanted, 0), (0.0, 0.0));
    }

    /// Equal shares are so many items; 1/2, 1/4, 1/4 have an entropy of 3/2 bits.
    #[test]
    fn effective_items_are_e_to_the_entropy() {
        assert!((effective(&[3, 0, 3, 3]) - 3.0).abs() < 1e-12);
        assert!((effective(&[2, 1, 1]) - 2f64.powf(1.5)).abs() < 1e-12);
        assert_eq!(effective(&[0, 0]), 0.0);
    }
}
