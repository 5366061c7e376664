//! The fit of the constants of related items: by pairs that occur together in lists which are hidden whole.

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use hedgerow_walker::{MAX_LISTS, SECOND_HOPS};

use crate::config::graph_constants::RelatedConstants;
use crate::factors::edge_sums::power;
use crate::factors::item_lists::ItemLists;

/// One of this many lists is hidden.
const HIDDEN_SHARE: usize = 20;
/// Pairs that are ranked, at most.
const PAIRS: usize = 1000;
/// Pairs below which nothing is fitted.
const FEWEST_PAIRS: usize = 100;
/// Hidden lists that a pair occurs in, at least.
const FEWEST_LISTS: u32 = 2;
/// The least lift of a pair: the lists that it occurs in together, divided by those expected by chance.
const LEAST_LIFT: f64 = 2.0;
/// Items of a list that count. Of longer lists the first ones count; they are ordered by hash.
const MOST_ITEMS: usize = 512;
/// Pairs of a task, which share the memory of their sums.
const PAIRS_PER_TASK: usize = 16;
/// The width of a step of the measure: ranks 1 to 100 count 1, those up to 200 count 1/2.
const RANKS_PER_STEP: f64 = 100.0;

/// The exponents and weights that are tried, all combinations.
const LIST_EXPONENTS: [f32; 3] = [0.0, 0.25, 0.5];
const ITEM_EXPONENTS: [f32; 4] = [0.0, 0.1, 0.2, 0.3];
const SECOND_HOP_WEIGHTS: [f32; 7] = [0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0];

/// The constants with the best mean reciprocal rank, and that rank. Without enough pairs, the default constants and no rank.
///
/// Determinism: a function of the graph's content and the seed.
/// Cost: for each exponent of lists a hundred and one times two hops from each pair.
pub(crate) fn fit_related(lists: &ItemLists, seed: u64) -> (RelatedConstants, Option<f64>) {
    let (kept, hidden) = lists.split(HIDDEN_SHARE, seed);
    let pairs = pairs_together(&kept, &hidden, seed);
    if pairs.len() < FEWEST_PAIRS {
        return (RelatedConstants::default(), None);
    }
    let mut best: Option<(RelatedConstants, f64)> = None;
    for list in LIST_EXPONENTS {
        let quality = reciprocal_ranks(&kept, &pairs, list);
        for (at, &quality) in quality.iter().enumerate() {
            let item = ITEM_EXPONENTS[at / SECOND_HOP_WEIGHTS.len()];
            let second_hops = SECOND_HOP_WEIGHTS[at % SECOND_HOP_WEIGHTS.len()];
            if best.as_ref().is_none_or(|(_, most)| quality > *most) {
                let constants = RelatedConstants { list, item, second_hops, ..RelatedConstants::default() };
                best = Some((constants, quality));
            }
        }
    }
    best.map_or((RelatedConstants::default(), None), |(constants, quality)| (constants, Some(quality)))
}

