//! The ranking of hidden edges by a score: the measure by which constants are chosen. Must not know how they are searched.
#![expect(clippy::inline_always, reason = "compiled anew inside each processor-specific caller")]

use std::ops::Range;

use ndarray::{ArrayView2, s};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::factors::edge_sums::Dampings;
use crate::factors::item_lists::{HiddenEdge, ItemLists};
use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::matrix::{Panels, by_panels};
use crate::linalg::normal_equations::{Factor, RANK};
use crate::linalg::simd;
use crate::linalg::simd::{Kernel, Lanes};

/// Lists whose scores are in memory together on a thread: 16 numbers for each item.
const LISTS_PER_TASK: usize = 16;
/// The last rank with a gain. Without it, items far behind would decide the constants.
const LAST_RANK: f64 = 100.0;
/// Standard errors by which a setting must be better.
const LEAST_ERRORS: f64 = 0.5;
/// The answers that [`RankingQuality::recall`] counts.
const ANSWERS: f64 = 20.0;

/// Lists with hidden edges, and the sums that the graph filter gives them without these edges.
pub(crate) struct HeldOutRanking {
    item_count: usize,
    queries: Vec<HeldOutList>,
}

struct HeldOutList {
    list: u32,
    hidden: Vec<u32>,
    /// The strengths of the hidden edges.
    strengths: Vec<f32>,
    /// The other items of the list, which are not ranked, with their strengths.
    history: Vec<(u32, f32)>,
    /// The sum of each item that two hops reach.
    sums: Vec<(u32, f32)>,
}

/// The parts of a score. A part with weight 0 is left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartWeights {
    /// The weight of the graph filter.
    pub(crate) filter: f32,
    /// The weight of the factors.
    pub(crate) factors: f32,
}

/// The constants and factors that items are ranked by.
#[derive(Clone, Copy)]
pub(crate) struct RankedBy<'a> {
    pub(crate) weights: PartWeights,
    /// `d_j^-c` of each item.
    pub(crate) dampings: &'a [f32],
    /// Of the lists, in the order of [`HeldOutRanking::list_rows`].
    pub(crate) q: &'a [Factor],
    /// Of the items.
    pub(crate) z: &'a [Factor],
}

/// The quality of a ranking.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RankingQuality {
    /// For each list the mean over its hidden items of `1 / log2(rank + 1)`, with 0 for ranks behind [`LAST_RANK`]. Items count by the
    /// strengths of their edges.
    gains: Vec<f64>,
    /// The mean over lists of the share of hidden items among the first 20.
    pub(crate) recall: f64,
}

impl HeldOutRanking {
    /// `lists` no longer has the hidden edges. Cost: two hops from each list with hidden edges.
    pub(crate) fn new(lists: &ItemLists, hidden: &[HiddenEdge], dampings: &Dampings) -> Self {
        let groups: Vec<&[HiddenEdge]> = hidden.chunk_by(|a, b| a.list == b.list).collect();
        let tasks = groups.par_chunks(LISTS_PER_TASK).map(|groups| {
            let mut sums = vec![0.0f32; lists.item_count()];
            let mut amounts = vec![0.0f32; lists.list_count()];
            let query = |group: &&[HiddenEdge]| HeldOutList {
                list: group[0].list,
                hidden: group.iter().map(|edge| edge.item).collect(),
                strengths: group.iter().map(|edge| edge.strength).collect(),
                history: lists.of_list.row(group[0].list as usize).collect(),
                sums: two_hops(lists, dampings, group[0].list, &mut amounts, &mut sums),
            };
            groups.iter().map(query).collect::<Vec<_>>()
        });
        let queries = tasks.collect::<Vec<_>>().into_iter().flatten().collect();
        Self { item_count: lists.item_count(), queries }
    }

    /// The lists, in the order in which [`RankedBy`] has their factors.
    pub(crate) fn list_rows(&self) -> Vec<u32> {
        self.queries.iter().map(|query| query.list).collect()
    }

