//! The fit of the constants of related items: by pairs that occur together in lists which are hidden whole.

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use hedgerow_walker::{MAX_LISTS, SECOND_HOPS};

use crate::config::graph_constants::RelatedConstants;
use crate::factors::edge_sums::power;
use crate::factors::item_lists::ItemLists;

/// One of this many lists is hidden.
const HIDDEN_SHARE: usize = 20;
/// Times that other lists are hidden. What is fitted then differs less by chance.
const FOLDS: usize = 4;
/// Pairs that are ranked each time, at most.
const PAIRS: usize = 1000;
/// Pairs below which nothing is fitted.
const FEWEST_PAIRS: usize = 100;
/// Hidden lists that a pair occurs in, at least.
const FEWEST_LISTS: u32 = 2;
/// The least lift of a pair: the lists that it occurs in together, divided by those expected by chance. On dense data chance would
/// otherwise choose the pairs, and with them popular items.
const LEAST_LIFT: f64 = 2.0;
/// Items of a list that count. Of longer lists the first ones count; they are ordered by hash.
const MOST_ITEMS: usize = 512;
/// Pairs of a task, which share the memory of their sums.
const PAIRS_PER_TASK: usize = 16;
/// Items of a task from which second hops start.
const STARTS_PER_TASK: usize = 256;

/// The exponents and weights that are tried, all combinations.
const LIST_EXPONENTS: [f32; 3] = [0.0, 0.25, 0.5];
const ITEM_EXPONENTS: [f32; 4] = [0.0, 0.1, 0.2, 0.3];
const SECOND_HOP_WEIGHTS: [f32; 7] = [0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0];

/// The constants with the best gain, and that gain. Without enough pairs, the default constants and no gain.
///
/// The gain of a pair is 1 / log2(1 + rank). It looks at the first ranks more than at those behind: on dense data nearly all pairs have
/// a rank below 100, and ranks in hundreds would then only reward popular items.
///
/// Determinism: a function of the graph's content and the seed.
/// Cost: [`FOLDS`] times, for each exponent of lists, two hops from each query and from each item that one reaches first.
/// Memory: 800 bytes for each of these items, at most [`PAIRS`] times [`SECOND_HOPS`].
pub(crate) fn fit_related(lists: &ItemLists, seed: u64) -> (RelatedConstants, Option<f64>) {
    let mut gains = vec![0.0; LIST_EXPONENTS.len() * ITEM_EXPONENTS.len() * SECOND_HOP_WEIGHTS.len()];
    let mut pair_count = 0;
    for fold in 0..FOLDS {
        let (kept, hidden) = lists.split(HIDDEN_SHARE, fold, seed);
        let pairs = pairs_together(&kept, &hidden, seed);
        pair_count += pairs.len();
        let of_fold = LIST_EXPONENTS.into_iter().flat_map(|list| gains_of(&kept, &pairs, list));
        gains.iter_mut().zip(of_fold).for_each(|(sum, gain)| *sum += gain);
    }
    let best = gains.iter().enumerate().reduce(|a, b| if b.1 > a.1 { b } else { a });
    let Some((at, gain)) = best.filter(|_| pair_count >= FEWEST_PAIRS) else {
        return (RelatedConstants::default(), None);
    };
    let constants = RelatedConstants {
        list: LIST_EXPONENTS[at / (ITEM_EXPONENTS.len() * SECOND_HOP_WEIGHTS.len())],
        item: ITEM_EXPONENTS[at / SECOND_HOP_WEIGHTS.len() % ITEM_EXPONENTS.len()],
        second_hops: SECOND_HOP_WEIGHTS[at % SECOND_HOP_WEIGHTS.len()],
        ..RelatedConstants::default()
    };
    (constants, Some(gain / pair_count as f64))
}

