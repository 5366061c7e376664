//! `RP3beta`: the probabilities of walks from the items of a history to a list and on to an item, damped by the degree of the item reached.
//! The hops are exact: nothing is drawn.

use crate::evaluate::baselines::Task;
use crate::evaluate::baselines::held_out_edges::{HeldOutEdges, HeldOutQuestion, gain};
use crate::evaluate::baselines::incidence::{Incidence, Rows};

/// The values of alpha to choose from.
const ALPHAS: [f64; 3] = [1.0, 0.75, 0.5];
/// The values of beta to choose from.
const BETAS: [f64; 9] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
/// The exponents that are kept unless others are better by more than a standard error. Held-out edges hardly tell small values of beta
/// apart, and on gowalla's test data the best of them by held-out edges is a tenth worse than these.
const DEFAULT: Exponents = Exponents { alpha: 1.0, beta: 0.2 };

/// The exponents of the degrees: alpha for the items of a history and for lists, beta for the item reached.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Exponents {
    alpha: f64,
    beta: f64,
}

/// The scores of a graph. An item of degree d has `d^-beta * sum of (d_i d_v)^-alpha` over the items i of the history and the lists v that
/// hold both items. With alpha 1 the sum is the probability of the walk, up to a factor.
pub(super) struct Rp3Beta {
    pub(super) incidence: Incidence,
    hops: Hops,
    /// `d^-beta` of each item.
    damping: Vec<f64>,
}

impl Rp3Beta {
    /// With the exponents that rank the items of held-out edges best.
    pub(super) fn fitted(incidence: Incidence, task: Task) -> Self {
        let exponents = fit(&HeldOutEdges::new(&incidence, task));
        Self::new(incidence, exponents)
    }

    fn new(incidence: Incidence, Exponents { alpha, beta }: Exponents) -> Self {
        let (hops, damping) = (Hops::new(&incidence, alpha), powers(&incidence.of_items, beta));
        Self { incidence, hops, damping }
    }

    /// The items beyond the history that two hops reach, with their scores.
    pub(super) fn scores(&self, history: &[u32], sums: &mut HopSums) -> Vec<(u32, f64)> {
        let mut found = self.hops.sums(&self.incidence, history, sums);
        for (item, sum) in &mut found {
            *sum *= self.damping[*item as usize];
        }
        found
    }
}

fn fit(held_out: &HeldOutEdges) -> Exponents {
    let graph = &held_out.incidence;
    let hops = ALPHAS.map(|alpha| Hops::new(graph, alpha));
    let damping = BETAS.map(|beta| powers(&graph.of_items, beta));
    let gains = |questions: &[HeldOutQuestion]| {
        // For each pair of exponents the sum of the gains, then for each the sum of their squares.
        let count = ALPHAS.len() * BETAS.len();
        let (mut scratch, mut sums) = (HopSums::new(graph), vec![0.0; 2 * count]);
        let (gains, squares) = sums.split_at_mut(count);
        for question in questions {
            // The hops of an alpha are summed once for all betas.
            let figures = gains.chunks_exact_mut(BETAS.len()).zip(squares.chunks_exact_mut(BETAS.len()));
            for (hops, (gains, squares)) in hops.iter().zip(figures) {
                let reached = hops.sums(graph, &question.history, &mut scratch);
                // An item that no walk reaches is not found, whatever beta is.
                let Some(&(_, sum)) = reached.iter().find(|(item, _)| *item == question.item) else {
                    continue;
                };
                for ((damping, total), square) in damping.iter().zip(gains).zip(squares) {
                    let level = sum * damping[question.item as usize];
                    let scores = reached.iter().map(|&(item, sum)| sum * damping[item as usize]);
                    let (mut higher, mut equal) = (0u32, 0u32);
                    for score in scores {
                        higher += u32::from(score > level);
                        equal += u32::from(score == level);
                    }
                    let gain = question.weight * gain(f64::from(higher), f64::from(equal - 1));
                    *total += gain;
                    *square += gain * gain;
                }
            }
        }
        sums
    };
    let exponents = ALPHAS.iter().flat_map(|&alpha| BETAS.map(|beta| Exponents { alpha, beta }));
    let sums = held_out.sums(gains);
    let (gains, squares) = sums.split_at(sums.len() / 2);
    let all: Vec<(Exponents, f64, f64)> = exponents
        .zip(gains)
        .zip(squares)
        .map(|((exponents, gain), square)| (exponents, *gain, *square))
        .collect();
    let Some(best) = all.iter().reduce(|best, other| if other.1 > best.1 { other } else { best }) else {
        return DEFAULT;
    };
    // The standard error of a sum of independent gains.
    let count = held_out.questions.len() as f64;
    let error = (best.2 - best.1 * best.1 / count).max(0.0).sqrt();
    let default = all.iter().find(|(exponents, ..)| *exponents == DEFAULT);
    if default.is_some_and(|default| default.1 >= best.1 - error) { DEFAULT } else { best.0 }
}