    /// The items of each list that are not hidden, with their strengths, in the order of [`HeldOutRanking::list_rows`].
    pub(crate) fn histories(&self) -> impl Iterator<Item = &[(u32, f32)]> {
        self.queries.iter().map(|query| query.history.as_slice())
    }

    /// The hidden items of each list.
    #[cfg(test)]
    pub(crate) fn hidden(&self) -> impl Iterator<Item = &[u32]> {
        self.queries.iter().map(|query| query.hidden.as_slice())
    }

    /// The quality for each of some powers of the items' degrees.
    pub(crate) fn qualities(
        &self,
        ranked_by: RankedBy<'_>,
        degree_powers: &[Vec<f32>],
    ) -> Vec<RankingQuality> {
        self.measured(
            ranked_by,
            degree_powers.len(),
            |_| (),
            |(), _, query, scores, scaled| {
                let rank =
                    |powers: &Vec<f32>| simd::run(Rank { hidden: &query.hidden, scores, powers, scaled });
                degree_powers.iter().map(rank).collect()
            },
        )
    }

    /// The quality for each of some weights of a cosine that is added to the score. `degree_powers` are those of the items' degrees,
    /// `queries` and `items` unit vectors of lists and items.
    pub(crate) fn qualities_with_cosines(
        &self,
        ranked_by: RankedBy<'_>,
        degree_powers: &[f32],
        weights: &[f32],
        queries: &ArrayView2<'_, f32>,
        items: &ArrayView2<'_, f32>,
    ) -> Vec<RankingQuality> {
        let ones = vec![1.0; self.item_count];
        let items = Panels::transposed(items);
        let cosines = |lists: Range<usize>| {
            let queries = queries.slice(s![lists, ..]);
            by_panels(&queries, &items, None, &mut BufferPool::default())
        };
        self.measured(ranked_by, weights.len(), cosines, |cosines, at, query, scores, scaled| {
            let mut sums = vec![0.0; self.item_count];
            let rank = |weight: &f32| {
                let parts = scores.iter().zip(degree_powers).zip(cosines.row(at));
                for (sum, ((score, power), cosine)) in sums.iter_mut().zip(parts) {
                    *sum = score * power + weight * cosine;
                }
                simd::run(Rank { hidden: &query.hidden, scores: &sums, powers: &ones, scaled })
            };
            weights.iter().map(rank).collect()
        })
    }

    /// The quality of each of `count` rankings.
    ///
    /// `prepare` computes something for some consecutive lists. `ranks` gets it, the place of a list among these, the list's scores, which
    /// are not a number for what it has already, and room for a number for each item. It returns the ranks of the hidden items by each
    /// ranking.
    fn measured<T>(
        &self,
        ranked_by: RankedBy<'_>,
        count: usize,
        prepare: impl Fn(Range<usize>) -> T + Sync,
        ranks: impl Fn(&T, usize, &HeldOutList, &[f32], &mut [f32]) -> Vec<Vec<f64>> + Sync,
    ) -> Vec<RankingQuality> {
        let RankedBy { weights, dampings, q, z } = ranked_by;
        let z = (weights.factors != 0.0).then(|| {
            let z = ArrayView2::from_shape((z.len(), RANK), z.as_flattened());
            Panels::transposed(&z.expect("RANK numbers a row"))
        });
        let tasks = self.queries.par_chunks(LISTS_PER_TASK).enumerate().map(|(task, queries)| {
            let first = task * LISTS_PER_TASK;
            let lists = first..first + queries.len();
            let mut scores = self.factor_scores(&q[lists.clone()], weights.factors, z.as_ref());
            let prepared = prepare(lists);
            let mut found = Vec::with_capacity(queries.len() * count);
            let mut scaled = vec![0.0f32; self.item_count];
            for (at, (query, scores)) in
                queries.iter().zip(scores.chunks_exact_mut(self.item_count)).enumerate()
            {
                for &(item, sum) in &query.sums {
                    scores[item as usize] += weights.filter * dampings[item as usize] * sum;
                }
                for &(seen, _) in &query.history {
                    scores[seen as usize] = f32::NAN;
                }
                found.extend(ranks(&prepared, at, query, scores, &mut scaled));
            }
            found
        });
        let ranks = tasks.collect::<Vec<_>>().concat();
        let quality = |at: usize| {
            let ranks = ranks.iter().skip(at).step_by(count).map(Vec::as_slice);
            RankingQuality::new(ranks.zip(self.queries.iter().map(|query| query.strengths.as_slice())))
        };
        (0..count).map(quality).collect()
    }