/// Pairs of items that occur together in hidden lists more often than by chance, and that the other lists know. A sample by hash.
fn pairs_together(kept: &ItemLists, hidden: &ItemLists, seed: u64) -> Vec<(u32, u32)> {
    // The chance that a list holds two items grows with the square of its length.
    let lengths = (0..hidden.list_count()).map(|list| hidden.of_list.columns_of(list).len() as f64);
    let (edges, squares) =
        lengths.fold((0.0, 0.0), |(sum, squares), length| (sum + length, squares + length * length));
    let items: Vec<u32> = (0..hidden.item_count() as u32).collect();
    let is_known = |item: u32| !kept.of_item.columns_of(item as usize).is_empty();
    let tasks = items.par_chunks(PAIRS_PER_TASK * PAIRS_PER_TASK).map(|items| {
        let mut together = vec![0u32; hidden.item_count()];
        let mut pairs = Vec::new();
        for &item in items.iter().filter(|&&item| is_known(item)) {
            let of_item = hidden.of_item.columns_of(item as usize);
            let mut others = Vec::new();
            for &list in of_item.iter().take(MAX_LISTS) {
                for (other, _) in members(hidden, list) {
                    together[other as usize] += 1;
                    others.push(other);
                }
            }
            for other in others {
                let count = std::mem::take(&mut together[other as usize]);
                if count < FEWEST_LISTS || other == item || !is_known(other) {
                    continue;
                }
                let degrees = of_item.len() as f64 * hidden.of_item.columns_of(other as usize).len() as f64;
                let by_chance = degrees * squares / (edges * edges);
                if f64::from(count) >= LEAST_LIFT * by_chance {
                    let mut key = [0; 16];
                    key[..8].copy_from_slice(&hidden.item_ids[item as usize].to_le_bytes());
                    key[8..].copy_from_slice(&hidden.item_ids[other as usize].to_le_bytes());
                    pairs.push((xxh3_64_with_seed(&key, seed), (item, other)));
                }
            }
        }
        smallest(pairs)
    });
    let all = tasks.collect::<Vec<_>>().concat();
    smallest(all).into_iter().map(|(_, pair)| pair).collect()
}

/// The pairs with the smallest hashes.
fn smallest(mut pairs: Vec<(u64, (u32, u32))>) -> Vec<(u64, (u32, u32))> {
    pairs.sort_unstable();
    pairs.truncate(PAIRS);
    pairs
}

/// The items of a list that count, with the strengths of their edges.
fn members(lists: &ItemLists, list: u32) -> impl Iterator<Item = (u32, f32)> + '_ {
    lists.of_list.row(list as usize).take(MOST_ITEMS)
}

/// The sum of the pairs' gains for each combination of item exponent and weight of second hops.
fn gains_of(lists: &ItemLists, pairs: &[(u32, u32)], list_exponent: f32) -> Vec<f64> {
    let degree = |item: usize| lists.of_item.columns_of(item).len();
    let powers = |exponent: f32| -> Vec<f32> {
        (0..lists.item_count()).map(|item| power(degree(item), exponent)).collect()
    };
    let list_powers: Vec<f32> = (0..lists.list_count())
        .map(|list| power(lists.of_list.columns_of(list).len(), list_exponent))
        .collect();
    let item_powers: Vec<Vec<f32>> = ITEM_EXPONENTS.iter().map(|&exponent| powers(exponent)).collect();
    let hop_powers = powers(RelatedConstants::default().hop);
    let rows = || Rows { lists, list_powers: &list_powers, sums: vec![0.0; lists.item_count()] };

    // First hops of the queries, and the hops from where these lead, each once.
    let tasks = pairs.par_chunks(PAIRS_PER_TASK).map(|pairs| {
        let mut rows = rows();
        pairs.iter().map(|&(query, _)| strongest(rows.row(query), &hop_powers)).collect::<Vec<_>>()
    });
    let hops = tasks.collect::<Vec<_>>().concat();
    let mut starts: Vec<u32> = hops.iter().flatten().map(|&(item, _)| item).collect();
    starts.sort_unstable();
    starts.dedup();
    let tasks = starts.par_chunks(STARTS_PER_TASK).map(|starts| {
        let mut rows = rows();
        starts.iter().map(|&start| strongest(rows.row(start), &hop_powers)).collect::<Vec<_>>()
    });
    let next_hops = tasks.collect::<Vec<_>>().concat();
    let next_of =
        |item: u32| -> &[(u32, f32)] { starts.binary_search(&item).map_or(&[], |place| &next_hops[place]) };

    let combinations = ITEM_EXPONENTS.len() * SECOND_HOP_WEIGHTS.len();
    let tasks = pairs.par_chunks(PAIRS_PER_TASK).zip(hops.par_chunks(PAIRS_PER_TASK)).map(|(pairs, hops)| {
        let mut rows = rows();
        let mut place_of = vec![NOT_REACHED; lists.item_count()];
        let mut gains = vec![0.0; combinations];
        for (&(query, item), hops) in pairs.iter().zip(hops) {
            let second = hops.iter().map(|&(hop, share)| (share, next_of(hop)));
            let reached = Reached::new(query, &rows.row(query), second, &mut place_of);
            let mut at = 0;
            for item_powers in &item_powers {
                let damped: Vec<f32> = reached
                    .items
                    .iter()
                    .zip(&reached.first)
                    .map(|(&other, first)| item_powers[other as usize] * first)
                    .collect();
                for weight in SECOND_HOP_WEIGHTS {
                    gains[at] += 1.0 / (1.0 + reached.rank(item, &damped, weight, lists.item_count())).log2();
                    at += 1;
                }
            }
        }
        gains
    });
    let mut sums = vec![0.0; combinations];
    for task in tasks.collect::<Vec<_>>() {
        sums.iter_mut().zip(task).for_each(|(sum, gain)| *sum += gain);
    }
    sums
}

