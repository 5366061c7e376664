//! The hash behind every draw.

/// 2^64 divided by the golden ratio: consecutive multiples are spread evenly.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A bijection of 64-bit numbers in which every input bit flips every output bit with probability one half
/// (the finaliser of splitmix64, Steele, Lea and Flood 2014).
#[inline]
pub(crate) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The hash behind the first slots that a draw tries: one product instead of two, for keys that are hashes already
/// (the generator of wyhash, Wang Yi 2019).
#[inline]
pub(crate) const fn fold(key: u64, salt: u64) -> u64 {
    let x = key ^ salt.wrapping_mul(GOLDEN);
    let product = x as u128 * (x ^ 0xe703_7ed1_a0b4_28db) as u128;
    product as u64 ^ (product >> 64) as u64
}
