//! The ranking of hidden edges by a score: the measure by which constants are chosen. Must not know how they are searched.

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::factors::edge_sums::Dampings;
use crate::factors::item_lists::{HiddenEdge, ItemLists};
use crate::linalg::buffer_pool::BufferPool;
use crate::linalg::matrix::product_by_transposed;
use crate::linalg::normal_equations::{Factor, RANK};

/// Lists whose scores are in memory together on a thread: 16 numbers for each item.
const LISTS_PER_TASK: usize = 16;
/// The answers that [`RankingQuality::recall`] counts.
const ANSWERS: f64 = 20.0;

/// The exponents of the item's degree that are tried for every score.
pub(crate) const DEGREE_EXPONENTS: [f32; 7] = [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3];

/// Lists with hidden edges, and the sums that the graph filter gives them without these edges.
pub(crate) struct HeldOutRanking<'a> {
    lists: &'a ItemLists,
    queries: Vec<HeldOutList>,
}

struct HeldOutList {
    list: u32,
    hidden: Vec<u32>,
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

/// The quality of a ranking.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct RankingQuality {
    /// The mean over lists of the mean over their hidden items of `1 / log2(rank + 1)`. All ranks count, so it differs less by
    /// chance than a figure of the first places.
    pub(crate) gain: f64,
    /// The mean over lists of the share of hidden items among the first 20.
    pub(crate) recall: f64,
}

impl<'a> HeldOutRanking<'a> {
    /// `lists` no longer has the hidden edges. Cost: two hops from each list with hidden edges.
    pub(crate) fn new(lists: &'a ItemLists, hidden: &[HiddenEdge], dampings: &Dampings) -> Self {
        let groups: Vec<&[HiddenEdge]> = hidden.chunk_by(|a, b| a.list == b.list).collect();
        let tasks = groups.par_chunks(LISTS_PER_TASK).map(|groups| {
            let mut sums = vec![0.0f32; lists.item_count()];
            let mut amounts = vec![0.0f32; lists.list_count()];
            let query = |group: &&[HiddenEdge]| HeldOutList {
                list: group[0].list,
                hidden: group.iter().map(|edge| edge.item).collect(),
                sums: two_hops(lists, dampings, group[0].list, &mut amounts, &mut sums),
            };
            groups.iter().map(query).collect::<Vec<_>>()
        });
        let queries = tasks.collect::<Vec<_>>().into_iter().flatten().collect();
        Self { lists, queries }
    }

    /// The lists, in the order in which [`HeldOutRanking::qualities`] expects their factors.
    pub(crate) fn list_rows(&self) -> Vec<u32> {
        self.queries.iter().map(|query| query.list).collect()
    }

    /// The quality for each of [`DEGREE_EXPONENTS`]. `q` are the factors of the lists, `z` those of the items.
    pub(crate) fn qualities(
        &self,
        dampings: &Dampings,
        degree_powers: &[Vec<f32>],
        weights: PartWeights,
        q: &[Factor],
        z: &[Factor],
    ) -> Vec<RankingQuality> {
        let pairs: Vec<(&HeldOutList, &Factor)> = self.queries.iter().zip(q).collect();
        let tasks = pairs.par_chunks(LISTS_PER_TASK).map(|pairs| {
            let mut scores = self.factor_scores(pairs, weights, z);
            let mut qualities = vec![RankingQuality::default(); degree_powers.len()];
            let mut scaled = vec![0.0f32; self.lists.item_count()];
            for ((query, _), scores) in pairs.iter().zip(scores.chunks_exact_mut(self.lists.item_count())) {
                for &(item, sum) in &query.sums {
                    scores[item as usize] += weights.filter * dampings.item[item as usize] * sum;
                }
                for &seen in self.lists.of_list.columns_of(query.list as usize) {
                    scores[seen as usize] = f32::NAN;
                }
                for (quality, powers) in qualities.iter_mut().zip(degree_powers) {
                    for ((to, score), power) in scaled.iter_mut().zip(&*scores).zip(powers) {
                        *to = score * power;
                    }
                    quality.add(&query.hidden, &scaled);
                }
            }
            qualities
        });
        let mut sums = vec![RankingQuality::default(); degree_powers.len()];
        for task in tasks.collect::<Vec<_>>() {
            for (sum, part) in sums.iter_mut().zip(task) {
                sum.gain += part.gain;
                sum.recall += part.recall;
            }
        }
        let count = self.queries.len().max(1) as f64;
        let mean =
            |sum: RankingQuality| RankingQuality { gain: sum.gain / count, recall: sum.recall / count };
        sums.into_iter().map(mean).collect()
    }

    /// The products of factors. Shape: (pairs, items).
    fn factor_scores(
        &self,
        pairs: &[(&HeldOutList, &Factor)],
        weights: PartWeights,
        z: &[Factor],
    ) -> Vec<f32> {
        if weights.factors == 0.0 {
            return vec![0.0; pairs.len() * self.lists.item_count()];
        }
        let q: Vec<Factor> = pairs.iter().map(|&(_, q)| q.map(|value| weights.factors * value)).collect();
        let view = |factors: &'_ [Factor]| {
            let shape = (factors.len(), RANK);
            ArrayView2::from_shape(shape, factors.as_flattened()).expect("RANK numbers a row").to_owned()
        };
        let (q, z) = (view(&q), ArrayView2::from_shape((z.len(), RANK), z.as_flattened()));
        let z = z.expect("RANK numbers a row");
        product_by_transposed(&q.view(), &z, &mut BufferPool::default()).into_raw_vec_and_offset().0
    }
}

impl RankingQuality {
    /// Adds the ranks of one list's hidden items among all items. Items of the list have no score. Equal scores count half.
    fn add(&mut self, hidden: &[u32], scores: &[f32]) {
        let count = hidden.len() as f64;
        for &item in hidden {
            let level = scores[item as usize];
            // Nothing is higher than a level that is not a number, so it would be the best rank.
            if level.is_nan() {
                continue;
            }
            // Counted without a branch, so that several are counted at once.
            let (mut higher, mut not_lower) = (0u32, 0u32);
            for &score in scores {
                higher += u32::from(score > level);
                not_lower += u32::from(score >= level);
            }
            // The item itself is among those that are not lower.
            let equal = not_lower.max(higher + 1) - higher - 1;
            let rank = f64::from(higher) + f64::from(equal) / 2.0;
            self.gain += 1.0 / (rank + 2.0).log2() / count;
            self.recall += f64::from(u8::from(rank < ANSWERS)) / count;
        }
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
    for &item in lists.of_list.columns_of(list as usize) {
        for &other in lists.of_item.columns_of(item as usize) {
            let amount = &mut amounts[other as usize];
            if *amount == 0.0 {
                reached_lists.push(other);
            }
            *amount += dampings.history[item as usize];
        }
    }
    for other in reached_lists {
        let amount = std::mem::take(&mut amounts[other as usize]) * dampings.list[other as usize];
        for &member in lists.of_list.columns_of(other as usize) {
            let sum = &mut sums[member as usize];
            if *sum == 0.0 {
                reached.push(member);
            }
            *sum += amount;
        }
    }
    reached.into_iter().map(|item| (item, std::mem::take(&mut sums[item as usize]))).collect()
}
