//! The sums of the graph filter on the edges themselves, with and without the edge that they are summed for.
//! A score that contains its own edge would leave nothing to learn.

use rayon::prelude::*;

use crate::config::graph_constants::Exponents;
use crate::factors::item_lists::ItemLists;
use crate::linalg::sparse::Sparse;

/// Items of a list that count. Of longer lists a sample counts, and stands for all.
const MAX_MEMBERS: usize = 512;
/// A rest below this share of its sum is a rounding error.
const ROUNDING: f32 = 1e-5;
/// Items of a task, which share the memory of their sums.
const ITEMS_PER_TASK: usize = 256;

/// Degrees to their powers, by row.
pub(crate) struct Dampings {
    /// `d_i^-a` of each item.
    pub(crate) history: Vec<f32>,
    /// `d_v^-b` of each list.
    pub(crate) list: Vec<f32>,
    /// `d_j^-c` of each item.
    pub(crate) item: Vec<f32>,
    /// `(d_j - 1)^-c` of each item, 0 for an item of one edge.
    pub(crate) item_without_one: Vec<f32>,
}

impl Dampings {
    pub(crate) fn new(lists: &ItemLists, exponents: &Exponents) -> Self {
        let powers = |matrix: &Sparse, less: usize, exponent: f32| -> Vec<f32> {
            let degrees = (0..matrix.rows()).map(|row| matrix.columns_of(row).len().saturating_sub(less));
            degrees.map(|degree| power(degree, exponent)).collect()
        };
        let mut item_without_one = powers(&lists.of_item, 1, exponents.item);
        for (item, power) in item_without_one.iter_mut().enumerate() {
            if lists.of_item.columns_of(item).len() < 2 {
                *power = 0.0;
            }
        }
        Self {
            history: powers(&lists.of_item, 0, exponents.history),
            list: powers(&lists.of_list, 0, exponents.list),
            item: powers(&lists.of_item, 0, exponents.item),
            item_without_one,
        }
    }
}

/// A degree to a negative power; degree 0 counts as 1.
pub(super) fn power(degree: usize, exponent: f32) -> f32 {
    (degree.max(1) as f64).powf(-f64::from(exponent)) as f32
}

/// What a sum has left without a part of it.
pub(crate) fn rest(sum: f32, part: f32) -> f32 {
    let rest = sum - part;
    if rest > ROUNDING * sum { rest } else { 0.0 }
}

/// For each edge (u, j), in the order of `of_item`, the sum `F_uj` over u's items. It depends on two of the exponents only.
///
/// Size: 8 bytes an edge.
pub(crate) struct EdgeSums {
    /// With the edge itself.
    with: Vec<f32>,
    /// Without it: neither item j nor list u is on a way. At least 0.
    without: Vec<f32>,
}

/// Scores of the filter on edges, without their scale.
pub(crate) struct EdgeScores {
    /// `d_j^-c F_uj`.
    pub(crate) with: Vec<f32>,
    /// The score that the edge would have if it were not there.
    pub(crate) without: Vec<f32>,
}

impl EdgeSums {
    /// Cost: the sum over all lists of the square of their lengths, twice. Of a list's items beyond [`MAX_MEMBERS`] a sample counts.
    pub(crate) fn new(lists: &ItemLists, dampings: &Dampings) -> Self {
        let Dampings { history, list: list_damping, .. } = dampings;
        let square = |(item, strength): (u32, f32)| strength * strength * history[item as usize];
        let squares_of_lists: Vec<f32> =
            (0..lists.list_count()).map(|list| lists.of_list.row(list).map(square).sum()).collect();
        let items: Vec<usize> = (0..lists.item_count()).collect();
        let tasks = items.par_chunks(ITEMS_PER_TASK).map(|items| {
            // Shared lists of the item with each other item, `G_ij`.
            let mut shared = vec![0.0f32; lists.item_count()];
            let (mut with, mut without) = (Vec::new(), Vec::new());
            for &item in items {
                let of_item = lists.of_item.row(item);
                for (list, strength) in of_item.clone() {
                    let (members, scale) = sample(&lists.of_list, list);
                    let amount = list_damping[list as usize] * scale * strength;
                    members.for_each(|(member, strength)| shared[member as usize] += amount * strength);
                }
                let own = |(list, strength)| strength * strength * list_damping[list as usize];
                let own: f32 = of_item.clone().map(own).sum();
                for (list, strength) in of_item.clone() {
                    let (members, scale) = sample(&lists.of_list, list);
                    let term = |(member, strength): (u32, f32)| {
                        strength * history[member as usize] * shared[member as usize]
                    };
                    let sum = members.map(term).sum::<f32>() * scale;
                    let others = squares_of_lists[list as usize] - strength * strength * history[item];
                    // What the item itself leads to the edge, and what the list leads to it.
                    let own = history[item] * own + list_damping[list as usize] * others;
                    with.push(sum);
                    without.push(rest(sum, strength * own));
                }
                for (list, _) in of_item {
                    let (members, _) = sample(&lists.of_list, list);
                    members.for_each(|(member, _)| shared[member as usize] = 0.0);
                }
            }
            (with, without)
        });
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for (some_with, some_without) in tasks.collect::<Vec<_>>() {
            with.extend(some_with);
            without.extend(some_without);
        }
        Self { with, without }
    }

    /// The scores with the items' own damping.
    pub(crate) fn scores(&self, lists: &ItemLists, dampings: &Dampings) -> EdgeScores {
        let damped = |sums: &[f32], damping: &[f32]| {
            let mut scores = sums.to_vec();
            for (item, damping) in damping.iter().enumerate() {
                scores[lists.of_item.range(item)].iter_mut().for_each(|score| *score *= damping);
            }
            scores
        };
        EdgeScores {
            with: damped(&self.with, &dampings.item),
            without: damped(&self.without, &dampings.item_without_one),
        }
    }
}

impl EdgeScores {
    /// The mean of the scores without their edge.
    pub(crate) fn mean(&self) -> f64 {
        self.without.iter().map(|&score| f64::from(score)).sum::<f64>() / self.without.len().max(1) as f64
    }
}

/// The items of a list that count, and the number that each stands for. Items are ordered by stable id, which is a hash, so a run of
/// them is a random sample.
fn sample(of_list: &Sparse, list: u32) -> (impl Iterator<Item = (u32, f32)> + '_, f32) {
    let items = of_list.columns_of(list as usize);
    let count = items.len().min(MAX_MEMBERS);
    let start =
        (u64::from(list).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % (items.len() - count + 1);
    let strengths = &of_list.values_of(list as usize)[start..start + count];
    let members = items[start..start + count].iter().copied().zip(strengths.iter().copied());
    (members, items.len() as f32 / count as f32)
}
