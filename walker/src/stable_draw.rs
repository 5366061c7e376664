//! The stable draw: the neighbor that a walk goes to, as a function of the neighbor list and a key alone; and the
//! hash functions of all draws. Knows one list at a time; walks and hops belong to the callers.

use hedgerow_storage::{List, NodeIx};

/// Tries after which a draw takes the heaviest neighbor. Only lists whose mean weight is thousands of times below the
/// largest one take so many.
const MAX_TRIES: u32 = 1 << 16;

/// The position in `list` that `key` draws; `None` from an empty list.
///
/// The draw tries slots of the list's slot table in a pseudo-random order until it finds an occupied one, so that each
/// neighbor is equally likely. With weights, an occupied slot is accepted with the probability `weight / max`, where
/// `max` is the largest weight rounded up to a power of two.
///
/// # Determinism
/// Canonical: a function of the neighbors' stable ids and weights, and of `key`.
///
/// Stable: an added or removed neighbor changes at most 2.5/degree of the draws, averaged over growth or decline. These
/// are its own draws, those of neighbors that change their slot, and half of all draws when the table is doubled or
/// halved.
///
/// # Cost
/// 2 to 4 tries are expected, and one hash serves two to eight of them. With weights each try takes a hash, and the number of
/// tries grows by the ratio of the largest weight to the mean.
#[inline]
pub fn stable_draw(list: &List<'_>, key: u64) -> Option<usize> {
    if list.is_empty() {
        return None;
    }
    let hash = fold(key, list.salt());
    Some(draw_position(list, hash))
}

/// The neighbor that `key` draws by [`stable_draw`]; `None` from an empty list.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a hop is a handful of these functions: calls between them make dense walks a sixth slower"
)]
pub(crate) fn drawn_neighbor(list: &List<'_>, key: u64) -> Option<NodeIx> {
    if list.is_empty() {
        return None;
    }
    Some(list.neighbor(draw_position(list, fold(key, list.salt()))))
}

/// The position drawn from a list that is not empty, with the hash of the key.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a hop is a handful of these functions: calls between them make dense walks a sixth slower"
)]
pub(crate) fn draw_position(list: &List<'_>, hash: u64) -> usize {
    if list.is_weighted() { draw_weighted(list, hash) } else { draw_unweighted(list, hash) }
}

/// The position drawn from a list that is neither empty nor weighted, with the hash of the key.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a hop is a handful of these functions: calls between them make dense walks a sixth slower"
)]
pub(crate) fn draw_unweighted(list: &List<'_>, mut hash: u64) -> usize {
    loop {
        if let Some(position) = list.at_hash(hash) {
            return position;
        }
        hash = mix(hash.wrapping_add(GOLDEN));
    }
}

/// The position drawn from a weighted list, with the hash of the key.
#[inline(never)]
pub(crate) fn draw_weighted(list: &List<'_>, mut hash: u64) -> usize {
    let slots = 1 << list.slot_bits();
    for _ in 0..MAX_TRIES {
        // The upper 32 bits choose the slot. The lower 32 bits accept or refuse it.
        let slot = (((hash >> 32) * slots) >> 32) as usize;
        if let Some(position) = list.at_slot(slot)
            && (hash & 0xffff_ffff) < acceptance_bound(list.relative_weight(position))
        {
            return position;
        }
        hash = mix(hash.wrapping_add(GOLDEN));
    }
    let weight = |at: usize| list.relative_weight(at);
    let heaviest = (0..list.degree()).reduce(|best, at| if weight(at) > weight(best) { at } else { best });
    heaviest.expect("a weighted list is not empty")
}

/// The mean number of tries of a draw. Cost: with weights it reads all of them.
pub(crate) fn expected_tries(list: &List<'_>) -> f64 {
    let slots = f64::from(list.slot_bits()).exp2();
    if list.is_empty() {
        return 0.0;
    }
    let accepted = if list.is_weighted() {
        (0..list.degree()).map(|position| list.relative_weight(position)).sum()
    } else {
        list.degree() as f64
    };
    (slots / accepted).min(f64::from(MAX_TRIES))
}

/// An acceptance probability as a share of 2^32.
fn acceptance_bound(probability: f64) -> u64 {
    ((probability * 4_294_967_296.0) as u64).max(1)
}

/// 2^64 divided by the golden ratio. Its consecutive multiples spread evenly over all 64-bit numbers.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A bijection of 64-bit numbers: each input bit flips each output bit with probability one half.
///
/// Source: the finalizer of splitmix64; Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA
/// 2014).
#[inline]
pub(crate) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The hash that gives the first slots of a draw, from a key and a list's salt.
///
/// It takes one product instead of the two of [`mix`], which is enough for keys that are hashes already.
/// Source: the generator of wyhash, Wang Yi 2019.
#[inline]
pub(crate) const fn fold(key: u64, salt: u64) -> u64 {
    let x = key ^ salt.wrapping_mul(GOLDEN);
    let product = x as u128 * (x ^ 0xe703_7ed1_a0b4_28db) as u128;
    product as u64 ^ (product >> 64) as u64
}