/// Mark of an item that is not reached.
const NOT_REACHED: u32 = u32::MAX;

/// The items that a query reaches, without the query, and both parts of their scores.
struct Reached {
    items: Vec<u32>,
    /// `C_qj` divided by the sum of the row.
    first: Vec<f32>,
    /// The sum over i of `N_qi N_ij`.
    second: Vec<f32>,
}

impl Reached {
    /// From the query's row, and from the second hops with their weights. `place_of`, by item, is [`NOT_REACHED`] throughout, and is
    /// left so.
    fn new<'a>(
        query: u32,
        row: &[(u32, f32)],
        second: impl Iterator<Item = (f32, &'a [(u32, f32)])>,
        place_of: &mut [u32],
    ) -> Self {
        let total: f32 = row.iter().map(|(_, sum)| sum).sum();
        let mut reached = Self { items: Vec::new(), first: Vec::new(), second: Vec::new() };
        for &(other, sum) in row {
            let place = reached.place(other, place_of);
            reached.first[place] = sum / total;
        }
        for (share, next) in second {
            for &(other, next) in next.iter().filter(|&&(other, _)| other != query) {
                let place = reached.place(other, place_of);
                reached.second[place] += share * next;
            }
        }
        reached.items.iter().for_each(|&item| place_of[item as usize] = NOT_REACHED);
        reached
    }

    fn place(&mut self, item: u32, place_of: &mut [u32]) -> usize {
        let place = &mut place_of[item as usize];
        if *place == NOT_REACHED {
            *place = self.items.len() as u32;
            self.items.push(item);
            self.first.push(0.0);
            self.second.push(0.0);
        }
        *place as usize
    }

    /// The rank of an item by its damped first hop and its weighted second hop. Equal scores count half; items that are not reached have
    /// score 0, and neither the query nor the item itself counts.
    fn rank(&self, item: u32, damped: &[f32], weight: f32, item_count: usize) -> f64 {
        let place = self.items.iter().position(|&other| other == item);
        let level = place.map_or(0.0, |place| damped[place] + weight * self.second[place]);
        // Counted without a branch, so that several are counted at once.
        let (mut higher, mut not_lower) = (0u32, 0u32);
        for (first, second) in damped.iter().zip(&self.second) {
            let score = first + weight * second;
            higher += u32::from(score > level);
            not_lower += u32::from(score >= level);
        }
        let not_reached = if level > 0.0 { 0 } else { item_count - self.items.len() - 1 };
        let equal = (not_lower - higher) as usize + not_reached - 1;
        1.0 + f64::from(higher) + equal as f64 / 2.0
    }
}

/// Two hops over some lists.
struct Rows<'a> {
    lists: &'a ItemLists,
    list_powers: &'a [f32],
    /// By item. All zeros between two rows.
    sums: Vec<f32>,
}

impl Rows<'_> {
    /// The sum of the powers of the lists that an item shares with each other item.
    fn row(&mut self, item: u32) -> Vec<(u32, f32)> {
        let mut reached = Vec::new();
        for (list, strength) in self.lists.of_item.row(item as usize).take(MAX_LISTS) {
            let amount = strength * self.list_powers[list as usize];
            for (other, strength) in members(self.lists, list) {
                let sum = &mut self.sums[other as usize];
                if *sum == 0.0 {
                    reached.push(other);
                }
                *sum += strength * amount;
            }
        }
        let mut row: Vec<(u32, f32)> = reached
            .into_iter()
            .map(|other| (other, std::mem::take(&mut self.sums[other as usize])))
            .collect();
        row.retain(|&(other, _)| other != item);
        row
    }
}

/// The strongest entries of a row after damping, divided by their sum; as `RelatedItems` takes them.
fn strongest(mut row: Vec<(u32, f32)>, hop_powers: &[f32]) -> Vec<(u32, f32)> {
    for (other, sum) in &mut row {
        *sum *= hop_powers[*other as usize];
    }
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if row.len() > SECOND_HOPS {
        row.select_nth_unstable_by(SECOND_HOPS - 1, order);
        row.truncate(SECOND_HOPS);
    }
    row.sort_unstable_by(order);
    let total: f32 = row.iter().map(|(_, sum)| sum).sum();
    for (_, sum) in &mut row {
        *sum /= total;
    }
    row
}
