//! The draw: which neighbour a walk goes to, as a function of the list and a hash alone.

use hedgerow_storage::{List, NodeIx};

use crate::hash::{GOLDEN, fold, mix};

/// Tries after which a draw takes the heaviest neighbour. Reached only by weights so skewed that the others
/// have a share below one in thousands of the heaviest's.
const MAX_TRIES: u32 = 1 << 16;

/// The position in `list` that `key` draws, `None` from an empty list.
///
/// Slots of the list's table are tried in a pseudo-random order until a taken one is found, so each neighbour is
/// equally likely. With weights a taken slot is accepted in proportion to its weight over the largest one,
/// rounded up to a power of two.
///
/// Determinism: canonical, a function of the neighbours' stable ids and weights and of `key`.
/// Stability: a neighbour added or removed changes 2.5/degree of the draws at most, averaged over growth or decline:
/// its own, those of neighbours that it moves, and half of all where the table is doubled.
/// Cost: 2 to 4 tries expected, of which a hash holds two to eight; with weights a hash for each, and times largest
/// over mean.
#[inline]
pub fn stable_draw(list: &List<'_>, key: u64) -> Option<usize> {
    if list.is_empty() {
        return None;
    }
    let hash = fold(key, list.salt());
    Some(draw_position(list, hash))
}

/// The neighbor that `key` draws, `None` from an empty list.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a hop is a handful of these: with calls between them a sweep takes a sixth longer"
)]
pub(crate) fn drawn_neighbor(list: &List<'_>, key: u64) -> Option<NodeIx> {
    if list.is_empty() {
        return None;
    }
    Some(list.neighbor(draw_position(list, fold(key, list.salt()))))
}

/// The draw from a list that is not empty, with the hash of its key.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a hop is a handful of these: with calls between them a sweep takes a sixth longer"
)]
pub(crate) fn draw_position(list: &List<'_>, hash: u64) -> usize {
    if list.is_weighted() { draw_weighted(list, hash) } else { draw_unweighted(list, hash) }
}

/// The draw from a list that is neither empty nor weighted, with the hash of its key.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a hop is a handful of these: with calls between them a sweep takes a sixth longer"
)]
pub(crate) fn draw_unweighted(list: &List<'_>, mut hash: u64) -> usize {
    loop {
        if let Some(position) = list.at_hash(hash) {
            return position;
        }
        hash = mix(hash.wrapping_add(GOLDEN));
    }
}

/// The draw from a weighted list, with the hash of its key.
#[inline(never)]
pub(crate) fn draw_weighted(list: &List<'_>, mut hash: u64) -> usize {
    let slots = 1 << list.slot_bits();
    for _ in 0..MAX_TRIES {
        // The product of 32 bits and the number of slots, so that the other half is left for accepting.
        let slot = (((hash >> 32) * slots) >> 32) as usize;
        if let Some(position) = list.at_slot(slot)
            && (hash & 0xffff_ffff) < acceptance_bound(list.weight(position), list.max_weight_exponent())
        {
            return position;
        }
        hash = mix(hash.wrapping_add(GOLDEN));
    }
    let heaviest =
        (0..list.degree()).reduce(|best, at| if list.weight(at) > list.weight(best) { at } else { best });
    heaviest.expect("a weighted list is not empty")
}

/// `weight / 2^exponent` of 2^32; the division by a power of two is exact.
fn acceptance_bound(weight: f32, exponent: i32) -> u64 {
    let share = f64::from(weight) * 2f64.powi(32 - exponent);
    (share as u64).max(1)
}