/// Pairs of items that occur together in hidden lists more often than by chance, and that the other lists know. A sample by hash.
fn pairs_together(kept: &ItemLists, hidden: &ItemLists, seed: u64) -> Vec<(u32, u32)> {
    let list_count = hidden.list_count() as f64;
    let items: Vec<u32> = (0..hidden.item_count() as u32).collect();
    let is_known = |item: u32| !kept.of_item.columns_of(item as usize).is_empty();
    let tasks = items.par_chunks(PAIRS_PER_TASK * PAIRS_PER_TASK).map(|items| {
        let mut together = vec![0u32; hidden.item_count()];
        let mut pairs = Vec::new();
        for &item in items.iter().filter(|&&item| is_known(item)) {
            let of_item = hidden.of_item.columns_of(item as usize);
            let mut others = Vec::new();
            for &list in of_item.iter().take(MAX_LISTS) {
                for &other in members(hidden, list) {
                    together[other as usize] += 1;
                    others.push(other);
                }
            }
            for other in others {
                let count = std::mem::take(&mut together[other as usize]);
                if count < FEWEST_LISTS || other == item || !is_known(other) {
                    continue;
                }
                let by_chance = of_item.len() as f64 * hidden.of_item.columns_of(other as usize).len() as f64
                    / list_count;
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

fn members(lists: &ItemLists, list: u32) -> &[u32] {
    let members = lists.of_list.columns_of(list as usize);
    &members[..members.len().min(MOST_ITEMS)]
}

/// The mean reciprocal rank for each combination of item exponent and weight of second hops.
fn reciprocal_ranks(lists: &ItemLists, pairs: &[(u32, u32)], list_exponent: f32) -> Vec<f64> {
    let degree = |item: usize| lists.of_item.columns_of(item).len();
    let powers = |exponent: f32| -> Vec<f32> {
        (0..lists.item_count()).map(|item| power(degree(item), exponent)).collect()
    };
    let list_powers: Vec<f32> = (0..lists.list_count())
        .map(|list| power(lists.of_list.columns_of(list).len(), list_exponent))
        .collect();
    let item_powers: Vec<Vec<f32>> = ITEM_EXPONENTS.iter().map(|&exponent| powers(exponent)).collect();
    let hop_powers = powers(RelatedConstants::default().hop);
    let combinations = ITEM_EXPONENTS.len() * SECOND_HOP_WEIGHTS.len();
    let tasks = pairs.par_chunks(PAIRS_PER_TASK).map(|pairs| {
        let mut rows = Rows { lists, list_powers: &list_powers, sums: vec![0.0; lists.item_count()] };
        let mut second = vec![0.0f32; lists.item_count()];
        let mut first = vec![0.0f32; lists.item_count()];
        let mut quality = vec![0.0; combinations];
        for &(query, item) in pairs {
            // Both parts of the scores of all items that are reached.
            let row = rows.row(query);
            let total: f32 = row.iter().map(|(_, sum)| sum).sum();
            let mut reached: Vec<u32> = row.iter().map(|&(other, _)| other).collect();
            for &(other, sum) in &row {
                first[other as usize] = sum / total;
            }
            for (hop, share) in strongest(row, &hop_powers) {
                for (other, next) in strongest(rows.row(hop), &hop_powers) {
                    if first[other as usize] == 0.0 && second[other as usize] == 0.0 {
                        reached.push(other);
                    }
                    second[other as usize] += share * next;
                }
            }
            reached.retain(|&other| other != query);
            // The rank of the item for each combination.
            let mut at = 0;
            for item_powers in &item_powers {
                for weight in SECOND_HOP_WEIGHTS {
                    let score = |other: u32| {
                        let other = other as usize;
                        item_powers[other] * first[other] + weight * second[other]
                    };
                    let level = score(item);
                    let higher = reached.iter().filter(|&&other| score(other) > level).count();
                    // Items that are not reached have score 0. Neither the query nor the item itself counts.
                    let not_reached = if level > 0.0 { 0 } else { lists.item_count() - reached.len() - 1 };
                    let equal =
                        reached.iter().filter(|&&other| score(other) == level).count() + not_reached - 1;
                    let rank = 1.0 + higher as f64 + equal as f64 / 2.0;
                    quality[at] += 1.0 / (rank / RANKS_PER_STEP).ceil();
                    at += 1;
                }
            }
            for other in reached.into_iter().chain([query]) {
                first[other as usize] = 0.0;
                second[other as usize] = 0.0;
            }
        }
        quality
    });
    let mut means = vec![0.0; combinations];
    for task in tasks.collect::<Vec<_>>() {
        means.iter_mut().zip(task).for_each(|(mean, sum)| *mean += sum / pairs.len() as f64);
    }
    means
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
        for &list in self.lists.of_item.columns_of(item as usize).iter().take(MAX_LISTS) {
            for &other in members(self.lists, list) {
                let sum = &mut self.sums[other as usize];
                if *sum == 0.0 {
                    reached.push(other);
                }
                *sum += self.list_powers[list as usize];
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