    /// The products of factors, times a weight; zeros without factors of items. Shape: (lists, items).
    fn factor_scores(&self, q: &[Factor], weight: f32, z: Option<&Panels<'_>>) -> Vec<f32> {
        let Some(z) = z else { return vec![0.0; q.len() * self.item_count] };
        let q: Vec<Factor> = q.iter().map(|q| q.map(|value| weight * value)).collect();
        let q = ArrayView2::from_shape((q.len(), RANK), q.as_flattened()).expect("RANK numbers a row");
        by_panels(&q, z, None, &mut BufferPool::default()).into_raw_vec_and_offset().0
    }
}

impl RankingQuality {
    /// From the ranks of each list's hidden items and the strengths of their edges; the first rank is 0.
    fn new<'r>(lists: impl Iterator<Item = (&'r [f64], &'r [f32])>) -> Self {
        let mut quality = Self::default();
        for (ranks, strengths) in lists {
            let count = ranks.len() as f64;
            let gain = |rank: f64| if rank < LAST_RANK { 1.0 / (rank + 2.0).log2() } else { 0.0 };
            let gains =
                ranks.iter().zip(strengths).map(|(&rank, &strength)| f64::from(strength) * gain(rank));
            let strength: f64 = strengths.iter().copied().map(f64::from).sum();
            quality.gains.push(gains.sum::<f64>() / strength);
            quality.recall += ranks.iter().filter(|&&rank| rank < ANSWERS).count() as f64 / count;
        }
        quality.recall /= quality.gains.len().max(1) as f64;
        quality
    }

    /// The qualities of some rankings over all lists of some folds, from those in each fold.
    pub(crate) fn over_folds(folds: Vec<Vec<Self>>) -> Vec<Self> {
        let together = |all: Vec<Self>, fold: Vec<Self>| {
            let add = |(mut all, fold): (Self, Self)| {
                let (before, more) = (all.gains.len() as f64, fold.gains.len() as f64);
                all.recall = (all.recall * before + fold.recall * more) / (before + more).max(1.0);
                all.gains.extend(fold.gains);
                all
            };
            all.into_iter().zip(fold).map(add).collect()
        };
        folds.into_iter().reduce(together).unwrap_or_default()
    }

    /// The mean gain of a list.
    pub(crate) fn gain(&self) -> f64 {
        self.gains.iter().sum::<f64>() / self.gains.len().max(1) as f64
    }

    /// True if the gain is higher by more than chance: by more than [`LEAST_ERRORS`] standard errors of the lists' differences.
    pub(crate) fn is_better_than(&self, other: &Self) -> bool {
        self.leads_by(other, LEAST_ERRORS)
    }

    /// True if the gain is higher by more than this many standard errors of the lists' differences.
    pub(crate) fn leads_by(&self, other: &Self, errors: f64) -> bool {
        let differences: Vec<f64> = self.gains.iter().zip(&other.gains).map(|(a, b)| a - b).collect();
        let count = differences.len().max(1) as f64;
        let mean = differences.iter().sum::<f64>() / count;
        let variance = differences.iter().map(|by| (by - mean) * (by - mean)).sum::<f64>() / count;
        mean > errors * (variance / count).sqrt()
    }
}

/// The ranks of hidden items among all items by score times power. Items whose score is not a number do not count, and have no rank.
/// Equal scores count half. As a kernel, because its loops are several times faster with wide vectors.
struct Rank<'a> {
    hidden: &'a [u32],
    scores: &'a [f32],
    powers: &'a [f32],
    /// For each item; what is in it is replaced.
    scaled: &'a mut [f32],
}

