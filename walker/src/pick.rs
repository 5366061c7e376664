//! The draw: which neighbour a walk goes to, as a function of the list and a hash alone.

use hedgerow_storage::List;

use crate::hash::{GOLDEN, mix};

/// Tries after which a draw takes the heaviest neighbour. Reached only by weights so skewed that the others
/// have a share below one in thousands of the heaviest's.
const MAX_TRIES: u32 = 1 << 16;

/// The position in `list` that `key` draws, `None` from an empty list.
///
/// Every neighbour has one slot of a power-of-two table, and slots are tried in a pseudo-random order until
/// an occupied one is found, so each neighbour is equally likely. With weights an occupied slot is accepted in
/// proportion to its weight over the largest one, rounded up to a power of two.
///
/// Determinism: canonical, a function of the neighbours' stable ids and weights and of `key`.
/// Stability: a neighbour added or removed changes about 2/degree of the draws, counting the neighbours that
/// it displaces; half of them change where the degree crosses a power of two, because the table doubles.
/// Cost: 2 to 4 tries expected, each a hash and one word of the list; with weights, times largest over mean.
#[inline]
pub fn pick(list: &List<'_>, key: u64) -> Option<usize> {
    match list.degree() {
        0 => return None,
        1 => return Some(0),
        _ => {}
    }
    let shift = 64 - list.slot_bits();
    let mut hash = mix(key ^ list.owner());
    if !list.is_weighted() {
        loop {
            if let Some(position) = list.at_slot((hash >> shift) as usize) {
                return Some(position);
            }
            hash = mix(hash.wrapping_add(GOLDEN));
        }
    }
    for _ in 0..MAX_TRIES {
        if let Some(position) = list.at_slot((hash >> shift) as usize)
            && (hash & 0xffff_ffff) < threshold(list.weight(position), list.max_weight_exponent())
        {
            return Some(position);
        }
        hash = mix(hash.wrapping_add(GOLDEN));
    }
    (0..list.degree()).reduce(|best, at| if list.weight(at) > list.weight(best) { at } else { best })
}

/// `weight / 2^exponent` of 2^32; the division by a power of two is exact.
fn threshold(weight: f32, exponent: i32) -> u64 {
    let share = f64::from(weight) * 2f64.powi(32 - exponent);
    (share as u64).max(1)
}