/// The factors of a walk's steps.
struct Hops {
    /// `d_i^-alpha` of each item.
    items: Vec<f64>,
    /// `d_v^-alpha` of each list.
    lists: Vec<f64>,
}

/// Sums by list and by item; all zeros between two histories.
pub(super) struct HopSums {
    lists: Vec<f64>,
    items: Vec<f64>,
}

impl HopSums {
    pub(super) fn new(incidence: &Incidence) -> Self {
        Self { lists: vec![0.0; incidence.of_lists.len()], items: vec![0.0; incidence.of_items.len()] }
    }
}

impl Hops {
    fn new(incidence: &Incidence, alpha: f64) -> Self {
        Self { items: powers(&incidence.of_items, alpha), lists: powers(&incidence.of_lists, alpha) }
    }

    /// The items reached beyond the history, each with the sum over its walks, in the order in which they were first reached.
    fn sums(&self, incidence: &Incidence, history: &[u32], sums: &mut HopSums) -> Vec<(u32, f64)> {
        let (mut lists, mut items) = (Vec::new(), Vec::new());
        for &item in history {
            let factor = self.items[item as usize];
            add(factor, incidence.of_items.row(item as usize), &mut sums.lists, &mut lists);
        }
        for list in lists {
            let factor = self.lists[list as usize] * std::mem::take(&mut sums.lists[list as usize]);
            add(factor, incidence.of_lists.row(list as usize), &mut sums.items, &mut items);
        }
        for &item in history {
            sums.items[item as usize] = 0.0;
        }
        let sums = items.into_iter().map(|item| (item, std::mem::take(&mut sums.items[item as usize])));
        sums.filter(|(_, sum)| *sum > 0.0).collect()
    }
}

/// Adds to the sums of a row's entries, and lists those whose sum was 0.
fn add(amount: f64, row: &[u32], sums: &mut [f64], listed: &mut Vec<u32>) {
    for &entry in row {
        let sum = &mut sums[entry as usize];
        if *sum == 0.0 {
            listed.push(entry);
        }
        *sum += amount;
    }
}

/// The lengths of rows to the power of `-exponent`; 0 for empty rows.
fn powers(rows: &Rows, exponent: f64) -> Vec<f64> {
    let power = |row: &[u32]| if row.is_empty() { 0.0 } else { (row.len() as f64).powf(-exponent) };
    rows.iter().map(power).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::baselines::incidence::small_incidence;

    /// The products of dense matrices, by the definition.
    fn naive(graph: &Incidence, history: &[u32], Exponents { alpha, beta }: Exponents) -> Vec<f64> {
        let holds = |list: usize, item: u32| f64::from(u8::from(graph.of_lists.row(list).contains(&item)));
        let lists = 0..graph.of_lists.len();
        let items = 0..graph.items.len() as u32;
        let list_degree = |list: usize| items.clone().map(|item| holds(list, item)).sum::<f64>();
        let item_degree = |item: u32| lists.clone().map(|list| holds(list, item)).sum::<f64>();
        let walk = |i: u32, j: u32| {
            let through = |v| holds(v, i) * holds(v, j) / (item_degree(i) * list_degree(v)).powf(alpha);
            lists.clone().map(through).sum::<f64>()
        };
        let score = |j: u32| match item_degree(j) {
            degree if degree == 0.0 || history.contains(&j) => 0.0,
            degree => history.iter().map(|&i| walk(i, j)).sum::<f64>() / degree.powf(beta),
        };
        items.clone().map(score).collect()
    }

    #[test]
    fn scores_are_those_of_dense_matrices() {
        let graph = small_incidence();
        let mut sums = HopSums::new(&graph);
        for (alpha, beta) in [(1.0, 0.5), (0.5, 0.0), (0.75, 0.8)] {
            let exponents = Exponents { alpha, beta };
            let rp3beta = Rp3Beta::new(graph.clone(), exponents);
            for history in [&[0][..], &[3, 1], &[]] {
                let mut found = vec![0.0; graph.items.len()];
                rp3beta
                    .scores(history, &mut sums)
                    .iter()
                    .for_each(|&(item, score)| found[item as usize] = score);
                for (found, expected) in found.iter().zip(naive(&graph, history, exponents)) {
                    assert!((found - expected).abs() < 1e-12, "{found} {expected}");
                }
            }
        }
    }
}