impl Kernel for Rank<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) -> Vec<f64> {
        let Self { hidden, scores, powers, scaled } = self;
        for ((to, score), power) in scaled.iter_mut().zip(scores).zip(powers) {
            *to = score * power;
        }
        let rank = |&item: &u32| {
            let level = scaled[item as usize];
            // Nothing is higher than a level that is not a number, so it would be the best rank.
            if level.is_nan() {
                return f64::INFINITY;
            }
            // Counted without a branch, so that several are counted at once.
            let (mut higher, mut not_lower) = (0u32, 0u32);
            for &score in &*scaled {
                higher += u32::from(score > level);
                not_lower += u32::from(score >= level);
            }
            // The item itself is among those that are not lower.
            let equal = not_lower.max(higher + 1) - higher - 1;
            f64::from(higher) + f64::from(equal) / 2.0
        };
        hidden.iter().map(rank).collect()
    }
}

/// The sums `F(H, j)` of a list's items H, without the items' own damping, by item. `amounts` by list and `sums` by item are zeros, and
/// are left so.
///
/// Cost: the lists of H, and the items of each of them once, however many items of H it has.
fn two_hops(
    lists: &ItemLists,
    dampings: &Dampings,
    list: u32,
    amounts: &mut [f32],
    sums: &mut [f32],
) -> Vec<(u32, f32)> {
    let (mut reached_lists, mut reached) = (Vec::new(), Vec::new());
    for (item, weight) in lists.of_list.row(list as usize) {
        for (other, strength) in lists.of_item.row(item as usize) {
            let amount = &mut amounts[other as usize];
            if *amount == 0.0 {
                reached_lists.push(other);
            }
            *amount += weight * strength * dampings.history[item as usize];
        }
    }
    for other in reached_lists {
        let amount = std::mem::take(&mut amounts[other as usize]) * dampings.list[other as usize];
        for (member, strength) in lists.of_list.row(other as usize) {
            let sum = &mut sums[member as usize];
            if *sum == 0.0 {
                reached.push(member);
            }
            *sum += amount * strength;
        }
    }
    reached.into_iter().map(|item| (item, std::mem::take(&mut sums[item as usize]))).collect()
}

#[cfg(test)]
mod tests {
    use super::{LAST_RANK, Rank, RankingQuality};
    use crate::linalg::simd::{Width, run_within};

    #[test]
    fn a_rank_counts_higher_scores_and_half_of_the_equal_ones_on_every_processor() {
        let scores = [4.0, 2.0, f32::NAN, 2.0, 1.0, 2.0];
        for width in [Width::Portable, Width::Eight, Width::Sixteen] {
            let mut scaled = vec![0.0; 6];
            let rank =
                Rank { hidden: &[0, 1, 2, 4], scores: &scores, powers: &[1.0; 6], scaled: &mut scaled };
            assert_eq!(run_within(width, rank), [0.0, 2.0, f64::INFINITY, 4.0], "{width:?}");
            // The powers make the last item the best.
            let powers = [1.0, 1.0, 1.0, 1.0, 1.0, 3.0];
            let rank = Rank { hidden: &[0, 5], scores: &scores, powers: &powers, scaled: &mut scaled };
            assert_eq!(run_within(width, rank), [1.0, 0.0], "{width:?}");
        }
    }

    #[test]
    fn a_setting_is_better_only_if_most_lists_agree() {
        let quality = |ranks: &[f64]| {
            RankingQuality::new(ranks.iter().map(std::slice::from_ref).zip(std::iter::repeat(&[0.5][..])))
        };
        let first = quality(&[3.0, 1.0, 8.0, 2.0]);
        assert!(!first.is_better_than(&first));
        assert!(quality(&[2.0, 0.0, 7.0, 1.0]).is_better_than(&first));
        // One list gains as much as another loses.
        assert!(!quality(&[1.0, 3.0, 8.0, 2.0]).is_better_than(&first));
        assert_eq!(quality(&[LAST_RANK, f64::INFINITY]).gain(), 0.0);
        assert_eq!(quality(&[0.0, 2.0]).gain(), 0.75);
        assert_eq!(quality(&[19.0, 20.0]).recall, 0.5);
    }
}
