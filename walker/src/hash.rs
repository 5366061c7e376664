//! The hash functions of all draws.
//! Pure functions of numbers; they know neither lists nor walks.

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
