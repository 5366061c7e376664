//! The stable draw: the neighbor that a walk goes to, as a function of the neighbor list and a key alone; and the
//! hash functions of all draws. Knows one list at a time; walks and hops belong to the callers.

use hedgerow_storage::{List, NodeIx, Place, WeightClass, WeightClasses};

/// Tries after which a draw takes the heaviest neighbor. Only lists whose mean weight is thousands of times below the
/// largest one take so many.
const MAX_TRIES: u32 = 1 << 16;
/// The time of a draw where weights fade, in tries of other lists.
const FADING_TRIES: f64 = 8.0;

/// The position in `list` that `key` draws; `None` from an empty list.
///
/// The draw tries slots of the list's slot table in a pseudo-random order until it finds an occupied one, so that each
/// neighbor is equally likely. With weights, an occupied slot is accepted with the probability `weight / max`, where
/// `max` is the largest weight rounded up to a power of two.
///
/// Where weights fade, each [class of weights](hedgerow_storage::WeightClass) is tried in turn, the newest first. The class stores the
/// probability that the draw stays in it. There a neighbor is drawn as from any list, and accepted with the probability `weight / max` of
/// the class, which is above 1/2. Otherwise the draw begins again.
///
/// # Determinism
/// Canonical: a function of the neighbors' stable ids and weights, and of `key`.
///
/// Stable: an added or removed neighbor changes at most 2.5/degree of the draws, averaged over growth or decline. These
/// are its own draws, those of neighbors that change their slot, and half of all draws when the table is doubled or
/// halved. Where weights fade, a new edge takes about its share of the draws, and time alone changes none.
///
/// # Cost
/// 2 to 4 tries are expected, and one hash serves two to eight of them. With weights each try takes a hash, and the number of
/// tries grows by the ratio of the largest weight to the mean. Where weights fade, two classes are expected if edges come evenly in time, and
/// 1.4 neighbors.
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
    place_of_draw(list, fold(key, list.salt())).neighbor()
}

/// The place of the neighbor drawn from a list that is not empty, with the hash of the key. Where weights fade, it is cheaper than the
/// position.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a hop is a handful of these functions: calls between them make dense walks a sixth slower"
)]
pub(crate) fn place_of_draw<'a>(list: &List<'a>, hash: u64) -> Place<'a> {
    if !list.is_weighted() {
        list.place(draw_unweighted(list, hash))
    } else if let Some(classes) = list.weight_classes() {
        draw_fading(&classes, hash, |class, position| class.list().place(position))
    } else {
        list.place(draw_weighted(list, hash))
    }
}

/// The position drawn from a list that is not empty, with the hash of the key.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a hop is a handful of these functions: calls between them make dense walks a sixth slower"
)]
pub(crate) fn draw_position(list: &List<'_>, hash: u64) -> usize {
    if !list.is_weighted() {
        draw_unweighted(list, hash)
    } else if let Some(classes) = list.weight_classes() {
        draw_fading(&classes, hash, |class, position| class.first_position() + position)
    } else {
        draw_weighted(list, hash)
    }
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

/// Calls `found` with the class of the neighbor that is drawn from a list whose weights fade, with the hash of the key, and with its position
/// there.
#[inline(never)]
fn draw_fading<'a, T>(
    classes: &WeightClasses<'a>,
    mut hash: u64,
    found: impl Fn(&WeightClass<'a>, usize) -> T,
) -> T {
    for _ in 0..MAX_TRIES {
        for at in 0..classes.len() {
            // A class has the same hash in every list, whatever classes are before it.
            let (exponent, stop) = classes.exponent_and_stop(at);
            let of_class = mix(hash ^ (exponent as u64).wrapping_mul(GOLDEN));
            // The upper 32 bits stay in the class or go on. The lower 32 bits accept or refuse the neighbor.
            if (of_class >> 32) as u32 > stop {
                continue;
            }
            let class = classes.get(at);
            let position = draw_unweighted(&class.list(), mix(of_class.wrapping_add(GOLDEN)));
            if class.accepts(position, of_class as u32) {
                return found(&class, position);
            }
            break;
        }
        hash = mix(hash.wrapping_add(GOLDEN));
    }
    found(&classes.get(0), 0)
}

/// The position drawn from a weighted list, with the hash of the key.
#[inline(never)]
fn draw_weighted(list: &List<'_>, mut hash: u64) -> usize {
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
    if list.is_fading() {
        return FADING_TRIES;
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
